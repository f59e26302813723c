//! The two locks of an app, the node's bound on builds, and what keeps builds and the sweep of slugs apart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{
    OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, Semaphore,
};

use crate::domain::AppId;

/// The most builds that may wait for their turn; each keeps its source on the node's disk.
const WAITING_MAX: usize = 32;

type AppLock = Arc<tokio::sync::Mutex<()>>;

/// Locks by app. An app's lock stays when the app goes: a few bytes, and no race about who removes it.
pub(super) struct Locks {
    build: Mutex<HashMap<AppId, AppLock>>,
    change: Mutex<HashMap<AppId, AppLock>>,
    builds: Arc<Semaphore>,
    at_once: usize,
    admitted: Arc<Semaphore>,
    slugs: Arc<RwLock<()>>,
    memory: tokio::sync::Mutex<()>,
}

/// Held while an app builds.
pub struct BuildPermit {
    _app: OwnedMutexGuard<()>,
    _admitted: OwnedSemaphorePermit,
    turn: Option<OwnedSemaphorePermit>,
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
            builds: Arc::new(Semaphore::new(at_once)),
            at_once,
            admitted: Arc::new(Semaphore::new(at_once.saturating_add(WAITING_MAX))),
            slugs: Arc::default(),
            memory: tokio::sync::Mutex::default(),
        }
    }

    /// Takes the right to build when its turn comes, or tells at once why not.
    pub(super) fn try_build(&self, app: AppId) -> Result<BuildPermit, BuildBlocked> {
        let guard = of(&self.build, app).try_lock_owned().map_err(|_| BuildBlocked::App)?;
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| BuildBlocked::Node)?;
        Ok(BuildPermit { _app: guard, _admitted: admitted, turn: None })
    }

    /// Waits for the turn of a build, in the order in which they ask. `waits` is told how many builds run, if it must wait.
    pub(super) async fn turn(&self, permit: &mut BuildPermit, waits: impl FnOnce(usize)) {
        if permit.turn.is_none() {
            permit.turn = match Arc::clone(&self.builds).try_acquire_owned() {
                Ok(turn) => Some(turn),
                Err(_) => {
                    waits(self.at_once);
                    // The semaphore is never closed.
                    Arc::clone(&self.builds).acquire_owned().await.ok()
                }
            };
        }
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
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    fn app() -> AppId {
        AppId(Uuid::new_v4())
    }

    #[tokio::test]
    async fn builds_over_the_bound_wait_for_their_turn_in_order() {
        let locks = Locks::new(1);
        let mut first = locks.try_build(app()).unwrap();
        locks.turn(&mut first, |_| panic!("nothing runs")).await;
        let (mut second, mut third) = (locks.try_build(app()).unwrap(), locks.try_build(app()).unwrap());
        let mut told = None;
        let mut next = Box::pin(locks.turn(&mut second, |running| told = Some(running)));
        assert!(next.as_mut().now_or_never().is_none(), "one runs");
        let mut last = Box::pin(locks.turn(&mut third, |_| ()));
        assert!(last.as_mut().now_or_never().is_none(), "one runs, one waits");
        drop(first);
        assert!(last.as_mut().now_or_never().is_none(), "it is the turn of the other");
        next.await;
        assert_eq!(told, Some(1));
        drop(second);
        last.await;
    }

    #[test]
    fn an_app_builds_once_and_the_queue_has_an_end() {
        let locks = Locks::new(2);
        let busy = app();
        let held = locks.try_build(busy).unwrap();
        assert_eq!(locks.try_build(busy).err(), Some(BuildBlocked::App));
        let others: Vec<_> = (1..2 + WAITING_MAX).map(|_| locks.try_build(app()).unwrap()).collect();
        assert_eq!(locks.try_build(app()).err(), Some(BuildBlocked::Node));
        drop((held, others));
        assert!(locks.try_build(busy).is_ok());
    }
}
