//! The node's routers as the control plane sees them: finds the one that serves or starts it, replaces one of another build, follows
//! all of them, and starts another when one has died.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use crate::api::FiguresSource;
use crate::daemon::Config;
use crate::daemon::error::DaemonError;
use crate::daemon::router::{ROLE, RouterRole};
use crate::domain::{Certificates, RouteTable};
use crate::logs::LogService;
use crate::router::apart::{Greeting, ProcessConfig, RemoteRouter, Standing, Told};
use crate::sys::fingerprint;
use crate::wire::logline::LogLine;
use crate::wire::metrics::{AppTraffic, Losses, Traffic};

/// Where, below the run directory, the links of routers are.
const LINKS_DIR: &str = "routers";
/// The accounts of routers, one for each node of a machine: below the ids of containers.
const ACCOUNT_BASE: u32 = 0x6fff_ff00;
/// The pause before a router that has died is replaced.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// From this length on what earlier routers have said is dropped when another one starts, bytes.
const LOG_BYTES_MAX: u64 = 1 << 20;
/// How long a thread sleeps between two looks whether its router has said something.
const HEAR_TIMEOUT: Duration = Duration::from_secs(3600);
/// How long routers may take to tell their figures.
const FIGURES_TIMEOUT: Duration = Duration::from_secs(2);
/// How long routers may take to end: the time for requests in flight, and some for their last lines.
const STOP_TIMEOUT: Duration = Duration::from_secs(45);

/// The node's routers, looked after until dropped; dropping leaves them running.
pub(super) struct Routing {
    routers: Arc<Routers>,
    keeper: JoinHandle<()>,
}

/// What routers are given.
#[derive(Clone)]
pub(super) struct Snapshots {
    /// The apps and where they are reached.
    pub(super) table: watch::Receiver<Arc<RouteTable>>,
    /// What is shown to clients that ask for TLS.
    pub(super) certificates: watch::Receiver<Arc<Certificates>>,
}

struct Routers {
    settings: Settings,
    logs: LogService,
    snapshots: Snapshots,
    followed: Mutex<HashMap<PathBuf, Arc<Followed>>>,
    /// Lines that routers lost since they started, of all that were followed.
    lost_lines: AtomicU64,
    /// A router has gone.
    gone: Notify,
    runtime: Handle,
}

/// What routers are started with.
struct Settings {
    run_dir: PathBuf,
    listen: Vec<SocketAddr>,
    secure: Vec<SocketAddr>,
    account: u32,
    cgroup_root: String,
    program: PathBuf,
    build: String,
}

struct Followed {
    remote: RemoteRouter,
    greeting: Greeting,
    standing: Mutex<Standing>,
    asked: Mutex<Vec<oneshot::Sender<Vec<AppTraffic>>>>,
    /// True once it has gone.
    ended: watch::Sender<bool>,
}

/// The directory of links.
pub(super) fn links_dir(config: &Config) -> PathBuf {
    config.run_dir.join(LINKS_DIR)
}

/// Whether a router of an earlier process has the node's ports.
pub(super) fn is_served(dir: &Path) -> bool {
    let links = RemoteRouter::links(dir).unwrap_or_default();
    links.iter().any(|path| {
        RemoteRouter::greet(path).is_ok_and(|(_, greeting)| greeting.standing == Standing::Serving)
    })
}

/// Ends every router of a node, and waits for their ends. Blocks the thread.
///
/// # Errors
/// One does not end, or its link cannot be used.
pub(super) fn stop_all(dir: &Path) -> Result<(), DaemonError> {
    let mut ending = Vec::new();
    for path in RemoteRouter::links(dir).map_err(DaemonError::file(dir))? {
        match RemoteRouter::greet(&path) {
            Ok((remote, _)) => {
                // One that has gone since has ended.
                drop(remote.stop());
                ending.push(remote);
            }
            Err(error) if error.is_gone() => forget_link(&path),
            Err(error) => return Err(error.into()),
        }
    }
    let deadline = Instant::now() + STOP_TIMEOUT;
    for remote in ending {
        loop {
            match remote.hear(deadline.saturating_duration_since(Instant::now())) {
                Ok(Some(_)) => {}
                Ok(None) => return Err(DaemonError::RouterStays(STOP_TIMEOUT.as_secs())),
                Err(_) => break,
            }
        }
        forget_link(remote.path());
    }
    Ok(())
}

