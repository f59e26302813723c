//! What the driver needs of the world: something that runs dynos.
//!
//! Two honest implementations: [`native`] over our own containers, and [`fake`], a world of its own for tests and
//! simulations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use thiserror::Error;

use crate::domain::{AppId, Bytes, DynoId, DynoName, DynoSize, NetnsAddress, Version};
use crate::runtime::Entered;
use crate::supervisor::lifecycle::Class;
use crate::supervisor::{Connection, ReleaseImage};
use crate::wire::codes::DynoError;
use crate::wire::logline::MemoryFigures;

pub mod fake;
mod figures;
mod home;
mod label;
pub mod native;
mod networks;
mod sandbox;
mod slugs;

pub use home::{Home, WorkingDirectory};
pub(super) use native::chain;
pub use native::{NativeConfig, NativeEngine};
pub use sandbox::STORE_ID;
pub(super) use sandbox::{ids, in_layers};

/// A dyno to be run, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynoSpec {
    /// What must be known of it to take it over after a restart of the node.
    pub label: DynoLabel,
    /// Slug and stack.
    pub release: Arc<ReleaseImage>,
    /// The environment, whole.
    pub env: BTreeMap<String, String>,
    /// Where its streams lead.
    pub connection: Connection,
}

/// What a running dyno carries with it, so that whoever finds it knows what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynoLabel {
    /// Its app.
    pub app: AppId,
    /// Its identity.
    pub id: DynoId,
    /// Its name.
    pub name: DynoName,
    /// Its kind.
    pub class: Class,
    /// The release it runs.
    pub release: Version,
    /// What it runs, as written.
    pub command: String,
    /// How large it is.
    pub size: DynoSize,
    /// `$PORT`.
    pub port: u16,
    /// Its user within the container.
    pub uid: u32,
    /// Crashes in a row before this start.
    pub crashes: u32,
    /// Its age limit.
    pub cycle_after: Duration,
    /// The identity of its first start, kept through starts after crashes.
    pub lineage: DynoId,
    /// The lineage that served when it was started to take over from it.
    pub behind: Option<DynoId>,
    /// When it was started.
    pub started: SystemTime,
}

/// How to reach a dyno's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Its network namespace.
    pub netns: NetnsAddress,
    /// Its address there.
    pub address: Option<Ipv4Addr>,
}

/// How a dyno ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The shell's number: the exit code, or 128 and the signal.
    pub status: u8,
    /// Whether the kernel ended it for want of memory.
    pub out_of_memory: bool,
    /// When.
    pub at: SystemTime,
}

/// What a dyno uses at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Its memory.
    pub memory: MemoryFigures,
    /// Its threads that run or wait for a processor.
    pub runnable: u32,
    /// All memory that counts against its limits: that of the kernel in its name, too.
    pub used: Bytes,
    /// The part of the cache that no file on a disk stands behind: what it wrote, and shared memory.
    pub shared: Bytes,
    /// Processor time since its start.
    pub cpu: Duration,
    /// Its processes and threads.
    pub tasks: u64,
}

/// What is left of a dyno that has ended and is not cleared away: what only its container can tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remains {
    /// Nobody was there to see how it ended.
    pub lost: bool,
    /// The signal that ended its first process.
    pub signal: Option<u8>,
    /// The most memory it used at once, cached files included; 0 where the kernel does not tell.
    pub memory_peak: Bytes,
    /// How often it came up against its memory limit.
    pub memory_limit_hits: u64,
    /// Its processes that the kernel killed for want of memory.
    pub oom_kills: u64,
    /// How often it was refused a process or thread.
    pub refused_tasks: u64,
    /// Calls that the filter of system calls refused it, by name, and how often.
    pub refused_calls: Vec<(String, u64)>,
    /// Per cent of its last minute in which some process waited for a processor, for memory, for disks; none where the
    /// kernel does not account for it.
    pub waited: [Option<f64>; 3],
}

/// The near ends of a dyno's streams.
#[derive(Debug)]
pub enum Streams {
    /// None: output goes to the log ring.
    Log,
    /// A terminal's master.
    Terminal(OwnedFd),
    /// Three pipes.
    Pipes {
        /// To write to.
        stdin: OwnedFd,
        /// To read from.
        stdout: OwnedFd,
        /// To read from.
        stderr: OwnedFd,
    },
}

/// A further command in a dyno that runs.
#[derive(Clone)]
pub struct Visit {
    /// What it is, for a shell.
    pub command: String,
    /// Laid over the dyno's environment.
    pub env: BTreeMap<String, String>,
    /// Where its streams lead; not to the log.
    pub connection: Connection,
}

impl std::fmt::Debug for Visit {
    /// Without the environment, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Visiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visiting").field("streams", &self.streams).finish_non_exhaustive()
    }
}

/// A further command that runs.
pub struct Visiting {
    /// The near ends of its streams.
    pub streams: Streams,
    /// The hold on it.
    pub hold: Arc<dyn Visitor>,
}

