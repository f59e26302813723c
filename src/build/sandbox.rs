//! The sandboxes of one build: each step is one container, and all of them share a few directories.
//!
//! One container runs at a time. Whoever drops the [`Workshop`] has it killed and everything removed; that also covers a start
//! that was under way.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::build::mirror::{self, Identity, Mirror, Serving};
use crate::build::transcript::Transcript;
use crate::build::{BuildRequest, Ground, NodeFailure, STORE_ID, Sandboxes, Stop};
use crate::domain::Bytes;
use crate::runtime::network::NetworkLease;
use crate::runtime::slots::{SLOTS, Slot};
use crate::runtime::{
    Access, Container, ContainerId, Exec, Exit, ExitStatus, IdMapped, IdRange, Limits, Network, Process,
    Sandbox, SandboxMount, StdioFds, StdioKind,
};
use crate::sys::fs::remove_tree;
use crate::sys::mount::read_in_root;
use crate::wire::push_text;

/// Where the cache is seen, as on the original platform.
pub(super) const CACHE_DIR: &str = "/tmp/codon/tmp/cache";
/// Where a second directory of the host is seen, for the step that needs one.
pub(super) const SIDE_DIR: &str = "/mnt";
/// Where an app is when it runs.
pub(super) const APP_DIR: &str = "/app";
/// What a build sandbox's name begins with, and its directory.
pub(super) const NAME_PREFIX: &str = "build-";
/// Directory below the node's state for what lives only as long as a container.
pub(super) const SCRATCH_DIR: &str = "scratch";

/// Directory of a build that its steps see as `/sys/fs/cgroup`.
pub(super) const FIGURES_DIR: &str = "cgroup";

/// Memory of a build, page cache included.
pub(super) const BUILD_MEMORY: Bytes = Bytes::mib(2560);
/// Processes and threads of a build at one time.
const BUILD_PIDS: u64 = 4096;
/// Open files of one process of a build.
const BUILD_NOFILE: u64 = 10_000;
/// A build's share of processor and disks beside dynos, which have 100 and more; of the processor where the kernel cannot do better:
/// a share alone lets a dyno that wakes up wait for the end of a build's turn.
const BUILD_WEIGHT: u64 = 20;
/// Puts a step behind others at disks where control groups do not weigh them, as on hosts with version 1 controllers.
const LAST_AT_DISKS: &str = "ionice -c 2 -n 7 -p $$ 2>/dev/null\n";
/// The most lines that may wait for the pusher to be told; more are left out.
const NOTES_MAX: usize = 16;
/// The most bytes of a step's errors that are kept.
const STDERR_BYTES_MAX: usize = 16 * 1024;

/// User and group of all steps inside: the stack's application user.
const BUILD_USER: u32 = 1000;
/// First of the host ids containers may have, and how many each has.
const HOST_IDS_BASE: u32 = 0x7000_0000;
const HOST_IDS_EACH: u32 = 65_536;

/// Where names are looked for first (hosts(5)).
const HOSTS: &str = "/etc/hosts";
/// The certificates that a stack trusts.
const TRUSTED: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What a step reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Package registries.
    Registries,
    /// Nothing; for steps of our own that handle what scripts have left.
    Nothing,
}

/// One run.
pub(super) struct Step {
    /// For errors.
    pub(super) name: &'static str,
    /// For `bash -c`.
    pub(super) script: String,
    /// Working directory.
    pub(super) cwd: String,
    pub(super) reach: Reach,
    /// Besides `/tmp` and `/app`.
    pub(super) mounts: Vec<SandboxMount>,
}

/// What a step reads.
pub(super) enum Input {
    Empty,
    File(PathBuf),
    Bytes(Vec<u8>),
    /// An archive, decompressed on the way.
    Zstd(PathBuf),
}

/// A step that has ended.
pub(super) struct Ended<T> {
    pub(super) exit: Exit,
    /// What was made of its output.
    pub(super) output: T,
    /// The beginning of its errors.
    pub(super) stderr: Vec<u8>,
}

impl<T> Ended<T> {
    /// The output, or `refusal` of the errors if the step failed; want of memory is always told as such.
    pub(super) fn or_refuse(self, refusal: impl FnOnce(u8, &str) -> Stop) -> Result<T, Stop> {
        if self.exit.is_success() {
            return Ok(self.output);
        }
        if self.exit.oom {
            return Err(Stop::Source(push_text::out_of_memory(BUILD_MEMORY)));
        }
        if self.exit.status == ExitStatus::Lost {
            return Err(Stop::Node(NodeFailure::Lost));
        }
        let text = String::from_utf8_lossy(&self.stderr);
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Err(refusal(self.exit.shell_status(), last))
    }
}