fn forget_link(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "the link of a router that has ended is left");
    }
}

// === impl Routing ===

impl Routing {
    /// Finds the router or starts it, and follows it from then on.
    ///
    /// # Errors
    /// No router serves, and none can be started.
    pub(super) async fn begin(
        config: &Config,
        program: PathBuf,
        logs: LogService,
        snapshots: Snapshots,
    ) -> Result<Self, DaemonError> {
        let settings = Settings {
            run_dir: config.run_dir.clone(),
            listen: config.router.clone(),
            secure: config.router_https.clone(),
            account: ACCOUNT_BASE + config.index,
            cgroup_root: config.host_name(),
            build: fingerprint::of_program(&program).map_err(DaemonError::file(&program))?,
            program,
        };
        let routers = Arc::new(Routers {
            settings,
            logs,
            snapshots,
            followed: Mutex::default(),
            lost_lines: AtomicU64::new(0),
            gone: Notify::new(),
            runtime: Handle::current(),
        });
        routers.ensured().await?;
        let kept = Arc::clone(&routers);
        let keeper = tokio::spawn(async move {
            loop {
                kept.gone.notified().await;
                tokio::time::sleep(RESTART_PAUSE).await;
                if let Err(error) = kept.ensured().await {
                    tracing::error!(%error, "no router serves: it is tried again");
                    kept.gone.notify_one();
                }
            }
        });
        Ok(Self { routers, keeper })
    }

    /// Where the API gets figures from.
    pub(super) fn figures(&self) -> FiguresSource {
        let routers = Arc::clone(&self.routers);
        Arc::new(move || {
            let routers = Arc::clone(&routers);
            Box::pin(async move { routers.figures().await })
        })
    }

    /// Looks after them no more; they go on.
    pub(super) fn leave(self) {
        self.keeper.abort();
    }

    /// Ends them.
    ///
    /// # Errors
    /// One stays.
    pub(super) async fn stop(self) -> Result<(), DaemonError> {
        self.keeper.abort();
        let followed: Vec<_> = self.routers.followed().values().cloned().collect();
        for one in &followed {
            // One that has gone since has ended.
            drop(one.remote.stop());
        }
        // This process goes on taking their lines meanwhile.
        let all_ended = async {
            for one in &followed {
                let mut ended = one.ended.subscribe();
                // The sender lives as long as `followed`.
                drop(ended.wait_for(|ended| *ended).await);
            }
        };
        tokio::time::timeout(STOP_TIMEOUT, all_ended)
            .await
            .map_err(|_| DaemonError::RouterStays(STOP_TIMEOUT.as_secs()))
    }
}

impl Routers {
    /// Runs [`Self::ensure`] where it may block.
    async fn ensured(self: &Arc<Self>) -> Result<(), DaemonError> {
        let routers = Arc::clone(self);
        let ensured = tokio::task::spawn_blocking(move || routers.ensure()).await;
        ensured.unwrap_or_else(|error| Err(DaemonError::Signals { source: io::Error::other(error) }))
    }

