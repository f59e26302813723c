//! What only unified control groups have: every limit in a file of its own, systemd as a neighbour, delegated parts of the tree.
#![expect(clippy::unwrap_used, reason = "in a test a panic is how a failure is told")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dyno::runtime::Limits;
use dyno::runtime::cgroup::Mode;
use dyno::runtime::limits::CpuQuota;

use crate::support::container::{Node, can_run, said, wait};
use crate::support::skip::{is_root_or_skip, skip};

const POINT: &str = "/sys/fs/cgroup";

/// A node on a unified host, or a recorded skip.
async fn node(test: &str) -> Option<Node> {
    if !can_run(test) {
        return None;
    }
    let node = Node::start().await;
    if node.runtime.cgroups().mode() == Mode::Unified {
        return Some(node);
    }
    skip(test, "control groups are not unified here");
    None
}

fn limits() -> Limits {
    Limits {
        memory_bytes: Some(64 << 20),
        memory_high_bytes: Some(48 << 20),
        memory_swap_bytes: Some(0),
        cpu_weight: 50,
        cpu_quota: Some(CpuQuota { quota_us: 50_000, period_us: 100_000 }),
        io_weight: 50,
        pids: Some(32),
        ..Limits::default()
    }
}

/// What stands in the files of a container's groups.
fn settings(whole: &Path) -> Vec<(&'static str, String)> {
    let files = [
        "cpu.weight",
        "cpu.max",
        "io.weight",
        "app/memory.max",
        "app/memory.high",
        "app/memory.swap.max",
        "app/memory.oom.group",
        "app/pids.max",
        "init/memory.max",
        "init/pids.max",
    ];
    files.map(|file| (file, fs::read_to_string(whole.join(file)).unwrap().trim().to_owned())).into()
}

const SETTINGS: [(&str, &str); 10] = [
    ("cpu.weight", "50"),
    ("cpu.max", "50000 100000"),
    ("io.weight", "default 50"),
    ("app/memory.max", "67108864"),
    ("app/memory.high", "50331648"),
    ("app/memory.swap.max", "0"),
    ("app/memory.oom.group", "1"),
    ("app/pids.max", "32"),
    ("init/memory.max", "max"),
    ("init/pids.max", "max"),
];

#[tokio::test]
async fn every_limit_stands_in_its_file_and_a_reload_of_systemd_takes_none_away() {
    let name = "every_limit_stands_in_its_file_and_a_reload_of_systemd_takes_none_away";
    let Some(node) = node(name).await else { return };
    let mut sandbox = node.shell("echo up; exec sleep 100");
    sandbox.limits = limits();
    let id = sandbox.id.to_string();
    let container = node.run(sandbox).await.container;
    said(&container, "up").await;
    let whole = PathBuf::from(POINT).join(&node.cgroup_root).join(&id);
    let wanted = SETTINGS.map(|(file, value)| (file, value.to_owned()));
    assert_eq!(settings(&whole), wanted);

    let group = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(group(&container.init_pid().to_string()).trim().ends_with("/init"));
    let app = fs::read_to_string(whole.join("app/cgroup.procs")).unwrap();
    assert_eq!(app.lines().count(), 1, "the application and nothing else: {app}");
    assert!(fs::read_to_string(whole.join("cgroup.procs")).unwrap().is_empty(), "processes are in leaves");

    // systemd goes over the whole tree then, and takes back what it thinks nobody needs.
    if Path::new("/run/systemd/system").exists() {
        let reloaded = Command::new("systemctl").arg("daemon-reload").status().unwrap();
        let started = Command::new("systemd-run").args(["--wait", "-q", "true"]).status().unwrap();
        assert!(reloaded.success() && started.success());
        assert_eq!(settings(&whole), wanted);
    }
    container.kill().unwrap();
    wait(&container).await;
    container.remove().await.unwrap();
    assert!(!whole.exists());
}

/// A part of the tree that was handed to someone, who sees it as the whole; it goes with all that was made in it.
struct Delegated(PathBuf);

impl Delegated {
    fn make(point: &Path) -> Delegated {
        let part = point.join(format!("dyno-test-{}-delegated", std::process::id()));
        fs::create_dir(&part).unwrap();
        Delegated(part)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        for _ in 0..100 {
            // The leaf into which processes made way, then the part itself.
            let _ = fs::remove_dir(self.0.join("node"));
            match fs::remove_dir(&self.0) {
                Ok(()) => return,
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
        assert!(std::thread::panicking(), "{} is left", self.0.display());
    }
}

/// Controllers handed down from a tree's root for a while, as a service manager does for good.
struct Shared {
    control: PathBuf,
    before: String,
}

impl Shared {
    const CONTROLLERS: [&str; 4] = ["memory", "cpu", "pids", "io"];

    fn make(point: &Path) -> Self {
        let control = point.join("cgroup.subtree_control");
        let before = fs::read_to_string(&control).unwrap();
        for controller in Self::CONTROLLERS {
            fs::write(&control, format!("+{controller}")).unwrap();
        }
        Self { control, before }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let had = |name: &&str| self.before.split_whitespace().any(|before| before == *name);
        for controller in Self::CONTROLLERS.iter().filter(|name| !had(name)) {
            // Somebody else may have come to need it meanwhile.
            let _refused = fs::write(&self.control, format!("-{controller}"));
        }
    }
}

/// Moves into the part, and sees nothing of the tree but that.
const DELEGATED_VIEW: &str = "echo $$ > \"$1/cgroup.procs\" && exec unshare -Cm sh -c 'mount --make-rprivate / && \
    umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && \
    exec \"$0\" --exact cgroups::inside_a_unified_view --ignored --nocapture' \"$0\"";

#[test]
fn limits_hold_in_a_delegated_part_of_the_tree() {
    if !is_root_or_skip("limits_hold_in_a_delegated_part_of_the_tree") {
        return;
    }
    let hybrid = Path::new(POINT).join("unified");
    let point = if hybrid.exists() { hybrid } else { POINT.into() };
    let _shared = point.ends_with("cgroup").then(|| Shared::make(&point));
    let part = Delegated::make(&point);
    let binary = std::env::current_exe().unwrap();
    let output = Command::new("sh").args(["-c", DELEGATED_VIEW]).arg(binary).arg(&part.0).output().unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    assert!(part.0.join("node").exists(), "it made way for the groups");
}
