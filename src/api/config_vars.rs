//! `/apps/:app/config-vars`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::domain::ConfigVars;
use crate::flows::{self, Caller};

/// Names and values.
pub(super) type Vars = BTreeMap<String, String>;

pub(super) fn vars(config: &ConfigVars) -> Json<Vars> {
    Json(config.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

pub(super) async fn show(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<Vars>, ApiError> {
    let app = api.app(&key).await?;
    Ok(vars(&flows::config(&api.node, &app).await?))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(changes): Input<BTreeMap<String, Option<String>>>,
) -> Result<Json<Vars>, ApiError> {
    let app = api.app(&key).await?;
    Ok(vars(&flows::change_config(&api.node, &app, &changes, &caller.actor()).await?))
}
