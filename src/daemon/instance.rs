//! One process a node: locks on the node's directory and on its index, held as long as it serves.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::daemon::Config;
use crate::sys::lock::{Lock, try_lock};

/// Where nodes of one machine tell each other which indices are taken.
const INDEX_LOCKS_DIR: &str = "/run/lock";

/// The claim on a directory and an index; dropped, another process may take them.
#[derive(Debug)]
pub struct Instance {
    _root: Lock,
    _index: Trace,
}

/// A lock whose file goes with it, since it lies outside of the node's directory.
#[derive(Debug)]
struct Trace(Option<Lock>);

impl Drop for Trace {
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
    /// A directory or a lock cannot be made.
    #[error("cannot prepare {}", path.display())]
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

    fn claim_with(config: &Config, index_locks: &Path) -> Result<Self, InstanceError> {
        for dir in [&config.lib_dir, &config.run_dir] {
            private_dir(dir).map_err(|source| InstanceError::Prepare { path: dir.clone(), source })?;
        }
        let lock = |path: PathBuf| try_lock(&path).map_err(|source| InstanceError::Prepare { path, source });
        let root = lock(config.lib_dir.join("lock"))?
            .ok_or_else(|| InstanceError::RootTaken { run_dir: config.run_dir.clone() })?;
        let index = lock(index_locks.join(format!("{}.lock", config.host_name())))?
            .ok_or(InstanceError::IndexTaken { index: config.index })?;
        Ok(Self { _root: root, _index: Trace(Some(index)) })
    }
}

fn private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    // Others may pass through, so that containers reach what is mounted for them, but not list what is there.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o711))
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
    }
}
