//! Skips that nobody can overlook: each is printed, and written to the file that `scripts/test` reads.

use std::fs::OpenOptions;
use std::io::Write;

/// Records that `test` did not run, and why. `$DYNO_SKIPS` names the file that collects these lines.
pub fn skip(test: &str, reason: &str) {
    let line = format!("SKIP {test}: {reason}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("DYNO_SKIPS") {
        let mut file =
            OpenOptions::new().create(true).append(true).open(&path).expect("the skip list can be written");
        // One write, so that lines of tests that run at once do not mix.
        file.write_all(line.as_bytes()).expect("the skip list can be written");
    }
}

/// Whether this process is root; where it is not, `test` is recorded as skipped.
#[must_use]
pub fn is_root_or_skip(test: &str) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let effective =
        status.lines().find(|line| line.starts_with("Uid:")).and_then(|line| line.split_whitespace().nth(2));
    let is_root = effective == Some("0");
    if !is_root {
        skip(test, "needs root");
    }
    is_root
}
