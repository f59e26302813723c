//! `/addons`, `/addon-services`, `/addon-attachments` and what resolves their names. Where no app is in the path, what is shown
//! depends on who asks.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view_add_ons as view;
use crate::domain::{App, AppRight, Service};
use crate::flows::{self, AddOnRequest, AddOnUpdate, AttachRequest, Caller, Others};
use crate::wire::api::{
    AddOn, AddOnService, Attachment, ByName, CreateAddOn, CreateAttachment, DestroyAddOn, Plan, ResolveAddOn,
    ResolveAttachment, UpdateAddOn,
};
use crate::wire::api_errors::{AddOnRefusal, Missing, Refusal};

/// The option that names the add-on whose contents a new one is given.
const FORK: &str = "fork";

pub(super) async fn services() -> Result<Json<Vec<AddOnService>>, ApiError> {
    Ok(Json(flows::add_on_services()?.iter().map(view::service).collect()))
}

pub(super) async fn show_service(Path(key): Path<String>) -> Result<Json<AddOnService>, ApiError> {
    Ok(Json(view::service(service(&key)?)))
}

pub(super) async fn plans(Path(key): Path<String>) -> Result<Json<Vec<Plan>>, ApiError> {
    let service = service(&key)?;
    Ok(Json(service.plans.iter().map(|plan| view::plan(service, plan)).collect()))
}

fn service(key: &str) -> Result<&'static Service, ApiError> {
    let is_named = |service: &&Service| service.is_named(key) || view::service(service).id.to_string() == key;
    let found = flows::add_on_services()?.iter().find(is_named);
    Ok(found.ok_or_else(|| Refusal::NotFound(Missing::AddOnService(key.chars().take(63).collect())))?)
}

pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Vec<AddOn>>, ApiError> {
    Ok(Json(flows::add_ons(&api.node, &caller).await?.iter().map(view::add_on).collect()))
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<AddOn>, ApiError> {
    Ok(Json(view::add_on(&flows::add_on(&api.node, &caller, &key, None).await?)))
}

pub(super) async fn list_of_app(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<AddOn>>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(flows::app_add_ons(&api.node, &app).await?.iter().map(view::add_on).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<CreateAddOn>,
) -> Result<(StatusCode, Json<AddOn>), ApiError> {
    let app = api.app(&key).await?;
    let CreateAddOn { plan, attachment, mut config, name } = body;
    let fork = match config.remove(FORK) {
        Some(from) => Some(fork_source(&api, (&caller, &app), &from).await?),
        None => None,
    };
    if let Some(option) = config.keys().next() {
        return Err(Refusal::from(AddOnRefusal::Option(option.chars().take(63).collect())).into());
    }
    let attachment = attachment.and_then(|attachment| attachment.name);
    let request = AddOnRequest { plan: plan.into_name(), name, attachment, fork };
    let made = flows::create_add_on(&api.node, &app, request, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(view::add_on(&made))))
}

/// The add-on that is meant by what an app has it as, `APP::NAME` of another app, its name, or its address. All that is in it is read.
async fn fork_source(
    api: &Api,
    (caller, app): (&Caller, &App),
    from: &serde_json::Value,
) -> Result<flows::AddOnView, ApiError> {
    let key = flows::add_on_key(&api.node, from.as_str().unwrap_or_default()).await?;
    let found = match key.split_once("::") {
        Some((other, name)) => flows::add_on(&api.node, caller, name, Some(&api.app(other).await?)).await?,
        None => flows::add_on(&api.node, caller, &key, Some(app)).await?,
    };
    flows::permit(&api.node, caller, &found.app, AppRight::Operate).await?;
    Ok(found)
}

pub(super) async fn show_of_app(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<AddOn>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::add_on(&flows::add_on(&api.node, &caller, &name, Some(&app)).await?)))
}

/// An add-on by its own app; what others have attached is not theirs to change.
pub(super) async fn own(
    api: &Api,
    caller: &Caller,
    (key, name): (&str, &str),
) -> Result<flows::AddOnView, ApiError> {
    let app = api.app(key).await?;
    let found = flows::add_on(&api.node, caller, name, Some(&app)).await?;
    if found.app.id == app.id { Ok(found) } else { Err(Refusal::NotFound(Missing::AddOn).into()) }
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
    Input(body): Input<UpdateAddOn>,
) -> Result<Json<AddOn>, ApiError> {
    let found = own(&api, &caller, (&key, &name)).await?;
    let update = AddOnUpdate { name: body.name, plan: body.plan.map(ByName::into_name) };
    Ok(Json(view::add_on(&flows::change_add_on(&api.node, &found, update).await?)))
}

