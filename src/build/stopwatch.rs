//! How long the phases of a build take.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::{BuildPhase, PhaseTime};

/// The phases that a build has been through, for whoever asked for it; they are there however it ends.
#[derive(Clone, Debug, Default)]
pub struct Laps(Arc<Mutex<Vec<PhaseTime>>>);

// === impl Laps ===

impl Laps {
    /// Adds a phase that has ended.
    pub fn add(&self, phase: BuildPhase, spent: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(PhaseTime { phase, spent });
    }

    /// Those so far, in their order.
    #[must_use]
    pub fn all(&self) -> Vec<PhaseTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs from phase to phase. What ends it before its time ends its phase as well.
pub(super) struct Stopwatch {
    laps: Laps,
    phase: BuildPhase,
    since: Instant,
}

// === impl Stopwatch ===

impl Stopwatch {
    /// Begins the first phase.
    pub(super) fn start(laps: Laps, phase: BuildPhase) -> Self {
        Self { laps, phase, since: Instant::now() }
    }

    /// Ends the phase, and begins the next.
    pub(super) fn next(&mut self, phase: BuildPhase) {
        let now = Instant::now();
        self.laps.add(self.phase, now.duration_since(self.since));
        (self.phase, self.since) = (phase, now);
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.laps.add(self.phase, self.since.elapsed());
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_phase_that_is_broken_off_is_told_as_well() {
        let laps = Laps::default();
        let mut watch = Stopwatch::start(laps.clone(), BuildPhase::Prepare);
        watch.next(BuildPhase::Compile);
        drop(watch);
        let phases: Vec<_> = laps.all().iter().map(|lap| lap.phase).collect();
        assert_eq!(phases, [BuildPhase::Prepare, BuildPhase::Compile]);
    }
}
