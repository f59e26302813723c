//! What a build is asked for, where it runs, and what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::build::{BUILD_TIMEOUT_S, DISK_MAX, DISK_RESERVE, HELD_MAX_S, Laps, Mirror, SLUG_MAX};
use crate::domain::{ArchiveRoot, Bytes, ConfigVars, ProcessType, SlugDigest, StackName};
use crate::runtime::network::{NetworkError, NodeNetwork};
use crate::runtime::slots::Slots;
use crate::runtime::{ContainerError, Runtime, StartError};
use crate::wire::push_text::Deed;

/// A source on its way to a slug.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The build's identity; scripts see it as `REQUEST_ID`.
    pub id: Uuid,
    /// What was done, for the words of a failure.
    pub deed: Deed,
    /// The source as a tar archive, plain or with gzip. It is untrusted.
    pub source: PathBuf,
    /// Where in it the app's root is.
    pub root: ArchiveRoot,
    /// Which commit it is; scripts see it as `SOURCE_VERSION`.
    pub source_version: String,
    /// The stack's name, for the transcript.
    pub stack: StackName,
    /// The stack's name as buildpacks know it; scripts see it as `STACK`.
    pub stack_compat: String,
    /// The stack as it is without layers for a language.
    pub stack_base: Ground,
    /// Environment of builds on the stack.
    pub stack_env: BTreeMap<String, String>,
    /// Buildpacks in order: names, addresses or absolute paths on this host. None means detection.
    pub buildpacks: Vec<String>,
    /// Names of buildpacks that this node gives a meaning: another name, an address or a path.
    pub known_buildpacks: BTreeMap<String, String>,
    /// Config vars; scripts see them as files in `ENV_DIR`.
    pub config: ConfigVars,
    /// Where the buildpacks' cache is kept from build to build, that of one stack; replaced when the build succeeds.
    pub cache: PathBuf,
    /// How long it may take and how large its slug may be.
    pub limits: BuildLimits,
    /// Takes how long its phases take.
    pub laps: Laps,
    /// What tests run, where it is no slug that is wanted.
    pub tests: Option<TestCommands>,
}

/// What is run to test an app; the last buildpack's `bin/test` where nothing is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestCommands {
    /// Before the tests.
    pub setup: Option<String>,
    /// The tests.
    pub test: Option<String>,
}

/// What the steps of a build stand on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The content version of the stack and of the layers over it, for the release to remember.
    pub version: String,
    /// The layers of builds, lowest first.
    pub layers: Vec<PathBuf>,
}

/// Finds or makes the packages that not every stack has, such as those of a language.
pub trait Layers: Send + Sync {
    /// The stack of the build with the packages of these names. Lines for the pusher go to `told` while they are made.
    fn with<'a>(
        &'a self,
        names: BTreeSet<String>,
        told: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'a, Result<Ground, LayersFailure>>;
}

/// Why packages were not laid over the stack.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LayersFailure {
    /// There are no such ones; the buildpack or the app asks for what cannot be had.
    #[error("{0}")]
    Unknown(String),
    /// The node is at fault.
    #[error("{0}")]
    Node(String),
}

/// What a build may not go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildLimits {
    /// Longest build, in seconds.
    pub timeout_s: u64,
    /// Largest compressed slug.
    pub slug_max: Bytes,
    /// What must stay free on the node's disk: a build during which less is left is ended.
    pub disk_reserve: Bytes,
    /// The most that it may keep on the node's disk while it runs.
    pub disk_max: Bytes,
    /// How long it may be held while the machine is short of memory, in seconds.
    pub held_max_s: u64,
}

impl Default for BuildLimits {
    /// The platform's (reference 3.2).
    fn default() -> Self {
        Self {
            timeout_s: BUILD_TIMEOUT_S,
            slug_max: SLUG_MAX,
            disk_reserve: DISK_RESERVE,
            disk_max: DISK_MAX,
            held_max_s: HELD_MAX_S,
        }
    }
}

