//! The exec manager's two routes.

use axum::Json;
use axum::extract::{Path, State};

use crate::api::auth::AppInCredentials;
use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::exec::visitors::Visitor;
use crate::api::state::Api;
use crate::domain::{DynoState, PublicKey};
use crate::flows::{self, Caller};
use crate::wire::api_errors::Refusal;
use crate::wire::exec::{NewVisitor, Reachable, WayIn};

/// Opens a way into a dyno, once, for whoever has the key.
pub(in crate::api) async fn open(
    State(api): State<Api>,
    caller: Caller,
    AppInCredentials(app): AppInCredentials,
    Path(name): Path<String>,
    Input(body): Input<NewVisitor>,
) -> Result<Json<WayIn>, ApiError> {
    let app = api.app(&app).await?;
    let door = api.exec.clone().ok_or(Refusal::NoExec)?;
    let key: PublicKey = body.client_key.parse().map_err(Refusal::PublicKey)?;
    flows::require_visits(&api.node, &app).await?;
    let dyno = flows::dyno(&api.node, &app, &name)?;
    let visitor = Visitor { caller, app: app.id, dyno: dyno.name.to_string(), key: key.blob().to_owned() };
    let client_user = door.expect(&api, visitor).await?;
    let tunnel_host = door.address.ip().to_string();
    Ok(Json(WayIn { tunnel_host, client_user, proxy_public_key: door.public_key.clone() }))
}

/// The dynos that there is a way into.
pub(in crate::api) async fn list(
    State(api): State<Api>,
    AppInCredentials(app): AppInCredentials,
) -> Result<Json<Vec<Reachable>>, ApiError> {
    let app = api.app(&app).await?;
    let dynos = flows::dynos(&api.node, &app);
    let up = dynos.iter().filter(|dyno| dyno.state == DynoState::Up);
    Ok(Json(up.map(|dyno| Reachable { dyno_name: dyno.name.to_string() }).collect()))
}
