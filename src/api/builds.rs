//! `/apps/:app/builds`, `/build-outputs/:build` and `/apps/:app/buildpack-installations`.

use std::io;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::api::asked::Asked;
use crate::api::body::Input;
use crate::api::dynos::release_ids;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{self, App};
use crate::flows::{self, Caller, Settings, SourceBuildRequest};
use crate::wire::api::{
    Build, BuildLine, BuildRef, BuildResult, BuildpackInstallation, CreateBuild, NewBuildpack,
    UpdateBuildpacks,
};
use crate::wire::api_errors::{Missing, Refusal};

pub(super) async fn list(
    State(api): State<Api>,
    asked: Asked,
    Path(key): Path<String>,
) -> Result<Json<Vec<Build>>, ApiError> {
    let app = api.app(&key).await?;
    let releases = release_ids(&api, &app).await?;
    let all = flows::builds(&api.node, &app).await?;
    let url = |path: &str| asked.url(api.node.settings(), path);
    Ok(Json(all.iter().map(|build| view::build((&app, build), &releases, url)).collect()))
}

pub(super) async fn show(
    State(api): State<Api>,
    asked: Asked,
    Path((key, id)): Path<(String, String)>,
) -> Result<Json<Build>, ApiError> {
    let (app, build) = found(&api, &key, &id).await?;
    shown(&api, &asked, &app, &build).await
}

pub(super) async fn create(
    State(api): State<Api>,
    (asked, caller): (Asked, Caller),
    Path(key): Path<String>,
    Input(body): Input<CreateBuild>,
) -> Result<(StatusCode, Json<Build>), ApiError> {
    let app = api.app(&key).await?;
    let CreateBuild { source_blob, buildpacks } = body;
    let buildpacks = match buildpacks {
        Some(named) => Some(named.into_iter().map(name_of).collect::<Result<_, _>>()?),
        None => None,
    };
    let request = SourceBuildRequest {
        url: source_blob.url,
        checksum: source_blob.checksum,
        version: source_blob.version,
        description: source_blob.version_description,
        buildpacks,
    };
    let build = flows::start_build(&api.node, &caller, &app, request).await?;
    Ok((StatusCode::CREATED, shown(&api, &asked, &app, &build).await?))
}

/// The name or address of a buildpack in a body.
pub(super) fn name_of(buildpack: NewBuildpack) -> Result<String, Refusal> {
    let named = buildpack.url.or(buildpack.name).filter(|name| !name.trim().is_empty());
    named.ok_or_else(|| Refusal::BadRequest("A buildpack has a `url` or a `name`.".to_owned()))
}

/// Ends the build, and answers when it has ended.
pub(super) async fn cancel(
    State(api): State<Api>,
    (asked, caller): (Asked, Caller),
    Path((key, id)): Path<(String, String)>,
) -> Result<Json<Build>, ApiError> {
    let (app, build) = found(&api, &key, &id).await?;
    let build = flows::cancel_build(&api.node, &app, build.id, &caller.actor().0).await?;
    shown(&api, &asked, &app, &build).await
}

/// What it has printed so far, line by line.
pub(super) async fn result(
    State(api): State<Api>,
    asked: Asked,
    Path((key, id)): Path<(String, String)>,
) -> Result<Json<BuildResult>, ApiError> {
    let (_, build) = found(&api, &key, &id).await?;
    let text = match tokio::fs::read(&build.output_path).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(ApiError::fault("read the output of a build")(error)),
    };
    let line = |line: &str| BuildLine { line: line.to_owned(), stream: "STDOUT".to_owned() };
    Ok(Json(BuildResult {
        build: BuildRef {
            id: build.id,
            output_stream_url: asked.url(api.node.settings(), &Settings::build_output_path(build.id)),
            status: build.status.as_str().to_owned(),
        },
        exit_code: flows::exit_code(&build),
        lines: text.split_inclusive('\n').map(line).collect(),
    }))
}

/// What a build prints, or has printed, as text. Its link is its own secret.
pub(super) async fn output(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = id.parse().map_err(|_| Refusal::NotFound(Missing::BuildOutput))?;
    let output = flows::build_output(&api.node, id).await?.take_until(api.closing());
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(output)).into_response())
}

pub(super) async fn purge_cache(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let app = api.app(&key).await?;
    flows::purge_cache(&api.node, &app).await?;
    Ok(Json(serde_json::json!({})))
}

async fn found(api: &Api, key: &str, id: &str) -> Result<(App, domain::Build), ApiError> {
    let app = api.app(key).await?;
    let id = id.parse().map_err(|_| Refusal::NotFound(Missing::Build))?;
    let build = flows::build(&api.node, &app, id).await?;
    Ok((app, build))
}

async fn shown(api: &Api, asked: &Asked, app: &App, build: &domain::Build) -> Result<Json<Build>, ApiError> {
    let url = |path: &str| asked.url(api.node.settings(), path);
    Ok(Json(view::build((app, build), &release_ids(api, app).await?, url)))
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
