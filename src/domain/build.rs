//! A build: source code on its way to a slug; and the slug itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use crate::domain::{AppId, Bytes, Checksum, ProcessType, SlugDigest, Version};

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
    /// Which version the source is, as whoever sent it named it: the commit of a push.
    pub commit: Option<String>,
    /// What else was said of the source.
    pub source: BuildSource,
    /// The buildpacks it uses, or has used, in order; none while they are not known.
    pub buildpacks: Vec<String>,
    /// Who asked for it.
    pub user: String,
    /// The slug it made.
    pub slug: Option<SlugDigest>,
    /// The release that runs its slug first.
    pub release: Option<Version>,
    /// Unix time of its start, seconds.
    pub started_at_s: i64,
    /// Unix time of its end, seconds; none while it runs.
    pub finished_at_s: Option<i64>,
    /// How long its phases took, in their order; none of a build that has made nothing.
    pub timings: Vec<PhaseTime>,
    /// The file that holds what the pusher saw.
    pub output_path: PathBuf,
}

/// What is said of a build's source beside its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildSource {
    /// Where it was fetched from, without what may be secret; none of one that was sent to the node.
    pub url: Option<String>,
    /// The checksum that it had to have.
    pub checksum: Option<Checksum>,
    /// What its version brings, as whoever sent it says.
    pub description: Option<String>,
}

/// A part of a build whose time is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BuildPhase {
    /// The source comes from elsewhere.
    Source,
    /// Source and buildpacks are laid out, and the cache of the build before.
    Prepare,
    /// The buildpacks are chosen, and the packages they need laid over the stack.
    Detect,
    /// The buildpacks work.
    Compile,
    /// The files become a slug.
    Pack,
    /// The slug becomes a release.
    Release,
}

impl BuildPhase {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Source, Self::Prepare, Self::Detect, Self::Compile, Self::Pack, Self::Release];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Prepare => "prepare",
            Self::Detect => "detect",
            Self::Compile => "compile",
            Self::Pack => "pack",
            Self::Release => "release",
        }
    }
}

/// How long a phase of a build took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseTime {
    /// Which.
    pub phase: BuildPhase,
    /// How long.
    pub spent: Duration,
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
