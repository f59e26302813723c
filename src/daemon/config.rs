//! What a node is told: one TOML file, and flags that win over it. Read once, at the start.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use thiserror::Error;

use crate::build::{BuildLimits, Mirror, MirrorError};
use crate::daemon::acme_section::{AcmeError, AcmeSection};
use crate::daemon::size_section::{SizeSection, sizes};
use crate::domain::{BackupsKept, Bytes, Email, EmailError, Formation, Reach, Sizes, StackName};
use crate::flows::{AcmeSettings, Quotas};
use crate::supervisor::RuntimeMetrics;
use crate::supervisor::backoff::CrashDelays;
use crate::supervisor::lifecycle::Timings;

/// Where a node keeps its state unless told otherwise.
const LIB_DIR: &str = "/var/lib/dyno";
/// Where a node keeps what a reboot may take, unless told otherwise.
const RUN_DIR: &str = "/run/dyno";
/// The configuration file that is read when there is one and no other is named.
const CONFIG_FILE: &str = "/etc/dyno/config.toml";
/// The highest index of a node on one host: addresses, user ids and names are shared out by it.
pub const INDEX_MAX: u32 = 31;
/// The router's port unless told otherwise.
const ROUTER_PORT: u16 = 8080;
/// The router's port for TLS unless told otherwise.
const ROUTER_HTTPS_PORT: u16 = 8443;
/// The longest a release command may run unless told otherwise, seconds (platform reference 2.2).
const RELEASE_TIMEOUT_S: u64 = 3600;
/// How often the machine's memory may be promised to formations unless the file says otherwise: a dyno is killed at twice
/// its quota, but most use less than half of it.
const MEMORY_OVERCOMMIT: f64 = 2.0;
/// What the file may say of that.
const OVERCOMMITS: std::ops::RangeInclusive<f64> = 0.1..=1000.0;
/// The administrator's name unless told otherwise.
const OWNER: &str = "admin@localhost";
/// The port of the git endpoint and the API unless told otherwise.
const GIT_PORT: u16 = 5080;

/// `dyno serve` and what can be told to it.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// Directory of the node; state goes to DIR/lib, what a reboot may take to DIR/run
    #[arg(long, value_name = "DIR", env = "DYNO_ROOT")]
    pub root: Option<PathBuf>,
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "DYNO_CONFIG")]
    pub config: Option<PathBuf>,
    /// Number of the node when several run on one machine, 0 to 31
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Port on which the router answers, on loopback
    #[arg(long, value_name = "PORT")]
    pub router_port: Option<u16>,
    /// Port on which the router answers under TLS, on loopback
    #[arg(long, value_name = "PORT")]
    pub router_https_port: Option<u16>,
    /// Port on which git pushes arrive and the API answers, on loopback
    #[arg(long, visible_alias = "api-port", value_name = "PORT")]
    pub git_port: Option<u16>,
    /// Port on which git pushes arrive over SSH, on loopback; without one, or `ssh.listen` in the file, none do
    #[arg(long, value_name = "PORT")]
    pub ssh_port: Option<u16>,
    /// Form of the node's own log on standard error
    #[arg(long, value_enum, value_name = "FORM", default_value_t)]
    pub log_format: LogFormat,
    /// What becomes of running dynos when the node is told to end
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub on_exit: OnExit,
}

/// The form of the node's own log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What becomes of running dynos when the node gets SIGTERM or SIGINT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnExit {
    /// They go on; the next start takes them over.
    #[default]
    LeaveDynos,
    /// They are stopped, and nothing of the node is left on the host.
    StopDynos,
}

