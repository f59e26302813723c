//! What a dyno reads in the kernel's files about the machine: its own size and use instead of the host's.
//!
//! Pure: from a reading to the texts of proc(5). They are files of the container, written at its start and again whenever the dyno is
//! looked at, so they cost it nothing and may be as old as that (`docs/decisions/figures.md`).

use std::fmt::Write;
use std::time::Duration;

use crate::domain::Bytes;
use crate::supervisor::engine::Reading;

/// Memory, as `free` and language runtimes read it.
pub(super) const MEMINFO: &str = "/proc/meminfo";
/// Processor time, as `top` reads it.
pub(super) const STAT: &str = "/proc/stat";
/// The load averages.
pub(super) const LOADAVG: &str = "/proc/loadavg";
/// The unit of times in `/proc/stat`: a hundredth of a second, on every architecture that programs see (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// The machine that a dyno shares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// Numbers of the processors it may run on. No size has a ceiling on processor time, so these are the truth.
    pub(super) processors: Vec<u32>,
    /// When the machine was started, in seconds of Unix time: `ps` adds to it when a process was started.
    pub(super) booted_at_s: u64,
}

/// A dyno at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Moment {
    /// What it uses.
    pub(super) reading: Reading,
    /// How long it has lived.
    pub(super) lived: Duration,
    /// Its load averages over 1, 5 and 15 minutes.
    pub(super) load: [f64; 3],
}

/// Every file that tells of the dyno, by its place, with what it says.
pub(super) fn files(machine: &Machine, quota: Bytes, moment: &Moment) -> [(&'static str, String); 3] {
    [(MEMINFO, meminfo(quota, &moment.reading)), (STAT, stat(machine, moment)), (LOADAVG, loadavg(moment))]
}

/// The quota is the whole, as in `memory.limit_in_bytes`. Files on disks that are kept in memory can be let go of at once, those in
/// memory alone (all that a dyno writes) cannot.
fn meminfo(quota: Bytes, reading: &Reading) -> String {
    let (memory, shared) = (&reading.memory, reading.shared.0.min(reading.memory.cache.0));
    let free = quota.0.saturating_sub(reading.used.0);
    let droppable = memory.cache.0 - shared;
    let available = free.saturating_add(droppable).min(quota.0);
    let kernel = reading.used.0.saturating_sub(memory.rss.0).saturating_sub(memory.cache.0);
    let rows = [
        ("MemTotal", quota.0),
        ("MemFree", free),
        ("MemAvailable", available),
        ("Buffers", 0),
        ("Cached", memory.cache.0),
        ("SwapCached", 0),
        ("Active", memory.rss.0),
        ("Inactive", memory.cache.0),
        // Beyond the quota a dyno gets more memory until R15, not swap.
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("AnonPages", memory.rss.0),
        ("Shmem", shared),
        ("Slab", kernel),
        ("SReclaimable", 0),
        ("SUnreclaim", kernel),
    ];
    let mut text = String::new();
    for (name, bytes) in rows {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:<15}{:>9} kB", format!("{name}:"), bytes / 1024);
    }
    text
}

/// Whose time it was, the program's or the kernel's in its name, is not told apart, nor by which processor. What the host's kernel did
/// for all is left out.
fn stat(machine: &Machine, Moment { reading, lived, .. }: &Moment) -> String {
    let count = u128::try_from(machine.processors.len().max(1)).unwrap_or(1);
    let ticks = |span: Duration| span.as_nanos() / TICK.as_nanos();
    let each = (ticks(reading.cpu) / count, ticks(*lived).saturating_sub(ticks(reading.cpu) / count));
    let mut text = String::new();
    let mut line = |name: &str, (busy, idle): (u128, u128)| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name} {busy} 0 0 {idle} 0 0 0 0 0 0");
    };
    line("cpu ", (each.0 * count, each.1 * count));
    for number in &machine.processors {
        line(&format!("cpu{number}"), each);
    }
    let _ = writeln!(text, "btime {}", machine.booted_at_s);
    let _ = writeln!(text, "procs_running {}\nprocs_blocked 0", reading.runnable);
    text
}

/// The last word is the newest process id, which nobody looks up here.
fn loadavg(Moment { reading, load: [one, five, fifteen], .. }: &Moment) -> String {
    let (runnable, tasks) = (reading.runnable, reading.tasks.max(1));
    format!("{one:.2} {five:.2} {fifteen:.2} {runnable}/{tasks} 0\n")
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::wire::logline::MemoryFigures;

    fn kib(text: &str, name: &str) -> u64 {
        let line = text.lines().find(|line| line.split(':').next() == Some(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn reading(used: u64, rss: u64, cache: u64, shared: u64) -> Reading {
        let memory =
            MemoryFigures { rss: Bytes::mib(rss), cache: Bytes::mib(cache), ..MemoryFigures::default() };
        Reading { memory, used: Bytes::mib(used), shared: Bytes::mib(shared), ..Reading::default() }
    }

    #[test]
    fn memory_is_the_quotas_and_what_the_dyno_wrote_is_not_to_be_had() {
        let text = meminfo(Bytes::mib(512), &reading(210, 100, 100, 40));
        let told =
            ["MemTotal", "MemFree", "MemAvailable", "Cached", "Shmem", "AnonPages", "Slab", "SwapTotal"];
        let mib = told.map(|name| kib(&text, name) / 1024);
        assert_eq!(mib, [512, 302, 362, 100, 40, 100, 10, 0], "{text}");
        assert!(text.starts_with("MemTotal:         524288 kB\nMemFree: "), "{text}");
    }

    #[test]
    fn a_dyno_beyond_its_quota_has_nothing_free_and_a_fresh_one_everything() {
        let over = meminfo(Bytes::mib(512), &reading(900, 880, 10, 20));
        assert_eq!((kib(&over, "MemFree"), kib(&over, "MemAvailable")), (0, 0), "{over}");
        let fresh = meminfo(Bytes::mib(512), &Reading::default());
        assert_eq!(kib(&fresh, "MemAvailable"), kib(&fresh, "MemTotal"));
        assert_eq!(over.len(), fresh.len(), "a file that keeps its length is never seen cut");
    }

    #[test]
    fn processor_time_is_the_dynos_and_adds_up_to_its_life() {
        let machine = Machine { processors: vec![2, 5], booted_at_s: 77 };
        let reading = Reading { cpu: Duration::from_secs(4), runnable: 3, ..Reading::default() };
        let text = stat(&machine, &Moment { reading, lived: Duration::from_secs(10), load: [0.0; 3] });
        let expected = "cpu  400 0 0 1600 0 0 0 0 0 0\ncpu2 200 0 0 800 0 0 0 0 0 0\ncpu5 200 0 0 800 0 0 0 0 0 0\n\
                        btime 77\nprocs_running 3\nprocs_blocked 0\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn load_is_written_as_the_kernel_writes_it() {
        let reading = Reading { runnable: 2, tasks: 9, ..Reading::default() };
        let moment = Moment { reading, lived: Duration::ZERO, load: [0.1, 1.0, 12.345] };
        assert_eq!(loadavg(&moment), "0.10 1.00 12.35 2/9 0\n");
    }
}
