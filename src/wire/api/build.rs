//! `build` and `buildpack-installation`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::{ById, UserRef};

/// One attempt to make a slug of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its app.
    pub app: ById,
    /// The buildpacks it used.
    pub buildpacks: Vec<BuildpackRef>,
    /// ISO time.
    pub created_at: String,
    /// `cedar`.
    pub generation: String,
    /// Its identity.
    pub id: Uuid,
    /// Where its transcript is served, while it is.
    pub output_stream_url: Option<String>,
    /// The release it made.
    pub release: Option<ById>,
    /// The slug it made.
    pub slug: Option<ById>,
    /// What it was made from.
    pub source_blob: SourceBlob,
    /// The stack it ran on.
    pub stack: String,
    /// `pending`, `succeeded` or `failed`.
    pub status: String,
    /// ISO time.
    pub updated_at: String,
    /// Who asked for it.
    pub user: UserRef,
}

/// A buildpack of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackRef {
    /// Where it is from.
    pub url: String,
    /// Its name, when it has one.
    pub name: Option<String>,
}

/// The source of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBlob {
    /// Its checksum, when the client gave one.
    pub checksum: Option<String>,
    /// Where it was fetched from; empty for pushes.
    pub url: String,
    /// The commit.
    pub version: Option<String>,
    /// The commit's subject, when the client gave one.
    pub version_description: Option<String>,
}

/// One buildpack of an app's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackInstallation {
    /// From 0.
    pub ordinal: u32,
    /// The buildpack.
    pub buildpack: BuildpackRef,
}

/// Body of `PUT /apps/:app/buildpack-installations`: replaces the whole list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateBuildpacks {
    /// The buildpacks in order.
    pub updates: Vec<BuildpackUpdate>,
}

/// One entry of [`UpdateBuildpacks`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackUpdate {
    /// Name or URL.
    pub buildpack: String,
}
