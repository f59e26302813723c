//! Where a call's containers live: an index that no node has, and a runtime, a network and directories that go with it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::error::DaemonError;
use crate::daemon::instance::{IndexClaim, private_dir};
use crate::daemon::{Config, INDEX_MAX, cleanup};
use crate::local::Owner;
use crate::runtime::client::{Runtime, RuntimeConfig};
use crate::runtime::network::{NetworkError, NodeNetwork};
use crate::runtime::slots::Slots;
use crate::runtime::spawner::LimitsPolicy;
use crate::sys::fs;
use crate::sys::lock::{self, Lock};
use crate::sys::mount::give_to;

/// What this process runs, whatever has become of its file (proc(5)).
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Below a node's state: what is kept for each working directory.
const STATES_DIR: &str = "local";
/// Name of the file that tells which working directory something is for.
const DIRECTORY_FILE: &str = "directory";
/// Name of the lock on the mount points of a working directory.
const LOCK_FILE: &str = "lock";
/// How long that lock is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a build that was given up may take to be cleared away.
const BUILD_END_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause between two looks at that.
const BUILD_END_PAUSE: Duration = Duration::from_millis(20);

/// A place.
pub(super) struct Place {
    /// As a node of its own would have it, with the state of the working directory.
    pub(super) config: Config,
    pub(super) resolvers: Vec<IpAddr>,
    pub(super) runtime: Runtime,
    pub(super) network: Arc<NodeNetwork>,
    pub(super) slots: Slots,
    dir: PathBuf,
    _index: IndexClaim,
}

impl Place {
    /// Clears away what calls have left that were killed, and makes a place for `dir` with the index asked for, or a free one: the
    /// highest, since the low ones are those that people give to nodes.
    ///
    /// # Errors
    /// There is no index left, or containers cannot be run here.
    pub(super) async fn make(node: &Config, dir: &Path, index: Option<u32>) -> Result<Place, DaemonError> {
        let runs = runs_dir(node);
        let state = state_dir(node, dir);
        for made in [&runs, &node.lib_dir.join(STATES_DIR), &state] {
            private_dir(made).map_err(DaemonError::file(made))?;
        }
        let told = state.join(DIRECTORY_FILE);
        fs::write_atomically(&told, dir.as_os_str().as_encoded_bytes()).map_err(DaemonError::file(&told))?;
        sweep_runs(node, &runs).await?;
        sweep_states(node);
        let choice = index.map_or_else(|| (1..=INDEX_MAX).rev().collect(), |index| vec![index]);
        for index in choice.iter().copied() {
            let config = config(node, &state, index);
            let Some(claim) = IndexClaim::take(&config)? else { continue };
            match Self::with(config, dir, claim).await {
                // Somebody else's network uses these addresses; the next index has others.
                Err(DaemonError::Network(NetworkError::Overlap { .. })) if choice.len() > 1 => {}
                made => return made,
            }
        }
        Err(DaemonError::NoIndex)
    }

    async fn with(config: Config, dir: &Path, index: IndexClaim) -> Result<Place, DaemonError> {
        private_dir(&config.run_dir).map_err(DaemonError::file(&config.run_dir))?;
        let told = config.run_dir.join(DIRECTORY_FILE);
        let written = fs::write_atomically(&told, dir.as_os_str().as_encoded_bytes());
        written.map_err(DaemonError::file(&told))?;
        let runtime = connect(&config, LimitsPolicy::Required).await?;
        let network = cleanup::network(&config);
        let resolvers = network.resolvers.clone();
        let network = match NodeNetwork::setup(network).await {
            Ok(network) => Arc::new(network),
            Err(failed) => {
                cleanup::everything(&config, runtime).await?;
                return Err(failed.into());
            }
        };
        let (slots, dir) = (Slots::new(), dir.to_owned());
        Ok(Place { config, resolvers, runtime, network, slots, dir, _index: index })
    }

    /// Makes the directories over which those of these names in the slug are laid, and tells which of them there are. Those that
    /// are empty go with the last call for the working directory.
    pub(super) async fn lay_over(
        &self,
        dir: &Path,
        owner: Owner,
        names: Vec<String>,
    ) -> Result<Vec<String>, DaemonError> {
        let _alone = self.lock().await?;
        let mut laid = Vec::new();
        for name in names {
            let path = dir.join(&name);
            match std::fs::create_dir(&path) {
                Ok(()) => give_to(&path, owner.uid, owner.gid).map_err(DaemonError::file(&path))?,
                // What is no directory is the user's own, and stays as it is.
                Err(_) if !is_directory(&path) => continue,
                Err(_) => {}
            }
            laid.push(name);
        }
        Ok(laid)
    }

