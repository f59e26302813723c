//! `/node/users`: who may log in; not part of the published API.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::flows;
use crate::wire::api::{SetUser, User};

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<User>>, ApiError> {
    Ok(Json(flows::users(&api.node).await?.iter().map(view::account).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    Input(body): Input<SetUser>,
) -> Result<(StatusCode, Json<User>), ApiError> {
    let SetUser { email, password } = body;
    let made = flows::create_user(&api.node, &email.unwrap_or_default(), password).await?;
    Ok((StatusCode::CREATED, Json(view::account(&made))))
}

pub(super) async fn update(
    State(api): State<Api>,
    Path(email): Path<String>,
    Input(body): Input<SetUser>,
) -> Result<StatusCode, ApiError> {
    flows::set_password(&api.node, &email, body.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn destroy(
    State(api): State<Api>,
    Path(email): Path<String>,
) -> Result<Json<User>, ApiError> {
    Ok(Json(view::account(&flows::remove_user(&api.node, &email).await?)))
}
