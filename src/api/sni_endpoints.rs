//! `/apps/:app/sni-endpoints`. A certificate is named by its name or its identity; its key is taken and never shown.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{Action, App};
use crate::flows::{self, Caller, SniEndpointView, Subject};
use crate::wire::api::{CreateSniEndpoint, SniEndpoint};

pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<SniEndpoint>>, ApiError> {
    let app = api.app(&key).await?;
    let all = flows::sni_endpoints(&api.node, &app).await?;
    Ok(Json(all.iter().map(|found| view::sni_endpoint(&app, found)).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<CreateSniEndpoint>,
) -> Result<(StatusCode, Json<SniEndpoint>), ApiError> {
    let app = api.app(&key).await?;
    let texts = (body.certificate_chain.as_str(), body.private_key.as_str());
    let added = flows::add_sni_endpoint(&api.node, &app, texts).await?;
    announce(&api, &app, &added, Action::Create, &caller).await;
    Ok((StatusCode::CREATED, Json(view::sni_endpoint(&app, &added))))
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<SniEndpoint>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::sni_endpoint(&app, &flows::sni_endpoint(&api.node, &app, &name).await?)))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
    Input(body): Input<CreateSniEndpoint>,
) -> Result<Json<SniEndpoint>, ApiError> {
    let app = api.app(&key).await?;
    let texts = (body.certificate_chain.as_str(), body.private_key.as_str());
    let changed = flows::change_sni_endpoint(&api.node, &app, &name, texts).await?;
    announce(&api, &app, &changed, Action::Update, &caller).await;
    Ok(Json(view::sni_endpoint(&app, &changed)))
}

pub(super) async fn destroy(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<SniEndpoint>, ApiError> {
    let app = api.app(&key).await?;
    let removed = flows::remove_sni_endpoint(&api.node, &app, &name).await?;
    announce(&api, &app, &removed, Action::Destroy, &caller).await;
    Ok(Json(view::sni_endpoint(&app, &removed)))
}

async fn announce(api: &Api, app: &App, found: &SniEndpointView, action: Action, caller: &Caller) {
    flows::announce(&api.node, Subject::SniEndpoint(app, found), action, &caller.actor().0).await;
}
