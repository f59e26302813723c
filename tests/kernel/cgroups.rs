//! Limits that hold, on whatever control groups this host has.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dyno::runtime::cgroup::{CgroupError, Cgroups, ContainerCgroup, Enforcement, Mode};
use dyno::runtime::limits::{CpuQuota, Limits};

use crate::support::patience::patient;
use crate::support::skip::{is_root_or_skip, skip};

const MIB: u64 = 1 << 20;
/// The longest anything here is waited for, in seconds.
const PATIENCE_S: u64 = 20;

/// A subtree of the test's own, gone when dropped, with everything in it.
struct Subtree(Cgroups);

impl Subtree {
    fn make() -> Subtree {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("dyno-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let cgroups = Cgroups::detect(&name, Enforcement::Required).unwrap();
        cgroups.setup().unwrap();
        Subtree(cgroups)
    }
}

impl Drop for Subtree {
    fn drop(&mut self) {
        for id in self.0.ids().unwrap_or_default() {
            let _ = self.0.open(&id).and_then(|group| group.kill());
        }
        let removed = self.0.teardown();
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

/// A shell that starts its script when told, so that it can be put under limits before.
struct Shell(Child);

impl Shell {
    fn new(script: &str) -> Shell {
        let text = format!("read go; {script}");
        let child =
            Command::new("sh").args(["-c", &text]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn();
        Shell(child.unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn go(&mut self) {
        self.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + patient(Duration::from_secs(PATIENCE_S));
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the process did not end");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patient(Duration::from_secs(PATIENCE_S));
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE_S} s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(group: &ContainerCgroup, script: &str) -> Shell {
    let mut shell = Shell::new(script);
    group.move_app(shell.pid()).unwrap();
    shell.go();
    shell
}

#[test]
fn memory_past_the_limit_kills_the_application_and_is_counted() {
    if !is_root_or_skip("memory_past_the_limit_kills_the_application_and_is_counted") {
        return;
    }
    let subtree = Subtree::make();
    let limits = Limits { memory_bytes: Some(32 * MIB), memory_swap_bytes: Some(0), ..Limits::default() };
    let group = subtree.0.create("memory", &limits).unwrap();
    // tail keeps all of a line that never ends.
    let mut shell = start(&group, "exec tail /dev/zero");
    assert_eq!(shell.end().signal(), Some(9));
    let (events, usage) = (group.events().unwrap(), group.usage().unwrap());
    assert!(events.oom_kills >= 1, "{events:?}");
    assert_eq!(usage.oom_kills, events.oom_kills);
    assert!(usage.memory_bytes <= 32 * MIB, "{usage:?}");
    group.remove().unwrap();
}

#[test]
fn no_more_processes_than_the_limit() {
    if !is_root_or_skip("no_more_processes_than_the_limit") {
        return;
    }
    let subtree = Subtree::make();
    let group = subtree.0.create("pids", &Limits { pids: Some(8), ..Limits::default() }).unwrap();
    let _shell = start(&group, "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 60 & done; wait");
    until("the limit is hit", || group.events().unwrap().pids_limit_hits > 0);
    assert!(group.app_pids().unwrap().len() <= 8);
    assert!(group.usage().unwrap().pids <= 8);
    group.kill().unwrap();
    until("all are gone", || !group.is_populated().unwrap());
    group.remove().unwrap();
}

#[test]
fn a_spinning_application_gets_its_share_of_the_processor() {
    if !is_root_or_skip("a_spinning_application_gets_its_share_of_the_processor") {
        return;
    }
    let subtree = Subtree::make();
    let quota = Some(CpuQuota { quota_us: 10_000, period_us: 100_000 });
    let group = subtree.0.create("cpu", &Limits { cpu_quota: quota, ..Limits::default() }).unwrap();
    let _shell = start(&group, "while :; do :; done");
    let began = (Instant::now(), group.usage().unwrap().cpu_ns);
    std::thread::sleep(Duration::from_millis(1500));
    let used_s = Duration::from_nanos(group.usage().unwrap().cpu_ns - began.1).as_secs_f64();
    let share = used_s / began.0.elapsed().as_secs_f64();
    assert!((0.02..0.25).contains(&share), "a tenth was allowed, {share:.3} was used");
    group.kill().unwrap();
}

#[test]
fn one_that_is_idle_gives_way_whatever_its_weight() {
    if !is_root_or_skip("one_that_is_idle_gives_way_whatever_its_weight") {
        return;
    }
    let subtree = Subtree::make();
    let limits = |cpu_weight, cpu_idle| Limits { cpu_weight, cpu_idle, ..Limits::default() };
    let idle = subtree.0.create("idle", &limits(10_000, true)).unwrap();
    let other = subtree.0.create("other", &limits(1, false)).unwrap();
    // On one processor they are in each other's way.
    let spin = "exec taskset -c 0 sh -c 'while :; do :; done'";
    let _shells = [start(&idle, spin), start(&other, spin)];
    let used = || [&idle, &other].map(|group| group.usage().unwrap().cpu_ns);
    let before = used();
    until("the other has had its time", || used()[1] - before[1] > 300_000_000);
    let [of_idle, of_other] = [0, 1].map(|at| used()[at] - before[at]);
    assert!(of_idle < of_other / 2, "{of_idle} ns beside {of_other} ns");
    idle.kill().unwrap();
    other.kill().unwrap();
}

#[test]
fn killing_the_application_spares_init_and_killing_all_does_not() {
    if !is_root_or_skip("killing_the_application_spares_init_and_killing_all_does_not") {
        return;
    }
    let subtree = Subtree::make();
    let group = subtree.0.create("kill", &Limits { pids: Some(64), ..Limits::default() }).unwrap();
    let mut init = Shell::new("exec sleep 60");
    group.move_app(init.pid()).unwrap();
    group.move_init(init.pid()).unwrap();
    init.go();
    // It forks for as long as it lives, in sessions of their own.
    let mut application = start(
        &group,
        "trap '' TERM HUP; while :; do setsid sleep 60 & setsid sh -c 'sleep 60 & sleep 60' & done",
    );
    until("it forks", || group.app_pids().unwrap().len() > 20);
    assert!(!group.app_pids().unwrap().contains(&init.pid()));
    group.kill_app().unwrap();
    assert_eq!(application.end().signal(), Some(9));
    until("the application is gone", || group.app_pids().unwrap().is_empty());
    assert_eq!(init.0.try_wait().unwrap(), None, "init lives");
    group.kill().unwrap();
    assert_eq!(init.end().signal(), Some(9));
    group.remove().unwrap();
    group.remove().unwrap();
    assert_eq!(subtree.0.ids().unwrap(), Vec::<String>::new());
}

#[test]
fn a_frozen_application_can_still_be_killed() {
    const NAME: &str = "a_frozen_application_can_still_be_killed";
    if !is_root_or_skip(NAME) {
        return;
    }
    let subtree = Subtree::make();
    if subtree.0.mode() == Mode::Legacy {
        return skip(NAME, "this host has no version 2 hierarchy");
    }
    let group = subtree.0.create("freeze", &Limits::default()).unwrap();
    let mut shell = start(&group, "while :; do :; done");
    group.freeze().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let before = group.usage().unwrap().cpu_ns;
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(group.usage().unwrap().cpu_ns, before, "it stands still");
    group.kill().unwrap();
    assert_eq!(shell.end().signal(), Some(9));
}

#[test]
fn a_group_with_processes_is_not_removed_and_says_who_is_in_it() {
    if !is_root_or_skip("a_group_with_processes_is_not_removed_and_says_who_is_in_it") {
        return;
    }
    let subtree = Subtree::make();
    let group = subtree.0.create("busy", &Limits::default()).unwrap();
    let shell = start(&group, "exec sleep 60");
    match group.remove() {
        Err(CgroupError::Busy { pids, .. }) => assert_eq!(pids, [shell.pid()]),
        other => panic!("{other:?}"),
    }
    // Another process finds the same groups by name.
    subtree.0.open("busy").unwrap().kill().unwrap();
    group.remove().unwrap();
}

#[test]
fn pressure_is_told_where_the_kernel_counts_it() {
    const NAME: &str = "pressure_is_told_where_the_kernel_counts_it";
    if !is_root_or_skip(NAME) {
        return;
    }
    let subtree = Subtree::make();
    let group = subtree.0.create("pressure", &Limits::default()).unwrap();
    let Some(cpu) = group.pressure().cpu else {
        return skip(NAME, "this kernel does not account for pressure in control groups");
    };
    assert!((0.0..=100.0).contains(&cpu.some.avg10));
}

/// A view with version 2 alone on `/sys/fs/cgroup`, in a mount namespace of its own; the host's mounts stay as they are.
const UNIFIED_VIEW: &str = "mount --make-rprivate / && umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup \
                            && exec \"$0\" --exact cgroups::inside_a_unified_view --ignored --nocapture";

#[test]
fn on_a_unified_host_version_2_is_used_and_a_missing_controller_is_told() {
    const NAME: &str = "on_a_unified_host_version_2_is_used_and_a_missing_controller_is_told";
    if !is_root_or_skip(NAME) {
        return;
    }
    let binary = std::env::current_exe().unwrap();
    let output = Command::new("unshare").args(["-m", "sh", "-c", UNIFIED_VIEW]).arg(binary).output().unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
#[ignore = "run by on_a_unified_host_version_2_is_used_and_a_missing_controller_is_told, in its view of the host"]
fn inside_a_unified_view() {
    let name = format!("dyno-test-{}-unified", std::process::id());
    let offered = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    let has_all =
        ["memory", "cpu", "pids"].iter().all(|name| offered.split_whitespace().any(|one| one == *name));
    let required = Subtree(Cgroups::detect(&name, Enforcement::Required).unwrap());
    assert_eq!(required.0.mode(), Mode::Unified);
    let limits = Limits {
        memory_bytes: Some(32 * MIB),
        memory_swap_bytes: Some(0),
        pids: Some(64),
        ..Limits::default()
    };
    if !has_all {
        // A hybrid host has its controllers elsewhere: the limit that cannot be held is named.
        let error =
            required.0.setup().and_then(|_| required.0.create("refused", &limits).map(drop)).unwrap_err();
        assert!(matches!(error, CgroupError::CannotLimit { .. }), "{error}");
        assert!(error.to_string().contains("controller"), "{error}");
        assert_eq!(required.0.ids().unwrap(), Vec::<String>::new(), "nothing is left of it");
    }
    let subtree = Subtree(Cgroups::detect(&name, Enforcement::WhereOffered).unwrap());
    subtree.0.setup().unwrap();
    let group = subtree.0.create("one", &limits).unwrap();
    assert!(group.app_fd().is_some() && group.init_fd().is_some());
    let mut shell = start(&group, "sleep 60 & sleep 60");
    until("it forks", || group.app_pids().unwrap().len() >= 2);
    assert_eq!(group.attach(shell.pid()).ok(), Some(()), "nothing to do where there is no version 1");
    until("it has used the processor", || group.usage().unwrap().cpu_ns > 0);
    group.freeze().unwrap();
    group.kill_app().unwrap();
    assert_eq!(shell.end().signal(), Some(9));
    group.remove().unwrap();
    if has_all {
        let group = subtree.0.create("two", &limits).unwrap();
        assert_eq!(start(&group, "exec tail /dev/zero").end().signal(), Some(9));
        assert!(group.events().unwrap().oom_kills >= 1);
        group.remove().unwrap();
    }
}

#[test]
fn even_root_in_a_group_uses_none_but_the_usual_devices() {
    if !is_root_or_skip("even_root_in_a_group_uses_none_but_the_usual_devices") {
        return;
    }
    let subtree = Subtree::make();
    let group = subtree.0.create("devices", &Limits::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("node");
    let tries = |path: &str| format!("(: <{path}) 2>/dev/null");
    let make = format!("mknod {} c 1 3 2>/dev/null", node.display());
    // Outside the group all of them work, so that what fails inside fails for the group's sake.
    for script in [tries("/dev/null"), tries("/dev/kmsg"), make.clone()] {
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success(), "{script}");
    }
    std::fs::remove_file(&node).unwrap();
    let is_done = |script: &str| start(&group, script).end().success();
    assert!(is_done(&tries("/dev/null")) && is_done(&tries("/dev/urandom")) && is_done(&tries("/dev/ptmx")));
    assert!(!is_done(&tries("/dev/kmsg")), "the kernel's log is nobody's in there");
    assert!(!is_done(&make), "no device is made in there");
    group.remove().unwrap();
}
