//! How an app has its requests led: reading it, and changing it.

use crate::domain::{App, Routing, RoutingSetting};
use crate::flows::Node;
use crate::flows::error::FlowError;
use crate::wire::api_errors::Refusal;

/// What an app has chosen.
///
/// # Errors
/// The node fails.
pub async fn routing(node: &Node, app: &App) -> Result<Routing, FlowError> {
    Ok(node.store().routing(app.id).await?)
}

/// Changes settings, all of them or none. It makes no release and restarts nothing.
///
/// # Errors
/// A setting does not exist or cannot be that, the app is gone, or the node fails.
pub async fn change_routing(
    node: &Node,
    app: &App,
    changes: impl IntoIterator<Item = (String, String)>,
) -> Result<Routing, FlowError> {
    let _changing = node.locks().change(app.id).await;
    let mut changed = routing(node, app).await?;
    for (name, value) in changes {
        let setting: RoutingSetting = name.parse().map_err(Refusal::Routing)?;
        changed.set(setting, &value).map_err(Refusal::Routing)?;
    }
    node.store().set_routing(app.id, changed.clone()).await?;
    node.apply(app).await?;
    Ok(changed)
}
