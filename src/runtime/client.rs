//! The runtime as the rest of the program sees it: containers are started and found again; the spawner is somebody else's process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::runtime::cgroup::{CgroupError, Cgroups};
use crate::runtime::container::{Container, EXIT_RECORD_WAIT};
use crate::runtime::entered::{EnterError, Entered, Entry};
use crate::runtime::exit::Exit;
use crate::runtime::facts::Facts;
use crate::runtime::plan::{self, PLAN_FORMAT, Plan, PlanError};
use crate::runtime::record::{self, ContainerDir};
use crate::runtime::spawner::protocol::{self, PROTOCOL, Reply, Request};
use crate::runtime::spawner::{self, Lap, LimitsPolicy, SpawnerConfig, StepFailed, Timings, Trace};
use crate::runtime::spec::{ContainerId, Network, Sandbox, StdioKind};
use crate::sys::message::{self, Channel};
use crate::sys::{clock, fingerprint, lock, peer};

/// A start is answered within this time, those before it in the queue included.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a spawner that went away, or is of another version, is replaced before a start is given up.
const CONNECT_TRIES: u32 = 3;
/// Pause before trying again: the old spawner is giving up its lock.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// What the runtime must know.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Directory for what lives as long as the machine runs.
    pub run_dir: PathBuf,
    /// This program, which also plays the spawner; a spawner of another file gives way to one of this.
    pub binary: PathBuf,
    /// Name of the subtree of control groups.
    pub cgroup_root: String,
    /// Whether containers start although a limit cannot be held.
    pub limits: LimitsPolicy,
}

/// Starts and finds containers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: RuntimeConfig,
    facts: Facts,
    cgroups: Cgroups,
    /// What tells the file of this program from others.
    build: String,
}

/// A container that runs, and what its caller gets of it.
#[derive(Debug)]
pub struct Started {
    /// The container.
    pub container: Container,
    /// Other ends of its standard streams.
    pub stdio: StdioFds,
    /// Where the time went.
    pub timings: Timings,
    /// What each step took; empty unless asked for with `start_traced`.
    pub laps: Vec<Lap>,
}

/// The caller's ends of a container's standard streams.
#[derive(Debug)]
pub enum StdioFds {
    /// None: the output is in `Container::log_ring`.
    Log,
    /// A terminal.
    Terminal {
        /// Reading gives output, writing gives input; closing hangs up.
        master: OwnedFd,
    },
    /// Pipes.
    Pipes {
        /// To write to.
        stdin: OwnedFd,
        /// To read from.
        stdout: OwnedFd,
        /// To read from.
        stderr: OwnedFd,
    },
}

/// A container that an earlier process started.
#[derive(Debug)]
pub struct Adopted {
    /// Its name.
    pub id: ContainerId,
    /// The container; of one that has ended, what can be read and removed.
    pub container: Container,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an adopted container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It runs.
    Alive,
    /// It ended meanwhile.
    Gone(Exit),
}

/// Why the runtime cannot work.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Control groups are not as needed.
    #[error("could not find the control groups that hold containers' limits")]
    Cgroups(#[from] CgroupError),
    /// A file or directory of the runtime.
    #[error("could not {attempt} {}", path.display())]
    Access {
        /// What was tried.
        attempt: &'static str,
        /// With what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The spawner does not start.
    #[error("could not start the process that makes containers; it said: {said}")]
    Spawner {
        /// Its words, or how it ended.
        said: String,
    },
    /// The spawner does not answer.
    #[error("the process that makes containers does not answer")]
    Silent(#[source] io::Error),
    /// Another build's spawner stays.
    #[error(
        "the process that makes containers, number {pid}, is of another version of this program and does not give way; end it with \
         'kill {pid}' - its containers go on - and start again"
    )]
    StaysOn {
        /// Its process id; 0 if it cannot be told.
        pid: u32,
        /// What it last did.
        source: io::Error,
    },
    /// A task of ours was cancelled.
    #[error("the program is shutting down")]
    ShuttingDown,
}

/// Why a container did not start. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The wish cannot be granted.
    #[error("the container {id} cannot be planned")]
    Plan {
        /// Which container.
        id: ContainerId,
        /// Why.
        source: Box<PlanError>,
    },
    /// A step failed.
    #[error("the container {id} did not start")]
    Step {
        /// Which container.
        id: ContainerId,
        /// Which step.
        source: Box<StepFailed>,
    },
    /// The namespace to join is not there.
    #[error("could not open the network namespace {} for the container {id}", path.display())]
    Netns {
        /// Which container.
        id: ContainerId,
        /// Where it was looked for.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The runtime does not work.
    #[error("the container {id} was not started")]
    Runtime {
        /// Which container.
        id: ContainerId,
        /// Why.
        source: Box<RuntimeError>,
    },
}

