//! The real engine: dynos are containers of our own runtime.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::domain::{AppId, Bytes, NetnsAddress, SizeLimits, Sizes};
use crate::runtime::network::NodeNetwork;
use crate::runtime::slots::{Slot, Slots};
use crate::runtime::spawner::Side;
use crate::runtime::{
    self, Adopted, Container, Entry, Exit, ExitStatus, Hold, Outcome, Runtime, StartError, StdioFds,
};
use crate::supervisor::Connection;
use crate::supervisor::engine::figures::{self, Machine, Moment};
use crate::supervisor::engine::label::Tag;
use crate::supervisor::engine::networks::{Berth, Networks};
use crate::supervisor::engine::sandbox::{self, CGROUP, Loan, MEMORY_LIMIT};
use crate::supervisor::engine::slugs::Slugs;
use crate::supervisor::engine::{
    DynoSpec, End, Engine, EngineError, Fault, Found, Home, Reach, Reading, Remains, Running, Signal,
    Started, Streams, Visit, Visiting, Visitor,
};
use crate::supervisor::service::{CONTAINER_PREFIX, Gate};
use crate::sys::process::runnable_threads;
use crate::sys::{clock, fs, processors};
use crate::wire::logline::MemoryFigures;

/// How often a dyno is looked at for a process that died for want of memory.
const MEMORY_POLL: Duration = Duration::from_secs(1);
/// Permission bits of directories and files that a dyno may only read.
const READABLE_DIR_MODE: u32 = 0o755;
const READABLE_FILE_MODE: u32 = 0o444;
/// Permission bits of what lies between: passable, not to be listed.
const SCRATCH_MODE: u32 = 0o711;

/// What the engine must know of its node.
#[derive(Clone, Debug)]
pub struct NativeConfig {
    /// Index of the node on its host.
    pub index: u32,
    /// The node's durable state: `slugs/<digest>/app` and `scratch/<container>` lie there.
    pub lib_dir: PathBuf,
    /// Who answers names for dynos.
    pub resolvers: Vec<IpAddr>,
    /// What a dyno of each size may use.
    pub sizes: Sizes,
    /// What dynos see as `/app`.
    pub home: Home,
}

/// Runs dynos as containers. Clones share it.
#[derive(Clone, Debug)]
pub struct NativeEngine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    runtime: Runtime,
    networks: Arc<Networks>,
    gate: Arc<Gate>,
    config: NativeConfig,
    slugs: Arc<Slugs>,
    machine: Arc<Machine>,
}

/// A dyno in its container.
struct NativeDyno {
    runtime: Runtime,
    container: Container,
    gate: Arc<Gate>,
    address: Ipv4Addr,
    connection: Output,
    /// What it may use.
    size: SizeLimits,
    machine: Arc<Machine>,
    /// Its application was killed.
    killed: AtomicBool,
    /// Free again when the last holder of the dyno lets go, after its container is cleared away.
    _slot: Option<Slot>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Ring,
    Client,
}

impl NativeEngine {
    /// An engine of this runtime and network. `slots` is shared with whoever else starts containers.
    #[must_use]
    pub fn new(
        (runtime, network): (Runtime, Arc<NodeNetwork>),
        slots: Slots,
        gate: Arc<Gate>,
        config: NativeConfig,
    ) -> Self {
        let slugs = Arc::new(Slugs::under(config.lib_dir.join("slugs")));
        let (networks, machine) = (Networks::new(network, slots), Arc::new(machine()));
        Self { shared: Arc::new(Shared { runtime, networks, gate, config, slugs, machine }) }
    }
}

impl Engine for NativeEngine {
    fn start(&self, spec: DynoSpec) -> BoxFuture<'static, Result<Started, EngineError>> {
        let shared = self.shared.clone();
        async move { shared.start(spec).await }.boxed()
    }

    fn adopt(&self, known: BTreeSet<AppId>) -> BoxFuture<'static, Result<Vec<Found>, EngineError>> {
        let shared = self.shared.clone();
        async move { shared.adopt(known).await }.boxed()
    }
}

// === impl Shared ===

