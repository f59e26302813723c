//! `/account/features`: switches of the stock command, which a node has set for good.

use axum::Json;
use axum::extract::Path;

use crate::api::error::ApiError;
use crate::wire::api::{AccountFeature, stable_id, timestamp};
use crate::wire::api_errors::{Missing, Refusal, Unknown};

/// Name and what it means.
const FEATURES: [(&str, &str); 1] =
    [("dashboard-repositories-api", "The node itself knows which repository belongs to a pipeline")];

fn features() -> Vec<AccountFeature> {
    let feature = |(name, description): (&str, &str)| AccountFeature {
        created_at: timestamp(0),
        description: description.to_owned(),
        display_name: None,
        doc_url: String::new(),
        enabled: true,
        feedback_email: None,
        id: stable_id("account-feature", name),
        name: name.to_owned(),
        state: "general".to_owned(),
        updated_at: timestamp(0),
    };
    FEATURES.into_iter().map(feature).collect()
}

pub(super) async fn list() -> Json<Vec<AccountFeature>> {
    Json(features())
}

pub(super) async fn show(Path(key): Path<String>) -> Result<Json<AccountFeature>, ApiError> {
    let found = features().into_iter().find(|feature| feature.name == key || feature.id.to_string() == key);
    let known = FEATURES.map(|(name, _)| name);
    Ok(Json(found.ok_or_else(|| Refusal::NotFound(Missing::Feature(Unknown::new(&key, known))))?))
}
