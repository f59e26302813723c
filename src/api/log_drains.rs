//! `/apps/:app/log-drains`. A drain is named by its URL, its token or its identity.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::flows;
use crate::wire::api::{CreateLogDrain, LogDrain};

pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<LogDrain>>, ApiError> {
    let app = api.app(&key).await?;
    let all = flows::drains(&api.node, &app).await?;
    Ok(Json(all.iter().map(|drain| view::log_drain(&app, drain)).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    Path(key): Path<String>,
    Input(body): Input<CreateLogDrain>,
) -> Result<(StatusCode, Json<LogDrain>), ApiError> {
    let app = api.app(&key).await?;
    let added = flows::add_drain(&api.node, &app, &body.url).await?;
    Ok((StatusCode::CREATED, Json(view::log_drain(&app, &added))))
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((key, drain)): Path<(String, String)>,
) -> Result<Json<LogDrain>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::log_drain(&app, &flows::drain(&api.node, &app, &drain).await?)))
}

pub(super) async fn destroy(
    State(api): State<Api>,
    Path((key, drain)): Path<(String, String)>,
) -> Result<Json<LogDrain>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::log_drain(&app, &flows::remove_drain(&api.node, &app, &drain).await?)))
}
