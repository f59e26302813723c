//! The program that runs inside: this test's own binary, static, so that it needs nothing there. Every probe gets a process.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::probe::{Aims, Company, Probe, Verdict};
use super::{canary, privileges, raw};

/// What the program is to do; unset where it is a test that has nothing to do.
pub(crate) const ROLE: &str = "ESCAPE_ROLE";
/// The aims, as JSON.
pub(crate) const AIMS: &str = "ESCAPE_AIMS";
/// Arguments by which the harness runs nothing but the program.
pub(crate) const ARGUMENTS: &[&str] =
    &["--exact", "escape::inside::program", "--nocapture", "--test-threads=1"];
/// Starts a line that tells a verdict.
pub(crate) const MARK: &str = "VERDICT ";
/// Pause between two looks at it.
const PAUSE: Duration = Duration::from_millis(2);

/// Not a test by itself: what the binary does inside a container.
#[test]
fn program() {
    match std::env::var(ROLE).as_deref() {
        Ok("canary") => canary::sing(),
        Ok("who") => privileges::who(),
        Ok(role) => probe(role),
        Err(_) => {}
    }
}

/// Runs the probe of that name, or all that share a container.
fn probe(role: &str) {
    let mut aims: Aims =
        serde_json::from_str(&std::env::var(AIMS).expect("there are aims")).expect("they are whole");
    aims.inherited = inherited();
    let _canary = aims.loose.then(|| {
        let canary = canary::Canary::hatch("/probe".as_ref());
        aims.canary_pid = canary.pid();
        canary
    });
    for probe in super::all_probes() {
        let is_meant = match role {
            "all" => aims.loose || probe.company == Company::Shared,
            name => probe.name == name,
        };
        if is_meant {
            let verdict = attempt(probe, &aims);
            let told = serde_json::to_string(&(probe.name, verdict)).expect("a verdict is text");
            // The harness has left a line unfinished.
            println!("\n{MARK}{told}");
        }
    }
}

/// What the process has open beyond its standard streams, before it opens anything itself.
fn inherited() -> Vec<String> {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let links = open.flatten().filter_map(|entry| {
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        let link = std::fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
        // The listing itself is open too.
        (number > 2 && !link.starts_with("/proc/")).then(|| format!("{number} {link}"))
    });
    links.collect()
}

fn attempt(probe: &Probe, aims: &Aims) -> Verdict {
    let (mut ours, theirs) = std::io::pipe().expect("a pipe");
    let deadline = Instant::now() + aims.appetite.time;
    let mut forked = raw::fork();
    while forked == Err(libc::EAGAIN) && Instant::now() < deadline {
        // What the last probe has left is still being cleared away.
        std::thread::sleep(PAUSE);
        forked = raw::fork();
    }
    let pid = match forked {
        Ok(0) => {
            drop(ours);
            become_prober(aims);
            let verdict = (probe.attempt)(aims);
            let told = serde_json::to_vec(&verdict).unwrap_or_default();
            let is_told = (&theirs).write_all(&told).is_ok();
            raw::end(i32::from(!is_told));
        }
        Ok(pid) => pid,
        Err(errno) => return Verdict::Errno(errno),
    };
    drop(theirs);
    let status = loop {
        match raw::ended(pid, libc::WNOHANG) {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                let _ = raw::call(libc::SYS_kill, &[raw::flag(pid), raw::flag(libc::SIGKILL)]);
                let _ = raw::ended(pid, 0);
                return Verdict::Nothing("no answer in time".to_owned());
            }
            None => std::thread::sleep(PAUSE),
        }
    };
    if libc::WIFSIGNALED(status) {
        return Verdict::Killed(libc::WTERMSIG(status));
    }
    // What a probe has started may hold the other end still.
    let _ = nonblocking(&ours);
    let mut told = Vec::new();
    let _ = ours.read_to_end(&mut told);
    serde_json::from_slice(&told)
        .unwrap_or_else(|_| Verdict::Nothing(format!("it ended with status {status}")))
}

fn nonblocking(file: &impl AsRawFd) -> Result<usize, i32> {
    raw::call(
        libc::SYS_fcntl,
        &[raw::flag(file.as_raw_fd()), raw::flag(libc::F_SETFL), raw::flag(libc::O_NONBLOCK)],
    )
}

/// A session of its own; and without isolation a mount namespace of its own, so that one success does not spoil the next, and as many
/// descriptors as there may be.
fn become_prober(aims: &Aims) {
    let _ = raw::call(libc::SYS_setsid, &[]);
    if aims.loose {
        let _ = raw::call(libc::SYS_unshare, &[raw::flag(libc::CLONE_NEWNS)]);
        let mut limit = [0u64; 2];
        let _ = raw::call(libc::SYS_prlimit64, &[0, raw::flag(7), 0, raw::room(&mut limit)]);
        let _ = raw::call(libc::SYS_prlimit64, &[0, raw::flag(7), raw::start(&[limit[1]; 2]), 0]);
    }
}