/// The file's shape. Unknown keys fail, so that a misspelt one is not silently without effect.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    index: Option<u32>,
    owner: Option<String>,
    stack: Option<String>,
    router: RouterSection,
    git: GitSection,
    ssh: SshSection,
    network: NetworkSection,
    build: BuildSection,
    dynos: DynosSection,
    releases: ReleasesSection,
    backups: BackupsSection,
    webhooks: WebhooksSection,
    sources: SourcesSection,
    drains: DrainsSection,
    acme: AcmeSection,
    sizes: BTreeMap<String, SizeSection>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RouterSection {
    listen: Option<Vec<SocketAddr>>,
    /// Where it speaks TLS; an empty list for nowhere.
    https: Option<Vec<SocketAddr>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GitSection {
    listen: Option<OneOrMore>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SshSection {
    listen: Option<OneOrMore>,
}

/// One address, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(SocketAddr),
    More(Vec<SocketAddr>),
}

impl From<OneOrMore> for Vec<SocketAddr> {
    fn from(listen: OneOrMore) -> Self {
        match listen {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NetworkSection {
    resolvers: Option<Vec<IpAddr>>,
    egress: Vec<SocketAddrV4>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BuildSection {
    /// Longest build, in seconds.
    timeout_s: Option<NonZeroU64>,
    /// Largest compressed slug, in MiB.
    slug_max_mib: Option<NonZeroU64>,
    /// What a build must leave free on the node's disk, in MiB.
    disk_reserve_mib: Option<NonZeroU64>,
    /// The most that a build may keep on the node's disk, in MiB.
    disk_max_mib: Option<NonZeroU64>,
    /// How long a build may be held while memory is short, in seconds.
    held_max_s: Option<NonZeroU64>,
    /// How many builds run at once.
    at_once: Option<NonZeroU32>,
    /// Names of buildpacks and what they stand for: an address, a path, another name.
    buildpacks: BTreeMap<String, String>,
    /// Addresses and the paths of this host that builds get instead.
    mirror: BTreeMap<String, PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DynosSection {
    /// How long a web dyno may take to bind its port, in seconds.
    boot_timeout_s: Option<NonZeroU64>,
    /// The waits after the first to the seventh crash in a row, in seconds.
    crash_delays_s: Option<[u64; 7]>,
    /// Whether figures of dynos go to their apps' logs.
    runtime_metrics: bool,
    /// How long dynos may take to stop whose process type has no span of its own, in seconds.
    stop_grace_s: Option<NonZeroU64>,
    /// The most dynos of one app.
    per_app_max: Option<u32>,
    /// How often the machine's memory may be promised to formations.
    memory_overcommit: Option<f64>,
    /// Whether a formation is refused that asks for more; so it is unless this is `false`.
    memory_check: Option<bool>,
}

/// A size: what is left out is as the platform has it, for a size of the node's own as `standard-1x` has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReleasesSection {
    /// Longest release command, in seconds.
    command_timeout_s: Option<NonZeroU64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BackupsSection {
    /// The most backups of an add-on.
    kept: Option<NonZeroUsize>,
    /// Days after which one goes that is not the newest.
    kept_days: Option<NonZeroU32>,
}

impl BackupsSection {
    fn kept(&self) -> BackupsKept {
        let usual = BackupsKept::default();
        BackupsKept {
            count: self.kept.map_or(usual.count, NonZeroUsize::get),
            days: self.kept_days.map_or(usual.days, NonZeroU32::get),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WebhooksSection {
    /// Whether webhooks of apps may lead to any address, those of the node and its networks among them.
    private_networks: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SourcesSection {
    /// Whether sources of builds may be fetched from any address, those of the node and its networks among them.
    private_networks: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DrainsSection {
    /// Whether drains of apps may lead to any address, those of the node and its networks among them.
    private_networks: bool,
}

/// What a node runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// State that must last.
    pub lib_dir: PathBuf,
    /// What a reboot may take: sockets, records of containers.
    pub run_dir: PathBuf,
    /// Number of the node on this machine, 0 to [`INDEX_MAX`].
    pub index: u32,
    /// The name of whoever administers the node, as logs and releases show it.
    pub owner: Email,
    /// The stack of apps that name none.
    pub stack: StackName,
    /// Where the router listens.
    pub router: Vec<SocketAddr>,
    /// Where the router listens for TLS; nowhere where it is empty.
    pub router_https: Vec<SocketAddr>,
    /// Where git pushes arrive and the API answers; the first stands in URLs.
    pub git: Vec<SocketAddr>,
    /// Where git pushes arrive over SSH; the first stands in URLs. Nowhere, unless it is told.
    pub ssh: Vec<SocketAddr>,
    /// Name servers of dynos; `None` takes the host's.
    pub resolvers: Option<Vec<IpAddr>>,
    /// Private destinations that dynos may reach all the same.
    pub egress: Vec<SocketAddrV4>,
    /// What a build may not go over.
    pub build: BuildLimits,
    /// How many builds run at once.
    pub builds_at_once: usize,
    /// Files of this host that builds get instead of what lies in the network.
    pub mirror: Arc<Mirror>,
    /// Names of buildpacks and what they stand for: an address, a path, another name.
    pub buildpacks: BTreeMap<String, String>,
    /// The spans of a dyno's life.
    pub timings: Timings,
    /// Whether figures of dynos go to their apps' logs.
    pub runtime_metrics: RuntimeMetrics,
    /// The longest a release command may run, seconds.
    pub release_timeout_s: u64,
    /// How long backups of add-ons are kept.
    pub backups: BackupsKept,
    /// To where webhooks of apps may lead.
    pub webhooks: Reach,
    /// From where sources of builds are fetched.
    pub sources: Reach,
    /// To where drains of apps may lead.
    pub drains: Reach,
    /// From whom certificates are got; from nobody unless the administrator has agreed to the authority's terms.
    pub acme: Option<AcmeSettings>,
    /// What a dyno of each size may use.
    pub sizes: Sizes,
    /// The most dynos of one app.
    pub dynos_per_app_max: u32,
    /// How much of the machine's memory may be promised to formations, in hundredths; `None` where nobody looks.
    pub memory_overcommit_percent: Option<u32>,
}

/// Why a node cannot be configured so.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The named file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not say what it should.
    #[error("the configuration file {} is wrong: {}", path.display(), source.message())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// No such node.
    #[error("the index of a node is 0 to {INDEX_MAX}, not {0}")]
    Index(u32),
    /// The stack's name is none.
    #[error("stack {name:?} in the configuration")]
    Stack {
        /// The text.
        name: String,
        /// Its defect.
        source: crate::domain::StackNameError,
    },
    /// An address of the mirror is none, or its place.
    #[error("[build.mirror] in the configuration")]
    Mirror(#[source] MirrorError),
    /// The API has nowhere to listen.
    #[error("git.listen in the configuration names no address")]
    NowhereForTheApi,
    /// The administrator's name is none.
    #[error("owner {name:?} in the configuration")]
    Owner {
        /// The text.
        name: String,
        /// Its defect.
        source: EmailError,
    },
    /// The size has no name, or one that makes no sense.
    #[error("[sizes.{name}] in the configuration: {reason}")]
    Size {
        /// The section's name.
        name: String,
        /// Its defect.
        reason: &'static str,
    },
    /// Certificates cannot be got so.
    #[error("[acme] in the configuration: {0}")]
    Acme(#[from] AcmeError),
    /// No factor for the machine's memory.
    #[error("dynos.memory_overcommit in the configuration is a number from 0.1 to 1000, not {0}")]
    Overcommit(f64),
    /// The router has nowhere to listen.
    #[error("router.listen in the configuration names no address")]
    NowhereToListen,
}

impl Config {
    /// Joins the flags and the file: flags win.
    ///
    /// # Errors
    /// A file that was named cannot be read, or it or a flag says what cannot be.
    pub fn load(args: &ServeArgs) -> Result<Self, ConfigError> {
        let file = match &args.config {
            Some(path) => read(path)?,
            None if Path::new(CONFIG_FILE).exists() && args.root.is_none() => read(Path::new(CONFIG_FILE))?,
            None => File::default(),
        };
        Self::join(args, file)
    }

    fn join(args: &ServeArgs, file: File) -> Result<Self, ConfigError> {
        let index = args.index.or(file.index).unwrap_or(0);
        if index > INDEX_MAX {
            return Err(ConfigError::Index(index));
        }
        let owner = file.owner.unwrap_or_else(|| OWNER.to_owned());
        let owner = match owner.parse() {
            Ok(owner) => owner,
            Err(source) => return Err(ConfigError::Owner { name: owner, source }),
        };
        let stack = match file.stack {
            None => StackName::default(),
            Some(name) => match name.parse() {
                Ok(stack) => stack,
                Err(source) => return Err(ConfigError::Stack { name, source }),
            },
        };
        let https = https(args, &file.router);
        let router = match (args.router_port, file.router.listen) {
            (Some(port), _) => loopback(port),
            (None, Some(listen)) if listen.is_empty() => return Err(ConfigError::NowhereToListen),
            (None, Some(listen)) => listen,
            (None, None) => loopback(ROUTER_PORT),
        };
        let git = match (args.git_port, file.git.listen.map(Vec::from)) {
            (Some(port), _) => loopback(port),
            (None, Some(listen)) if listen.is_empty() => return Err(ConfigError::NowhereForTheApi),
            (None, Some(listen)) => listen,
            (None, None) => loopback(GIT_PORT),
        };
        let ssh = match (args.ssh_port, file.ssh.listen) {
            (Some(port), _) => loopback(port),
            (None, listen) => listen.map(Vec::from).unwrap_or_default(),
        };
        let below = |folder: &str, default: &str| {
            args.root.as_ref().map_or_else(|| PathBuf::from(default), |root| root.join(folder))
        };
        let memory_overcommit_percent = file.dynos.memory_overcommit_percent()?;
        Ok(Self {
            lib_dir: below("lib", LIB_DIR),
            run_dir: below("run", RUN_DIR),
            index,
            owner,
            stack,
            router,
            router_https: https,
            git,
            ssh,
            resolvers: file.network.resolvers,
            egress: file.network.egress,
            build: file.build.limits(),
            builds_at_once: file.build.at_once(),
            mirror: Arc::new(Mirror::new(&file.build.mirror).map_err(ConfigError::Mirror)?),
            buildpacks: file.build.buildpacks,
            timings: file.dynos.timings(),
            runtime_metrics: if file.dynos.runtime_metrics {
                RuntimeMetrics::On
            } else {
                RuntimeMetrics::Off
            },
            release_timeout_s: file.releases.command_timeout_s.map_or(RELEASE_TIMEOUT_S, NonZeroU64::get),
            backups: file.backups.kept(),
            webhooks: Reach::from(file.webhooks.private_networks),
            sources: Reach::from(file.sources.private_networks),
            drains: Reach::from(file.drains.private_networks),
            acme: file.acme.settings()?,
            sizes: sizes(&file.sizes)?,
            dynos_per_app_max: file.dynos.per_app_max.unwrap_or(Formation::DYNOS_MAX),
            memory_overcommit_percent,
        })
    }

    /// The socket of the API.
    #[must_use]
    pub fn api_socket(&self) -> PathBuf {
        self.run_dir.join("api.sock")
    }

    /// The name of what this node makes on the host: its control group subtree and its packet filter table.
    #[must_use]
    pub fn host_name(&self) -> String {
        format!("dyno{}", self.index)
    }
}

impl BuildSection {
    fn limits(&self) -> BuildLimits {
        let usual = BuildLimits::default();
        BuildLimits {
            timeout_s: self.timeout_s.map_or(usual.timeout_s, NonZeroU64::get),
            slug_max: self.slug_max_mib.map_or(usual.slug_max, |mib| Bytes::mib(mib.get())),
            disk_reserve: self.disk_reserve_mib.map_or(usual.disk_reserve, |mib| Bytes::mib(mib.get())),
            disk_max: self.disk_max_mib.map_or(usual.disk_max, |mib| Bytes::mib(mib.get())),
            held_max_s: self.held_max_s.map_or(usual.held_max_s, NonZeroU64::get),
        }
    }

    fn at_once(&self) -> usize {
        let set = self.at_once.and_then(|count| usize::try_from(count.get()).ok());
        set.unwrap_or(Quotas::BUILDS_AT_ONCE)
    }
}

impl DynosSection {
    fn timings(&self) -> Timings {
        let usual = Timings::default();
        let delays = self.crash_delays_s.map(|delays| CrashDelays(delays.map(Duration::from_secs)));
        Timings {
            boot: self.boot_timeout_s.map_or(usual.boot, |limit| Duration::from_secs(limit.get())),
            crash_delays: delays.unwrap_or(usual.crash_delays),
            grace: self.stop_grace_s.map_or(usual.grace, |limit| Duration::from_secs(limit.get())),
            ..usual
        }
    }

    fn memory_overcommit_percent(&self) -> Result<Option<u32>, ConfigError> {
        if self.memory_check == Some(false) {
            return Ok(None);
        }
        let factor = self.memory_overcommit.unwrap_or(MEMORY_OVERCOMMIT);
        if !OVERCOMMITS.contains(&factor) {
            return Err(ConfigError::Overcommit(factor));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what lies in the range is positive and small"
        )]
        let percent = (factor * 100.0).round() as u32;
        Ok(Some(percent))
    }
}

/// Both loopback addresses.
fn loopback(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// Where the router speaks TLS.
fn https(args: &ServeArgs, file: &RouterSection) -> Vec<SocketAddr> {
    match (args.router_https_port, &file.https) {
        (Some(port), _) => loopback(port),
        (None, Some(listen)) => listen.clone(),
        // One of several nodes has a port of its own for everything, so it does not take the usual one from another.
        (None, None) if args.router_port.is_some() || file.listen.is_some() => Vec::new(),
        (None, None) => loopback(ROUTER_HTTPS_PORT),
    }
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::domain::DynoSize;

    fn join(args: &ServeArgs, text: &str) -> Result<Config, ConfigError> {
        Config::join(args, toml::from_str(text).unwrap())
    }

    #[test]
    fn without_a_word_the_node_is_the_machines_own_and_on_loopback() {
        let config = join(&ServeArgs::default(), "").unwrap();
        assert_eq!(config.lib_dir, Path::new("/var/lib/dyno"));
        assert_eq!(config.api_socket(), Path::new("/run/dyno/api.sock"));
        assert!(config.router.iter().chain(&config.router_https).all(|address| address.ip().is_loopback()));
        assert_eq!((config.router[0].port(), config.router_https[0].port()), (8080, 8443));
        assert!(config.git.iter().all(|address| address.ip().is_loopback()) && config.git.len() == 2);
        assert_eq!(config.owner.as_str(), "admin@localhost");
        assert_eq!(config.host_name(), "dyno0");
        assert_eq!(config.acme, None, "nobody has agreed to anything");
    }

    #[test]
    fn flags_win_over_the_file() {
        let args = ServeArgs {
            index: Some(3),
            router_port: Some(90),
            root: Some("/n".into()),
            ..Default::default()
        };
        let text = "index = 1\n[router]\nlisten = [\"0.0.0.0:80\"]\n[git]\nlisten = \"127.0.0.1:81\"";
        let config = join(&args, text).unwrap();
        assert_eq!((config.index, config.router[0].port(), config.git[0].port()), (3, 90, 81));
        assert!(config.router[0].ip().is_loopback());
        assert!(config.ssh.is_empty(), "nobody asked for SSH");
        let told = join(&args, "[ssh]\nlisten = \"192.0.2.1:22\"").unwrap();
        assert_eq!(told.ssh, ["192.0.2.1:22".parse().unwrap()]);
        let flag = ServeArgs { ssh_port: Some(5022), ..args.clone() };
        let told = join(&flag, "[ssh]\nlisten = \"192.0.2.1:22\"").unwrap();
        assert!(told.ssh.iter().all(|address| address.ip().is_loopback() && address.port() == 5022));
        assert_eq!(config.run_dir, Path::new("/n/run"));
        assert_eq!(config.router_https, [], "a node with a port of its own takes nobody's usual one");
        let args = ServeArgs { router_https_port: Some(444), ..args };
        let config = join(&args, "[router]\nhttps = [\"0.0.0.0:443\"]").unwrap();
        assert!(config.router_https.iter().all(|https| https.ip().is_loopback() && https.port() == 444));
        let config = join(&ServeArgs::default(), "[router]\nhttps = [\"0.0.0.0:443\"]").unwrap();
        assert_eq!(config.router_https, ["0.0.0.0:443".parse().unwrap()]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(matches!(join(&ServeArgs::default(), "index = 32"), Err(ConfigError::Index(32))));
        assert!(matches!(join(&ServeArgs::default(), "stack = \"../x\""), Err(ConfigError::Stack { .. })));
        assert!(matches!(join(&ServeArgs::default(), "owner = \"me\""), Err(ConfigError::Owner { .. })));
        assert!(matches!(
            join(&ServeArgs::default(), "[git]\nlisten = []"),
            Err(ConfigError::NowhereForTheApi)
        ));
        assert!(matches!(
            join(&ServeArgs::default(), "[router]\nlisten = []"),
            Err(ConfigError::NowhereToListen)
        ));
        assert!(toml::from_str::<File>("indx = 1").unwrap_err().message().contains("indx"));
    }

    #[test]
    fn what_users_name_is_connected_to_on_the_internet_unless_the_file_says_more() {
        let usual = join(&ServeArgs::default(), "").unwrap();
        assert_eq!(
            (usual.webhooks, usual.sources, usual.drains),
            (Reach::Public, Reach::Public, Reach::Public)
        );
        let set = join(&ServeArgs::default(), "[drains]\nprivate_networks = true").unwrap();
        assert_eq!((set.webhooks, set.sources, set.drains), (Reach::Public, Reach::Public, Reach::Any));
    }

    #[test]
    fn a_mirror_is_a_table_of_addresses_and_places() {
        let set = join(&ServeArgs::default(), "[build.mirror]\n\"https://a.example/\" = \"/srv/a\"").unwrap();
        let table = [("https://a.example/".to_owned(), PathBuf::from("/srv/a"))];
        assert_eq!(*set.mirror, Mirror::new(&table.into()).unwrap());
        let wrong = join(&ServeArgs::default(), "[build.mirror]\n\"a.example\" = \"/srv/a\"");
        assert!(matches!(wrong, Err(ConfigError::Mirror(_))));
    }

    #[test]
    fn limits_are_the_platforms_unless_the_file_sets_them() {
        let usual = join(&ServeArgs::default(), "").unwrap();
        assert_eq!((usual.build, usual.timings), (BuildLimits::default(), Timings::default()));
        let text = "[build]\ntimeout_s = 5\nslug_max_mib = 2\ndisk_reserve_mib = 3\ndisk_max_mib = 4\nheld_max_s = 8\nat_once = 9\n[dynos]\nboot_timeout_s = 90\n\
                    crash_delays_s = [0, 1, 2, 3, 4, 5, 6]\nruntime_metrics = true\n\
                    [releases]\ncommand_timeout_s = 7";
        let set = join(&ServeArgs::default(), text).unwrap();
        assert_eq!(
            set.build,
            BuildLimits {
                timeout_s: 5,
                slug_max: Bytes::mib(2),
                disk_reserve: Bytes::mib(3),
                disk_max: Bytes::mib(4),
                held_max_s: 8,
            }
        );
        assert_eq!((usual.builds_at_once, set.builds_at_once), (2, 9));
        assert_eq!((usual.runtime_metrics, set.runtime_metrics), (RuntimeMetrics::Off, RuntimeMetrics::On));
        assert_eq!((usual.release_timeout_s, set.release_timeout_s), (3600, 7));
        assert_eq!(set.timings.boot, Duration::from_secs(90));
        assert_eq!(set.timings.crash_delays.after(1), Duration::from_secs(1));
        assert!(toml::from_str::<File>("[dynos]\nboot_timeout_s = 0").is_err());
    }

    #[test]
    fn sizes_and_what_may_be_promised_can_be_set() {
        let usual = join(&ServeArgs::default(), "").unwrap();
        assert_eq!((&usual.sizes, usual.memory_overcommit_percent), (&Sizes::default(), Some(200)));
        let text = "[dynos]\nmemory_overcommit = 1.5\nper_app_max = 7\nstop_grace_s = 5\n\
                    [sizes.standard-1x]\nmemory_mib = 300\n\
                    [sizes.huge]\nmemory_mib = 4096\nmemory_max_mib = 5000\ncpu_weight = 400\ntasks = 1000\nper_type_max = 2";
        let set = join(&ServeArgs::default(), text).unwrap();
        assert_eq!((set.memory_overcommit_percent, set.dynos_per_app_max), (Some(150), 7));
        assert_eq!(set.timings.grace, Duration::from_secs(5));
        let small = set.sizes.limits(DynoSize::Standard1X);
        assert_eq!((small.memory, small.tasks_max), (Bytes::mib(300), 256));
        assert_eq!(small.memory_max, Bytes::mib(600), "twice, as before");
        let huge = set.sizes.get("huge".parse().unwrap()).unwrap();
        assert_eq!((huge.memory_max, huge.cpu_weight, huge.per_type_max), (Bytes::mib(5000), 400, Some(2)));
        let unchecked = join(&ServeArgs::default(), "[dynos]\nmemory_check = false").unwrap();
        assert_eq!(unchecked.memory_overcommit_percent, None);
        for bad in [
            "[dynos]\nmemory_overcommit = 0",
            "[sizes.\"a b\"]\nmemory_mib = 1",
            "[sizes.a]\nmemory_mib = 2\nmemory_max_mib = 1",
            "[sizes.a]\ncpu_weight = 10001",
            "[sizes.a]\none_offs_max = 51",
        ] {
            assert!(join(&ServeArgs::default(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let args = ServeArgs { config: Some("/nonexistent/dyno.toml".into()), ..Default::default() };
        assert!(matches!(Config::load(&args), Err(ConfigError::Read { .. })));
    }
}
