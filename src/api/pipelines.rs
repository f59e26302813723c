//! `/pipelines`, `/pipeline-couplings` and `/filters/apps`. What is shown of them depends on who asks.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;

use crate::api::asked::Asked;
use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::Email;
use crate::flows::{self, Caller};
use crate::wire::api::{
    App, CreateCoupling, FilterApps, Pipeline, PipelineCoupling, PipelineTransfer, SetPipeline,
    TransferPipeline, UpdateCoupling, stable_id,
};
use crate::wire::api_errors::{Missing, Refusal};

/// How clients look for a pipeline of a name.
#[derive(Deserialize)]
pub(super) struct Search {
    #[serde(rename = "eq[name]")]
    name: Option<String>,
}

pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Query(Search { name }): Query<Search>,
) -> Result<Json<Vec<Pipeline>>, ApiError> {
    let mut all = flows::pipelines(&api.node, &caller).await?;
    all.retain(|found| name.as_ref().is_none_or(|name| found.name.as_str() == name));
    Ok(Json(all.iter().map(|found| view::pipeline(&api.node, found, &asked)).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Input(body): Input<SetPipeline>,
) -> Result<(StatusCode, Json<Pipeline>), ApiError> {
    let SetPipeline { name, owner } = body;
    let own_id = stable_id("user", caller.user().as_str());
    if owner.is_some_and(|owner| owner.id != own_id) {
        return Err(Refusal::PipelineOwner.into());
    }
    let made = flows::create_pipeline(&api.node, &caller, &name).await?;
    Ok((StatusCode::CREATED, Json(view::pipeline(&api.node, &made, &asked))))
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Path(key): Path<String>,
) -> Result<Json<Pipeline>, ApiError> {
    let found = flows::pipeline(&api.node, &caller, &key).await?;
    Ok(Json(view::pipeline(&api.node, &found, &asked)))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Path(key): Path<String>,
    Input(body): Input<SetPipeline>,
) -> Result<Json<Pipeline>, ApiError> {
    let renamed = flows::rename_pipeline(&api.node, &caller, &key, &body.name).await?;
    Ok(Json(view::pipeline(&api.node, &renamed, &asked)))
}

pub(super) async fn destroy(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Path(key): Path<String>,
) -> Result<Json<Pipeline>, ApiError> {
    let removed = flows::remove_pipeline(&api.node, &caller, &key).await?;
    Ok(Json(view::pipeline(&api.node, &removed, &asked)))
}

/// Gives a pipeline away. The new owner is named by identity, which `GET /users/:user` tells.
pub(super) async fn transfer(
    State(api): State<Api>,
    caller: Caller,
    Input(body): Input<TransferPipeline>,
) -> Result<(StatusCode, Json<PipelineTransfer>), ApiError> {
    let TransferPipeline { pipeline, new_owner } = body;
    let key = pipeline.id.to_string();
    let before = flows::pipeline(&api.node, &caller, &key).await?;
    let named = |user: &Email| stable_id("user", user.as_str()) == new_owner.id;
    let recipient = flows::user_names(&api.node).await?.into_iter().find(named);
    let recipient = recipient.ok_or_else(|| Refusal::NotFound(Missing::User(new_owner.id.to_string())))?;
    let after = flows::give_pipeline(&api.node, &caller, &key, &recipient).await?;
    let owner = |found| view::pipeline_owner(flows::pipeline_owner(&api.node, found));
    let transfer = PipelineTransfer { pipeline, previous_owner: owner(&before), new_owner: owner(&after) };
    Ok((StatusCode::CREATED, Json(transfer)))
}

pub(super) async fn list_couplings(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Vec<PipelineCoupling>>, ApiError> {
    let all = flows::places(&api.node, &caller).await?;
    Ok(Json(all.iter().map(view::coupling).collect()))
}

pub(super) async fn couplings_of_pipeline(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Vec<PipelineCoupling>>, ApiError> {
    let all = flows::places_in(&api.node, &caller, &key).await?;
    Ok(Json(all.iter().map(view::coupling).collect()))
}

/// One object, as on the platform, whatever the path sounds like.
pub(super) async fn coupling_of_app(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<PipelineCoupling>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::coupling(&flows::place_of(&api.node, &app).await?)))
}

pub(super) async fn create_coupling(
    State(api): State<Api>,
    caller: Caller,
    Input(body): Input<CreateCoupling>,
) -> Result<(StatusCode, Json<PipelineCoupling>), ApiError> {
    let CreateCoupling { app, pipeline, stage } = body;
    let added = flows::add_to_pipeline(&api.node, &caller, (&app, &pipeline, &stage)).await?;
    Ok((StatusCode::CREATED, Json(view::coupling(&added))))
}

pub(super) async fn show_coupling(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<PipelineCoupling>, ApiError> {
    Ok(Json(view::coupling(&flows::place(&api.node, &caller, &id).await?)))
}

pub(super) async fn update_coupling(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Input(body): Input<UpdateCoupling>,
) -> Result<Json<PipelineCoupling>, ApiError> {
    let moved = flows::move_in_pipeline(&api.node, &caller, &id, &body.stage).await?;
    Ok(Json(view::coupling(&moved)))
}

pub(super) async fn destroy_coupling(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<PipelineCoupling>, ApiError> {
    Ok(Json(view::coupling(&flows::remove_from_pipeline(&api.node, &caller, &id).await?)))
}

/// Apps by identity: a question, for all that it is asked by `POST`.
pub(super) async fn filter_apps(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Input(body): Input<FilterApps>,
) -> Result<Json<Vec<App>>, ApiError> {
    let apps = flows::apps_among(&api.node, &caller, &body.among.id).await?;
    let all = flows::infos(&api.node, apps).await?;
    Ok(Json(all.iter().map(|info| view::app(&api.node, info, &asked)).collect()))
}
