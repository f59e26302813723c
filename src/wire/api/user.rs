//! Users of the node, which the published API does not know, and `collaborator`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::{Named, UserRef};

/// Someone who may log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// ISO time.
    pub created_at: String,
    /// The name.
    pub email: String,
    /// The identity.
    pub id: Uuid,
}

/// Body of `POST /node/users`, and of `PATCH /node/users/:user`, where the path names the user.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetUser {
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The password.
    pub password: String,
}

/// Never shown whole: it ends up in messages of panics and logs.
impl std::fmt::Debug for SetUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetUser").field("email", &self.email).finish_non_exhaustive()
    }
}

/// Someone who may use an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collaborator {
    /// The app.
    pub app: Named,
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// What the user may do.
    pub permissions: Vec<Permission>,
    /// `owner` or `collaborator`.
    pub role: String,
    /// ISO time.
    pub updated_at: String,
    /// Who.
    pub user: UserRef,
}

/// One thing that a collaborator may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// In words.
    pub description: String,
    /// `view`, `deploy`, `operate` or `manage`.
    pub name: String,
}

/// Body of `POST /apps/:app/collaborators`, and of `PATCH`, where the path names the user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetCollaborator {
    /// Who, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the user may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// Taken and ignored: the node sends no mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
}

/// Body of `POST /account/app-transfers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTransfer {
    /// The app, by name or identity.
    pub app: String,
    /// The new owner, by name.
    pub recipient: String,
    /// Taken and ignored: the node sends no mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
}

/// An app that went from one user to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The app.
    pub app: Named,
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// Whose it was.
    pub owner: UserRef,
    /// Whose it is.
    pub recipient: UserRef,
    /// `accepted`: it happens at once.
    pub state: String,
    /// ISO time.
    pub updated_at: String,
}
