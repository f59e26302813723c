//! The spawner: a small process of one thread, the only one that clones containers (a process with many threads must not fork Rust
//! code). It outlives whoever started it and is the parent of all containers; should it die, they live on.

mod bench;
mod berth;
mod enter;
pub(crate) mod protocol;
mod start;
mod streams;
mod trace;

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::runtime::cgroup::{Cgroups, DeviceRules, Enforcement};
use crate::runtime::exit::{Exit, ExitStatus};
use crate::runtime::plan::{PLAN_FORMAT, Plan};
use crate::runtime::record::{self, ContainerDir, ProcessRecord};
use crate::runtime::seccomp;
use crate::runtime::spec::ContainerId;
use crate::sys::lock::{self, Lock};
use crate::sys::message::{self, Channel, Listener};
use crate::sys::process::{self, ChildSignals, Cloned, End, Namespaces, SingleThreaded};
use crate::sys::{clock, credentials, mount, peer, seal};

use bench::Bench;
use berth::{Berth, Berths};
use protocol::{PLAN_BYTES_MAX, PROTOCOL, Reply, Request};
use start::Given;

pub use protocol::{Side, StepFailed, Timings};
pub use trace::{Lap, Trace};

pub(crate) use bench::{MASK_DIRECTORY, MASK_FILE};
pub(crate) use streams::ChildStreams;
pub(crate) use trace::Recorder;

/// First argument that makes the binary play this role; the second is the configuration as JSON.
pub const ROLE: &str = "spawner";
/// A client that has connected must say what it wants within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// A spawner without containers and without requests for this long ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// What a spawner must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnerConfig {
    /// The node's runtime directory.
    pub run_dir: PathBuf,
    /// Name of the node's subtree of control groups.
    pub cgroup_root: String,
    /// Whether containers start although a limit cannot be held.
    pub limits: LimitsPolicy,
    /// What tells the file that this program was started from, from others.
    pub build: String,
}

/// See `SpawnerConfig::limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LimitsPolicy {
    /// They do not.
    #[default]
    Required,
    /// They do.
    WhereOffered,
}

impl LimitsPolicy {
    pub(crate) fn enforcement(self) -> Enforcement {
        match self {
            LimitsPolicy::Required => Enforcement::Required,
            LimitsPolicy::WhereOffered => Enforcement::WhereOffered,
        }
    }
}

impl SpawnerConfig {
    pub(crate) fn socket(&self) -> PathBuf {
        self.run_dir.join("spawner.sock")
    }
}

/// Plays the role with the configuration out of the command line.
///
/// # Errors
/// As `main`, or the configuration is not one.
pub fn main_from(config: &str) -> io::Result<()> {
    main(&serde_json::from_str(config)?)
}

/// Plays the role: takes the socket, goes into the background, serves. Returns in the launching process as soon as requests are
/// answered (or refused to be), and in the background when the spawner's time is over.
///
/// # Errors
/// What kept the spawner from serving.
pub fn main(config: &SpawnerConfig) -> io::Result<()> {
    let single = SingleThreaded::claim()
        .ok_or_else(|| io::Error::other("the spawner was started with several threads"))?;
    // Every container's first process is a copy of this one.
    seal::run_sealed()?;
    std::fs::create_dir_all(record::all(&config.run_dir))?;
    let Some(lock) = lock::try_lock(&config.run_dir.join("spawner.lock"))? else {
        // Another one serves already.
        return Ok(());
    };
    let mut spawner = Spawner::new(config, single, lock)?;
    match single.clone(Namespaces::NONE, None)? {
        Cloned::Parent { .. } => Ok(()),
        Cloned::Child => {
            process::new_session()?;
            // In its starter's group it serves as well, as long as nobody ends that group.
            if let Err(error) = spawner.cgroups.move_in() {
                spawner.note(&format!("it stays in the control group of its starter: {}", full_text(&error)));
            }
            let done = spawner.serve();
            if let Err(error) = &done {
                spawner.note(&format!("the spawner ends: {error}"));
            }
            done
        }
    }
}