    /// Waits until nothing of a build is left that was given up.
    pub(super) async fn until_builds_are_gone(&self) {
        let over = async {
            while self.slots.held() > 0 {
                tokio::time::sleep(BUILD_END_PAUSE).await;
            }
        };
        if tokio::time::timeout(BUILD_END_TIMEOUT, over).await.is_err() {
            tracing::warn!("a build has not ended yet; what is left of it goes with the next start");
        }
    }

    /// Removes everything from the host; the state of the working directory stays.
    ///
    /// # Errors
    /// Something resists; the next call tries again.
    pub(super) async fn clear(self) -> Result<(), DaemonError> {
        let alone = self.lock().await?;
        let Place { config, runtime, dir, .. } = self;
        cleanup::everything(&config, runtime).await?;
        if !is_used(config.run_dir.parent().unwrap_or(&config.run_dir), &dir) {
            for name in super::built::last_folders(&config.lib_dir) {
                // Only what is empty goes; what was never there is gone.
                let _kept = std::fs::remove_dir(dir.join(name));
            }
        }
        drop(alone);
        Ok(())
    }

    /// Mount points come and go one call at a time: one that is removed takes along what others have mounted there.
    async fn lock(&self) -> Result<Option<Lock>, DaemonError> {
        let path = self.config.lib_dir.join(LOCK_FILE);
        let file = path.clone();
        let locked = tokio::task::spawn_blocking(move || lock::wait_lock(&file, LOCK_TIMEOUT)).await;
        locked.unwrap_or(Ok(None)).map_err(DaemonError::file(&path))
    }
}

fn is_directory(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|at| at.is_dir())
}

/// Whether some call is for this working directory. One that was killed counts until it is cleared away.
fn is_used(runs: &Path, dir: &Path) -> bool {
    let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join(DIRECTORY_FILE)).ok())
        .any(|told| told == dir.as_os_str().as_encoded_bytes())
}

/// The directory of what calls have while they run, beside the node's.
pub(in crate::daemon) fn runs_dir(node: &Config) -> PathBuf {
    let mut name = node.run_dir.as_os_str().to_owned();
    name.push("-local");
    name.into()
}

/// What is kept for a working directory: its builds, and what they have cached.
fn state_dir(node: &Config, dir: &Path) -> PathBuf {
    node.lib_dir.join(STATES_DIR).join(super::built::key(dir.as_os_str().as_encoded_bytes()))
}

fn config(node: &Config, state: &Path, index: u32) -> Config {
    let run_dir = runs_dir(node).join(index.to_string());
    Config { index, run_dir, lib_dir: state.to_owned(), ..node.clone() }
}

async fn connect(config: &Config, limits: LimitsPolicy) -> Result<Runtime, DaemonError> {
    let (run_dir, cgroup_root) = (config.run_dir.clone(), config.host_name());
    Ok(Runtime::connect(RuntimeConfig { run_dir, binary: OWN_PROGRAM.into(), cgroup_root, limits }).await?)
}

/// Clears away what is left of calls whose index nobody holds any more: they were killed.
async fn sweep_runs(node: &Config, runs: &Path) -> Result<(), DaemonError> {
    for entry in std::fs::read_dir(runs).map_err(DaemonError::file(runs))?.flatten() {
        let Some(index) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let config = config(node, &node.lib_dir.join(STATES_DIR), index);
        let Some(_claim) = IndexClaim::take(&config)? else { continue };
        let runtime = connect(&config, LimitsPolicy::WhereOffered).await?;
        cleanup::everything(&config, runtime).await?;
    }
    Ok(())
}

/// Forgets working directories that are gone. What cannot be removed is tried again.
fn sweep_states(node: &Config) {
    let entries = std::fs::read_dir(node.lib_dir.join(STATES_DIR)).into_iter().flatten().flatten();
    for state in entries.map(|entry| entry.path()) {
        let Ok(told) = std::fs::read_to_string(state.join(DIRECTORY_FILE)) else { continue };
        if !Path::new(&told).exists()
            && let Err(error) = fs::remove_tree(&state)
        {
            tracing::warn!(path = %state.display(), %error, "the builds of a directory that is gone are left");
        }
    }
}
