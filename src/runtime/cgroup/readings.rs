//! What control groups tell: usage, events and pressure, read from the text of their files.

use serde::{Deserialize, Serialize};

/// What a container uses at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Memory charged to the application, page cache included, in bytes.
    pub memory_bytes: u64,
    /// The part of it that belongs to no file: heaps and stacks, in bytes.
    pub memory_anonymous_bytes: u64,
    /// The part of it that is page cache, tmpfs included, in bytes.
    pub memory_cache_bytes: u64,
    /// The part of that which no file on a disk stands behind: tmpfs and shared memory, in bytes.
    pub memory_shared_bytes: u64,
    /// The most that was ever charged to the application at once, page cache included, in bytes; 0 where the kernel does not
    /// keep it (version 2 before Linux 5.19).
    pub memory_peak_bytes: u64,
    /// Swap, in bytes.
    pub swap_bytes: u64,
    /// Pages charged to it since its start; 0 where the kernel does not count them (version 2).
    pub pages_in: u64,
    /// Pages no longer charged to it, since its start; 0 where the kernel does not count them (version 2).
    pub pages_out: u64,
    /// Processor time since the start, in nanoseconds; that of init included.
    pub cpu_ns: u64,
    /// Processes and threads of the application.
    pub pids: u64,
    /// Processes the kernel killed because the memory limit was reached.
    pub oom_kills: u64,
}

/// What happened to a container since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Processes the kernel killed because the memory limit was reached.
    pub oom_kills: u64,
    /// How often the application came up against its memory limit, so that something had to be written back or thrown away.
    pub memory_limit_hits: u64,
    /// How often a process or thread was refused because of the pids limit.
    pub pids_limit_hits: u64,
}

/// Time lost to waiting for a resource (PSI), as the kernel averages it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Waiting for a processor.
    pub cpu: Option<Stall>,
    /// Waiting for memory.
    pub memory: Option<Stall>,
    /// Waiting for disks.
    pub io: Option<Stall>,
}

/// How long some, and how long all processes of the container waited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// At least one waited.
    pub some: Averages,
    /// All waited.
    pub full: Averages,
}

/// Share of time in per cent over the last 10, 60 and 300 seconds, and the sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Averages {
    /// Per cent of the last 10 seconds.
    pub avg10: f64,
    /// Per cent of the last 60 seconds.
    pub avg60: f64,
    /// Per cent of the last 300 seconds.
    pub avg300: f64,
    /// All time waited, in microseconds.
    pub total_us: u64,
}

/// The number after `key` in a file of `key value` lines; 0 where the kernel does not know it.
pub(super) fn keyed(text: &str, key: &str) -> u64 {
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}

/// The number a file consists of; 0 for `max`.
pub(super) fn single(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// What the text of a `*.pressure` file says, or of one below `/proc/pressure`.
#[must_use]
pub fn stall(text: &str) -> Stall {
    let mut stall = Stall::default();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("some", rest)) => stall.some = averages(rest),
            Some(("full", rest)) => stall.full = averages(rest),
            _ => {}
        }
    }
    stall
}

fn averages(fields: &str) -> Averages {
    let field = |name: &str| fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let share = |name| field(name).and_then(|value| value.parse().ok()).unwrap_or(0.0);
    Averages {
        avg10: share("avg10"),
        avg60: share("avg60"),
        avg300: share("avg300"),
        total_us: field("total").and_then(|value| value.parse().ok()).unwrap_or(0),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn keys_are_matched_whole() {
        let text = "oom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!((keyed(text, "oom"), keyed(text, "oom_kill"), keyed(text, "high")), (3, 2, 0));
    }

    #[test]
    fn pressure_is_read_line_by_line() {
        let text = "some avg10=1.50 avg60=0.20 avg300=0.03 total=991\nfull avg10=0.10 avg60=0.00 avg300=0.00 total=17\n";
        let stall = stall(text);
        assert_eq!(stall.some, Averages { avg10: 1.5, avg60: 0.2, avg300: 0.03, total_us: 991 });
        assert_eq!((stall.full.avg10, stall.full.total_us), (0.1, 17));
    }
}
