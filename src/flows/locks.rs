//! The two locks of an app, the node's bound on builds, and what keeps builds and the sweep of slugs apart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{
    OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, Semaphore,
};

use crate::domain::AppId;

/// The most builds of the node at once: each may use a whole CPU and a few GiB of disk.
pub(super) const BUILDS_MAX: usize = 4;

type AppLock = Arc<tokio::sync::Mutex<()>>;

/// Locks by app. An app's lock stays when the app goes: a few bytes, and no race about who removes it.
pub(super) struct Locks {
    build: Mutex<HashMap<AppId, AppLock>>,
    change: Mutex<HashMap<AppId, AppLock>>,
    builds: Arc<Semaphore>,
    slugs: Arc<RwLock<()>>,
    memory: tokio::sync::Mutex<()>,
}

/// Held while an app builds.
pub struct BuildPermit {
    _app: OwnedMutexGuard<()>,
    _node: OwnedSemaphorePermit,
}

/// Why an app may not build now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BuildBlocked {
    App,
    Node,
}

impl Default for Locks {
    fn default() -> Self {
        Self {
            build: Mutex::default(),
            change: Mutex::default(),
            builds: Arc::new(Semaphore::new(BUILDS_MAX)),
            slugs: Arc::default(),
            memory: tokio::sync::Mutex::default(),
        }
    }
}

impl Locks {
    /// Takes the right to build, or tells at once why not.
    pub(super) fn try_build(&self, app: AppId) -> Result<BuildPermit, BuildBlocked> {
        let guard = of(&self.build, app).try_lock_owned().map_err(|_| BuildBlocked::App)?;
        let permit = Arc::clone(&self.builds).try_acquire_owned().map_err(|_| BuildBlocked::Node)?;
        Ok(BuildPermit { _app: guard, _node: permit })
    }

    /// Keeps builds away from an app that is going, whatever the node's bound.
    pub(super) fn try_close(&self, app: AppId) -> Result<OwnedMutexGuard<()>, BuildBlocked> {
        of(&self.build, app).try_lock_owned().map_err(|_| BuildBlocked::App)
    }

    /// Held by a build until its slug is in a release: a slug that it makes again must not be swept meanwhile.
    pub(super) async fn making_slug(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.slugs).read_owned().await
    }

    /// Takes the right to sweep slugs, unless one is being made.
    pub(super) fn try_sweep(&self) -> Option<OwnedRwLockWriteGuard<()>> {
        Arc::clone(&self.slugs).try_write_owned().ok()
    }

    /// Waits for the right to promise memory of the node: two apps that scale at once must not both take what is left.
    pub(super) async fn memory(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.memory.lock().await
    }

    /// Waits for the right to make a release or change the formation.
    pub(super) async fn change(&self, app: AppId) -> OwnedMutexGuard<()> {
        of(&self.change, app).lock_owned().await
    }
}

fn of(locks: &Mutex<HashMap<AppId, AppLock>>, app: AppId) -> AppLock {
    // A map of locks cannot be left half changed by a panic.
    Arc::clone(locks.lock().unwrap_or_else(PoisonError::into_inner).entry(app).or_default())
}
