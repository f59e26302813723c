//! What is done inside of data services: acts with a client attached, what they tell of themselves, another password, a fresh start.

use axum::extract::{Path, State};
use axum::response::Response;
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use hyper::upgrade::OnUpgrade;

use crate::api::add_ons::own;
use crate::api::attach;
use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view_add_ons as view;
use crate::domain::{App, AppRight, Scope};
use crate::flows::{self, ActRequest, AddOnView, Caller, ports::Connection};
use crate::wire::api::{
    ActTerminal, ActiveCredential, AddOn, BringBack, Credential, DoAct, RemovedAddOn, ServiceInfo,
    ServiceMessage, WaitStatus,
};
use crate::wire::api_errors::{Missing, Refusal};

/// What the one credential of a database is called.
const CREDENTIAL: &str = "default";

/// An add-on by its name or identity, for who may operate its app.
pub(super) async fn database(
    api: &Api,
    (caller, scope): (&Caller, Scope),
    key: &str,
) -> Result<AddOnView, ApiError> {
    caller.require_scope(scope)?;
    let found = flows::add_on(&api.node, caller, key, None).await?;
    flows::permit(&api.node, caller, &found.app, AppRight::Operate).await?;
    Ok(found)
}

/// An add-on by an app that has it.
async fn had(api: &Api, caller: &Caller, (key, name): (&str, &str)) -> Result<(AddOnView, App), ApiError> {
    let app = api.app(key).await?;
    let found = flows::add_on(&api.node, caller, name, Some(&app)).await?;
    let is_had = found.app.id == app.id || found.attachments.iter().any(|has| has.app.id == app.id);
    if is_had { Ok((found, app)) } else { Err(Refusal::NotFound(Missing::AddOn).into()) }
}

pub(super) async fn act(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name, act)): Path<(String, String, String)>,
    (headers, upgrade): (HeaderMap, Option<Extension<OnUpgrade>>),
    Input(body): Input<DoAct>,
) -> Result<Response, ApiError> {
    attach::is_asked(&headers)?;
    let Extension(upgrade) = upgrade.ok_or(Refusal::UpgradeRequired)?;
    let (found, app) = had(&api, &caller, (&key, &name)).await?;
    let DoAct { args, terminal } = body;
    let (connection, term) = match terminal {
        Some(ActTerminal { cols, rows, term }) => (Connection::Terminal { rows, cols }, Some(term)),
        None => (Connection::Pipes, None),
    };
    let request = ActRequest { act, args, term, connection };
    Ok(attach::switch(upgrade, flows::begin_act(&api.node, (&found, &app), request).await?))
}

pub(super) async fn info(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<ServiceInfo>, ApiError> {
    let (found, _) = had(&api, &caller, (&key, &name)).await?;
    Ok(Json(told(&api, &found).await?))
}

async fn told(api: &Api, found: &AddOnView) -> Result<ServiceInfo, ApiError> {
    let facts = flows::add_on_info(&api.node, found).await?;
    Ok(view::service_info(found, facts, flows::add_on_url(&found.add_on)?))
}

pub(super) async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<AddOn>, ApiError> {
    let found = own(&api, &caller, (&key, &name)).await?;
    Ok(Json(view::add_on(&flows::rotate_password(&api.node, &found, &caller.actor()).await?)))
}

pub(super) async fn reset(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<AddOn>, ApiError> {
    let found = own(&api, &caller, (&key, &name)).await?;
    flows::reset_add_on(&api.node, &found).await?;
    Ok(Json(view::add_on(&found)))
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<ServiceInfo>, ApiError> {
    let found = database(&api, (&caller, Scope::ReadProtected), &key).await?;
    Ok(Json(told(&api, &found).await?))
}

pub(super) async fn wait_status(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<WaitStatus>, ApiError> {
    let found = database(&api, (&caller, Scope::Read), &key).await?;
    let is_waiting = !found.add_on.provisioned;
    let message = if is_waiting { "preparing" } else { "available" }.to_owned();
    Ok(Json(WaitStatus { message, is_waiting, is_broken: false }))
}

pub(super) async fn reset_database(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<AddOn>, ApiError> {
    let found = database(&api, (&caller, Scope::Write), &key).await?;
    flows::reset_add_on(&api.node, &found).await?;
    Ok(Json(view::add_on(&found)))
}

pub(super) async fn reset_statistics(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<ServiceMessage>, ApiError> {
    let found = database(&api, (&caller, Scope::Write), &key).await?;
    Ok(Json(ServiceMessage { message: flows::reset_statistics(&api.node, &found).await? }))
}

pub(super) async fn list_removed(State(api): State<Api>) -> Json<Vec<RemovedAddOn>> {
    Json(flows::removed_data(&api.node).into_iter().map(view::removed).collect())
}

pub(super) async fn bring_back(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Input(body): Input<BringBack>,
) -> Result<(StatusCode, Json<AddOn>), ApiError> {
    let app = api.app(&body.app).await?;
    let id = id.parse().map_err(|_| Refusal::NotFound(Missing::RemovedData))?;
    let asked = (id, body.name.as_deref());
    let made = flows::bring_back_add_on(&api.node, &app, asked, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(view::add_on(&made))))
}

/// The one credential that a database has, in the form of the platform's data API.
fn credential(found: &AddOnView) -> Credential {
    let active = ActiveCredential {
        password: found.add_on.password.reveal().to_owned(),
        state: "active".to_owned(),
        user: flows::CLIENT.to_owned(),
    };
    Credential {
        credentials: vec![active],
        database: flows::CLIENT.to_owned(),
        host: found.add_on.host(),
        name: CREDENTIAL.to_owned(),
        port: found.service.port,
        state: "active".to_owned(),
        uuid: found.add_on.id,
    }
}

pub(super) async fn credentials(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Vec<Credential>>, ApiError> {
    Ok(Json(vec![credential(&database(&api, (&caller, Scope::ReadProtected), &key).await?)]))
}

pub(super) async fn show_credential(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<Credential>, ApiError> {
    only_default(&name)?;
    Ok(Json(credential(&database(&api, (&caller, Scope::ReadProtected), &key).await?)))
}

pub(super) async fn rotate_credential(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<AddOn>, ApiError> {
    only_default(&name)?;
    rotate_all(State(api), caller, Path(key)).await
}

pub(super) async fn rotate_all(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<AddOn>, ApiError> {
    let found = database(&api, (&caller, Scope::WriteProtected), &key).await?;
    Ok(Json(view::add_on(&flows::rotate_password(&api.node, &found, &caller.actor()).await?)))
}

fn only_default(name: &str) -> Result<(), Refusal> {
    if name == CREDENTIAL { Ok(()) } else { Err(Refusal::NotFound(Missing::Credential)) }
}

pub(super) async fn reset_connections(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<AddOn>, ApiError> {
    let found = database(&api, (&caller, Scope::Write), &key).await?;
    flows::end_connections(&api.node, &found).await?;
    Ok(Json(view::add_on(&found)))
}
