//! Where the time of one start goes, step by step. Recorded only for a request that asks for it; any other start reads no clock
//! for it.

use std::cmp::Reverse;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::runtime::spawner::protocol::Side;
use crate::sys::clock;

/// Longest description of a step in a lap, in characters: a reader wants to recognise it, and the whole must fit a packet.
const STEP_CHARACTERS_MAX: usize = 72;

/// Whether a start tells where its time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trace {
    /// No.
    Off,
    /// What each step took.
    EachStep,
}

/// What one step took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lap {
    /// Whose step.
    pub side: Side,
    /// The step, cut short if it is long.
    pub step: String,
    /// When it began, in microseconds after the spawner took up the request.
    pub began_us: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// Collects laps. A fork inherits what was collected before it, so the last process hands in those of its forebears as well.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder(Option<Laps>);

#[derive(Debug, Clone)]
struct Laps {
    origin: Instant,
    laps: Vec<Lap>,
}

/// The beginning of a lap, if laps are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began(Option<Instant>);

impl Recorder {
    /// Starts the clock, if one is wanted.
    pub(crate) fn new(wanted: Trace) -> Recorder {
        match wanted {
            Trace::Off => Recorder(None),
            Trace::EachStep => Recorder(Some(Laps { origin: clock::monotonic(), laps: Vec::new() })),
        }
    }

    pub(crate) fn begin(&self) -> Began {
        Began(self.0.as_ref().map(|_| clock::monotonic()))
    }

    pub(crate) fn end(&mut self, Began(began): Began, side: Side, step: impl fmt::Display) {
        let (Some(Laps { origin, laps }), Some(began)) = (&mut self.0, began) else { return };
        let took_us = micros(began.elapsed());
        let step = step.to_string().chars().take(STEP_CHARACTERS_MAX).collect();
        laps.push(Lap { side, step, began_us: micros(began.duration_since(*origin)), took_us });
    }

    /// Adds what another process has collected.
    pub(crate) fn add(&mut self, more: Vec<Lap>) {
        if let Some(Laps { laps, .. }) = &mut self.0 {
            laps.extend(more);
        }
    }

    /// What was collected, in the order of time, of two that began together the longer one first; empty where nothing was wanted.
    pub(crate) fn take(&mut self) -> Vec<Lap> {
        let mut laps = self.0.take().map(|collected| collected.laps).unwrap_or_default();
        laps.sort_by_key(|lap| (lap.began_us, Reverse(lap.took_us)));
        laps
    }

    /// How long ago the clock was started, in microseconds, for a process that is no fork of this one; `None` where none runs.
    pub(crate) fn age_us(&self) -> Option<u64> {
        self.0.as_ref().map(|collected| micros(collected.origin.elapsed()))
    }

    /// A clock that was started so long ago.
    pub(crate) fn aged(age_us: Option<u64>) -> Recorder {
        let origin = age_us.and_then(|age| clock::monotonic().checked_sub(Duration::from_micros(age)));
        Recorder(origin.map(|origin| Laps { origin, laps: Vec::new() }))
    }

    /// The same clock in a forked process, nothing collected yet.
    pub(crate) fn forked(&self) -> Recorder {
        Recorder(self.0.as_ref().map(|collected| Laps { origin: collected.origin, laps: Vec::new() }))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn laps_come_in_the_order_of_time_whoever_took_them() {
        let mut host = Recorder::new(Trace::EachStep);
        let first = host.begin();
        let mut child = host.forked();
        let second = child.begin();
        std::thread::sleep(Duration::from_millis(2));
        child.end(second, Side::Init, "second");
        host.add(child.take());
        host.end(first, Side::Host, "x".repeat(1000));
        let laps = host.take();
        assert_eq!(laps.iter().map(|lap| lap.side).collect::<Vec<_>>(), [Side::Host, Side::Init]);
        assert!(laps[0].took_us >= laps[1].took_us && laps[1].took_us >= 2000, "{laps:?}");
        assert_eq!(laps[0].step.len(), STEP_CHARACTERS_MAX);
    }

    #[test]
    fn nothing_is_collected_that_was_not_asked_for() {
        let mut recorder = Recorder::new(Trace::Off);
        let began = recorder.begin();
        recorder.end(began, Side::Host, "step");
        assert!(recorder.take().is_empty() && began.0.is_none());
    }
}
