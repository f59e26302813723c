//! Whether a build may go on while memory is short. Pure: [`Gate`] is told what is waited and when, and says what to do.
//!
//! ```text
//!             waited > HOLD_ABOVE            held for longer than it may be, all together
//!   going ───────────────────────► held ─────────────────────────────────────────────────► given up
//!     ▲                              │
//!     └──────────────────────────────┘
//!             waited < RESUME_BELOW
//! ```
//!
//! Between both bounds it stays as it is, so that it does not swing with every look.

use std::time::Duration;

/// How much of the last ten seconds something waited for memory, in per cent, above which a build is held.
pub(super) const HOLD_ABOVE_PERCENT: f64 = 20.0;
/// Below which it goes on.
pub(super) const RESUME_BELOW_PERCENT: f64 = 5.0;

/// What to do with the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on, as before.
    Go,
    /// It must stop from now on.
    Hold,
    /// It stays where it is.
    StayHeld,
    /// It goes on again.
    Resume,
    /// It was held for longer than it may be.
    GiveUp,
}

/// One build's way through want of memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    held_max: Duration,
    /// Time that it was held before.
    spent: Duration,
    /// Since when it is held, if it is.
    since: Option<Duration>,
}

impl Gate {
    /// A build that goes, and may be held for so long altogether.
    pub(super) fn new(held_max: Duration) -> Self {
        Self { held_max, spent: Duration::ZERO, since: None }
    }

    /// A look at `now`, a time since the build began: what is waited, in per cent.
    pub(super) fn look(&mut self, waited_percent: f64, now: Duration) -> Verdict {
        let Some(since) = self.since else {
            if waited_percent <= HOLD_ABOVE_PERCENT {
                return Verdict::Go;
            }
            self.since = Some(now);
            return if self.spent >= self.held_max { Verdict::GiveUp } else { Verdict::Hold };
        };
        let held = self.spent.saturating_add(now.saturating_sub(since));
        if waited_percent < RESUME_BELOW_PERCENT {
            self.spent = held;
            self.since = None;
            Verdict::Resume
        } else if held >= self.held_max {
            Verdict::GiveUp
        } else {
            Verdict::StayHeld
        }
    }
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn it_is_held_above_one_bound_and_goes_on_below_another() {
        let mut gate = Gate::new(seconds(60));
        let looks =
            [(0.0, Verdict::Go), (20.0, Verdict::Go), (20.1, Verdict::Hold), (80.0, Verdict::StayHeld)];
        let more = [
            (10.0, Verdict::StayHeld),
            (5.0, Verdict::StayHeld),
            (4.9, Verdict::Resume),
            (10.0, Verdict::Go),
        ];
        for (now, (waited, expected)) in (0..).zip(looks.into_iter().chain(more)) {
            assert_eq!(gate.look(waited, seconds(now)), expected, "{waited} at {now}");
        }
    }

    #[test]
    fn holds_count_together() {
        let mut gate = Gate::new(seconds(10));
        assert_eq!(gate.look(50.0, seconds(0)), Verdict::Hold);
        assert_eq!(gate.look(0.0, seconds(6)), Verdict::Resume);
        assert_eq!(gate.look(50.0, seconds(100)), Verdict::Hold);
        assert_eq!(gate.look(50.0, seconds(103)), Verdict::StayHeld);
        assert_eq!(gate.look(50.0, seconds(104)), Verdict::GiveUp);
    }

    proptest! {
        #[test]
        fn nobody_is_held_for_longer_than_allowed(readings in prop::collection::vec(0.0_f64..100.0, 1..200)) {
            let (mut gate, held_max) = (Gate::new(seconds(20)), 20);
            let (mut held, mut is_held) = (0, false);
            for (now, waited) in (0..).zip(readings) {
                held += u64::from(is_held);
                match gate.look(waited, seconds(now)) {
                    Verdict::Go => prop_assert!(!is_held && waited <= HOLD_ABOVE_PERCENT),
                    Verdict::Hold => { prop_assert!(!is_held && waited > HOLD_ABOVE_PERCENT); is_held = true; }
                    Verdict::StayHeld => prop_assert!(is_held && waited >= RESUME_BELOW_PERCENT && held < held_max),
                    Verdict::Resume => { prop_assert!(is_held && waited < RESUME_BELOW_PERCENT); is_held = false; }
                    Verdict::GiveUp => { prop_assert!(held >= held_max); return Ok(()); }
                }
            }
        }
    }
}