pub(super) async fn destroy(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
    Input(body): Input<DestroyAddOn>,
) -> Result<Json<AddOn>, ApiError> {
    let found = own(&api, &caller, (&key, &name)).await?;
    let others = if body.force == Some(true) { Others::LoseIt } else { Others::KeepIt };
    flows::destroy_add_on(&api.node, &found, others, &caller.actor()).await?;
    Ok(Json(view::destroyed(&found)))
}

pub(super) async fn resolve(
    State(api): State<Api>,
    caller: Caller,
    Input(body): Input<ResolveAddOn>,
) -> Result<Json<Vec<AddOn>>, ApiError> {
    let app = named_app(&api, &caller, body.app.as_deref()).await?;
    let found = flows::add_on(&api.node, &caller, &body.addon, app.as_ref()).await?;
    Ok(Json(vec![view::add_on(&found)]))
}

/// The app that a question is about, for who may look at it.
async fn named_app(api: &Api, caller: &Caller, key: Option<&str>) -> Result<Option<App>, ApiError> {
    let Some(key) = key else { return Ok(None) };
    let app = api.app(key).await?;
    flows::permit(&api.node, caller, &app, AppRight::View).await?;
    Ok(Some(app))
}

pub(super) async fn list_attachments(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Vec<Attachment>>, ApiError> {
    Ok(Json(flows::attachments(&api.node, &caller).await?.iter().map(view::attachment).collect()))
}

pub(super) async fn list_attachments_of_app(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<Attachment>>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(flows::app_attachments(&api.node, &app).await?.iter().map(view::attachment).collect()))
}

pub(super) async fn list_attachments_of_add_on(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Vec<Attachment>>, ApiError> {
    let found = flows::add_on(&api.node, &caller, &key, None).await?;
    Ok(Json(found.attachments.iter().map(view::attachment).collect()))
}

pub(super) async fn show_attachment(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Attachment>, ApiError> {
    Ok(Json(view::attachment(&flows::attachment(&api.node, &caller, &key, None).await?)))
}

pub(super) async fn show_attachment_of_app(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<Attachment>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::attachment(&flows::attachment(&api.node, &caller, &name, Some(&app)).await?)))
}

/// The config vars of who gives it are seen by who gets it: both must be the caller's to operate.
pub(super) async fn create_attachment(
    State(api): State<Api>,
    caller: Caller,
    Input(body): Input<CreateAttachment>,
) -> Result<(StatusCode, Json<Attachment>), ApiError> {
    let CreateAttachment { addon, app, confirm, name } = body;
    let app = api.app(&app.into_name()).await?;
    flows::permit(&api.node, &caller, &app, AppRight::Operate).await?;
    let found = flows::add_on(&api.node, &caller, &addon.into_name(), Some(&app)).await?;
    flows::permit(&api.node, &caller, &found.app, AppRight::Operate).await?;
    let request = AttachRequest { name, confirm };
    let made = flows::attach_add_on(&api.node, &found, &app, request, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(view::attachment(&made))))
}

pub(super) async fn destroy_attachment(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Attachment>, ApiError> {
    let found = flows::attachment(&api.node, &caller, &key, None).await?;
    flows::permit_detaching(&api.node, &caller, &found).await?;
    flows::detach_add_on(&api.node, &found, &caller.actor()).await?;
    Ok(Json(view::attachment(&found)))
}

pub(super) async fn resolve_attachment(
    State(api): State<Api>,
    caller: Caller,
    Input(body): Input<ResolveAttachment>,
) -> Result<Json<Vec<Attachment>>, ApiError> {
    let app = match &body.app {
        Some(key) => Some(api.app(key).await?),
        None => None,
    };
    let found = flows::attachment(&api.node, &caller, &body.addon_attachment, app.as_ref()).await;
    if let (Err(_), Some(app)) = (&found, &app) {
        // What an app does not have is told to those alone who may look at it.
        flows::permit(&api.node, &caller, app, AppRight::View).await?;
    }
    Ok(Json(vec![view::attachment(&found?)]))
}
