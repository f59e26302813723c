//! `release`: the object, and what makes one.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::Named;

/// One release of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the published schema has these fields")]
pub struct Release {
    /// Empty.
    pub addon_plan_names: Vec<String>,
    /// The slug, once more.
    pub artifacts: Vec<Artifact>,
    /// Its app.
    pub app: Named,
    /// ISO time.
    pub created_at: String,
    /// Whether it is the one that runs.
    pub current: bool,
    /// `Deploy 1a2b3c4d`.
    pub description: String,
    /// Whether it may be rolled back to.
    pub eligible_for_rollback: bool,
    /// Its identity.
    pub id: Uuid,
    /// Where the release command's output is served, while it is.
    pub output_stream_url: Option<String>,
    /// What it runs; none before the first deploy.
    pub slug: Option<SlugRef>,
    /// `pending`, `succeeded`, `failed` or `expired`.
    pub status: String,
    /// ISO time.
    pub updated_at: String,
    /// Who made it.
    pub user: UserRef,
    /// Its number.
    pub version: u64,
}

/// A part of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// `slug`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its identity.
    pub id: Uuid,
}

/// A reference to a slug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlugRef {
    /// Its identity.
    pub id: Uuid,
}

/// A reference to a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRef {
    /// The user's name in logs and releases.
    pub email: String,
    /// The user's identity.
    pub id: Uuid,
}

/// Body of `POST /apps/:app/releases`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRelease {
    /// Roll back to this release, by identity or version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseName>,
    /// Release this slug of the app's, by identity: one that was sent, or one that a release has, once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// What the release of a slug says it is; what its deploy said when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A release as clients name it: `"v3"`, `"3"`, `3` or an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReleaseName {
    /// A plain number.
    Number(u64),
    /// A version or an identity.
    Text(String),
}