/// A place for one build.
pub(super) struct Workshop {
    sandboxes: Sandboxes,
    /// Eight hexadecimal digits of the build's id.
    mark: String,
    /// Whether tests are run in it.
    tests: bool,
    ground: Mutex<Ground>,
    env: Vec<(String, String)>,
    dir: PathBuf,
    host_base: u32,
    netns: Option<PathBuf>,
    steps: AtomicU32,
    /// The mirror, where there is one.
    mirrored: Option<Mirrored>,
    /// Lines that do not come from a step, on their way to the pusher.
    notes: (mpsc::Sender<String>, AsyncMutex<mpsc::Receiver<String>>),
    /// `None` once it is being cleared away.
    remains: Option<Remains>,
}

/// The mirror of a build: served while this is there.
struct Mirrored {
    _serving: Serving,
    /// What steps see as `/etc/hosts`.
    hosts: String,
    /// What the build is to trust besides.
    authority: String,
}

impl Mirrored {
    /// Serves the mirror in the build's network namespace.
    fn begin(mirror: &Arc<Mirror>, netns: &Path) -> Result<Self, NodeFailure> {
        let failed = |error: &dyn std::error::Error| NodeFailure::Mirror(error.to_string());
        let names = mirror.hosts();
        let identity =
            Identity::new(names.iter().map(|&name| name.to_owned())).map_err(|error| failed(&error))?;
        let namespace = std::fs::File::open(netns).map_err(|error| failed(&error))?.into();
        let serving = mirror::serve(Arc::clone(mirror), identity.acceptor, &namespace)
            .map_err(|error| failed(&error))?;
        let led = names.iter().map(|name| format!("{} {name}\n", mirror::ADDRESS));
        let hosts =
            format!("127.0.0.1 localhost localhost.localdomain\n::1 localhost\n{}", led.collect::<String>());
        Ok(Self { _serving: serving, hosts, authority: identity.authority })
    }
}

/// What must be cleared away, and in which order.
struct Remains {
    /// Held while a container is started, so that clearing away waits for it.
    live: Arc<AsyncMutex<Option<Container>>>,
    trash: Arc<Mutex<Vec<PathBuf>>>,
    slot: Slot,
    lease: Option<NetworkLease>,
}

impl Remains {
    async fn clear(self) {
        if let Some(container) = self.live.lock().await.take() {
            if let Err(error) = container.kill() {
                tracing::warn!(container = %container.id(), %error, "cannot kill a build's sandbox");
            }
            container.wait().await;
            if let Err(error) = container.remove().await {
                tracing::warn!(container = %container.id(), %error, "cannot remove a build's sandbox");
            }
        }
        let trash = std::mem::take(&mut *self.trash.lock().unwrap_or_else(PoisonError::into_inner));
        let removed = tokio::task::spawn_blocking(move || {
            for path in trash {
                if let Err(error) = remove_tree(&path) {
                    tracing::warn!(path = %path.display(), %error, "cannot remove what a build has left");
                }
            }
        });
        if removed.await.is_err() {
            tracing::warn!("the files of a build are left to the next start");
        }
        // The numbers are free only now that nothing of the build uses them.
        drop((self.lease, self.slot));
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let (Some(remains), Ok(handle)) = (self.remains.take(), tokio::runtime::Handle::try_current()) {
            handle.spawn(remains.clear());
        }
    }
}

impl Workshop {
    /// Takes a slot and a network; makes nothing on disk yet.
    pub(super) async fn open(request: &BuildRequest, sandboxes: &Sandboxes) -> Result<Workshop, NodeFailure> {
        let slot = sandboxes.slots.take().ok_or(NodeFailure::NoSlot)?;
        let lease = match &sandboxes.network {
            Some(network) => Some(network.allot(slot.number()).await?),
            None => None,
        };
        let id = request.id.simple().to_string();
        let mark = id[..8].to_owned();
        let dir = sandboxes.lib_dir.join(SCRATCH_DIR).join(format!("{NAME_PREFIX}{id}"));
        let number = sandboxes.node_index * SLOTS + slot.number();
        let netns = lease.as_ref().map(|lease| lease.netns.clone());
        let trash = Arc::new(Mutex::new(vec![dir.clone()]));
        let mirrored = match &netns {
            Some(netns) if !sandboxes.mirror.hosts().is_empty() => {
                Some(Mirrored::begin(&sandboxes.mirror, netns)?)
            }
            Some(_) | None => None,
        };
        Ok(Workshop {
            env: environment(request, sandboxes, &mark),
            mirrored,
            ground: Mutex::new(request.stack_base.clone()),
            sandboxes: sandboxes.clone(),
            tests: request.tests.is_some(),
            mark,
            dir,
            host_base: HOST_IDS_BASE + number * HOST_IDS_EACH,
            netns,
            steps: AtomicU32::new(0),
            notes: {
                let (sender, receiver) = mpsc::channel(NOTES_MAX);
                (sender, AsyncMutex::new(receiver))
            },
            remains: Some(Remains { live: Arc::default(), trash, slot, lease }),
        })
    }

