//! A build: source code on its way to a slug; and the slug itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use uuid::Uuid;

use crate::domain::{AppId, Bytes, ProcessType, SlugDigest, Version};

/// How a build fares, in the words of the API (platform reference 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BuildStatus {
    /// It runs.
    Pending,
    /// It has made a slug.
    Succeeded,
    /// It has made nothing.
    Failed,
}

impl BuildStatus {
    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// One build of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Its identity.
    pub id: Uuid,
    /// The app it builds.
    pub app: AppId,
    /// How it fares.
    pub status: BuildStatus,
    /// The source commit, as the pusher named it.
    pub commit: Option<String>,
    /// Who pushed.
    pub user: String,
    /// The slug it made.
    pub slug: Option<SlugDigest>,
    /// The release that runs its slug first.
    pub release: Option<Version>,
    /// Unix time of its start, seconds.
    pub started_at_s: i64,
    /// Unix time of its end, seconds; none while it runs.
    pub finished_at_s: Option<i64>,
    /// The file that holds what the pusher saw.
    pub output_path: PathBuf,
}

/// What a build makes: an app's files and the commands it declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slug {
    /// Its address.
    pub digest: SlugDigest,
    /// Size of its compressed archive.
    pub size: Bytes,
    /// The commands of its process types.
    pub process_types: BTreeMap<ProcessType, String>,
    /// What the buildpack calls the app: `Python`.
    pub buildpack_description: Option<String>,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
}
