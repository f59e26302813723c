//! One process a node: locks on the node's directory and on its index, held as long as it serves.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::daemon::Config;
use crate::sys::fs::write_atomically;
use crate::sys::lock::{Lock, try_lock};

/// Where nodes of one machine tell each other which indices are taken.
const INDEX_LOCKS_DIR: &str = "/run/lock";

/// Where, below the run directory, the index of the node stands that made what is there.
const INDEX_FILE: &str = "index";

/// The claim on a directory and an index; dropped, another process may take them.
#[derive(Debug)]
pub struct Instance {
    // Let go of first: whoever gets the directory is to get the index as well.
    _index: IndexClaim,
    _root: Lock,
}

/// The claim on an index: what is on the host under its number is the holder's. Its file goes with it, since it lies outside of the
/// node's directory.
#[derive(Debug)]
pub(super) struct IndexClaim(Option<Lock>);

impl IndexClaim {
    /// Claims the index of `config`; nothing when another process has it.
    ///
    /// # Errors
    /// [`InstanceError::Prepare`]: the lock cannot be made.
    pub(super) fn take(config: &Config) -> Result<Option<Self>, InstanceError> {
        Self::take_in(config, Path::new(INDEX_LOCKS_DIR))
    }

    fn take_in(config: &Config, locks: &Path) -> Result<Option<Self>, InstanceError> {
        let path = locks.join(format!("{}.lock", config.host_name()));
        let taken = try_lock(&path).map_err(|source| InstanceError::Prepare { path, source })?;
        Ok(taken.map(|lock| Self(Some(lock))))
    }
}

impl Drop for IndexClaim {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(Lock::remove) {
            tracing::warn!(%error, "the lock of the node's index could not be removed");
        }
    }
}

/// Why this process may not be the node.
#[derive(Debug, Error)]
pub enum InstanceError {
    /// Another process serves this directory.
    #[error("a node runs already in {}: stop it first, or choose another directory with --root", run_dir.display())]
    RootTaken {
        /// The directory.
        run_dir: PathBuf,
    },
    /// Another node has the index.
    #[error("another node of this machine has index {index}: choose another with --index")]
    IndexTaken {
        /// The index.
        index: u32,
    },
    /// What an earlier process left on the host carries another index.
    #[error(
        "what this node has on the host carries the index {recorded}, not {index}: run `dyno down` first, or go on with --index {recorded}"
    )]
    OtherIndex {
        /// Index on the host.
        recorded: u32,
        /// Index asked for.
        index: u32,
    },
    /// A directory or a lock cannot be made.
    #[error("cannot prepare {}{}", path.display(), advice(source))]
    Prepare {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Instance {
    /// Makes the node's directories, readable by its owner alone, and claims them and the index.
    ///
    /// # Errors
    /// Another process has one of them, or they cannot be made.
    pub fn claim(config: &Config) -> Result<Self, InstanceError> {
        Self::claim_with(config, Path::new(INDEX_LOCKS_DIR))
    }

    /// The index of the node that made what is below `run_dir`, and on the host.
    #[must_use]
    pub fn recorded_index(run_dir: &Path) -> Option<u32> {
        fs::read_to_string(run_dir.join(INDEX_FILE)).ok()?.parse().ok()
    }

    fn claim_with(config: &Config, index_locks: &Path) -> Result<Self, InstanceError> {
        for dir in [&config.lib_dir, &config.run_dir] {
            private_dir(dir).map_err(|source| InstanceError::Prepare { path: dir.clone(), source })?;
        }
        let lock = |path: PathBuf| try_lock(&path).map_err(|source| InstanceError::Prepare { path, source });
        let root = lock(config.lib_dir.join("lock"))?
            .ok_or_else(|| InstanceError::RootTaken { run_dir: config.run_dir.clone() })?;
        let index = IndexClaim::take_in(config, index_locks)?;
        let index = index.ok_or(InstanceError::IndexTaken { index: config.index })?;
        match Self::recorded_index(&config.run_dir) {
            Some(recorded) if recorded != config.index => {
                return Err(InstanceError::OtherIndex { recorded, index: config.index });
            }
            Some(_) => {}
            None => {
                let path = config.run_dir.join(INDEX_FILE);
                write_atomically(&path, config.index.to_string().as_bytes())
                    .map_err(|source| InstanceError::Prepare { path, source })?;
            }
        }
        Ok(Self { _index: index, _root: root })
    }
}

fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied { ": a node is run by root" } else { "" }
}

/// Makes a directory that its owner alone may look into.
pub(super) fn private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    // Config vars, slugs and logs are nobody else's; containers are given what they need as mounts.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::daemon::ServeArgs;

    #[test]
    fn a_directory_and_an_index_are_served_once() {
        let (one, two, locks) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let claim = |dir: &Path, index| {
            let args = ServeArgs { root: Some(dir.into()), index: Some(index), ..Default::default() };
            Instance::claim_with(&Config::load(&args).unwrap(), locks.path())
        };
        let held = claim(one.path(), 1).unwrap();
        assert!(matches!(claim(one.path(), 2), Err(InstanceError::RootTaken { .. })));
        assert!(matches!(claim(two.path(), 1), Err(InstanceError::IndexTaken { index: 1 })));
        assert!(claim(two.path(), 2).is_ok());
        drop(held);
        assert_eq!(fs::read_dir(locks.path()).unwrap().count(), 0, "a trace stays");
        assert!(claim(one.path(), 1).is_ok());
        let mode = |dir: &str| fs::metadata(one.path().join(dir)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("lib"), mode("run")), (0o700, 0o700), "others may look in");
    }

    #[test]
    fn whoever_gets_the_directory_gets_the_index() {
        /// Claims that a second process takes over from the first.
        const ROUNDS: usize = 500;
        let (root, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let args = ServeArgs { root: Some(root.path().into()), index: Some(1), ..Default::default() };
        let config = Config::load(&args).unwrap();
        let take = || {
            for _ in 0..ROUNDS {
                while let Err(error) = Instance::claim_with(&config, locks.path()) {
                    assert!(matches!(error, InstanceError::RootTaken { .. }), "{error}");
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(take);
            take();
        });
    }

    #[test]
    fn what_is_on_the_host_keeps_its_index() {
        let (root, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let config = |index| {
            let args = ServeArgs { root: Some(root.path().into()), index: Some(index), ..Default::default() };
            Config::load(&args).unwrap()
        };
        let claim = |index| Instance::claim_with(&config(index), locks.path());
        drop(claim(20).unwrap());
        assert_eq!(Instance::recorded_index(&config(0).run_dir), Some(20));
        assert!(matches!(claim(0), Err(InstanceError::OtherIndex { recorded: 20, index: 0 })));
        assert!(claim(20).is_ok());
    }
}
