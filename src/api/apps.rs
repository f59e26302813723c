//! `/apps`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use crate::api::asked::Asked;
use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::range::{Key, ListRange, Page, Property};
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{Action, AppRight};
use crate::flows::{self, AppUpdate, Caller, NewAppRequest, Role, Subject};
use crate::wire::api::{App, CreateApp, UpdateApp};

/// How a list of apps may be ordered.
pub(super) const ORDERS: &[Property] = &[Property::text("name"), Property::text("id")];

/// Those that the caller may look at, by name unless a `Range` says otherwise.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let range = ListRange::of(&headers, ORDERS)?;
    let apps = flows::apps_for(&api.node, &caller).await?;
    let Page { items, content, next } = range.page(apps, |app, by| match by.name() {
        "id" => Key::Text(app.id.to_string()),
        _ => Key::Text(app.name.to_string()),
    });
    let infos = flows::infos(&api.node, items).await?;
    let items: Vec<App> = infos.iter().map(|info| view::app(&api.node, info, &asked)).collect();
    Ok(Page { items, content, next }.answer())
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Input(body): Input<CreateApp>,
) -> Result<(StatusCode, Json<App>), ApiError> {
    let CreateApp { name, stack, region: _ } = body;
    let owner = match caller.role() {
        Role::Administrator => None,
        Role::Member => Some(caller.user().clone()),
    };
    let request = NewAppRequest { name, stack, owner };
    let info = flows::create(&api.node, request, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(view::app(&api.node, &info, &asked))))
}

pub(super) async fn show(
    State(api): State<Api>,
    asked: Asked,
    Path(key): Path<String>,
) -> Result<Json<App>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::app(&api.node, &flows::info(&api.node, &app).await?, &asked)))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Path(key): Path<String>,
    Input(body): Input<UpdateApp>,
) -> Result<Json<App>, ApiError> {
    let app = api.app(&key).await?;
    let UpdateApp { build_stack, maintenance, name } = body;
    if name.is_some() {
        flows::permit(&api.node, &caller, &app, AppRight::Manage).await?;
    }
    let info = flows::update(&api.node, &app, AppUpdate { name, build_stack, maintenance }).await?;
    flows::announce(&api.node, Subject::App(&info), Action::Update, &caller.actor().0).await;
    Ok(Json(view::app(&api.node, &info, &asked)))
}

pub(super) async fn destroy(
    State(api): State<Api>,
    asked: Asked,
    Path(key): Path<String>,
) -> Result<Json<App>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::app(&api.node, &flows::destroy(&api.node, &app).await?, &asked)))
}
