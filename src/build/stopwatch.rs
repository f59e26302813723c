//! How long the phases of a build take.

use std::time::Instant;

use crate::domain::{BuildPhase, PhaseTime};

/// Runs from phase to phase.
pub(super) struct Stopwatch {
    since: Instant,
    laps: Vec<PhaseTime>,
}

// === impl Stopwatch ===

impl Stopwatch {
    /// Begins the first phase.
    pub(super) fn start() -> Self {
        Self { since: Instant::now(), laps: Vec::new() }
    }

    /// Ends `phase`, and begins the next.
    pub(super) fn lap(&mut self, phase: BuildPhase) {
        let now = Instant::now();
        self.laps.push(PhaseTime { phase, spent: now.duration_since(self.since) });
        self.since = now;
    }

    /// The phases that have ended.
    pub(super) fn timings(self) -> Vec<PhaseTime> {
        self.laps
    }
}
