//! `/apps/:app/dynos`, and restarting and stopping by type.

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::asked::Asked;
use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::rendezvous::{Client, Ends};
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{App, DynoSize, Version};
use crate::flows::ports::Connection;
use crate::flows::{self, Caller, RunRequest, VisitRequest};
use crate::wire::api::{CreateDyno, Death, Dyno};
use crate::wire::api_errors::Refusal;
use crate::wire::rendezvous;

/// The window of a terminal whose client does not say.
const WINDOW: (u16, u16) = (24, 80);

pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<Dyno>>, ApiError> {
    let app = api.app(&key).await?;
    let releases = release_ids(&api, &app).await?;
    let dynos = flows::dynos(&api.node, &app);
    Ok(Json(dynos.iter().map(|dyno| view::dyno(&app, dyno, &releases)).collect()))
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<Dyno>, ApiError> {
    let app = api.app(&key).await?;
    let dyno = flows::dyno(&api.node, &app, &name)?;
    Ok(Json(view::dyno(&app, &dyno, &release_ids(&api, &app).await?)))
}

pub(super) async fn deaths(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<Vec<Death>>, ApiError> {
    let app = api.app(&key).await?;
    let deaths = flows::deaths(&api.node, &app, &name).await?;
    Ok(Json(deaths.iter().map(view::death).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Path(key): Path<String>,
    Input(body): Input<CreateDyno>,
) -> Result<(StatusCode, Json<Dyno>), ApiError> {
    let app = api.app(&key).await?;
    let request = parse(body)?;
    let (ends, wants_status) =
        (ends(request.connection, &request.env), rendezvous::asks_for_status(&request.command));
    let dyno = flows::run_one_off(&api.node, &app, request, &caller.actor()).await?;
    let mut shown = view::dyno(&app, &dyno, &release_ids(&api, &app).await?);
    if let Some(ends) = ends {
        shown.attach_url = Some(attach_url(
            &api,
            &asked,
            Client { user: caller.user().clone(), app, dyno: dyno.id, ends, wants_status },
        ));
    }
    Ok((StatusCode::CREATED, Json(shown)))
}

/// A further command in a dyno that runs: always attached to.
pub(super) async fn visit(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Path((key, name)): Path<(String, String)>,
    Input(body): Input<CreateDyno>,
) -> Result<(StatusCode, Json<Dyno>), ApiError> {
    let app = api.app(&key).await?;
    let RunRequest { command, env, connection, .. } = parse(CreateDyno { attach: Some(true), ..body })?;
    let (ends, wants_status) = (ends(connection, &env), rendezvous::asks_for_status(&command));
    let request = VisitRequest { command: command.clone(), env, connection };
    let (dyno, id) = flows::visit(&api.node, &app, &name, request, &caller.actor()).await?;
    let shown = view::dyno(&app, &dyno, &release_ids(&api, &app).await?);
    let attach_url = ends.map(|ends| {
        attach_url(&api, &asked, Client { user: caller.user().clone(), app, dyno: id, ends, wants_status })
    });
    Ok((StatusCode::CREATED, Json(Dyno { attach_url, command, ..shown })))
}

/// Where a client attaches: of the stock protocol where it came over TCP, else of our own.
fn attach_url(api: &Api, asked: &Asked, client: Client) -> String {
    let own = format!("/apps/{}/dynos/{}/attach", client.app.id, client.dyno);
    asked.rendezvous_url(api.node.settings(), || api.expected.expect(client)).unwrap_or(own)
}

/// How a client of the stock protocol holds its end; none when nobody attaches.
fn ends(connection: Connection, env: &BTreeMap<String, String>) -> Option<Ends> {
    match connection {
        Connection::Log => None,
        Connection::Pipes => Some(Ends::Pipes),
        // The stock command tells the size of its window only when it has one.
        Connection::Terminal { .. } if env.contains_key("COLUMNS") => Some(Ends::Terminal),
        Connection::Terminal { .. } => Some(Ends::HalfTerminal),
    }
}

fn parse(body: CreateDyno) -> Result<RunRequest, Refusal> {
    let window =
        |name: &str, default| body.env.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let connection = match (body.attach.unwrap_or(false), body.force_no_tty.unwrap_or(false)) {
        (false, _) => Connection::Log,
        (true, true) => Connection::Pipes,
        (true, false) => {
            Connection::Terminal { rows: window("LINES", WINDOW.0), cols: window("COLUMNS", WINDOW.1) }
        }
    };
    let size = body.size.map(|size| size.parse().map_err(Refusal::Size)).transpose()?;
    Ok(RunRequest {
        command: body.command,
        env: body.env,
        process_type: body.process_type,
        size: size.unwrap_or(DynoSize::Standard1X),
        connection,
        time_to_live_s: body.time_to_live,
    })
}

pub(super) async fn restart_all(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let app = api.app(&key).await?;
    flows::restart(&api.node, &app, None).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}

pub(super) async fn restart_one(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let app = api.app(&key).await?;
    flows::restart(&api.node, &app, Some(&name)).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}

pub(super) async fn stop(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let app = api.app(&key).await?;
    flows::stop(&api.node, &app, &name).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}

/// The identities of an app's releases, which dynos know by number.
pub(super) async fn release_ids(api: &Api, app: &App) -> Result<HashMap<Version, Uuid>, ApiError> {
    let all = flows::releases(&api.node, app).await?;
    Ok(all.into_iter().map(|view| (view.release.version, view.release.id)).collect())
}