/// The spawner's state.
struct Spawner {
    config: SpawnerConfig,
    single: SingleThreaded,
    bench: Bench,
    cgroups: Cgroups,
    children: HashMap<u32, ContainerId>,
    berths: Berths,
    signals: ChildSignals,
    door: Option<(Listener, Lock)>,
}

impl Spawner {
    fn new(config: &SpawnerConfig, single: SingleThreaded, lock: Lock) -> io::Result<Spawner> {
        process::block_signals()?;
        credentials::hide_from_debuggers()?;
        credentials::keep_rights_as_any_user()?;
        mount::enter_private_namespace()?;
        let bench = Bench::set_up(config.run_dir.join("mnt"))?;
        let cgroups =
            Cgroups::detect(&config.cgroup_root, config.limits.enforcement()).map_err(io::Error::other)?;
        let rules = cgroups.setup().map_err(|error| io::Error::other(full_text(&error)))?;
        if let DeviceRules::NotTaken(why) = rules {
            note(&format!(
                "the kernel keeps no rules about devices, only mounts keep containers from them: {why}"
            ));
        }
        cgroups.sweep_ready();
        // Compiled here once; every container inherits the result.
        seccomp::hardened().map_err(io::Error::other)?;
        seccomp::telling().map_err(io::Error::other)?;
        let door = Some((Listener::bind(&config.socket())?, lock));
        let signals = process::child_descriptor()?;
        let config = config.clone();
        Ok(Spawner {
            config,
            single,
            bench,
            cgroups,
            children: HashMap::new(),
            berths: Berths::default(),
            signals,
            door,
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut idle_since = Instant::now();
        loop {
            if self.door.is_some() {
                self.refill_berths();
            }
            let mut waited = vec![self.signals.as_fd()];
            waited.extend(self.door.as_ref().map(|(listener, _)| listener.as_fd()));
            let ready = process::wait_readable(&waited, Some(IDLE_TIMEOUT))?;
            self.reap()?;
            if ready.get(1) == Some(&true) {
                self.answer_all()?;
                idle_since = Instant::now();
            }
            let is_idle = self.door.is_none() || idle_since.elapsed() >= IDLE_TIMEOUT;
            if self.children.is_empty() && is_idle {
                self.close();
                return Ok(());
            }
        }
    }

    /// Takes the socket away first, so that nobody connects to one that is no longer answered.
    fn close(&mut self) {
        self.berths.close();
        if self.door.is_some() {
            // While the lock is held: behind it the path may be the next spawner's, who also replaces one that stayed.
            let _ = std::fs::remove_file(self.config.socket());
        }
        self.door = None;
    }

    fn answer_all(&mut self) -> io::Result<()> {
        while let Some((listener, _)) = &self.door {
            let Some(client) = listener.accept()? else { return Ok(()) };
            // So that the end of a container is written down before its name is given anew.
            self.reap()?;
            if let Err(error) = self.answer(&client) {
                // The client's loss; it sees its connection close.
                self.note(&format!("a request could not be answered: {error}"));
            }
        }
        Ok(())
    }

    fn answer(&mut self, client: &Channel) -> io::Result<()> {
        if peer::credentials(client)?.uid != crate::sys::privilege::effective_uid() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let Some((request, descriptors)) = protocol::hear(client, REQUEST_TIMEOUT)? else { return Ok(()) };
        match request {
            Request::Start { format, .. } if format != PLAN_FORMAT => {
                protocol::say(client, &Reply::OtherFormat, &[])
            }
            Request::Start { trace, .. } => self.start(client, descriptors, Recorder::new(trace)),
            Request::Hello => {
                let hello = Reply::Hello { protocol: PROTOCOL, build: self.config.build.clone() };
                protocol::say(client, &hello, &[])
            }
            Request::Enter => match enter::run(self, client, descriptors) {
                // The process between answers.
                Ok(()) => Ok(()),
                Err(failed) => protocol::say(client, &Reply::Failed(failed), &[]),
            },
            Request::Ping => protocol::say(client, &Reply::Pong, &[]),
            Request::Retire => {
                self.close();
                protocol::say(client, &Reply::Retired, &[])
            }
        }
    }

    fn start(&mut self, client: &Channel, descriptors: Vec<OwnedFd>, mut trace: Recorder) -> io::Result<()> {
        let began = trace.begin();
        let mut descriptors = descriptors.into_iter();
        let file = descriptors.next().ok_or(io::ErrorKind::InvalidData)?;
        let file = std::fs::File::from(file);
        let berth = self.berths.take();
        if let Some(berth) = &berth {
            berth.read(&file);
        }
        let plan = match read_plan(file) {
            Ok(plan) => plan,
            Err(error) => {
                berth.iter().for_each(Berth::give_up);
                return Err(error);
            }
        };
        trace.end(began, Side::Host, "read the plan");
        let given = Given { netns: descriptors.next(), berth, trace };
        match start::run(self, &plan, given) {
            Ok(started) => {
                self.children.insert(started.record.pid, plan.id.clone());
                let given: Vec<_> = started.given.iter().map(AsFd::as_fd).collect();
                let reply =
                    Reply::Started { record: started.record, timings: started.timings, laps: started.laps };
                let said = protocol::say(client, &reply, &given);
                // Nobody waits for what is left to do; a container whose client has gone is found by its record.
                let dir = ContainerDir::of(&self.config.run_dir, &plan.id);
                if let Err(error) = dir.write_process(&ProcessRecord::of(&plan)) {
                    self.note(&format!("container {} takes no further commands: {error}", plan.id));
                }
                if let Err(failed) = start::finish(&plan, &started.rest) {
                    self.note(&format!("container {}: {failed}", plan.id));
                }
                said
            }
            Err(failed) => protocol::say(client, &Reply::Failed(failed), &[]),
        }
    }

    /// Collects what has ended, and writes down the end of containers.
    fn reap(&mut self) -> io::Result<()> {
        self.signals.drain();
        while let Some(reaped) = process::reap()? {
            let Some(id) = self.children.remove(&reaped.pid) else {
                self.berths.ended(reaped.pid);
                continue;
            };
            let dir = ContainerDir::of(&self.config.run_dir, &id);
            if !dir.record().is_ok_and(|record| record.pid == reaped.pid) {
                // Removed already by somebody who read init's own words.
                continue;
            }
            let oom = self.cgroups.open(id.as_str()).and_then(|group| group.events());
            let oom = oom.is_ok_and(|events| events.oom_kills > 0);
            let exit = match dir.last_words() {
                Ok(Some(exit)) => Exit { oom, ..exit },
                // Init was killed: it dies with everything else in the container.
                Ok(None) | Err(_) => Exit { status: status(reaped.end), at: clock::now(), oom },
            };
            let written = dir.write_exit(&exit);
            if let Some(error) = written.err().filter(|error| error.kind() != io::ErrorKind::NotFound) {
                self.note(&format!("container {id}: its end could not be written down: {error}"));
            }
        }
        Ok(())
    }

    /// Says something to whoever reads the spawner's log.
    fn note(&self, text: &str) {
        note(text);
    }
}

fn note(text: &str) {
    // There is nowhere to complain about a lost complaint.
    let _ = writeln!(io::stderr(), "spawner: {text}");
}

/// The plan in a file.
fn read_plan(file: std::fs::File) -> io::Result<Plan> {
    Ok(serde_json::from_slice(&message::contents(file.into(), PLAN_BYTES_MAX)?)?)
}

pub(crate) fn status(end: End) -> ExitStatus {
    match end {
        End::Code(code) => ExitStatus::Code(code),
        End::Signal(signal) => ExitStatus::Signal(signal),
    }
}

/// An error and its causes on one line.
pub(super) fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
