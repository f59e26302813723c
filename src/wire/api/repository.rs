//! The branch that an app is deployed from, a resource of this node's own; and what a repository's host says.

use serde::{Deserialize, Serialize};

use crate::wire::api::Named;

/// The header that says what a message is about.
pub const EVENT_HEADER: &str = "x-github-event";
/// The header that signs a message.
pub const HUB_SIGNATURE_HEADER: &str = "x-hub-signature-256";

/// A branch that is deployed to an app.
#[expect(clippy::struct_excessive_bools, reason = "the API says yes or no")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The app.
    pub app: Named,
    /// Whether pushes are deployed by themselves.
    pub auto_deploy: bool,
    /// The branch.
    pub branch: String,
    /// The commit that was deployed last.
    pub commit: Option<String>,
    /// ISO time.
    pub created_at: String,
    /// What became of the last deploy.
    pub outcome: Option<String>,
    /// Whether a deploy is under way.
    pub pending: bool,
    /// What messages are signed with; in the answer to `PUT` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The repository, without user and password.
    pub url: String,
    /// Where the repository's host tells of pushes.
    pub webhook_url: String,
}

/// Body of `PUT /apps/:app/repository`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRepository {
    /// The repository.
    pub url: String,
    /// The branch.
    pub branch: String,
}

/// Body of `PATCH /apps/:app/repository`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchRepository {
    /// Whether pushes are deployed by themselves.
    pub auto_deploy: bool,
}

/// What is read of a host's message about a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushEvent {
    /// `refs/heads/main`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The commit it leads to now.
    pub after: String,
    /// Whether it has gone.
    #[serde(default)]
    pub deleted: bool,
}

/// Answer to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageAnswer {
    /// What comes of it.
    pub message: String,
}
