//! `/oauth`: logging in and out, and tokens.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::flows::{self, AuthorizationRequest, Caller};
use crate::wire::api::{Authorization, CreateAuthorization, UpdateAuthorization};
use crate::wire::api_errors::{Missing, Refusal};

pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Vec<Authorization>>, ApiError> {
    let all = flows::authorizations(&api.node, &caller).await?;
    Ok(Json(all.iter().map(|found| view::authorization(found, None)).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Input(body): Input<CreateAuthorization>,
) -> Result<(StatusCode, Json<Authorization>), ApiError> {
    let CreateAuthorization { description, expires_in, scope } = body;
    let request =
        AuthorizationRequest { description, scopes: scope.unwrap_or_default(), expires_in_s: expires_in };
    let (made, token) = flows::authorize(&api.node, &caller, request).await?;
    Ok((StatusCode::CREATED, Json(view::authorization(&made, Some(token)))))
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Authorization>, ApiError> {
    Ok(Json(view::authorization(&flows::authorization(&api.node, &caller, &key).await?, None)))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<UpdateAuthorization>,
) -> Result<Json<Authorization>, ApiError> {
    let UpdateAuthorization { description, client } = body;
    if client.is_some() {
        return Err(Refusal::NoClients.into());
    }
    let changed = match description {
        Some(description) => flows::describe(&api.node, &caller, &key, &description).await?,
        None => flows::authorization(&api.node, &caller, &key).await?,
    };
    Ok(Json(view::authorization(&changed, None)))
}

/// The answer is the one place where the fresh token is told.
pub(super) async fn regenerate(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Authorization>, ApiError> {
    let (rotated, token) = flows::rotate(&api.node, &caller, &key).await?;
    Ok(Json(view::authorization(&rotated, Some(token))))
}

pub(super) async fn destroy(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Authorization>, ApiError> {
    Ok(Json(view::authorization(&flows::revoke(&api.node, &caller, &key).await?, None)))
}

/// Logs out: the token of this very request is taken back. A token that is no user's own is no session.
pub(super) async fn end_session(
    State(api): State<Api>,
    caller: Caller,
    Path(session): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let missing = || ApiError::from(Refusal::NotFound(Missing::Session));
    if session != "~" || caller.authorization().is_none() {
        return Err(missing());
    }
    let ended = flows::revoke(&api.node, &caller, "~").await?;
    Ok(Json(json!({ "id": ended.id, "description": ended.description })))
}
