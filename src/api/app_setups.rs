//! `/app-setups`.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::asked::Asked;
use crate::api::body::Input;
use crate::api::builds::name_of;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::domain;
use crate::flows::{self, AppSetupRequest, Caller, Settings};
use crate::wire::api::{AppSetup, BuildRef, CreateAppSetup, Named, PostdeployResult, timestamp};
use crate::wire::api_errors::{Missing, Refusal};

pub(super) async fn create(
    State(api): State<Api>,
    (asked, caller): (Asked, Caller),
    Input(body): Input<CreateAppSetup>,
) -> Result<(StatusCode, Json<AppSetup>), ApiError> {
    let CreateAppSetup { app, source_blob, overrides } = body;
    let (app, overrides) = (app.unwrap_or_default(), overrides.unwrap_or_default());
    let buildpacks = match overrides.buildpacks {
        Some(named) => Some(named.into_iter().map(name_of).collect::<Result<_, _>>()?),
        None => None,
    };
    let request = AppSetupRequest {
        url: source_blob.url,
        checksum: source_blob.checksum,
        version: source_blob.version,
        name: app.name,
        stack: app.stack,
        env: overrides.env.unwrap_or_default(),
        buildpacks,
    };
    let setup = flows::set_up(&api.node, &caller, request).await?;
    Ok((StatusCode::ACCEPTED, shown(&api, &asked, setup).await?))
}

pub(super) async fn show(
    State(api): State<Api>,
    (asked, caller): (Asked, Caller),
    Path(id): Path<String>,
) -> Result<Json<AppSetup>, ApiError> {
    let id = id.parse().map_err(|_| Refusal::NotFound(Missing::AppSetup))?;
    let setup = flows::app_setup(&api.node, &caller, id).await?;
    shown(&api, &asked, setup).await
}

async fn shown(api: &Api, asked: &Asked, setup: domain::AppSetup) -> Result<Json<AppSetup>, ApiError> {
    let settings = api.node.settings();
    let status = flows::build_status(&api.node, &setup).await?;
    let build = setup.build.map(|id| BuildRef {
        id,
        output_stream_url: asked.url(settings, &Settings::build_output_path(id)),
        status: status.as_str().to_owned(),
    });
    let web_url = || settings.web_url(&setup.app_name);
    let resolve = |url: &String| match url.strip_prefix('/') {
        Some(path) => format!("{}{path}", web_url()),
        None => url.clone(),
    };
    Ok(Json(AppSetup {
        app: Named { id: setup.app.0, name: setup.app_name.to_string() },
        build,
        created_at: timestamp(setup.created_at_s),
        failure_message: setup.failure,
        id: setup.id,
        manifest_errors: setup.manifest_errors,
        postdeploy: setup
            .postdeploy
            .map(|ended| PostdeployResult { exit_code: ended.exit_code, output: ended.output }),
        resolved_success_url: setup.success_url.as_ref().map(resolve),
        status: setup.status.as_str().to_owned(),
        updated_at: timestamp(setup.updated_at_s),
    }))
}
