//! What the router remembers between requests: each app's figures, and which dynos are left alone.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::domain::{AppId, DynoId};
use crate::wire::codes::{Code, TABLE};
use crate::wire::metrics::{BOUNDS, Durations, STATUS_KINDS, status_kind, status_name};

/// Locks even where a holder has panicked: each change to the maps here is whole in itself.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Figures by app. An app has some from its first request on; each costs about 2 KiB.
#[derive(Debug, Default)]
pub(super) struct Apps {
    apps: RwLock<HashMap<AppId, Arc<AppFigures>>>,
}

/// What is counted of an app. Nobody waits for anybody: a reader may see one request in some of them and not yet in others.
#[derive(Debug)]
pub(super) struct AppFigures {
    in_flight: AtomicUsize,
    statuses: [AtomicU64; STATUS_KINDS],
    codes: [AtomicU64; TABLE.len()],
    /// From a request's arrival until a dyno had taken it, or until it was given up.
    pub(super) queue: Histogram,
    /// The connects.
    pub(super) connect: Histogram,
    /// From the connect to the end of the answer.
    pub(super) service: Histogram,
}

/// How often something took how long.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

/// One request in flight; over when dropped.
#[derive(Debug)]
pub(super) struct Entered(Arc<AppFigures>);

impl Apps {
    /// Counts one more request in flight for `app`.
    pub(super) fn enter(&self, app: AppId) -> Entered {
        let known = self.of(app);
        let figures = known.unwrap_or_else(|| {
            Arc::clone(self.apps.write().unwrap_or_else(PoisonError::into_inner).entry(app).or_default())
        });
        figures.in_flight.fetch_add(1, Ordering::Relaxed);
        Entered(figures)
    }

    /// The figures of `app`, if it has had a request.
    pub(super) fn of(&self, app: AppId) -> Option<Arc<AppFigures>> {
        self.apps.read().unwrap_or_else(PoisonError::into_inner).get(&app).cloned()
    }

    /// Forgets apps that are gone; requests still in flight for them keep their own figures. `live` tells the others, and is asked
    /// when nobody else is here: of several callers the last one knows the latest table.
    pub(super) fn retain(&self, live: impl FnOnce() -> HashSet<AppId>) {
        let mut known = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        let live = live();
        known.retain(|app, _| live.contains(app));
    }
}

impl Default for AppFigures {
    fn default() -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            statuses: [const { AtomicU64::new(0) }; STATUS_KINDS],
            codes: [const { AtomicU64::new(0) }; TABLE.len()],
            queue: Histogram::default(),
            connect: Histogram::default(),
            service: Histogram::default(),
        }
    }
}

impl AppFigures {
    /// Counts a request that is over.
    pub(super) fn ends(&self, status: u16, code: Option<Code>) {
        self.statuses[status_kind(status)].fetch_add(1, Ordering::Relaxed);
        if let Some(code) = code {
            self.codes[code as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The statuses there were, by name.
    pub(super) fn statuses(&self) -> Vec<(String, u64)> {
        let counts = self.statuses.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
        counts.filter(|(_, count)| *count > 0).map(|(kind, count)| (status_name(kind), count)).collect()
    }

    /// The codes there were, by name.
    pub(super) fn codes(&self) -> Vec<(String, u64)> {
        let counts = TABLE.iter().zip(&self.codes).map(|(row, count)| (row, count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).map(|(row, count)| (row.name.to_owned(), count)).collect()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BOUNDS.len() + 1], sum_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one more.
    pub(super) fn takes(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|(bound, _)| *bound < us);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What it has counted.
    pub(super) fn read(&self) -> Durations {
        Durations {
            counts: std::array::from_fn(|place| self.counts[place].load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
        }
    }
}

impl Entered {
    /// The figures of the request's app; this one is among those in flight.
    pub(super) fn figures(&self) -> &AppFigures {
        &self.0
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Requests that dynos have in hand, of apps that ask the one with the fewest. A dyno has a place here from its first one on.
#[derive(Debug, Default)]
pub(super) struct Loads {
    dynos: RwLock<HashMap<DynoId, Arc<AtomicUsize>>>,
}

/// One request that a dyno has in hand; over when dropped.
#[derive(Debug)]
pub(super) struct InHand(Arc<AtomicUsize>);

impl Loads {
    /// Requests that `dyno` has in hand.
    pub(super) fn of(&self, dyno: &DynoId) -> usize {
        let dynos = self.dynos.read().unwrap_or_else(PoisonError::into_inner);
        dynos.get(dyno).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Gives `dyno` one more.
    pub(super) fn gives(&self, dyno: DynoId) -> InHand {
        let known = self.dynos.read().unwrap_or_else(PoisonError::into_inner).get(&dyno).cloned();
        let count = known.unwrap_or_else(|| {
            let mut dynos = self.dynos.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(dynos.entry(dyno).or_default())
        });
        count.fetch_add(1, Ordering::Relaxed);
        InHand(count)
    }

    /// Forgets dynos that have nothing in hand: one that is asked again begins anew.
    pub(super) fn sweep(&self) {
        let mut dynos = self.dynos.write().unwrap_or_else(PoisonError::into_inner);
        // Nobody counts on it meanwhile: who does has taken a share of it under this lock.
        dynos.retain(|_, count| Arc::strong_count(count) > 1);
    }
}

impl Drop for InHand {
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
        let (counters, app) = (Apps::default(), AppId(Uuid::nil()));
        let first = counters.enter(app);
        let second = counters.enter(app);
        assert_eq!(counters.enter(AppId(Uuid::max())).figures().in_flight(), 1);
        assert_eq!(second.figures().in_flight(), 2);
        drop(second);
        assert_eq!(first.figures().in_flight(), 1);
    }

    #[test]
    fn a_duration_is_counted_below_the_first_bound_that_it_does_not_exceed() {
        let histogram = Histogram::default();
        for us in [0, 1_000, 1_001, 30_000_000, 30_000_001] {
            histogram.takes(Duration::from_micros(us));
        }
        let Durations { counts, sum_us } = histogram.read();
        assert_eq!((counts[0], counts[1], counts[13], counts[14]), (2, 1, 1, 1));
        assert_eq!((counts.iter().sum::<u64>(), sum_us), (5, 60_002_002));
    }

    #[test]
    fn figures_of_an_app_that_is_gone_are_forgotten() {
        let (counters, app) = (Apps::default(), AppId(Uuid::nil()));
        let entered = counters.enter(app);
        entered.figures().ends(503, Some(Code::H12));
        entered.figures().ends(299, None);
        let figures = counters.of(app).unwrap();
        assert_eq!(figures.statuses(), [("503".to_owned(), 1), ("2xx".to_owned(), 1)]);
        assert_eq!(figures.codes(), [("H12".to_owned(), 1)]);
        counters.retain(HashSet::new);
        assert!(counters.of(app).is_none());
    }

    #[test]
    fn what_a_dyno_has_in_hand_is_counted_until_it_is_over() {
        let (loads, dyno) = (Loads::default(), DynoId(Uuid::nil()));
        let (first, second) = (loads.gives(dyno), loads.gives(dyno));
        assert_eq!((loads.of(&dyno), loads.of(&DynoId(Uuid::max()))), (2, 0));
        drop(first);
        loads.sweep();
        assert_eq!(loads.of(&dyno), 1, "what is in hand is not forgotten");
        drop(second);
        loads.sweep();
        assert_eq!((loads.of(&dyno), loads.dynos.read().unwrap().len()), (0, 0));
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
