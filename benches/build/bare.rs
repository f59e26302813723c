//! The bare package manager: the same installation on the host, with an empty cache and with a warm one.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Sample, example};

/// Seconds of an installation with an empty cache, and of those with a warm one.
pub struct Bare {
    /// With an empty cache.
    pub first: f64,
    /// With a warm one, the median.
    pub cached: f64,
}

/// Installs once with an empty cache, and `rounds` times with what that has left.
pub fn measure(sample: &Sample, rounds: usize) -> Bare {
    let place = tempfile::tempdir().unwrap();
    let app = place.path().join("app");
    let copied = Command::new("cp").arg("-r").arg(example(sample.name)).arg(&app).status();
    assert!(copied.unwrap().success());
    let install = || {
        let begun = Instant::now();
        let output = Command::new("sh")
            .args(["-ec", sample.bare])
            .env("CACHE", place.path().join("cache"))
            .current_dir(&app)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", sample.name, String::from_utf8_lossy(&output.stderr));
        begun.elapsed()
    };
    let first = install();
    let cached: Vec<Duration> = (0..rounds.max(1)).map(|_| install()).collect();
    Bare {
        first: first.as_secs_f64(),
        cached: crate::measure::median(cached.iter().map(Duration::as_secs_f64)),
    }
}