impl Shared {
    async fn start(&self, spec: DynoSpec) -> Result<Started, EngineError> {
        let name = spec.label.name.to_string();
        if self.config.home.has_slug() {
            self.slugs.check(&spec.release.slug)?;
        }
        let Berth { slot, lease } = self.networks.take(&name).await?;
        let scratch = self.scratch(&spec.label.id.to_string());
        let mut loan =
            self.loan(&spec, slot.number(), (lease.netns.clone(), lease.address), scratch.clone())?;
        let admitted = self.gate.admit(spec.label.app, lease.address).await;
        loan.attached =
            admitted.map_err(|error| failed(format!("let {name} reach its data services"), chain(&error)))?;
        let started = self.start_lent(&spec, &loan).await;
        // Now that this one no longer waits.
        self.networks.refill();
        let (container, streams) = match started {
            Ok(started) => started,
            Err(error) => {
                // The runtime leaves nothing behind; what we made ourselves is ours to remove.
                let _ = fs::remove_tree(&scratch);
                self.dismiss(lease.address).await;
                return Err(error);
            }
        };
        // The namespace lives in its processes from here on.
        drop(lease);
        let connection = if spec.connection == Connection::Log { Output::Ring } else { Output::Client };
        let dyno = NativeDyno {
            runtime: self.runtime.clone(),
            container,
            gate: Arc::clone(&self.gate),
            address: loan.address,
            connection,
            size: loan.size,
            machine: Arc::clone(&self.machine),
            killed: AtomicBool::new(false),
            _slot: Some(slot),
        };
        Ok(Started { dyno: Arc::new(dyno), streams })
    }

    /// Shuts the ways of a dyno that is no more. Where that fails it is done before another has its address.
    async fn dismiss(&self, address: Ipv4Addr) {
        if let Err(error) = self.gate.dismiss(address).await {
            tracing::warn!(%address, error = chain(&error), "the ways of a dyno that has ended stay open for now");
        }
    }

    async fn start_lent(&self, spec: &DynoSpec, loan: &Loan) -> Result<(Container, Streams), EngineError> {
        let name = &spec.label.name;
        let tag = Tag { label: spec.label.clone(), slot: loan.slot, address: loan.address };
        let labels = tag.labels().map_err(|error| failed(format!("label {name}"), chain(&error)))?;
        let id = spec.label.id.to_string().parse();
        let id = id.map_err(|error| failed(format!("name the container of {name}"), chain(&error)))?;
        let layers = spec.release.stack.layers.clone();
        let sandbox = sandbox::sandbox(spec, loan).named(id, layers, labels);
        prepare(loan, loan.size.memory)
            .map_err(|error| failed(format!("make {} for {name}", loan.scratch.display()), chain(&error)))?;
        let started = self.runtime.start(sandbox).await.map_err(|error| EngineError {
            fault: self.fault(&error),
            ..failed(format!("start {name}"), chain(&error))
        })?;
        Ok((started.container, streams(started.stdio)))
    }

    fn loan(
        &self,
        spec: &DynoSpec,
        slot: u32,
        (netns, address): (PathBuf, Ipv4Addr),
        scratch: PathBuf,
    ) -> Result<Loan, EngineError> {
        let slug = self.slugs.files(&spec.release.slug);
        let read = |name: &str| {
            let path = sandbox::in_layers(&spec.release.stack.layers, Path::new(name));
            path.map_or_else(|| Ok(String::new()), std::fs::read_to_string).map_err(|error| {
                failed(format!("read {name} of the stack {}", spec.release.stack.name), chain(&error))
            })
        };
        if self.config.home.has_slug() && !slug.is_dir() {
            let attempt = format!("find the slug of release {}", spec.release.version);
            return Err(failed(attempt, format!("{} is not there; deploy again", slug.display())));
        }
        Ok(Loan {
            index: self.config.index,
            size: self.config.sizes.limits(spec.label.size),
            slot,
            netns,
            address,
            resolvers: self.config.resolvers.clone(),
            attached: Vec::new(),
            home: self.config.home.clone(),
            slug,
            scratch,
            machine: Arc::clone(&self.machine),
            passwd: read("etc/passwd")?,
            group: read("etc/group")?,
        })
    }

