//! `/apps/:app/features`. A feature is named by its name or its identity.

use axum::Json;
use axum::extract::{Path, State};

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{Feature, FeatureRow};
use crate::flows;
use crate::wire::api::{AppFeature, UpdateAppFeature};
use crate::wire::api_errors::{Missing, Refusal, Unknown};

pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<AppFeature>>, ApiError> {
    let app = api.app(&key).await?;
    let chosen = flows::features(&api.node, &app).await?;
    Ok(Json(Feature::TABLE.iter().map(|row| view::app_feature(&app, row, &chosen)).collect()))
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<AppFeature>, ApiError> {
    let app = api.app(&key).await?;
    let row = named(&name)?;
    Ok(Json(view::app_feature(&app, row, &flows::features(&api.node, &app).await?)))
}

pub(super) async fn update(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
    Input(body): Input<UpdateAppFeature>,
) -> Result<Json<AppFeature>, ApiError> {
    let app = api.app(&key).await?;
    let row = named(&name)?;
    let chosen = flows::set_feature(&api.node, &app, row.feature, body.enabled.into()).await?;
    Ok(Json(view::app_feature(&app, row, &chosen)))
}

fn named(name: &str) -> Result<&'static FeatureRow, Refusal> {
    let mut rows = Feature::TABLE.iter();
    let found = rows.find(|row| row.name == name || view::feature_id(row).to_string() == name);
    let known = Feature::TABLE.iter().map(|row| row.name);
    found.ok_or_else(|| Refusal::NotFound(Missing::Feature(Unknown::new(name, known))))
}
