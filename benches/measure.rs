//! What benchmarks share: processes beside them, what those cost, and medians.

use std::process::Child;
use std::time::{Duration, Instant};

/// What anything may take before it counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// Pause between two looks at how far something has come.
const PAUSE: Duration = Duration::from_millis(1);

/// A process that is killed when it is dropped.
pub struct Server(pub Child);

impl Server {
    /// Has it end in order: its files are whole then, and processes of its own end with it.
    pub fn end(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let _reaped = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Waits for what must come.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come about in {PATIENCE:?}");
        std::thread::sleep(PAUSE);
    }
}

/// Processor time that a process has used, its children's not counted (proc(5)).
pub fn cpu_of(pid: u32) -> Duration {
    /// Parts of a second in which the kernel counts, on every machine of today.
    const TICKS: u64 = 100;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // The first one here is the third: utime and stime are the 14th and 15th.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// The middle one.
pub fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
