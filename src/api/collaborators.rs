//! `/apps/:app/collaborators` and `/account/app-transfers`.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{self, Action, App, AppRight};
use crate::flows::{self, Caller, Subject};
use crate::sys::clock;
use crate::wire::api::{Collaborator, CreateTransfer, SetCollaborator, Transfer, stable_id, timestamp};

/// The owner first, then those with whom it is shared.
pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<Collaborator>>, ApiError> {
    let app = api.app(&key).await?;
    let shared = flows::collaborators(&api.node, &app).await?;
    let shared = shared.iter().map(|found| view::collaborator(&app, found));
    Ok(Json(std::iter::once(view::owner(&api.node, &app)).chain(shared).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<SetCollaborator>,
) -> Result<(StatusCode, Json<Collaborator>), ApiError> {
    let app = api.app(&key).await?;
    let SetCollaborator { user, permissions, silent: _ } = body;
    let user = user.unwrap_or_default();
    let added = flows::add_collaborator(&api.node, &app, &user, &permissions).await?;
    hear(&api, (&app, &added), Action::Create, &caller).await;
    Ok((StatusCode::CREATED, Json(view::collaborator(&app, &added))))
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((key, user)): Path<(String, String)>,
) -> Result<Json<Collaborator>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::collaborator(&app, &flows::collaborator(&api.node, &app, &user).await?)))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path((key, user)): Path<(String, String)>,
    Input(body): Input<SetCollaborator>,
) -> Result<Json<Collaborator>, ApiError> {
    let app = api.app(&key).await?;
    let changed = flows::change_collaborator(&api.node, &app, &user, &body.permissions).await?;
    hear(&api, (&app, &changed), Action::Update, &caller).await;
    Ok(Json(view::collaborator(&app, &changed)))
}

pub(super) async fn destroy(
    State(api): State<Api>,
    caller: Caller,
    Path((key, user)): Path<(String, String)>,
) -> Result<Json<Collaborator>, ApiError> {
    let app = api.app(&key).await?;
    let removed = flows::remove_collaborator(&api.node, &app, &user).await?;
    hear(&api, (&app, &removed), Action::Destroy, &caller).await;
    Ok(Json(view::collaborator(&app, &removed)))
}

async fn hear(api: &Api, (app, found): (&App, &domain::Collaborator), action: Action, caller: &Caller) {
    flows::announce(&api.node, Subject::Collaborator(app, found), action, &caller.actor().0).await;
}

/// Gives an app away. The platform asks the recipient; on a node, whose users know each other, it happens at once.
pub(super) async fn transfer(
    State(api): State<Api>,
    caller: Caller,
    Input(body): Input<CreateTransfer>,
) -> Result<(StatusCode, Json<Transfer>), ApiError> {
    let app = api.app(&body.app).await?;
    flows::permit(&api.node, &caller, &app, AppRight::Manage).await?;
    let before = flows::owner(&api.node, &app).clone();
    let after = flows::transfer(&api.node, &app, &body.recipient).await?.app;
    let now = timestamp(clock::unix_s());
    let transfer = Transfer {
        app: view::app_ref(&app),
        created_at: now.clone(),
        id: stable_id("app-transfer", &format!("{}/{now}", app.id)),
        owner: view::user(before.as_str()),
        recipient: view::user(flows::owner(&api.node, &after).as_str()),
        state: "accepted".to_owned(),
        updated_at: now,
    };
    Ok((StatusCode::CREATED, Json(transfer)))
}
