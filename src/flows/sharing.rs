//! Sharing apps, and giving them away.

use crate::domain::{App, AppRight, Collaborator, Email};
use crate::flows::Node;
use crate::flows::accounts::require_user;
use crate::flows::apps::{AppInfo, info};
use crate::flows::caller::{Caller, Role};
use crate::flows::error::FlowError;
use crate::store::AppChange;
use crate::wire::api_errors::{Missing, Refusal};

/// What a collaborator may do unless told otherwise: all but sharing, renaming and destroying.
const RIGHT_DEFAULT: AppRight = AppRight::Operate;

/// With whom the app is shared.
///
/// # Errors
/// The node fails.
pub async fn collaborators(node: &Node, app: &App) -> Result<Vec<Collaborator>, FlowError> {
    Ok(node.store().collaborators(app.id).await?)
}

/// The collaborator of that name or identity.
///
/// # Errors
/// There is none, or the node fails.
pub async fn collaborator(node: &Node, app: &App, key: &str) -> Result<Collaborator, FlowError> {
    let is_named = |found: &Collaborator| {
        found.user.as_str().eq_ignore_ascii_case(key) || found.id.to_string().eq_ignore_ascii_case(key)
    };
    let found = collaborators(node, app).await?.into_iter().find(is_named);
    found.ok_or_else(|| Refusal::NotFound(Missing::Collaborator).into())
}

/// Shares the app with a user. `permissions` are the rights by name, of which the highest counts.
///
/// # Errors
/// There is no such user or right, the app is the user's own or shared already, or the node fails.
pub async fn add_collaborator(
    node: &Node,
    app: &App,
    user: &str,
    permissions: &[String],
) -> Result<Collaborator, FlowError> {
    let user: Email = user.parse().map_err(Refusal::UserName)?;
    let right = highest(permissions)?.unwrap_or(RIGHT_DEFAULT);
    require_user(node, &user).await?;
    if owner(node, app) == &user {
        return Err(Refusal::CollaboratorExists(user).into());
    }
    Ok(node.store().add_collaborator(app.id, user, right).await?)
}

/// Changes what a collaborator may do.
///
/// # Errors
/// There is no such collaborator or right, or the node fails.
pub async fn change_collaborator(
    node: &Node,
    app: &App,
    key: &str,
    permissions: &[String],
) -> Result<Collaborator, FlowError> {
    let found = collaborator(node, app, key).await?;
    let right = highest(permissions)?.unwrap_or(found.right);
    node.store().set_collaborator_right(found.id, right).await?;
    Ok(Collaborator { right, ..found })
}

/// Shares the app with a user no longer, and tells what it was.
///
/// # Errors
/// It was not shared, or the node fails.
pub async fn remove_collaborator(node: &Node, app: &App, key: &str) -> Result<Collaborator, FlowError> {
    let found = collaborator(node, app, key).await?;
    node.store().remove_collaborator(found.id).await?;
    Ok(found)
}

fn highest(permissions: &[String]) -> Result<Option<AppRight>, Refusal> {
    let rights = permissions.iter().map(|name| name.parse().map_err(Refusal::Permission));
    Ok(rights.collect::<Result<Vec<_>, _>>()?.into_iter().max())
}

/// Whose the app is.
#[must_use]
pub fn owner<'a>(node: &'a Node, app: &'a App) -> &'a Email {
    app.owner.as_ref().unwrap_or(&node.settings().owner)
}

/// Gives the app to another user at once.
///
/// # Errors
/// There is no such user, or the node fails.
pub async fn transfer(node: &Node, app: &App, recipient: &str) -> Result<AppInfo, FlowError> {
    let recipient: Email = recipient.parse().map_err(Refusal::UserName)?;
    require_user(node, &recipient).await?;
    let _changing = node.locks().change(app.id).await;
    if let Some(share) = node.store().collaborator(app.id, &recipient).await? {
        node.store().remove_collaborator(share.id).await?;
    }
    let change = AppChange { owner: Some(recipient), ..AppChange::default() };
    info(node, &node.store().change_app(app.id, change).await?).await
}

/// The apps that `caller` may look at, ordered by name.
///
/// # Errors
/// The node fails.
pub async fn apps_for(node: &Node, caller: &Caller) -> Result<Vec<App>, FlowError> {
    Ok(match caller.role() {
        Role::Administrator => node.store().apps().await?,
        Role::Member => node.store().apps_of(caller.user()).await?,
    })
}
