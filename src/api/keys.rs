//! `/account/keys`.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::flows::{self, Caller};
use crate::wire::api::{CreateKey, Key};

pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Vec<Key>>, ApiError> {
    Ok(Json(flows::ssh_keys(&api.node, &caller).await?.iter().map(view::key).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Input(body): Input<CreateKey>,
) -> Result<(StatusCode, Json<Key>), ApiError> {
    let added = flows::add_ssh_key(&api.node, &caller, &body.public_key).await?;
    Ok((StatusCode::CREATED, Json(view::key(&added))))
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Key>, ApiError> {
    Ok(Json(view::key(&flows::ssh_key(&api.node, &caller, &key).await?)))
}

pub(super) async fn destroy(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Key>, ApiError> {
    Ok(Json(view::key(&flows::remove_ssh_key(&api.node, &caller, &key).await?)))
}
