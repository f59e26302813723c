//! The builds of an app, and the buildpacks the next one uses.

use crate::build::{buildpack_shown, is_of_the_host};
use crate::domain::{App, Build};
use crate::flows::Node;
use crate::flows::caller::Caller;
use crate::flows::error::FlowError;
use crate::wire::api_errors::Refusal;

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

/// Whether a build could use the buildpack of this name.
pub(super) fn check_buildpack(node: &Node, name: &str) -> Result<(), Refusal> {
    let refusal = |reason| Refusal::Buildpack { name: buildpack_shown(name), reason };
    node.builder().check_buildpack(name).map_err(refusal)
}

/// Replaces the buildpacks of an app; the next build uses them.
///
/// # Errors
/// One is in a directory of the host and the caller is not the administrator, or is nothing that can be used; the app is
/// gone, or the node fails.
pub async fn set_buildpacks(
    node: &Node,
    caller: &Caller,
    app: &App,
    urls: Vec<String>,
) -> Result<Vec<String>, FlowError> {
    let kept = buildpacks(node, app).await?;
    let is_new = |url: &&String| !kept.contains(*url);
    if urls.iter().filter(is_new).any(|url| is_of_the_host(url)) && caller.require_administrator().is_err() {
        return Err(Refusal::HostBuildpack.into());
    }
    for name in urls.iter().filter(is_new) {
        check_buildpack(node, name)?;
    }
    node.store().set_buildpacks(app.id, urls).await?;
    buildpacks(node, app).await
}