/// Where builds run. Not printable: environment and files hold secrets of the host.
#[derive(Clone)]
pub struct Sandboxes {
    /// Makes containers.
    pub runtime: Runtime,
    /// The numbers containers are told apart by, shared with everything on the node that starts some.
    pub slots: Slots,
    /// How builds reach package registries; none leaves them without a network.
    pub network: Option<Arc<NodeNetwork>>,
    /// Which node of this host it is, 0 to 31.
    pub node_index: u32,
    /// The node's state directory: `scratch` and `slugs` are below it.
    pub lib_dir: PathBuf,
    /// Environment that the host's way to registries needs, over the stack's.
    pub env: Vec<(String, String)>,
    /// Files laid read-only over the stack's, such as `/etc/resolv.conf`: path inside (there in every stack), contents.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Files of this host that builds get instead of what lies in the network; only where they have one.
    pub mirror: Arc<Mirror>,
    /// Where the kernel tells how much this machine's processes wait for memory.
    pub memory_pressure: PathBuf,
    /// Directories of the host that builds see read-only at the same path: packages kept locally.
    pub binds: Vec<PathBuf>,
}

/// What a build has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltSlug {
    /// Its address: `<lib>/slugs/<digest>/app` holds the files, `slug.tar.zst` beside it the archive.
    pub digest: SlugDigest,
    /// Size of its compressed archive.
    pub size: Bytes,
    /// The commands of its process types.
    pub process_types: BTreeMap<ProcessType, String>,
    /// What the last buildpack calls the app: `Python`.
    pub description: Option<String>,
    /// The buildpacks that made it, in order.
    pub buildpacks: Vec<String>,
    /// Who chose them.
    pub chooser: Chooser,
    /// The content version of the stack and the layers that it was built on, and needs.
    pub stack_version: String,
}

/// A slug that was packed elsewhere, in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedSlug {
    /// Its address.
    pub digest: SlugDigest,
    /// Size of its compressed archive.
    pub size: Bytes,
    /// The content version of the stack that it was packed on.
    pub stack_version: String,
}

/// Who chose the buildpacks of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chooser {
    /// Whoever asked for the build.
    Caller,
    /// The source, which names them.
    Source,
    /// The build, by the files in the source.
    Detection,
}

/// Takes the lines of a build as they come, without line ends.
pub trait Sink: Send {
    /// One line.
    fn line(&mut self, line: &str);
    /// What comes now is said by the tests that were built before.
    fn tests_begin(&mut self) {}
}

/// Why a build has made nothing.
#[derive(Debug, Error)]
pub enum BuildFailure {
    /// The source, its buildpack, or a limit it went over; the transcript has told the pusher.
    #[error("the source does not build")]
    Source,
    /// The node; the transcript has a short form of it.
    #[error("the build could not be run")]
    Node(#[source] NodeFailure),
}

/// What can go wrong on the node's side.
#[derive(Debug, Error)]
pub enum NodeFailure {
    /// All slots are held.
    #[error("all container slots of this node are taken; stop some dynos and try again")]
    NoSlot,
    /// No network.
    #[error("no network could be made for it")]
    Network(#[from] NetworkError),
    /// A container does not start.
    #[error("the sandbox for the step '{step}' did not start")]
    Start {
        /// Which step.
        step: &'static str,
        /// Why.
        source: Box<StartError>,
    },
    /// A container does not go.
    #[error("the sandbox of a step could not be removed")]
    Remove(#[from] ContainerError),
    /// A step of our own failed, such as packing.
    #[error("the step '{step}' failed with status {status}: {said}")]
    Step {
        /// Which step.
        step: &'static str,
        /// As a shell would report it.
        status: u8,
        /// The end of what it wrote to its standard error.
        said: String,
    },
    /// Nobody saw the end of a step.
    #[error("nobody saw how a step ended; the process that makes containers was killed meanwhile; try again")]
    Lost,
    /// The mirror of the build cannot be served.
    #[error("its mirror cannot be served: {0}")]
    Mirror(String),
    /// Packages that the build needs over the stack could not be had.
    #[error("the packages it needs could not be installed: {0}")]
    Layers(String),
    /// A file or directory of the node.
    #[error("cannot {attempt} {}: {source}", path.display())]
    File {
        /// What was tried.
        attempt: &'static str,
        /// With what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The node is ending.
    #[error("the node is shutting down")]
    ShuttingDown,
}

impl NodeFailure {
    /// For `map_err` on a file operation.
    pub(super) fn file(
        attempt: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> NodeFailure {
        let path = path.into();
        move |source| NodeFailure::File { attempt, path, source }
    }
}