    /// Follows whoever is there, and sees to it that a router of this build and these addresses serves.
    fn ensure(self: &Arc<Self>) -> Result<(), DaemonError> {
        let dir = self.settings.run_dir.join(LINKS_DIR);
        std::fs::create_dir_all(&dir).map_err(DaemonError::file(&dir))?;
        let strangers = self.meet(&dir)?;
        if self.followed().values().any(|one| self.is_current(one)) {
            return Ok(());
        }
        let ours = self.followed().values().find(|one| one.stands() == Standing::Serving).cloned();
        let predecessor = ours.as_ref().map(|one| one.remote.path().to_owned()).or(strangers);
        self.launch(&dir, predecessor)?;
        if let Some(before) = ours {
            *lock(&before.standing) = Standing::Finishing;
        }
        self.meet(&dir)?;
        let is_there = self.followed().values().any(|one| self.is_current(one));
        if is_there { Ok(()) } else { Err(DaemonError::RouterLost) }
    }

    fn is_current(&self, one: &Followed) -> bool {
        let Greeting { build, listen, secure, .. } = &one.greeting;
        let wanted = &self.settings;
        let is_wanted = *build == wanted.build && *listen == wanted.listen && *secure == wanted.secure;
        one.stands() == Standing::Serving && is_wanted
    }

