//! The two locks of an app, and what keeps builds and the sweep of slugs apart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::domain::{AppId, Email};
use crate::flows::build_queue::{BuildQueue, Place};

type AppLock = Arc<tokio::sync::Mutex<()>>;

/// Locks by app. An app's lock stays when the app goes: a few bytes, and no race about who removes it.
pub(super) struct Locks {
    build: Mutex<HashMap<AppId, AppLock>>,
    change: Mutex<HashMap<AppId, AppLock>>,
    builds: Arc<BuildQueue>,
    slugs: Arc<RwLock<()>>,
    memory: tokio::sync::Mutex<()>,
}

/// Held while an app builds, or a source is tested.
pub struct BuildPermit {
    _app: Option<OwnedMutexGuard<()>>,
    place: Place,
}

/// Why an app may not build now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BuildBlocked {
    App,
    Node,
}

impl Locks {
    /// Locks of a node that runs `at_once` builds at once; others wait for their turn.
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            build: Mutex::default(),
            change: Mutex::default(),
            builds: Arc::new(BuildQueue::new(at_once)),
            slugs: Arc::default(),
            memory: tokio::sync::Mutex::default(),
        }
    }

    /// Takes the right to build when its turn comes, or tells at once why not. `owner` is whose the app is, nobody where it is the
    /// administrator's.
    pub(super) fn try_build(&self, app: AppId, owner: Option<&Email>) -> Result<BuildPermit, BuildBlocked> {
        let guard = of(&self.build, app).try_lock_owned().map_err(|_| BuildBlocked::App)?;
        let place = self.builds.enter(owner).ok_or(BuildBlocked::Node)?;
        Ok(BuildPermit { _app: Some(guard), place })
    }

    /// As [`Self::try_build`], for tests: several of one pipeline go side by side, and none is in the way of an app's builds.
    pub(super) fn try_test(&self, owner: Option<&Email>) -> Result<BuildPermit, BuildBlocked> {
        let place = self.builds.enter(owner).ok_or(BuildBlocked::Node)?;
        Ok(BuildPermit { _app: None, place })
    }

    /// Waits for the turn of a build. `waits` is told how many builds run, if it must wait.
    pub(super) async fn turn(&self, permit: &mut BuildPermit, waits: impl FnOnce(usize)) {
        permit.place.turn(waits).await;
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

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_app_builds_once_at_a_time() {
        let locks = Locks::new(2);
        let (busy, other) = (AppId(Uuid::new_v4()), AppId(Uuid::new_v4()));
        let held = locks.try_build(busy, None).unwrap();
        assert_eq!(locks.try_build(busy, None).err(), Some(BuildBlocked::App));
        assert!(locks.try_build(other, None).is_ok() && locks.try_test(None).is_ok());
        drop(held);
        assert!(locks.try_build(busy, None).is_ok());
    }
}