    /// Whose fault it is that a container did not start.
    fn fault(&self, error: &StartError) -> Fault {
        match (error, &self.config.home) {
            // The step tells what it was about to mount.
            (StartError::Step { source, .. }, Home::Directory(directory))
                if source.side == Side::Host && source.step.contains(&format!("{:?}", directory.path)) =>
            {
                Fault::Directory
            }
            _ => Fault::Platform,
        }
    }

    fn scratch(&self, container: &str) -> PathBuf {
        self.config.lib_dir.join("scratch").join(container)
    }

    async fn adopt(&self, known: BTreeSet<AppId>) -> Result<Vec<Found>, EngineError> {
        let runtime = self.runtime.clone();
        let adopted = tokio::task::spawn_blocking(move || runtime.adopt_all())
            .await
            .map_err(|error| failed("find running containers".to_owned(), chain(&error)))?
            .map_err(|error| failed("find running containers".to_owned(), chain(&error)))?;
        let present: BTreeSet<String> = adopted.iter().map(|found| found.id.to_string()).collect();
        let mut found = vec![];
        // Those of data services have somebody else who looks after them.
        let dynos = adopted.into_iter().filter(|found| !found.id.as_str().starts_with(CONTAINER_PREFIX));
        for Adopted { id, container, outcome } in dynos {
            let tag = Tag::read(container.labels()).filter(|tag| known.contains(&tag.label.app));
            let Some(tag) = tag else {
                tracing::info!(container = %id, "ending a container that belongs to no app");
                end(&container).await;
                continue;
            };
            let slot = self.networks.claim(tag.slot);
            if slot.is_none() {
                tracing::warn!(container = %id, slot = tag.slot, "two containers hold one slot");
            }
            let output = match tag.label.class {
                crate::supervisor::lifecycle::Class::Attached => Output::Client,
                crate::supervisor::lifecycle::Class::Web
                | crate::supervisor::lifecycle::Class::Worker
                | crate::supervisor::lifecycle::Class::Detached => Output::Ring,
            };
            let end = match outcome {
                Outcome::Alive => None,
                Outcome::Gone(exit) => Some(end_of(exit)),
            };
            if end.is_none()
                && let Err(error) = self.gate.admit(tag.label.app, tag.address).await
            {
                tracing::error!(container = %id, error = chain(&error), "a dyno does not reach its data services");
            }
            let dyno = NativeDyno {
                runtime: self.runtime.clone(),
                container,
                gate: Arc::clone(&self.gate),
                address: tag.address,
                connection: output,
                size: self.config.sizes.limits(tag.label.size),
                machine: Arc::clone(&self.machine),
                killed: AtomicBool::new(false),
                _slot: slot,
            };
            found.push(Found { label: tag.label, dyno: Arc::new(dyno), end });
        }
        self.sweep(&present);
        self.networks.refill();
        Ok(found)
    }

    /// Removes scratch directories that no container has: of starts cut off, and of containers whose record went first.
    fn sweep(&self, present: &BTreeSet<String>) {
        let dir = self.config.lib_dir.join("scratch");
        // No directory is no litter.
        let Ok(entries) = std::fs::read_dir(&dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !present.contains(&name)
                && let Err(error) = fs::remove_tree(&entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "a scratch directory is left over");
            }
        }
    }
}

pub(super) fn streams(ends: StdioFds) -> Streams {
    match ends {
        StdioFds::Log => Streams::Log,
        StdioFds::Terminal { master } => Streams::Terminal(master),
        StdioFds::Pipes { stdin, stdout, stderr } => Streams::Pipes { stdin, stdout, stderr },
    }
}

/// What dynos are told of the machine.
fn machine() -> Machine {
    let told = |what: &str, error: std::io::Error| {
        tracing::warn!(%error, "dynos are not told {what}");
    };
    Machine {
        processors: processors::allowed().unwrap_or_else(|error| {
            told("their processors", error);
            vec![]
        }),
        booted_at_s: processors::booted_at_s().unwrap_or_else(|error| {
            told("when the machine was started", error);
            0
        }),
    }
}