    /// Kills what runs, removes everything, and gives the slot back.
    pub(super) async fn close(mut self) {
        if let Some(remains) = self.remains.take() {
            // A task of its own, which ends even if nobody waits for it any more.
            if tokio::spawn(remains.clear()).await.is_err() {
                tracing::warn!("a build was not cleared away to the end");
            }
        }
    }

    pub(super) fn lib_dir(&self) -> &Path {
        &self.sandboxes.lib_dir
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Tells the pusher something while a step runs.
    pub(super) fn note(&self, line: String) {
        if self.notes.0.try_send(line).is_err() {
            tracing::debug!(build = self.mark, "a note to the pusher is left out");
        }
    }

    /// The step that runs now.
    pub(super) async fn live(&self) -> Option<Container> {
        self.remains.as_ref()?.live.lock().await.clone()
    }

    /// What the steps stand on.
    fn ground(&self) -> Ground {
        self.ground.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The content version of it.
    pub(super) fn stack_version(&self) -> String {
        self.ground().version
    }

    /// What all steps from now on stand on.
    pub(super) fn stand_on(&self, ground: Ground) {
        *self.ground.lock().unwrap_or_else(PoisonError::into_inner) = ground;
    }

    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// `BUILD_DIR`, as steps see it. Tests are run where the app will be.
    pub(super) fn build_dir(&self) -> String {
        if self.tests { APP_DIR.to_owned() } else { format!("/tmp/build_{}", self.mark) }
    }

    /// The shell's words for the script that compiles.
    pub(super) fn compile_script(&self) -> &'static str {
        if self.tests {
            "$(if [ -f bin/test-compile ]; then echo bin/test-compile; else echo bin/compile; fi)"
        } else {
            "bin/compile"
        }
    }

    /// `ENV_DIR`, as steps see it.
    pub(super) fn env_dir(&self) -> String {
        format!("/tmp/env_{}", self.mark)
    }

    /// Has a path removed with the rest; fine if it has got another name by then.
    pub(super) fn also_remove(&self, path: PathBuf) {
        if let Some(remains) = &self.remains {
            remains.trash.lock().unwrap_or_else(PoisonError::into_inner).push(path);
        }
    }

    /// A directory of the host whose files are the store's.
    pub(super) fn bind(path: PathBuf, target: &str, access: Access) -> SandboxMount {
        let source = IdMapped { path, disk: Some((STORE_ID, BUILD_USER)) };
        SandboxMount::Bind { source, target: target.into(), access, exec: Exec::Allowed }
    }

    /// The cache, for steps that run scripts.
    pub(super) fn cache(&self) -> SandboxMount {
        Workshop::bind(self.dir.join("cache"), CACHE_DIR, Access::ReadWrite)
    }

    /// Runs a step to its end. `read` gets the reading end of its standard output and must read it to the end.
    pub(super) async fn run<T, F>(
        &self,
        step: Step,
        input: Input,
        read: impl FnOnce(OwnedFd) -> F,
    ) -> Result<Ended<T>, NodeFailure>
    where
        F: Future<Output = io::Result<T>>,
    {
        let name = step.name;
        let (container, [stdin, stdout, stderr]) = self.start(step).await?;
        let (fed, output, stderr) =
            tokio::join!(feed(stdin, input), read(stdout), first(stderr, STDERR_BYTES_MAX));
        if let Err(error) = fed {
            // A step that ends before it has read everything says why by its status.
            tracing::debug!(step = name, %error, "a step did not read all of its input");
        }
        let exit = container.wait().await;
        container.remove().await?;
        if let Some(remains) = &self.remains {
            remains.live.lock().await.take();
        }
        let object = Path::new(name);
        let output = output.map_err(NodeFailure::file("read the output of", object))?;
        let stderr = stderr.map_err(NodeFailure::file("read the errors of", object))?;
        Ok(Ended { exit, output, stderr })
    }

    /// Runs a step of our own, which ought to work: its output, up to `max` bytes and one.
    pub(super) async fn run_own(&self, step: Step, input: Input, max: usize) -> Result<Vec<u8>, Stop> {
        let name = step.name;
        let ended = self.run(step, input, |stdout| first(stdout, max + 1)).await?;
        ended.or_refuse(|status, said| {
            Stop::Node(NodeFailure::Step { step: name, status, said: said.to_owned() })
        })
    }

    async fn start(&self, step: Step) -> Result<(Container, [OwnedFd; 3]), NodeFailure> {
        let name = step.name;
        let live = self.remains.as_ref().map(|remains| Arc::clone(&remains.live));
        let mut live = live.ok_or(NodeFailure::ShuttingDown)?.lock_owned().await;
        let (runtime, sandbox) = (self.sandboxes.runtime.clone(), self.sandbox(step)?);
        // Not cancelled with the build: what was started must be known to those who clear it away.
        let starting = tokio::spawn(async move {
            let started = runtime.start(sandbox).await;
            if let Ok(started) = &started {
                *live = Some(started.container.clone());
            }
            started
        });
        let started = starting.await.map_err(|_| NodeFailure::ShuttingDown)?;
        let started = started.map_err(|source| NodeFailure::Start { step: name, source: source.into() })?;
        match started.stdio {
            StdioFds::Pipes { stdin, stdout, stderr } => Ok((started.container, [stdin, stdout, stderr])),
            StdioFds::Log | StdioFds::Terminal { .. } => Err(NodeFailure::ShuttingDown),
        }
    }

    fn sandbox(&self, step: Step) -> Result<Sandbox, NodeFailure> {
        let number = self.steps.fetch_add(1, Ordering::Relaxed);
        let id: ContainerId = format!("{NAME_PREFIX}{}-{number}", self.mark)
            .parse()
            .map_err(|error| NodeFailure::file("name", &self.dir)(io::Error::other(error)))?;
        let network = match (&self.netns, step.reach) {
            (Some(netns), Reach::Registries) => Network::Joined(netns.clone()),
            (Some(_) | None, _) => Network::Isolated,
        };
        let mut root_layers = self.ground().layers;
        root_layers.push(self.dir.join("targets"));
        Ok(Sandbox {
            id,
            hostname: format!("{NAME_PREFIX}{}", self.mark),
            root_layers,
            ids: IdRange { host_base: self.host_base, len: HOST_IDS_EACH },
            mounts: self.mounts(step.mounts),
            process: Process {
                argv: ["bash", "-c", &format!("{LAST_AT_DISKS}{}", step.script)].map(str::to_owned).to_vec(),
                env: self.env.clone(),
                cwd: step.cwd.into(),
                uid: BUILD_USER,
                gid: BUILD_USER,
                umask: 0o022,
            },
            limits: Limits {
                memory_bytes: Some(BUILD_MEMORY.0),
                memory_swap_bytes: Some(0),
                cpu_weight: BUILD_WEIGHT,
                cpu_idle: true,
                io_weight: BUILD_WEIGHT,
                pids: Some(BUILD_PIDS),
                nofile: BUILD_NOFILE,
                ..Limits::default()
            },
            network,
            stdio: StdioKind::Pipes,
            labels: [("kind".to_owned(), "build".to_owned())].into(),
        })
    }

    fn mounts(&self, of_the_step: Vec<SandboxMount>) -> Vec<SandboxMount> {
        let mut mounts = vec![
            Workshop::bind(self.dir.join("tmp"), "/tmp", Access::ReadWrite),
            Workshop::bind(self.dir.join("app"), "/app", Access::ReadWrite),
            SandboxMount::Bind {
                source: IdMapped { path: self.dir.join(FIGURES_DIR), disk: None },
                target: "/sys/fs/cgroup".into(),
                access: Access::ReadOnly,
                exec: Exec::Denied,
            },
        ];
        for (target, contents) in self.files() {
            mounts.push(SandboxMount::File { target, contents, mode: 0o444 });
        }
        for path in self.host_binds() {
            let source = IdMapped { path: path.clone(), disk: None };
            let (access, exec) = (Access::ReadOnly, Exec::Allowed);
            mounts.push(SandboxMount::Bind { source, target: path.clone(), access, exec });
        }
        mounts.extend(of_the_step);
        mounts
    }

    /// The files laid over the stack's: the host's, and those that lead to the mirror and have it trusted.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files: BTreeMap<_, _> = self.sandboxes.files.iter().cloned().collect();
        if let Some(mirrored) = &self.mirrored {
            files.insert(HOSTS.into(), mirrored.hosts.clone().into_bytes());
            let trusted = files.entry(TRUSTED.into()).or_insert_with(|| self.of_stack(Path::new(TRUSTED)));
            trusted.push(b'\n');
            trusted.extend(mirrored.authority.as_bytes());
        }
        files
    }

