//! `/apps/:app/routing`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::domain::{self, Routing};
use crate::flows;
use crate::wire::api::RoutingSetting;

pub(super) async fn show(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<RoutingSetting>>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view(&flows::routing(&api.node, &app).await?)))
}

/// Settings by name; `null` is as good as `default`.
pub(super) async fn update(
    State(api): State<Api>,
    Path(key): Path<String>,
    Input(body): Input<BTreeMap<String, Option<String>>>,
) -> Result<Json<Vec<RoutingSetting>>, ApiError> {
    let app = api.app(&key).await?;
    let changes = body.into_iter().map(|(name, value)| (name, value.unwrap_or_else(|| "default".to_owned())));
    Ok(Json(view(&flows::change_routing(&api.node, &app, changes).await?)))
}

fn view(routing: &Routing) -> Vec<RoutingSetting> {
    let setting = |row: &domain::RoutingRow| RoutingSetting {
        name: row.name.to_owned(),
        value: routing.chosen(row.setting).unwrap_or_else(|| row.default.to_owned()),
        default: row.default.to_owned(),
        description: row.description.to_owned(),
    };
    domain::RoutingSetting::TABLE.iter().map(setting).collect()
}