/// Makes the directories on disk that the dyno's mounts lead to.
fn prepare(loan: &Loan, quota: Bytes) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    // Set apart from the making, which the umask of this process would cut.
    let set_mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode));
    std::fs::DirBuilder::new().recursive(true).mode(SCRATCH_MODE).create(&loan.scratch)?;
    let cgroup = loan.scratch.join(CGROUP);
    let limit = cgroup.join(MEMORY_LIMIT);
    let memory = limit.parent().unwrap_or(&cgroup);
    std::fs::create_dir_all(memory)?;
    std::fs::write(&limit, format!("{}\n", quota.0))?;
    set_mode(&cgroup, READABLE_DIR_MODE)?;
    set_mode(memory, READABLE_DIR_MODE)?;
    set_mode(&limit, READABLE_FILE_MODE)
}

/// Ends a container and clears it away. What fails here is found again at the next start.
async fn end(container: &Container) {
    if container.is_running() {
        if let Err(error) = container.kill() {
            tracing::warn!(container = %container.id(), error = chain(&error), "a container was not ended");
            return;
        }
        container.wait().await;
    }
    if let Err(error) = container.remove().await {
        tracing::warn!(container = %container.id(), error = chain(&error), "a container was not cleared away");
    }
}

/// Waits for the end of a dyno, and brings it about once a process of it has died for want of memory: where memory is
/// limited through version 1 hierarchies the kernel ends that process alone, and the platform ends the dyno (R15).
async fn whole_end(container: Container) -> Exit {
    while !has_died_for_memory(&container) {
        if let Ok(exit) = tokio::time::timeout(MEMORY_POLL, container.wait()).await {
            return exit;
        }
    }
    let group = container.cgroup();
    // Its last words are still to be relayed: init is spared. A group that is gone has ended.
    let killing = tokio::task::spawn_blocking(move || group.and_then(|group| group.kill_app()));
    if let Ok(Err(error)) = killing.await {
        tracing::debug!(container = %container.id(), error = chain(&error), "a dyno past its memory has ended already");
    }
    container.wait().await
}

fn has_died_for_memory(container: &Container) -> bool {
    container.cgroup().and_then(|group| group.events()).is_ok_and(|events| events.oom_kills > 0)
}

fn end_of(exit: Exit) -> End {
    End { status: exit.shell_status(), out_of_memory: exit.oom, at: exit.at }
}

pub(super) fn failed(attempt: String, cause: impl Into<String>) -> EngineError {
    EngineError { attempt, cause: cause.into(), fault: Fault::Platform }
}

/// An error with its causes, in one line.
pub(in crate::supervisor) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

// === impl NativeDyno ===

