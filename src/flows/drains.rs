//! The places an app's lines are sent to.

use crate::domain::{App, Drain};
use crate::flows::Node;
use crate::flows::error::FlowError;
use crate::wire::api_errors::{Missing, Refusal};

/// The drains of an app, oldest first.
///
/// # Errors
/// The node fails.
pub async fn drains(node: &Node, app: &App) -> Result<Vec<Drain>, FlowError> {
    Ok(node.store().drains(app.id).await?)
}

/// The drain of that URL, token or identity.
///
/// # Errors
/// There is none, or the node fails.
pub async fn drain(node: &Node, app: &App, key: &str) -> Result<Drain, FlowError> {
    let named = |drain: &Drain| {
        drain.url.reveal() == key || drain.token == key || drain.id.to_string().eq_ignore_ascii_case(key)
    };
    let found = drains(node, app).await?.into_iter().find(named);
    Ok(found.ok_or(Refusal::NotFound(Missing::Drain))?)
}

/// Sends the app's lines to `url` from now on.
///
/// # Errors
/// The URL makes no sense, the app has that drain or as many as it may, it is gone, or the node fails.
pub async fn add_drain(node: &Node, app: &App, url: &str) -> Result<Drain, FlowError> {
    let url = url.parse().map_err(Refusal::DrainUrl)?;
    let _changing = node.locks().change(app.id).await;
    let added = node.store().add_drain(app.id, url).await?;
    send(node, app).await?;
    Ok(added)
}

/// Sends nothing more to a drain, and tells what it was.
///
/// # Errors
/// There is none of that URL, token or identity, or the node fails.
pub async fn remove_drain(node: &Node, app: &App, key: &str) -> Result<Drain, FlowError> {
    let _changing = node.locks().change(app.id).await;
    let removed = drain(node, app, key).await?;
    node.store().remove_drain(removed.id).await?;
    send(node, app).await?;
    Ok(removed)
}

/// Makes what is sent what the store says.
pub(super) async fn send(node: &Node, app: &App) -> Result<(), FlowError> {
    let drains = node.store().drains(app.id).await?;
    node.logs().set_drains(app.id, drains).await.map_err(FlowError::fault("send lines to drains"))
}
