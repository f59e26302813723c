//! `build` and `buildpack-installation`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::{ById, UserRef};

/// One attempt to make a slug of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its app.
    pub app: ById,
    /// The buildpacks it uses, or has used.
    pub buildpacks: Vec<BuildpackRef>,
    /// ISO time.
    pub created_at: String,
    /// `cedar`.
    pub generation: String,
    /// Its identity.
    pub id: Uuid,
    /// Where its transcript is served.
    pub output_stream_url: String,
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
    /// How long its phases took. A field of this node's own.
    #[serde(default)]
    pub timings: Vec<BuildTiming>,
    /// ISO time.
    pub updated_at: String,
    /// Who asked for it.
    pub user: UserRef,
}

/// How long one phase of a build took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildTiming {
    /// Its name.
    pub phase: String,
    /// Milliseconds.
    pub ms: u64,
}

/// Body of `POST /apps/:app/builds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateBuild {
    /// The source.
    pub source_blob: NewSourceBlob,
    /// The buildpacks of this build alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildpacks: Option<Vec<NewBuildpack>>,
}

/// A source of [`CreateBuild`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSourceBlob {
    /// Where the archive is.
    pub url: String,
    /// `SHA256:` and its digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Which version it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What that brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_description: Option<String>,
}

/// A buildpack of [`CreateBuild`]: by address, or by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBuildpack {
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Answer to `GET /apps/:app/builds/:build/result`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildResult {
    /// The build.
    pub build: BuildRef,
    /// 0 or 1; none while it runs.
    pub exit_code: Option<u8>,
    /// What it has printed so far.
    pub lines: Vec<BuildLine>,
}

/// A build as others refer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRef {
    /// Its identity.
    pub id: Uuid,
    /// Where its transcript is served.
    pub output_stream_url: String,
    /// `pending`, `succeeded` or `failed`.
    pub status: String,
}

/// A line of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildLine {
    /// With its line end.
    pub line: String,
    /// `STDOUT`.
    pub stream: String,
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
