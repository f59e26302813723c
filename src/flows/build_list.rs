//! The builds of an app, and the buildpacks the next one uses.

use crate::domain::{App, Build};
use crate::flows::Node;
use crate::flows::error::FlowError;

/// Every build of an app, newest first.
///
/// # Errors
/// The node fails.
pub async fn builds(node: &Node, app: &App) -> Result<Vec<Build>, FlowError> {
    Ok(node.store().builds(app.id).await?)
}

/// The buildpacks of an app in order; none means that they are detected.
///
/// # Errors
/// The node fails.
pub async fn buildpacks(node: &Node, app: &App) -> Result<Vec<String>, FlowError> {
    Ok(node.store().buildpacks(app.id).await?)
}

/// Replaces the buildpacks of an app; the next build uses them.
///
/// # Errors
/// The app is gone, or the node fails.
pub async fn set_buildpacks(node: &Node, app: &App, urls: Vec<String>) -> Result<Vec<String>, FlowError> {
    node.store().set_buildpacks(app.id, urls).await?;
    buildpacks(node, app).await
}