    /// A file of what the steps stand on; empty where there is none.
    fn of_stack(&self, path: &Path) -> Vec<u8> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let mut layers = self.ground().layers.into_iter().rev();
        layers.find_map(|layer| read_in_root(&layer, relative).ok()).unwrap_or_default()
    }

    /// The host's directories of packages that can be shown at their own place: its first part is no link in the stack.
    pub(super) fn host_binds(&self) -> impl Iterator<Item = &PathBuf> {
        let layers = self.ground().layers;
        let shown = move |path: &&PathBuf| {
            let relative = path.strip_prefix("/").ok();
            let first = relative.and_then(|path| path.components().next());
            let is_link =
                |first: std::path::Component<'_>| layers.iter().any(|layer| layer.join(first).is_symlink());
            path.is_dir() && !path.starts_with("/tmp") && first.is_some_and(|first| !is_link(first))
        };
        self.sandboxes.binds.iter().filter(shown)
    }
}

/// What scripts see, lowest first: the stack's, the host's way to registries, the contract's (platform reference 3.4).
fn environment(request: &BuildRequest, sandboxes: &Sandboxes, mark: &str) -> Vec<(String, String)> {
    let mut env = request.stack_env.clone();
    env.entry("PATH".into())
        .or_insert_with(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    env.extend(sandboxes.env.iter().cloned());
    let contract = [
        ("BUILDPACK_LOG_FILE", "/dev/null".to_owned()),
        ("DYNO", format!("build.{mark}")),
        ("HOME", "/app".to_owned()),
        ("REQUEST_ID", request.id.to_string()),
        ("SOURCE_VERSION", request.source_version.clone()),
        ("STACK", request.stack_compat.clone()),
    ];
    if request.tests.is_some() {
        env.insert("CI".to_owned(), "true".to_owned());
    }
    // A proxy would look for a mirrored host in the network.
    for name in ["no_proxy", "NO_PROXY"] {
        let listed = sandboxes.mirror.hosts().into_iter().map(str::to_owned);
        let all: Vec<_> = env.get(name).cloned().into_iter().chain(listed).collect();
        if !sandboxes.mirror.hosts().is_empty() {
            env.insert(name.to_owned(), all.join(","));
        }
    }
    env.extend(contract.map(|(name, value)| (name.to_owned(), value)));
    env.into_iter().collect()
}

async fn feed(stdin: OwnedFd, input: Input) -> io::Result<()> {
    match input {
        Input::Empty => Ok(()),
        Input::Bytes(bytes) => pipe::Sender::from_owned_fd(stdin)?.write_all(&bytes).await,
        Input::File(path) => {
            let mut file = tokio::fs::File::open(path).await?;
            let mut to = pipe::Sender::from_owned_fd(stdin)?;
            tokio::io::copy(&mut file, &mut to).await.map(|_| ())
        }
        Input::Zstd(path) => {
            let copied = tokio::task::spawn_blocking(move || {
                let mut archive = zstd::Decoder::new(std::fs::File::open(path)?)?;
                io::copy(&mut archive, &mut std::fs::File::from(stdin)).map(|_| ())
            });
            copied.await.map_err(io::Error::other)?
        }
    }
}

/// Reads to the end, and keeps the first `max` bytes.
pub(super) async fn first(from: OwnedFd, max: usize) -> io::Result<Vec<u8>> {
    let mut from = pipe::Receiver::from_owned_fd(from)?;
    let mut kept = Vec::new();
    (&mut from).take(max as u64).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// Reads to the end, and shows it as it comes, with what else there is to tell meanwhile.
pub(super) async fn show(
    from: OwnedFd,
    workshop: &Workshop,
    transcript: &mut Transcript<'_>,
) -> io::Result<()> {
    let mut from = pipe::Receiver::from_owned_fd(from)?;
    let mut notes = workshop.notes.1.lock().await;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = tokio::select! {
            count = from.read(&mut buffer) => count?,
            Some(note) = notes.recv() => {
                transcript.end_line();
                transcript.say(&note);
                continue;
            }
        };
        if count == 0 {
            transcript.end_line();
            return Ok(());
        }
        transcript.bytes(&buffer[..count]);
    }
}
