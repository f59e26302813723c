//! The default stack, built for real: it runs, holds what it promises, and a build killed half-way leaves nothing behind.
//!
//! Root and the package archive are needed. The stack is built where the node keeps it (`$DYNO_TEST_LIB`, or its default
//! place), so that a second run, and the stories, find it there.

mod import;
#[path = "../support/mod.rs"]
mod support;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use dyno::domain::StackName;
use dyno::stack::host::HostSettings;
use dyno::stack::{self, Freshness, Outcome, Phase, Progress, Stack};

use crate::support::inside::{Reach, enter};

const DEFAULT_LIB: &str = "/var/lib/dyno";
/// How long the killed build may take to start its package tools.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the killed build's processes may take to go.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Where the build that is killed works; set only for that process.
const VICTIM_LIB: &str = "DYNO_TEST_VICTIM_LIB";

/// Compiles and runs a program, with headers that packages of languages ask for.
const COMPILED: &str = "cd /tmp; echo 'int main(void) { return 7; }' >a.c; gcc a.c -o a && ./a || echo $?
    python3-config --includes >/dev/null; pkg-config --exists libpq openssl zlib libffi";

#[derive(Default)]
struct Recorder {
    percents: Vec<u8>,
    phases: Vec<Phase>,
}

impl Progress for Recorder {
    fn update(&mut self, phase: Phase, percent: u8, _doing: &str) {
        self.percents.push(percent);
        self.phases.push(phase);
    }
}

/// The default stack, built once for all tests here.
fn built() -> Stack {
    static BUILT: OnceLock<Stack> = OnceLock::new();
    BUILT.get_or_init(|| build_or_find(StackName::default())).clone()
}

fn build_or_find(name: StackName) -> Stack {
    // One at a time is built on a node.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap();
    let lib = std::env::var_os("DYNO_TEST_LIB").map_or_else(|| PathBuf::from(DEFAULT_LIB), PathBuf::from);
    let mut recorder = Recorder::default();
    let (stack, outcome) = stack::build(&name, &lib, Freshness::AsBuilt, &mut recorder).unwrap();
    assert!(recorder.percents.is_sorted(), "progress never falls: {:?}", recorder.percents);
    assert!(recorder.phases.is_sorted());
    assert_eq!(recorder.percents.last(), Some(&100));
    if outcome == Outcome::Built {
        assert!(recorder.percents.len() > 100, "progress is told as it is made");
    }
    stack
}

/// What `script` prints inside the layers, as their root, without network; the layers stay as they are.
fn inside(layers: &[PathBuf], script: &str) -> String {
    enter(layers, Reach::Nothing, &[], script)
}

#[test]
fn the_default_stack_runs_and_is_safe_to_share() {
    if !support::skip::is_root_or_skip("the_default_stack_runs_and_is_safe_to_share") {
        return;
    }
    let stack = built();
    let started = Instant::now();
    let lib = stack.run_layers()[0].ancestors().nth(4).unwrap().to_owned();
    let (again, outcome) = stack::build(&stack.name, &lib, Freshness::AsBuilt, &mut stack::Silent).unwrap();
    assert_eq!((again, outcome), (stack.clone(), Outcome::AlreadyBuilt));
    assert!(started.elapsed() < Duration::from_secs(5), "the second time takes seconds");

    let run = stack.run_layers();
    assert_eq!(inside(&run, "python3 -c 'import ssl, sqlite3, ctypes, lzma; print(6 * 7)'").trim(), "42");
    assert_eq!(inside(&run, "node -e 'console.log(6 * 7)'; npm --version >/dev/null").trim(), "42");
    assert!(inside(&run, "pip --version; git --version; psql --version").contains("git version"));
    assert!(inside(&run, "id heroku").starts_with("uid=1000(heroku) gid=1000(heroku)"));
    assert!(inside(&run, "getent group dyno").starts_with("dyno:"));
    assert!(inside(&run, "locale -a").contains("en_US.utf8"));
    assert_eq!(inside(&run, "type -P gcc || echo none").trim(), "none");
    for layers in [&run, &stack.build_layers()] {
        let risen = inside(layers, "find / -xdev -perm /6000 -type f; find / -xdev -type b");
        assert_eq!(risen, "", "no program gains rights");
        let leftover = inside(
            layers,
            "find /tmp /var/lib/apt/lists /usr/sbin/policy-rc.d /run -type f -size +0 2>&1 || :",
        );
        assert_eq!(leftover.trim(), "find: '/usr/sbin/policy-rc.d': No such file or directory");
        let points = "/app /tmp /var/tmp /proc /sys /dev /run /etc/heroku /etc/resolv.conf /etc/hosts \
                      /etc/passwd /etc/group /etc/hostname /etc/pip.conf /etc/npmrc /etc/apt/sources.list";
        inside(layers, &format!("for point in {points}; do test -e $point || exit 1; done"));
    }
    assert_eq!(inside(&stack.build_layers(), COMPILED).trim(), "7");
}

