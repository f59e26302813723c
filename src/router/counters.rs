//! What the router remembers between requests: how many are in flight for each app, and which dynos are left alone.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::domain::{AppId, DynoId};

/// Locks even where a holder has panicked: each change to the maps here is whole in itself.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requests in flight, by app.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    apps: RwLock<HashMap<AppId, Arc<AtomicUsize>>>,
}

/// One request in flight; over when dropped.
#[derive(Debug)]
pub(super) struct Entered(Arc<AtomicUsize>);

impl InFlight {
    /// Counts one more for `app`.
    pub(super) fn enter(&self, app: AppId) -> Entered {
        let known = self.apps.read().unwrap_or_else(PoisonError::into_inner).get(&app).cloned();
        let counter = known.unwrap_or_else(|| {
            Arc::clone(self.apps.write().unwrap_or_else(PoisonError::into_inner).entry(app).or_default())
        });
        counter.fetch_add(1, Ordering::Relaxed);
        Entered(counter)
    }

    /// Forgets apps that are gone; requests still in flight for them keep their own counter.
    pub(super) fn retain(&self, apps: &HashSet<AppId>) {
        self.apps.write().unwrap_or_else(PoisonError::into_inner).retain(|app, _| apps.contains(app));
    }
}

impl Entered {
    /// How many are in flight for the app, this one included.
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Dynos that could not be reached, and until when they are left alone.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    until: Mutex<HashMap<DynoId, Instant>>,
    // Asked for every request, and nearly always zero.
    count: AtomicUsize,
}

impl Quarantine {
    /// Leaves `dyno` alone until `now + duration`.
    pub(super) fn put(&self, dyno: DynoId, now: Instant, duration: Duration) {
        let mut until = lock(&self.until);
        until.retain(|_, end| *end > now);
        until.insert(dyno, now + duration);
        self.count.store(until.len(), Ordering::Release);
    }

    /// Whether `dyno` is left alone.
    pub(super) fn holds(&self, dyno: &DynoId, now: Instant) -> bool {
        self.count.load(Ordering::Acquire) > 0 && lock(&self.until).get(dyno).is_some_and(|end| *end > now)
    }

    /// Forgets dynos that are gone, and times that are over.
    pub(super) fn retain(&self, dynos: &HashSet<DynoId>, now: Instant) {
        let mut until = lock(&self.until);
        until.retain(|dyno, end| *end > now && dynos.contains(dyno));
        self.count.store(until.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn requests_in_flight_are_counted_by_app() {
        let (counters, app) = (InFlight::default(), AppId(Uuid::nil()));
        let first = counters.enter(app);
        let second = counters.enter(app);
        assert_eq!(counters.enter(AppId(Uuid::max())).count(), 1);
        assert_eq!(second.count(), 2);
        drop(second);
        assert_eq!(first.count(), 1);
    }

    #[test]
    fn quarantine_ends_by_itself() {
        let (quarantine, dyno, start) = (Quarantine::default(), DynoId(Uuid::nil()), Instant::now());
        assert!(!quarantine.holds(&dyno, start));
        quarantine.put(dyno, start, Duration::from_secs(5));
        assert!(quarantine.holds(&dyno, start + Duration::from_millis(4_999)));
        assert!(!quarantine.holds(&dyno, start + Duration::from_secs(5)));
        quarantine.retain(&HashSet::new(), start);
        assert!(!quarantine.holds(&dyno, start));
    }
}
