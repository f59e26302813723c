//! Features of an app: reading them, and switching them.

use std::collections::BTreeMap;

use crate::domain::{App, DynoId, Feature, Features, Release, Switch};
use crate::flows::Node;
use crate::flows::error::FlowError;
use crate::wire::dyno_metadata;

/// What an app has switched on or off.
///
/// # Errors
/// The node fails.
pub async fn features(node: &Node, app: &App) -> Result<Features, FlowError> {
    Ok(node.store().features(app.id).await?)
}

/// Switches a feature. It makes no release and restarts nothing.
///
/// # Errors
/// The app is gone, or the node fails.
pub async fn set_feature(
    node: &Node,
    app: &App,
    feature: Feature,
    to: Switch,
) -> Result<Features, FlowError> {
    let _changing = node.locks().change(app.id).await;
    node.store().set_feature(app.id, feature, to).await?;
    node.apply(app).await?;
    features(node, app).await
}

/// What the environment of dynos says of their app and release, where the app wants it; else nothing.
#[must_use]
pub fn metadata(app: &App, release: &Release, features: &Features) -> BTreeMap<String, String> {
    if features.has(Feature::RuntimeDynoMetadata) {
        dyno_metadata::variables(app, release, &app.name.default_domain())
    } else {
        BTreeMap::new()
    }
}

/// The same for one dyno beside the formation, with what tells it from others.
pub(super) fn metadata_of(
    dyno: DynoId,
    app: &App,
    release: &Release,
    features: &Features,
) -> BTreeMap<String, String> {
    let mut variables = metadata(app, release, features);
    if !variables.is_empty() {
        variables.extend([dyno_metadata::of_dyno(dyno)]);
    }
    variables
}