#[test]
fn another_stack_is_data_alone() {
    if !support::skip::is_root_or_skip("another_stack_is_data_alone") {
        return;
    }
    let stack = build_or_find("cedar-12".parse().unwrap());
    assert_eq!(stack.compat, "heroku-22");
    let (run, build) = (stack.run_layers(), stack.build_layers());
    assert!(inside(&run, "cat /etc/os-release").contains("VERSION_CODENAME=bookworm"));
    assert!(inside(&run, "python3 --version; node --version").starts_with("Python 3.11."));
    assert_eq!(inside(&run, "python3 -c 'import ssl, sqlite3, ctypes, lzma; print(6 * 7)'").trim(), "42");
    assert_eq!(inside(&run, "type -P gcc || echo none").trim(), "none");
    assert!(inside(&run, "id heroku").starts_with("uid=1000(heroku) gid=1000(heroku)"));
    assert!(inside(&run, "cat /etc/apt/sources.list.d/debian.sources").contains("bookworm"));
    assert_eq!(inside(&build, COMPILED).trim(), "7");
    assert_eq!(inside(&build, "find / -xdev -perm /6000 -type f"), "", "no program gains rights");
    let both: Vec<_> = stack::known().into_iter().map(|name| name.to_string()).collect();
    assert_eq!(both, ["cedar-12", "cedar-13"]);
}

#[test]
fn builds_reach_the_registries_with_the_hosts_settings() {
    if !support::skip::is_root_or_skip("builds_reach_the_registries_with_the_hosts_settings") {
        return;
    }
    let layers = built().build_layers();
    let script = "set -eu; cd /tmp; export npm_config_update_notifier=false
        timeout 60 pip download --quiet --no-deps --no-cache-dir --dest wheels six
        python3 -m venv fresh && timeout 60 fresh/bin/pip install --quiet --no-cache-dir six
        mkdir app && cd app && npm init --yes >/dev/null && timeout 60 npm install --silent left-pad >/dev/null
        from=$(npm config get registry)left-pad
        timeout 60 curl --silent --show-error --fail --output /dev/null $from
        node -e 'require(\"https\").get(process.argv[1], r => process.exit(r.statusCode == 200 ? 0 : 1))' $from
        timeout 60 git ls-remote $from 2>&1 | grep -ci certificate || :
        ls /tmp/wheels /tmp/app/node_modules";
    let told = enter(&layers, Reach::Registries(HostSettings::collect()), &[], script);
    assert!(told.starts_with("0\n"), "git trusts what the host trusts: {told}");
    assert!(told.contains(".whl") && told.contains("left-pad"), "{told}");
}

#[test]
#[ignore = "the process that the next test starts and kills"]
fn victim() {
    let lib = std::env::var_os(VICTIM_LIB).unwrap();
    if let Err(error) =
        stack::build(&StackName::default(), Path::new(&lib), Freshness::AsBuilt, &mut stack::Silent)
    {
        panic!("{error}");
    }
}

#[test]
fn a_build_without_network_says_so_and_leaves_nothing() {
    if !support::skip::is_root_or_skip("a_build_without_network_says_so_and_leaves_nothing") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens on the discard port of the loopback.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim"])
        .env(VICTIM_LIB, dir.path())
        .envs([("http_proxy", "http://127.0.0.1:9"), ("https_proxy", "http://127.0.0.1:9")])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("the package archive cannot be reached"), "{told}");
    let mut left: Vec<_> = std::fs::read_dir(dir.path().join("stacks"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, [".lock", "cedar-13"]);
    assert_eq!(std::fs::read_dir(dir.path().join("stacks/cedar-13")).unwrap().count(), 0);
}

fn has_package_tool(lib: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok())
        .any(|cwd| cwd.starts_with(lib))
}

fn until(timeout: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < timeout {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

#[test]
fn a_killed_build_leaves_no_process_no_mount_and_no_stack() {
    if !support::skip::is_root_or_skip("a_killed_build_leaves_no_process_no_mount_and_no_stack") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim"])
        .env(VICTIM_LIB, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let unpacking = until(START_TIMEOUT, || {
        let stacks = std::fs::read_dir(dir.path().join("stacks"));
        stacks.into_iter().flatten().flatten().any(|entry| entry.path().join("run/usr").exists())
    });
    let ran = has_package_tool(dir.path());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(unpacking && ran, "the build began");
    assert!(until(END_TIMEOUT, || !has_package_tool(dir.path())), "its processes are gone");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(dir.path().to_str().unwrap()));
    assert!(Stack::current(dir.path(), &StackName::default()).is_err());
    assert!(stack::known().contains(&StackName::default()));
}