    /// Follows those who are not followed yet. Tells of one that serves and speaks another version: it can only be replaced.
    fn meet(self: &Arc<Self>, dir: &Path) -> Result<Option<PathBuf>, DaemonError> {
        let mut stranger = None;
        for path in RemoteRouter::links(dir).map_err(DaemonError::file(dir))? {
            if self.followed().contains_key(&path) {
                continue;
            }
            match RemoteRouter::greet(&path) {
                Ok((remote, greeting)) if greeting.is_understood => self.follow(remote, greeting)?,
                Ok((_, greeting)) if greeting.standing == Standing::Serving => stranger = Some(path),
                Ok(_) => {}
                Err(error) if error.is_gone() => forget_link(&path),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(stranger)
    }

    fn follow(self: &Arc<Self>, remote: RemoteRouter, greeting: Greeting) -> Result<(), DaemonError> {
        tracing::info!(pid = greeting.pid, standing = ?greeting.standing, "follows the router");
        let table = Arc::clone(&self.snapshots.table.borrow());
        let certificates = Arc::clone(&self.snapshots.certificates.borrow());
        remote.follow(&table, &certificates)?;
        let followed = Arc::new(Followed {
            standing: Mutex::new(greeting.standing),
            greeting,
            asked: Mutex::default(),
            ended: watch::channel(false).0,
            remote,
        });
        self.followed().insert(followed.remote.path().to_owned(), Arc::clone(&followed));
        let (routers, one) = (Arc::clone(self), Arc::clone(&followed));
        let hears = std::thread::Builder::new().name("router lines".to_owned());
        hears.spawn(move || routers.hear(&one)).map_err(DaemonError::file(followed.remote.path()))?;
        self.runtime.spawn(give(self.snapshots.clone(), followed));
        Ok(())
    }

    /// Takes what a router tells until it has gone.
    fn hear(&self, one: &Followed) {
        let mut lost_before = 0;
        loop {
            match one.remote.hear(HEAR_TIMEOUT) {
                Ok(None) => {}
                Ok(Some(Told::Figures(figures))) => {
                    for asked in lock(&one.asked).drain(..) {
                        drop(asked.send(figures.clone()));
                    }
                }
                Ok(Some(Told::Lines { lines, next, lost })) => {
                    for (app, at, line) in lines {
                        self.logs.push(app, LogLine::router(at, line));
                    }
                    if lost > lost_before {
                        let more = lost - lost_before;
                        self.lost_lines.fetch_add(more, Ordering::Relaxed);
                        tracing::warn!(lines = more, "lines of the router were lost while nobody took them");
                        lost_before = lost;
                    }
                    // On disk first: what is said to be heard is not told again.
                    self.runtime.block_on(self.logs.flush());
                    drop(one.remote.heard(next));
                }
                Err(error) => {
                    self.lose(one, &error);
                    return;
                }
            }
        }
    }

    fn lose(&self, one: &Followed, error: &dyn std::error::Error) {
        let path = one.remote.path();
        self.followed().remove(path);
        forget_link(path);
        match one.stands() {
            Standing::Serving => tracing::error!(pid = one.greeting.pid, %error, "the router has gone"),
            Standing::Finishing => tracing::info!(pid = one.greeting.pid, "the router has finished"),
        }
        one.ended.send_replace(true);
        self.gone.notify_one();
    }

    fn launch(&self, dir: &Path, predecessor: Option<PathBuf>) -> Result<(), DaemonError> {
        let Settings { run_dir, listen, secure, account, cgroup_root, program, build } = &self.settings;
        let process = ProcessConfig {
            dir: dir.to_owned(),
            listen: listen.clone(),
            secure: secure.clone(),
            account: *account,
            build: build.clone(),
            predecessor,
        };
        let role = RouterRole { process, cgroup_root: cgroup_root.clone() };
        let log = run_dir.join("router.log");
        let file = DaemonError::file;
        let mut options = std::fs::OpenOptions::new();
        let said = options.create(true).append(true).open(&log).map_err(file(&log))?;
        let role = serde_json::to_string(&role).map_err(|error| file(&log)(error.into()))?;
        let mut before = said.metadata().map_or(0, |metadata| metadata.len());
        if before >= LOG_BYTES_MAX {
            said.set_len(0).map_err(file(&log))?;
            before = 0;
        }
        let status = Command::new(program)
            .args([ROLE, &role])
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .status()
            .map_err(file(program))?;
        if status.success() {
            return Ok(());
        }
        let words = std::fs::read(&log).unwrap_or_default();
        let new = words.get(usize::try_from(before).unwrap_or(0)..).unwrap_or_default();
        let words = String::from_utf8_lossy(new);
        let last = words.lines().last().map_or_else(|| status.to_string(), str::to_owned);
        Err(DaemonError::RouterStart { said: last })
    }

    /// The figures of all routers that are there, those of one app together, and what is missing.
    async fn figures(&self) -> Traffic {
        let followed: Vec<_> = self.followed().values().cloned().collect();
        let mut answers = Vec::new();
        for one in &followed {
            let (asked, answer) = oneshot::channel();
            lock(&one.asked).push(asked);
            if one.remote.ask_figures().is_ok() {
                answers.push(answer);
            }
        }
        let mut silent = u64::try_from(followed.len() - answers.len()).unwrap_or(u64::MAX);
        let mut all = BTreeMap::new();
        for answer in answers {
            // One that is silent or has gone tells nothing.
            let Ok(Ok(figures)) = tokio::time::timeout(FIGURES_TIMEOUT, answer).await else {
                silent += 1;
                continue;
            };
            for traffic in figures {
                match all.get_mut(&traffic.app) {
                    None => drop(all.insert(traffic.app.clone(), traffic)),
                    Some(sum) => AppTraffic::add(sum, traffic),
                }
            }
        }
        let losses = Losses { lines: self.lost_lines.load(Ordering::Relaxed), silent };
        Traffic { apps: all.into_values().collect(), losses }
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Followed>>> {
        lock(&self.followed)
    }
}

impl Followed {
    fn stands(&self) -> Standing {
        *lock(&self.standing)
    }
}

/// Gives a router every new snapshot, until it has gone.
async fn give(mut snapshots: Snapshots, one: Arc<Followed>) {
    let mut ended = one.ended.subscribe();
    // The first ones were given before: a change between that and now is seen here.
    loop {
        let table = Arc::clone(&snapshots.table.borrow_and_update());
        let certificates = Arc::clone(&snapshots.certificates.borrow_and_update());
        let to = Arc::clone(&one);
        let given = tokio::task::spawn_blocking(move || to.remote.give(&table, &certificates)).await;
        if !matches!(given, Ok(Ok(()))) {
            return;
        }
        tokio::select! {
            changed = snapshots.table.changed() => if changed.is_err() { return },
            changed = snapshots.certificates.changed() => if changed.is_err() { return },
            _ = ended.wait_for(|ended| *ended) => return,
        }
    }
}

/// Locks even where a holder has panicked: each change here is whole in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
