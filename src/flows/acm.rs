//! Switching certificates that the node gets by itself on and off for an app, and having them tried again.

use crate::domain::{App, Switch};
use crate::flows::Node;
use crate::flows::apps::{AppInfo, info};
use crate::flows::error::FlowError;
use crate::wire::api_errors::Refusal;

/// Has the node get certificates for the domains of an app, those of later ones among them.
///
/// # Errors
/// The node gets none, the app is gone, or the node fails.
pub async fn enable_acm(node: &Node, app: &App) -> Result<AppInfo, FlowError> {
    if node.acme().is_none() {
        return Err(Refusal::NoAuthority.into());
    }
    switch(node, app, Switch::On).await
}

/// Has the node get no certificates for an app any more. Those that it has got go.
///
/// # Errors
/// The app is gone, or the node fails.
pub async fn disable_acm(node: &Node, app: &App) -> Result<AppInfo, FlowError> {
    switch(node, app, Switch::Off).await
}

async fn switch(node: &Node, app: &App, to: Switch) -> Result<AppInfo, FlowError> {
    let _changing = node.locks().change(app.id).await;
    let app = node.store().set_acm(app.id, to).await?;
    node.apply(&app).await?;
    node.orders_changed().notify_one();
    info(node, &app).await
}

/// Has what failed tried again now.
///
/// # Errors
/// The node gets no certificates, the app wants none, or the node fails.
pub async fn refresh_acm(node: &Node, app: &App) -> Result<AppInfo, FlowError> {
    if node.acme().is_none() {
        return Err(Refusal::NoAuthority.into());
    }
    if app.acm == Switch::Off {
        return Err(Refusal::AcmOff(app.name.to_string()).into());
    }
    let _changing = node.locks().change(app.id).await;
    node.store().refresh_certificate_orders(app.id).await?;
    node.orders_changed().notify_one();
    info(node, app).await
}