// === impl Runtime ===

impl Runtime {
    /// Looks at the host, and starts a spawner if none of this build lives. One of another build keeps its containers until the
    /// last has ended, and makes no more.
    ///
    /// # Errors
    /// `RuntimeError`: not root, no control groups, no spawner, or one of another build that does not give way.
    pub async fn connect(config: RuntimeConfig) -> Result<Runtime, RuntimeError> {
        blocking(move || {
            let containers = record::all(&config.run_dir);
            std::fs::create_dir_all(&containers).map_err(access("make", &containers))?;
            let cgroups = Cgroups::detect(&config.cgroup_root, config.limits.enforcement())?;
            let build = fingerprint::of_program(&config.binary).map_err(access("look at", &config.binary))?;
            let inner = Inner { config, facts: Facts::gather(), cgroups, build };
            let runtime = Runtime { inner: Arc::new(inner) };
            runtime.greet()?;
            Ok(runtime)
        })
        .await?
    }

    /// What the host offers.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.inner.facts
    }

    /// The same runtime with other facts: to try on one kernel what is done on another.
    #[must_use]
    pub fn assuming(&self, facts: Facts) -> Runtime {
        let Inner { config, cgroups, build, .. } = &*self.inner;
        let (config, cgroups, build) = (config.clone(), cgroups.clone(), build.clone());
        Runtime { inner: Arc::new(Inner { config, facts, cgroups, build }) }
    }

    /// The node's control groups.
    #[must_use]
    pub fn cgroups(&self) -> &Cgroups {
        &self.inner.cgroups
    }

    /// What would be done to start this sandbox.
    ///
    /// # Errors
    /// `PlanError` where it contradicts itself or asks for too little isolation.
    pub fn plan(&self, sandbox: &Sandbox) -> Result<Plan, PlanError> {
        plan::plan(&sandbox.clone().into_spec()?, &self.inner.facts)
    }

    /// Starts a container; it runs when this returns, and goes on running whatever becomes of the caller.
    ///
    /// # Errors
    /// `StartError`; nothing is left of the attempt.
    pub async fn start(&self, sandbox: Sandbox) -> Result<Started, StartError> {
        self.start_with(sandbox, Trace::Off).await
    }

    /// The same, with what each step took.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_traced(&self, sandbox: Sandbox) -> Result<Started, StartError> {
        self.start_with(sandbox, Trace::EachStep).await
    }

    async fn start_with(&self, sandbox: Sandbox, trace: Trace) -> Result<Started, StartError> {
        let (runtime, id) = (self.clone(), sandbox.id.clone());
        let shutting_down = |source: RuntimeError| StartError::Runtime { id, source: source.into() };
        blocking(move || runtime.start_now(&sandbox, trace)).await.map_err(shutting_down)?
    }

    fn start_now(&self, sandbox: &Sandbox, trace: Trace) -> Result<Started, StartError> {
        let id = &sandbox.id;
        let plan = self
            .plan(sandbox)
            .map_err(|source| StartError::Plan { id: id.clone(), source: source.into() })?;
        let failed = |source: RuntimeError| StartError::Runtime { id: id.clone(), source: source.into() };
        let silent = |error: io::Error| failed(RuntimeError::Silent(error));
        let netns = match &sandbox.network {
            Network::Isolated => None,
            Network::Joined(path) => Some(std::fs::File::open(path).map_err(|source| StartError::Netns {
                id: id.clone(),
                path: path.clone(),
                source,
            })?),
        };
        let file =
            serde_json::to_vec(&plan).map_err(io::Error::from).and_then(|bytes| message::sealed(&bytes));
        let file = file.map_err(silent)?;
        let mut given = vec![file.as_fd()];
        given.extend(netns.as_ref().map(AsFd::as_fd));
        for _ in 0..CONNECT_TRIES {
            let channel = self.channel().map_err(failed)?;
            let sent = protocol::say(&channel, &Request::Start { format: PLAN_FORMAT, trace }, &given);
            if sent.is_err() {
                // It was on its way out; nothing was begun.
                std::thread::sleep(CONNECT_PAUSE);
                continue;
            }
            match protocol::hear(&channel, REPLY_TIMEOUT).map_err(silent)? {
                Some((Reply::Started { record, timings, laps }, descriptors)) => {
                    let (container, stdio) =
                        self.started(sandbox.stdio, record, descriptors).map_err(silent)?;
                    return Ok(Started { container, stdio, timings, laps });
                }
                Some((Reply::Failed(source), _)) => {
                    return Err(StartError::Step { id: id.clone(), source: source.into() });
                }
                Some((Reply::OtherFormat, _)) => self.retire().map_err(failed)?,
                // It began, and died: whether the container runs is for `adopt_all` to find out.
                None if self.dir(id).path().exists() => break,
                Some((
                    Reply::Retired
                    | Reply::Pong
                    | Reply::Hello { .. }
                    | Reply::Entered { .. }
                    | Reply::Ended(_),
                    _,
                ))
                | None => std::thread::sleep(CONNECT_PAUSE),
            }
        }
        Err(silent(io::ErrorKind::ConnectionAborted.into()))
    }

    /// Runs a further command in a container that runs, under all that confines its application. It ends with the container, and
    /// when whoever holds it lets go.
    ///
    /// # Errors
    /// `EnterError`; nothing is left of the attempt.
    pub async fn enter(&self, entry: Entry) -> Result<Entered, EnterError> {
        let (runtime, id) = (self.clone(), entry.id.clone());
        let failed = move |source: RuntimeError| EnterError::Runtime { id, source: source.into() };
        let entered = blocking(move || Ok::<_, RuntimeError>(entry.enter(runtime.channel()?)));
        entered.await.and_then(|entered| entered).map_err(failed)?
    }

    fn started(
        &self,
        kind: StdioKind,
        record: record::Record,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<(Container, StdioFds)> {
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next().ok_or(io::ErrorKind::InvalidData);
        let pidfd = next()?;
        let stdio = match kind {
            StdioKind::Log => StdioFds::Log,
            StdioKind::Terminal { .. } => StdioFds::Terminal { master: next()? },
            StdioKind::Pipes => StdioFds::Pipes { stdin: next()?, stdout: next()?, stderr: next()? },
        };
        Ok((self.container(record, Some(pidfd)), stdio))
    }

    fn container(&self, record: record::Record, pidfd: Option<OwnedFd>) -> Container {
        let dir = self.dir(&record.id);
        Container::new(record, dir, pidfd, self.inner.cgroups.clone())
    }

    /// Finds the containers of earlier processes by their records. Groups and directories that belong to no started container (a
    /// start that was cut off) are removed. Blocks the thread; to be called before the first start of this process.
    ///
    /// # Errors
    /// The spawner does not answer, or the directory of records cannot be read.
    pub fn adopt_all(&self) -> Result<Vec<Adopted>, RuntimeError> {
        // A start that an earlier process asked for is over when this is answered.
        let channel = self.channel()?;
        protocol::say(&channel, &Request::Ping, &[]).map_err(RuntimeError::Silent)?;
        protocol::hear::<Reply>(&channel, REPLY_TIMEOUT).map_err(RuntimeError::Silent)?;
        let dir = record::all(&self.inner.config.run_dir);
        let entries = std::fs::read_dir(&dir).map_err(access("list", &dir))?;
        let mut adopted = Vec::new();
        let deadline = clock::monotonic() + EXIT_RECORD_WAIT;
        for entry in entries {
            let entry = entry.map_err(access("list", &dir))?;
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<ContainerId>().ok())
            else {
                // The rest of one that was being removed.
                crate::sys::fs::remove_tree(&entry.path()).map_err(access("remove", &entry.path()))?;
                continue;
            };
            let files = self.dir(&id);
            match files.record() {
                Ok(record) => {
                    let container = self.container(record, None);
                    let outcome = container.fate(deadline);
                    adopted.push(Adopted { id, container, outcome });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.sweep(&id, &files)?,
                // Records are not synced: one that a crash of the machine has cut is of a container that went with it.
                Err(error) if is_damage(&error) => self.sweep(&id, &files)?,
                Err(error) => return Err(access("read the record in", files.path())(error)),
            }
        }
        Ok(adopted)
    }

    fn dir(&self, id: &ContainerId) -> ContainerDir {
        ContainerDir::of(&self.inner.config.run_dir, id)
    }

    fn sweep(&self, id: &ContainerId, files: &ContainerDir) -> Result<(), RuntimeError> {
        self.inner.cgroups.remove_everywhere(id.as_str())?;
        files.remove().map_err(access("remove", files.path()))
    }

    /// Lets the spawner end: at once if no container runs, else with the last one.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn shutdown(self) -> Result<(), RuntimeError> {
        blocking(move || self.retire()).await?
    }

    fn retire(&self) -> Result<(), RuntimeError> {
        let Ok(channel) = Channel::connect(&self.spawner().socket()) else { return Ok(()) };
        protocol::say(&channel, &Request::Retire, &[]).map_err(RuntimeError::Silent)?;
        protocol::hear::<Reply>(&channel, REPLY_TIMEOUT).map_err(RuntimeError::Silent)?;
        Ok(())
    }

    fn spawner(&self) -> SpawnerConfig {
        let Inner { config, build, .. } = &*self.inner;
        let RuntimeConfig { run_dir, cgroup_root, limits, .. } = config.clone();
        SpawnerConfig { run_dir, cgroup_root, limits, build: build.clone() }
    }

    /// Sees to it that the spawner is one of this build. What it says to a start need not be understood by another, and what it
    /// clones is a copy of itself: containers that an upgrade should have changed would still be made as before it.
    fn greet(&self) -> Result<(), RuntimeError> {
        let mut last = io::Error::from(io::ErrorKind::NotConnected);
        let mut pid = 0;
        for _ in 0..CONNECT_TRIES {
            let channel = self.channel()?;
            pid = peer::credentials(&channel).map_or(0, |owner| owner.pid);
            let heard = protocol::say(&channel, &Request::Hello, &[])
                .and_then(|()| protocol::hear::<Reply>(&channel, REPLY_TIMEOUT));
            match heard {
                Ok(Some((Reply::Hello { protocol: PROTOCOL, build }, _))) if build == self.inner.build => {
                    return Ok(());
                }
                Ok(Some((said, _))) => last = io::Error::other(format!("it says {said:?}")),
                // One that does not know the word hangs up.
                Ok(None) => last = io::ErrorKind::ConnectionAborted.into(),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(RuntimeError::Silent(error));
                }
                Err(error) => last = error,
            }
            tracing::info!(
                pid,
                "the process that makes containers is of another build: it keeps those it has, and makes no more"
            );
            // One that does not go is met again.
            let _ = self.retire();
            std::thread::sleep(CONNECT_PAUSE);
        }
        Err(RuntimeError::StaysOn { pid, source: last })
    }

    /// A connection to the spawner; starts one if need be.
    fn channel(&self) -> Result<Channel, RuntimeError> {
        let (socket, run_dir) = (self.spawner().socket(), &self.inner.config.run_dir);
        if let Ok(channel) = Channel::connect(&socket) {
            return Ok(channel);
        }
        // One launch at a time, and none if another's has succeeded meanwhile.
        let launching = lock::wait_lock(&run_dir.join("launch.lock"), REPLY_TIMEOUT);
        let _launching = launching.map_err(access("lock", run_dir))?;
        if let Ok(channel) = Channel::connect(&socket) {
            return Ok(channel);
        }
        let mut last = io::Error::from(io::ErrorKind::NotConnected);
        for _ in 0..CONNECT_TRIES {
            self.launch()?;
            match Channel::connect(&socket) {
                Ok(channel) => return Ok(channel),
                // Its predecessor held the lock still.
                Err(error) => last = error,
            }
            std::thread::sleep(CONNECT_PAUSE);
        }
        Err(RuntimeError::Silent(last))
    }

    /// Starts the spawner and waits until it serves. It goes into the background by itself.
    fn launch(&self) -> Result<(), RuntimeError> {
        let RuntimeConfig { run_dir, binary, .. } = &self.inner.config;
        let log = run_dir.join("spawner.log");
        let said = std::fs::File::create(&log).map_err(access("write", &log))?;
        let config =
            serde_json::to_string(&self.spawner()).map_err(|error| access("write", &log)(error.into()))?;
        let status = Command::new(binary)
            .args([spawner::ROLE, &config])
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .status()
            .map_err(access("run", binary))?;
        if status.success() {
            return Ok(());
        }
        let words = std::fs::read_to_string(&log).unwrap_or_default();
        let said = if words.trim().is_empty() { status.to_string() } else { words.trim().to_owned() };
        Err(RuntimeError::Spawner { said })
    }
}

/// Whether a file was read and does not hold what was written.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Runs what may block on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RuntimeError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| RuntimeError::ShuttingDown)
}

fn access(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RuntimeError + use<> {
    let path = path.to_owned();
    move |source| RuntimeError::Access { attempt, path, source }
}
