//! `/apps/:app/builds` and `/apps/:app/buildpack-installations`.

use axum::Json;
use axum::extract::{Path, State};

use crate::api::body::Input;
use crate::api::dynos::release_ids;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::flows::{self, Caller};
use crate::wire::api::{Build, BuildpackInstallation, UpdateBuildpacks};
use crate::wire::api_errors::{Missing, Refusal};

pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<Build>>, ApiError> {
    let app = api.app(&key).await?;
    let releases = release_ids(&api, &app).await?;
    let all = flows::builds(&api.node, &app).await?;
    Ok(Json(all.iter().map(|build| view::build(&app, build, &releases)).collect()))
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((key, id)): Path<(String, String)>,
) -> Result<Json<Build>, ApiError> {
    let app = api.app(&key).await?;
    let all = flows::builds(&api.node, &app).await?;
    let build = all.iter().find(|build| build.id.to_string() == id);
    let build = build.ok_or(Refusal::NotFound(Missing::Build))?;
    Ok(Json(view::build(&app, build, &release_ids(&api, &app).await?)))
}

pub(super) async fn buildpacks(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<BuildpackInstallation>>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::buildpacks(&flows::buildpacks(&api.node, &app).await?)))
}

pub(super) async fn set_buildpacks(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<UpdateBuildpacks>,
) -> Result<Json<Vec<BuildpackInstallation>>, ApiError> {
    let app = api.app(&key).await?;
    let urls = body.updates.into_iter().map(|update| update.buildpack).collect();
    Ok(Json(view::buildpacks(&flows::set_buildpacks(&api.node, &caller, &app, urls).await?)))
}
