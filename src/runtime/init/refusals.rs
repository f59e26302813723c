//! Calls that the application's filter passes on to init (`seccomp::telling`). Each is refused as the filter itself would refuse it, and
//! counted, so that whoever asks why a program failed hears which call it missed.
//!
//! Init holds the only descriptor, and has no other answer. Whoever makes such calls without end costs little of init's time, which no limit
//! of the application's bounds: beyond a burst it is answered at a pace, and waits meanwhile.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::runtime::record::{REFUSED_BYTES, RefusedCall};
use crate::runtime::seccomp::numbers;
use crate::sys::call_listener::{CallListener, Heard};
use crate::sys::clock;
use crate::sys::message::Channel;

/// Different calls that are told of one container; of further ones only the refusal is done.
const CALLS_MAX: usize = 16;
/// Refusals up to here are written down one by one; beyond, whenever there are twice as many, and at the end.
const WRITTEN_SINGLY_MAX: u64 = 64;
/// Calls answered before init looks after something else again.
const BATCH: usize = 16;
/// Calls answered without a pause.
const BURST: u32 = 512;
/// One more is granted in this time.
const PACE: Duration = Duration::from_millis(1);
/// Length of a pause, so that one is not made for every call.
const PAUSE: Duration = Duration::from_millis(10);
/// What the filter would answer: `EPERM`.
const ERRNO: i32 = 1;

/// The application's refused calls.
pub(super) struct Refusals {
    listener: CallListener,
    file: Option<File>,
    count: Count,
    allowance: Allowance,
}

impl Refusals {
    /// What the application's first process has handed over; `None` where the kernel refuses all by itself. Counts go to `file`.
    pub(super) fn of(channel: &Channel, file: Option<OwnedFd>) -> Option<Refusals> {
        // It has run its program by now, and was to say it before that.
        let packet = channel.receive(Duration::ZERO).ok().flatten()?;
        let descriptor = packet.descriptors.into_iter().next()?;
        let listener = CallListener::new(descriptor).ok()?;
        let allowance = Allowance { left: BURST, since: clock::monotonic() };
        Some(Refusals { listener, file: file.map(File::from), count: Count::default(), allowance })
    }

    /// How long nothing is to be answered; `None`: calls are welcome.
    pub(super) fn pause(&mut self) -> Option<Duration> {
        self.allowance.pause(clock::monotonic())
    }

    /// Refuses what waits; `None` when no process is left that could call.
    pub(super) fn answer(mut self) -> Option<Refusals> {
        for _ in 0..BATCH {
            if self.allowance.left == 0 {
                break;
            }
            match self.listener.refuse(ERRNO) {
                Ok(Heard::Refused(number)) => {
                    self.allowance.left -= 1;
                    if self.count.add(number) {
                        self.write();
                    }
                }
                Ok(Heard::Withdrawn) => self.allowance.left -= 1,
                Ok(Heard::Nothing) => break,
                // After a failure the kernel refuses what is called, with ENOSYS.
                Ok(Heard::Over) | Err(_) => {
                    self.write();
                    return None;
                }
            }
        }
        Some(self)
    }

    /// Writes down what has been counted.
    pub(super) fn write(&self) {
        let (Some(file), false) = (&self.file, self.count.calls.is_empty()) else { return };
        let mut text = serde_json::to_vec(&self.count.told()).unwrap_or_default();
        // Over all that was there, in one write: blanks at the end mean nothing.
        text.resize(REFUSED_BYTES, b' ');
        // Should it fail, what was written before is told.
        let _ = file.write_all_at(&text, 0);
    }
}

impl AsFd for Refusals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// How often what was refused.
#[derive(Default)]
struct Count {
    /// Numbers of calls, in the order in which they came.
    calls: Vec<(u32, u64)>,
    total: u64,
}

impl Count {
    /// Whether it is to be written down now.
    fn add(&mut self, number: u32) -> bool {
        self.total = self.total.saturating_add(1);
        let known = self.calls.iter().position(|(known, _)| *known == number);
        if known.is_none() && self.calls.len() < CALLS_MAX {
            self.calls.push((number, 0));
        }
        let at = known.unwrap_or(self.calls.len().saturating_sub(1));
        let Some((_, count)) = self.calls.get_mut(at).filter(|(counted, _)| *counted == number) else {
            return false;
        };
        *count = count.saturating_add(1);
        known.is_none() || self.total <= WRITTEN_SINGLY_MAX || self.total.is_power_of_two()
    }

    fn told(&self) -> Vec<RefusedCall> {
        let named = |(number, count): &(u32, u64)| {
            let name = numbers::name(*number).map_or_else(|| format!("call {number}"), str::to_owned);
            RefusedCall { name, count: *count }
        };
        self.calls.iter().map(named).collect()
    }
}

/// Answers that may be given now.
struct Allowance {
    left: u32,
    /// Up to when what was granted is counted.
    since: Instant,
}

impl Allowance {
    fn pause(&mut self, now: Instant) -> Option<Duration> {
        let granted = now.saturating_duration_since(self.since).as_nanos() / PACE.as_nanos();
        let granted = u32::try_from(granted).unwrap_or(u32::MAX);
        // Once it is used up it grows by a whole pause.
        let enough = if self.left > 0 { PACE } else { PAUSE };
        if now.saturating_duration_since(self.since) >= enough {
            self.left = self.left.saturating_add(granted).min(BURST);
            self.since = now;
        }
        (self.left == 0).then(|| (self.since + PAUSE).saturating_duration_since(now).max(PACE))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn calls_are_counted_by_name_and_only_so_many_kinds() {
        let mut count = Count::default();
        let unshare = numbers::all(numbers::Architecture::native().unwrap())["unshare"];
        assert!(count.add(unshare) && count.add(unshare), "the first ones are written down at once");
        (1000..1100).for_each(|number| _ = count.add(number));
        let told = count.told();
        assert_eq!(told[0], RefusedCall { name: "unshare".to_owned(), count: 2 });
        assert_eq!((told.len(), told[1].name.as_str()), (CALLS_MAX, "call 1000"));
        let written = (0..10_000).filter(|_| count.add(unshare)).count();
        assert!((1..20).contains(&written), "{written} writes");
    }

    /// The longest names the kernel has, and counts that are full.
    #[test]
    fn all_that_is_told_fits_into_its_file() {
        let longest = (0..600).filter_map(numbers::name).map(str::len).max().unwrap();
        let told = vec![RefusedCall { name: "x".repeat(longest), count: u64::MAX }; CALLS_MAX];
        assert!(serde_json::to_vec(&told).unwrap().len() <= REFUSED_BYTES);
    }

    #[test]
    fn who_calls_without_end_is_answered_at_a_pace() {
        let start = clock::monotonic();
        let mut allowance = Allowance { left: BURST, since: start };
        let mut answered = 0;
        // Ten seconds, looked at every hundredth of a pace.
        for step in 0..1_000_000 {
            if allowance.pause(start + PACE * step / 100).is_none() {
                allowance.left -= 1;
                answered += 1;
            }
        }
        let paced = 10_000;
        assert!((paced * 9 / 10..=paced + BURST).contains(&answered), "{answered}");
        assert!(allowance.pause(start + Duration::from_secs(3600)).is_none());
        assert_eq!(allowance.left, BURST, "rest is not hoarded");
    }
}
