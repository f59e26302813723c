//! Public keys of users.

use crate::domain::{Scope, SshKey};
use crate::flows::Node;
use crate::flows::caller::Caller;
use crate::flows::error::FlowError;
use crate::wire::api_errors::{Missing, Refusal};

/// The keys of the caller, oldest first.
///
/// # Errors
/// The node fails.
pub async fn ssh_keys(node: &Node, caller: &Caller) -> Result<Vec<SshKey>, FlowError> {
    Ok(node.store().ssh_keys(caller.user()).await?)
}

/// The caller's key of that identity.
///
/// # Errors
/// There is none, or the node fails.
pub async fn ssh_key(node: &Node, caller: &Caller, key: &str) -> Result<SshKey, FlowError> {
    let found = ssh_keys(node, caller).await?.into_iter().find(|found| found.id.to_string() == key);
    found.ok_or_else(|| Refusal::NotFound(Missing::Key).into())
}

/// Adds a key to the caller's, from the text of a `.pub` file.
///
/// # Errors
/// The caller's token is not good for everything, the text is no such key, somebody has it, the caller has as many as one may, or
/// the node fails.
pub async fn add_ssh_key(node: &Node, caller: &Caller, text: &str) -> Result<SshKey, FlowError> {
    // A key is good for everything that git does, and for longer than a token.
    caller.require_scope(Scope::Global)?;
    let key = text.parse().map_err(Refusal::PublicKey)?;
    Ok(node.store().add_ssh_key(caller.user().clone(), key).await?)
}

/// Removes a key of the caller's, and tells what it was.
///
/// # Errors
/// There is none, or the node fails.
pub async fn remove_ssh_key(node: &Node, caller: &Caller, key: &str) -> Result<SshKey, FlowError> {
    let found = ssh_key(node, caller, key).await?;
    node.store().remove_ssh_key(found.id).await?;
    Ok(found)
}
