//! What the supervisor is asked for, and what it shows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::domain::{
    AppId, AppName, ConfigVars, DynoId, DynoName, DynoSize, DynoState, Formation, HostPattern, ProcessType,
    ReadinessPath, RouteOptions, SlugDigest, StackName, Version,
};
use crate::supervisor::RuntimeMetrics;
use crate::supervisor::lifecycle::Handover;

/// A stack as dynos see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackImage {
    /// Its name.
    pub name: StackName,
    /// Its content version.
    pub version: String,
    /// The directories of its run variant, lowest first.
    pub layers: Vec<PathBuf>,
    /// What it puts into every environment.
    pub env: Vec<(String, String)>,
}

/// All that a dyno needs of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseImage {
    /// Its number.
    pub version: Version,
    /// What runs.
    pub slug: SlugDigest,
    /// What it runs on.
    pub stack: StackImage,
    /// Its config vars.
    pub config: ConfigVars,
    /// The commands of its process types.
    pub commands: BTreeMap<ProcessType, String>,
    /// What dynos are told of their app and release, beside their own identity; empty where the app does not want it.
    pub metadata: BTreeMap<String, String>,
}

/// What an app should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredApp {
    /// The app.
    pub app: AppId,
    /// Its name.
    pub name: AppName,
    /// The host names its web dynos answer for.
    pub hostnames: Vec<HostPattern>,
    /// What it runs; none before the first deploy.
    pub release: Option<Arc<ReleaseImage>>,
    /// How many dynos of which type and size.
    pub formation: Formation,
    /// Whether requests get the maintenance page.
    pub maintenance: bool,
    /// How it wants to be run.
    pub preferences: Preferences,
    /// Earlier releases that dynos of it may still run when they are taken over, in no order.
    pub earlier: Vec<Arc<ReleaseImage>>,
}

impl DesiredApp {
    /// The release of that number, if it is known.
    #[must_use]
    pub fn image(&self, version: Version) -> Option<Arc<ReleaseImage>> {
        self.release.iter().chain(&self.earlier).find(|image| image.version == version).cloned()
    }
}

/// How an app wants to be run, where it has a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// What comes first when a web dyno is replaced.
    pub handover: Handover,
    /// Whether figures of its dynos go to its log, whatever the node's own setting.
    pub metrics: RuntimeMetrics,
    /// How requests are led to its web dynos.
    pub routing: RouteOptions,
    /// What a web dyno must answer before it counts as up; to listen is enough where none is given.
    pub readiness: Option<ReadinessPath>,
}

/// Which dynos of a formation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// Those of one type.
    Type(ProcessType),
    /// One.
    Dyno(DynoName),
}

impl Scope {
    /// Whether `name` is among them.
    #[must_use]
    pub fn holds(&self, name: &DynoName) -> bool {
        match self {
            Self::All => true,
            Self::Type(process_type) => name.process_type == *process_type,
            Self::Dyno(dyno) => name == dyno,
        }
    }
}

/// Where the streams of a one-off dyno lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// To the log.
    Log,
    /// To a client's terminal.
    Terminal {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        cols: u16,
    },
    /// To a client's pipes.
    Pipes,
}

/// A one-off dyno to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOff {
    /// Its identity.
    pub id: DynoId,
    /// Its name: `run.4711`, `release.1234`.
    pub name: DynoName,
    /// The app it belongs to.
    pub app: AppId,
    /// What it runs on: the current release, or the one in its release phase.
    pub release: Arc<ReleaseImage>,
    /// What to run, for a shell. A first word that is a process type stands for that type's command.
    pub command: String,
    /// How large it is.
    pub size: DynoSize,
    /// Laid over the config vars.
    pub env: BTreeMap<String, String>,
    /// Where its streams lead.
    pub connection: Connection,
    /// After how long it is stopped, when that is sooner than the age limit of all dynos.
    pub time_to_live: Option<Duration>,
}

/// A dyno as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynoView {
    /// Its app.
    pub app: AppId,
    /// Its identity.
    pub id: DynoId,
    /// Its name.
    pub name: DynoName,
    /// What it is doing.
    pub state: DynoState,
    /// Since when.
    pub since: SystemTime,
    /// When it was first asked for.
    pub created: SystemTime,
    /// What it runs, as written.
    pub command: String,
    /// How large it is.
    pub size: DynoSize,
    /// The release it runs.
    pub release: Version,
}