impl Visiting {
    /// What the runtime gave.
    #[must_use]
    pub fn of(entered: Entered) -> Self {
        Self { streams: native::streams(entered.stdio), hold: Arc::new(entered.hold) }
    }
}

/// The client's hold on a further command. When the last is dropped the client counts as gone: the command gets SIGHUP, and is ended
/// if it does not go.
pub trait Visitor: Send + Sync {
    /// Waits for its end: the shell's number for it.
    fn ended(&self) -> BoxFuture<'_, u8>;
    /// Sends a signal to it and what it has started; nothing happens where it has ended.
    fn signal(&self, signal: Signal);
    /// Says that the client has gone.
    fn hang_up(&self);
}

/// A signal for every process of a dyno, by its Linux number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub u8);

impl Signal {
    /// The client has gone (`SIGHUP`).
    pub const HANGUP: Self = Self(1);
    /// Please end (`SIGTERM`).
    pub const TERMINATE: Self = Self(15);
}

/// What the engine could not do.
#[derive(Debug, Error)]
#[error("cannot {attempt}: {cause}")]
pub struct EngineError {
    /// What was tried, and on what.
    pub attempt: String,
    /// Why it failed, with all causes.
    pub cause: String,
    /// Whose fault it is.
    pub fault: Fault,
}

/// Whose fault it is that a dyno was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The platform's (R99).
    Platform,
    /// The file system's that a working directory is on: it cannot be shown as the dyno's own.
    Directory,
    /// The slug's files are not those that were released (R17).
    Slug {
        /// Their fingerprint at the release.
        expected: String,
        /// Their fingerprint now.
        actual: String,
    },
}

impl EngineError {
    /// What the app's log is told.
    #[must_use]
    pub fn told(&self) -> DynoError {
        match &self.fault {
            Fault::Platform | Fault::Directory => DynoError::not_started(&self.to_string()),
            Fault::Slug { expected, actual } => DynoError::checksum(expected, actual),
        }
    }
}

/// A dyno just started.
pub struct Started {
    /// The dyno.
    pub dyno: Arc<dyn Running>,
    /// The near ends of its streams.
    pub streams: Streams,
}

/// A dyno found at the start of the node.
pub struct Found {
    /// What it is.
    pub label: DynoLabel,
    /// The dyno.
    pub dyno: Arc<dyn Running>,
    /// How it ended meanwhile; `None` while it runs.
    pub end: Option<End>,
}

/// A dyno that runs, or has run and is not cleared away yet.
pub trait Running: Send + Sync {
    /// Waits for its end. Resolves at once when it has ended; may be called often.
    fn wait(&self) -> BoxFuture<'static, End>;
    /// Sends a signal to every process of it.
    ///
    /// # Errors
    /// The kernel refuses; not that there is no process left.
    fn signal(&self, signal: Signal) -> Result<(), EngineError>;
    /// Runs a further command in it, with all that confines it.
    fn visit(&self, visit: Visit) -> BoxFuture<'static, Result<Visiting, EngineError>>;
    /// Ends every process of it at once.
    ///
    /// # Errors
    /// The kernel refuses.
    fn kill(&self) -> Result<(), EngineError>;
    /// Where it waits for connections.
    ///
    /// # Errors
    /// Its sockets cannot be read.
    fn listening(&self) -> Result<Vec<SocketAddr>, EngineError>;
    /// Whether something in it listens on `port`.
    ///
    /// # Errors
    /// Its sockets cannot be read.
    fn is_listening(&self, port: u16) -> Result<bool, EngineError> {
        Ok(self.listening()?.iter().any(|socket| socket.port() == port))
    }
    /// How to reach it; `None` when it is gone.
    fn reach(&self) -> Option<Reach>;
    /// What it uses; `None` when that cannot be told, as when it is gone. Reads files.
    fn reading(&self) -> Option<Reading>;
    /// Shows the dyno what it uses, as a reading has it, and its load averages over 1, 5 and 15 minutes. Writes files; where that
    /// fails the dyno goes on with what it was shown before.
    fn show(&self, reading: &Reading, load: [f64; 3]);
    /// What is left of it, once it has ended and until it is cleared away. Reads files.
    fn remains(&self) -> Remains;
    /// The ring its output is in; `None` when it is attached.
    fn log_ring(&self) -> Option<PathBuf>;
    /// Clears its remains away. After its end; may be repeated.
    fn clear(&self) -> BoxFuture<'static, Result<(), EngineError>>;
}

/// Something that runs dynos.
pub trait Engine: Send + Sync {
    /// Starts a dyno. Resolves when its process is launched; leaves nothing behind when it fails.
    fn start(&self, spec: DynoSpec) -> BoxFuture<'static, Result<Started, EngineError>>;
    /// Finds the dynos of `known` apps that an earlier run of the node left, and ends and clears all others.
    fn adopt(&self, known: BTreeSet<AppId>) -> BoxFuture<'static, Result<Vec<Found>, EngineError>>;
}
