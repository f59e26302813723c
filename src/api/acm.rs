//! `/apps/:app/acm`: certificates that the node gets by itself.

use axum::Json;
use axum::extract::{Path, State};

use crate::api::asked::Asked;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::Action;
use crate::flows::{self, AppInfo, Caller, Subject};
use crate::wire::api::App;

pub(super) async fn enable(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Path(key): Path<String>,
) -> Result<Json<App>, ApiError> {
    let app = api.app(&key).await?;
    changed(&api, flows::enable_acm(&api.node, &app).await?, (&caller, &asked)).await
}

pub(super) async fn disable(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Path(key): Path<String>,
) -> Result<Json<App>, ApiError> {
    let app = api.app(&key).await?;
    changed(&api, flows::disable_acm(&api.node, &app).await?, (&caller, &asked)).await
}

pub(super) async fn refresh(
    State(api): State<Api>,
    asked: Asked,
    Path(key): Path<String>,
) -> Result<Json<App>, ApiError> {
    let app = api.app(&key).await?;
    let info = flows::refresh_acm(&api.node, &app).await?;
    Ok(Json(view::app(&api.node, &info, &asked)))
}

async fn changed(
    api: &Api,
    info: AppInfo,
    (caller, asked): (&Caller, &Asked),
) -> Result<Json<App>, ApiError> {
    flows::announce(&api.node, Subject::App(&info), Action::Update, &caller.actor().0).await;
    Ok(Json(view::app(&api.node, &info, asked)))
}
