//! Who asks, how it was shown, and what that allows.

use sha2::{Digest, Sha256};

use crate::domain::{App, AppRight, Authorization, Email, Scope, Scopes};
use crate::flows::Node;
use crate::flows::access::{Actor, Token};
use crate::flows::error::FlowError;
use crate::sys::clock;
use crate::wire::api_errors::Refusal;

/// Whoever sent a request, once that has been shown.
#[derive(Clone, Debug)]
pub struct Caller {
    user: Email,
    role: Role,
    scopes: Scopes,
    authorization: Option<Authorization>,
}

/// What a user is to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// May do everything.
    Administrator,
    /// May do what the owners of apps allow, and make apps.
    Member,
}

impl Caller {
    /// The node's administrator, as shown by the kernel or by the node's own token.
    #[must_use]
    pub fn administrator(node: &Node) -> Self {
        Self {
            user: node.settings().owner.clone(),
            role: Role::Administrator,
            scopes: Scopes::global(),
            authorization: None,
        }
    }

    /// A user who has shown the password, or that a key is theirs.
    pub(super) fn logged_in(node: &Node, user: Email) -> Self {
        Self { role: role(node, &user), user, scopes: Scopes::global(), authorization: None }
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &Email {
        &self.user
    }

    /// What the user is to the node.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// What the credentials allow.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The token's record, when the credentials were a token of a user's own.
    #[must_use]
    pub fn authorization(&self) -> Option<&Authorization> {
        self.authorization.as_ref()
    }

    /// The name under which what is done appears in logs and releases.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor(self.user.to_string())
    }

    /// Whether the credentials cover `wanted`.
    ///
    /// # Errors
    /// They do not.
    pub fn require_scope(&self, wanted: Scope) -> Result<(), Refusal> {
        if self.scopes.cover(wanted) { Ok(()) } else { Err(Refusal::Scope(wanted)) }
    }

    /// Whether this is the node's administrator, with all that is the administrator's.
    ///
    /// # Errors
    /// It is not, or the token does not say so.
    pub fn require_administrator(&self) -> Result<(), Refusal> {
        match self.role {
            Role::Administrator => self.require_scope(Scope::Global),
            Role::Member => Err(Refusal::Administrator),
        }
    }
}

fn role(node: &Node, user: &Email) -> Role {
    if *user == node.settings().owner { Role::Administrator } else { Role::Member }
}

/// The digest of a token as it is kept. A token is 256 random bits, so a plain digest tells nothing of it.
pub(super) fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// Who shows `secret`: the node's own token, or one of a user's.
///
/// # Errors
/// The node fails. A secret that is worth nothing is nobody.
pub async fn authenticate(node: &Node, token: &Token, secret: &str) -> Result<Option<Caller>, FlowError> {
    if token.matches(secret) {
        return Ok(Some(Caller::administrator(node)));
    }
    let found = node.store().authorization_by_digest(digest(secret)).await?;
    let valid = found.filter(|authorization| !authorization.is_expired(clock::unix_s()));
    Ok(valid.map(|authorization| Caller {
        role: role(node, &authorization.user),
        user: authorization.user.clone(),
        scopes: authorization.scopes.clone(),
        authorization: Some(authorization),
    }))
}

/// Whose public key this is, given as its bytes in base64; that the other end has the private one was shown elsewhere.
///
/// # Errors
/// The node fails. A key that nobody has added is nobody.
pub async fn authenticate_key(node: &Node, blob: &str) -> Result<Option<Caller>, FlowError> {
    let found = node.store().ssh_key_by_blob(blob.to_owned()).await?;
    Ok(found.map(|key| Caller::logged_in(node, key.user)))
}

/// Whether `caller` has `right` on the app.
///
/// # Errors
/// The caller has less, or the node fails.
pub async fn permit(node: &Node, caller: &Caller, app: &App, right: AppRight) -> Result<(), FlowError> {
    let held = right_on(node, caller, app).await?;
    if held.is_some_and(|held| held >= right) {
        Ok(())
    } else {
        Err(Refusal::NoAccess { app: app.name.to_string(), right }.into())
    }
}

/// What `caller` may do with the app, if anything.
pub(super) async fn right_on(node: &Node, caller: &Caller, app: &App) -> Result<Option<AppRight>, FlowError> {
    match caller.role {
        Role::Administrator => Ok(Some(AppRight::Manage)),
        Role::Member => right_of(node, &caller.user, app).await,
    }
}

/// What the user of that name may do with the app, if anything; all of it, who administers the node.
pub(super) async fn right_of(node: &Node, user: &Email, app: &App) -> Result<Option<AppRight>, FlowError> {
    if app.owner.as_ref() == Some(user) || node.settings().owner == *user {
        return Ok(Some(AppRight::Manage));
    }
    let shared = node.store().collaborator(app.id, user).await?;
    Ok(shared.map(|collaborator| collaborator.right))
}
