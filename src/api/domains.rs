//! `/apps/:app/domains`. A domain is named by its host name or its identity.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::Action;
use crate::flows::{self, Caller, Subject};
use crate::wire::api::{CreateDomain, Domain, UpdateDomain};

/// The given name first.
pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<Domain>>, ApiError> {
    let app = api.app(&key).await?;
    let own = flows::domains(&api.node, &app).await?;
    let own = own.iter().map(|found| view::domain(&app, found));
    Ok(Json(std::iter::once(view::given_domain(&app)).chain(own).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<CreateDomain>,
) -> Result<(StatusCode, Json<Domain>), ApiError> {
    let app = api.app(&key).await?;
    let added = flows::add_domain(&api.node, &app, &body.hostname, body.sni_endpoint.as_deref()).await?;
    flows::announce(&api.node, Subject::Domain(&app, &added), Action::Create, &caller.actor().0).await;
    Ok((StatusCode::CREATED, Json(view::domain(&app, &added))))
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<Domain>, ApiError> {
    let app = api.app(&key).await?;
    let given = view::given_domain(&app);
    if name == given.hostname || name == given.id.to_string() {
        return Ok(Json(given));
    }
    Ok(Json(view::domain(&app, &flows::domain(&api.node, &app, &name).await?)))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
    Input(body): Input<UpdateDomain>,
) -> Result<Json<Domain>, ApiError> {
    let app = api.app(&key).await?;
    let changed = flows::secure_domain(&api.node, &app, &name, body.sni_endpoint.as_deref()).await?;
    flows::announce(&api.node, Subject::Domain(&app, &changed), Action::Update, &caller.actor().0).await;
    Ok(Json(view::domain(&app, &changed)))
}

pub(super) async fn destroy(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<Domain>, ApiError> {
    let app = api.app(&key).await?;
    let removed = flows::remove_domain(&api.node, &app, &name).await?;
    flows::announce(&api.node, Subject::Domain(&app, &removed), Action::Destroy, &caller.actor().0).await;
    Ok(Json(view::domain(&app, &removed)))
}