impl Running for NativeDyno {
    fn wait(&self) -> BoxFuture<'static, End> {
        let container = self.container.clone();
        async move { end_of(whole_end(container).await) }.boxed()
    }

    fn signal(&self, signal: Signal) -> Result<(), EngineError> {
        let Some(signal) = signal_of(signal) else { return Ok(()) };
        let sent = self.container.signal_all(signal);
        sent.map(drop).map_err(|error| failed(format!("signal {}", self.container.id()), chain(&error)))
    }

    fn kill(&self) -> Result<(), EngineError> {
        // Init is spared at first: what the dyno said last is still with it. Who is told to kill again gets it all.
        let is_first = !self.killed.swap(true, Ordering::Relaxed);
        let spared = is_first.then(|| self.container.kill_application()).filter(Result::is_ok);
        let killed = spared.unwrap_or_else(|| self.container.kill());
        killed.map_err(|error| failed(format!("kill {}", self.container.id()), chain(&error)))
    }

    fn visit(&self, visit: Visit) -> BoxFuture<'static, Result<Visiting, EngineError>> {
        let (runtime, id) = (self.runtime.clone(), self.container.id().clone());
        let entry = Entry {
            id: id.clone(),
            argv: sandbox::argv(&visit.command, &self.size),
            env: visit.env,
            stdio: sandbox::stdio(visit.connection),
        };
        async move {
            let entered = runtime.enter(entry).await;
            let entered = entered.map_err(|error| failed(format!("run a command in {id}"), chain(&error)))?;
            Ok(Visiting::of(entered))
        }
        .boxed()
    }

    fn listening(&self) -> Result<Vec<SocketAddr>, EngineError> {
        let sockets = self.container.listening();
        let sockets = sockets
            .map_err(|error| failed(format!("list sockets of {}", self.container.id()), chain(&error)))?;
        Ok(sockets.into_iter().map(|socket| socket.address).collect())
    }

    fn reach(&self) -> Option<Reach> {
        let netns = self.container.netns();
        let netns = NetnsAddress { path: netns.path, device: netns.dev, inode: netns.ino };
        Some(Reach { netns, address: Some(self.address) })
    }

    fn reading(&self) -> Option<Reading> {
        let group = self.container.cgroup().ok()?;
        let usage = group.usage().ok()?;
        let memory = MemoryFigures {
            rss: Bytes(usage.memory_anonymous_bytes),
            cache: Bytes(usage.memory_cache_bytes),
            swap: Bytes(usage.swap_bytes),
            pages_in: usage.pages_in,
            pages_out: usage.pages_out,
        };
        let runnable = group.app_pids().ok()?.into_iter().map(runnable_threads).sum();
        Some(Reading {
            memory,
            runnable,
            used: Bytes(usage.memory_bytes),
            shared: Bytes(usage.memory_shared_bytes),
            cpu: Duration::from_nanos(usage.cpu_ns),
            tasks: usage.pids,
        })
    }

    fn show(&self, reading: &Reading, load: [f64; 3]) {
        let lived = clock::now().duration_since(self.container.started_at()).unwrap_or_default();
        let files =
            figures::files(&self.machine, self.size.memory, &Moment { reading: *reading, lived, load });
        let files = files.map(|(target, text)| (Path::new(target), text));
        // A dyno that an earlier version started has none, and one that ends has no more.
        if let Err(error) = self.container.rewrite(&files) {
            tracing::debug!(container = %self.container.id(), error = chain(&error), "a dyno is not shown its figures");
        }
    }

    fn remains(&self) -> Remains {
        let exit = self.container.ended();
        let signal = match exit.map(|exit| exit.status) {
            Some(ExitStatus::Signal(signal)) => Some(signal),
            Some(ExitStatus::Code(_) | ExitStatus::Lost) | None => None,
        };
        let lost = exit.is_none_or(|exit| exit.status == ExitStatus::Lost);
        let refused = self.container.refused_calls().into_iter();
        let refused_calls = refused.map(|call| (call.name, call.count)).collect();
        let Ok(group) = self.container.cgroup() else {
            return Remains { lost, signal, refused_calls, ..Remains::default() };
        };
        let (events, pressure) = (group.events().unwrap_or_default(), group.pressure());
        let waited = [pressure.cpu, pressure.memory, pressure.io];
        Remains {
            lost,
            signal,
            memory_peak: Bytes(group.usage().map_or(0, |usage| usage.memory_peak_bytes)),
            memory_limit_hits: events.memory_limit_hits,
            oom_kills: events.oom_kills,
            refused_tasks: events.pids_limit_hits,
            refused_calls,
            waited: waited.map(|stall| stall.map(|stall| stall.some.avg60)),
        }
    }

    fn log_ring(&self) -> Option<PathBuf> {
        (self.connection == Output::Ring).then(|| self.container.log_ring())
    }

    fn clear(&self) -> BoxFuture<'static, Result<(), EngineError>> {
        let (container, gate, address) = (self.container.clone(), Arc::clone(&self.gate), self.address);
        async move {
            // Before somebody else has its address.
            let shut = gate.dismiss(address).await;
            shut.map_err(|error| failed(format!("shut the ways of {}", container.id()), chain(&error)))?;
            let removed = container.remove().await;
            removed.map_err(|error| failed(format!("clear {} away", container.id()), chain(&error)))
        }
        .boxed()
    }
}

impl Visitor for Hold {
    fn ended(&self) -> BoxFuture<'_, u8> {
        Hold::ended(self).map(ExitStatus::shell).boxed()
    }

    fn signal(&self, signal: Signal) {
        signal_of(signal).into_iter().for_each(|signal| Hold::signal(self, signal));
    }

    fn hang_up(&self) {
        Hold::hang_up(self);
    }
}

/// The signals a dyno is ever sent; a client's other wishes come to nothing.
fn signal_of(signal: Signal) -> Option<runtime::Signal> {
    use runtime::Signal as To;
    let all = [
        To::Hangup,
        To::Interrupt,
        To::Quit,
        To::Kill,
        To::Terminate,
        To::User1,
        To::User2,
        To::WindowChanged,
    ];
    all.into_iter().find(|known| known.number() == signal.0)
}
