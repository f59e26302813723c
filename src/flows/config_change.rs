//! Config vars: every change is a release, and restarts the app.

use std::collections::BTreeMap;

use crate::domain::{App, ConfigVars};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::add_ons;
use crate::flows::error::FlowError;
use crate::flows::phase::{self, Made};
use crate::store::NewRelease;
use crate::wire::api_errors::Refusal;
use crate::wire::release_text;

/// The config vars of an app: those of its newest release, also while that is pending, or has failed. What somebody has set
/// is not lost with a release command, and goes live with the next release that succeeds (platform reference 2.2).
///
/// # Errors
/// The app is gone, or the node fails.
pub async fn config(node: &Node, app: &App) -> Result<ConfigVars, FlowError> {
    let release = node.store().newest_release(app.id).await?.ok_or_else(Refusal::no_app)?;
    Ok(release.config)
}

/// Sets and removes config vars, makes a release of it, and restarts the app. What changes nothing makes no release.
///
/// # Errors
/// The result cannot be an environment, another release is pending, the app is gone, or the node fails.
pub async fn change_config(
    node: &Node,
    app: &App,
    changes: &BTreeMap<String, Option<String>>,
    actor: &Actor,
) -> Result<ConfigVars, FlowError> {
    let _turn = phase::turn(node, app).await?;
    add_ons::refuse_owned(node, app, changes.keys()).await?;
    let current = node.store().current_release(app.id).await?.ok_or_else(Refusal::no_app)?;
    let newest = node.store().newest_release(app.id).await?.ok_or_else(Refusal::no_app)?;
    let config = newest.config.changed(changes).map_err(Refusal::ConfigVars)?;
    // What runs without it is set again: its release has failed.
    if config == newest.config && config == current.config {
        return Ok(config);
    }
    let names = |wanted: fn(&Option<String>) -> bool| -> Vec<&str> {
        changes.iter().filter(|(_, value)| wanted(value)).map(|(name, _)| name.as_str()).collect()
    };
    let description = release_text::config_change(&names(Option::is_some), &names(Option::is_none));
    let mut new = NewRelease::from_release(app.id, &current, description, actor.0.clone());
    new.config = config.clone();
    match phase::make(node, app, new, actor).await? {
        Made::Current(_) => node.apply(app).await?,
        Made::Pending(..) => {}
    }
    Ok(config)
}
