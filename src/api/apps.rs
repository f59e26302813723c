//! `/apps`.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::flows::{self, AppUpdate, NewAppRequest};
use crate::wire::api::{App, CreateApp, UpdateApp};

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<App>>, ApiError> {
    let all = flows::list(&api.node).await?;
    Ok(Json(all.iter().map(|info| view::app(&api, info)).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    Input(body): Input<CreateApp>,
) -> Result<(StatusCode, Json<App>), ApiError> {
    let CreateApp { name, stack, region: _ } = body;
    let info = flows::create(&api.node, NewAppRequest { name, stack }, &api.actor()).await?;
    Ok((StatusCode::CREATED, Json(view::app(&api, &info))))
}

pub(super) async fn show(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<App>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::app(&api, &flows::info(&api.node, &app).await?)))
}

pub(super) async fn update(
    State(api): State<Api>,
    Path(key): Path<String>,
    Input(body): Input<UpdateApp>,
) -> Result<Json<App>, ApiError> {
    let app = api.app(&key).await?;
    let UpdateApp { build_stack, maintenance, name } = body;
    let info = flows::update(&api.node, &app, AppUpdate { name, build_stack, maintenance }).await?;
    Ok(Json(view::app(&api, &info)))
}

pub(super) async fn destroy(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<App>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::app(&api, &flows::destroy(&api.node, &app).await?)))
}
