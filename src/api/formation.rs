//! `/apps/:app/formation`.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view_formation as view;
use crate::domain::QuantityChange;
use crate::flows::{self, Caller, ScaleUpdate};
use crate::wire::api::{FormationEntry, FormationUpdate, Quantity, UpdateFormation};
use crate::wire::api_errors::Refusal;

/// What no name is told beside that is no name of a process type at all.
const NONE: [&str; 0] = [];

pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<FormationEntry>>, ApiError> {
    let app = api.app(&key).await?;
    let mut entries = view::formation(&flows::formation(&api.node, &app).await?);
    // No dyno of a formation, but clients look here for whether an app has a release command.
    if let Some(newest) = flows::newest_release(&api.node, &app).await?
        && let Some(command) = newest.command()
    {
        entries.push(view::release_type(&app, &newest, command));
    }
    Ok(Json(entries))
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<FormationEntry>, ApiError> {
    let app = api.app(&key).await?;
    let entries = view::formation(&flows::formation(&api.node, &app).await?);
    one(entries, &name)
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<UpdateFormation>,
) -> Result<Json<Vec<FormationEntry>>, ApiError> {
    let app = api.app(&key).await?;
    let updates = body.updates.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let desired = flows::scale(&api.node, &app, &updates, &caller.actor()).await?;
    Ok(Json(view::formation(&desired)))
}

pub(super) async fn update_one(
    State(api): State<Api>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
    Input(body): Input<FormationUpdate>,
) -> Result<Json<FormationEntry>, ApiError> {
    let app = api.app(&key).await?;
    let update = FormationUpdate { process_type: Some(name.clone()), ..body };
    let desired = flows::scale(&api.node, &app, &[parse(update)?], &caller.actor()).await?;
    one(view::formation(&desired), &name)
}

fn one(entries: Vec<FormationEntry>, name: &str) -> Result<Json<FormationEntry>, ApiError> {
    let known: Vec<_> = entries.iter().map(|entry| entry.process_type.clone()).collect();
    let found = entries.into_iter().find(|entry| entry.process_type == name || entry.id.to_string() == name);
    found.map(Json).ok_or_else(|| Refusal::no_type(name, known).into())
}

fn parse(update: FormationUpdate) -> Result<ScaleUpdate, Refusal> {
    let name = update.process_type.unwrap_or_default();
    Ok(ScaleUpdate {
        process_type: name.parse().map_err(|_| Refusal::no_type(&name, NONE))?,
        quantity: update.quantity.map(quantity).transpose()?,
        size: update.size.map(|size| size.name().parse().map_err(Refusal::Size)).transpose()?,
        stop_grace: update.stop_grace_s.map(|seconds| Duration::from_secs(seconds.into())),
    })
}

fn quantity(quantity: Quantity) -> Result<QuantityChange, Refusal> {
    match quantity {
        Quantity::Number(number) => Ok(QuantityChange::Set(number)),
        Quantity::Text(text) => text.parse().map_err(Refusal::Quantity),
    }
}
