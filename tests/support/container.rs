//! A node's worth of runtime in a directory of its own, with a small root file system, cleaned up whatever happens.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use dyno::runtime::spawner::LimitsPolicy;
use dyno::runtime::spec::{Exec, IdRange, Network, Process, Sandbox, SandboxMount, StdioKind};
use dyno::runtime::{Container, Exit, Limits, Runtime, RuntimeConfig, RuntimeError, Started, StdioFds};
use dyno::sys::ring::Reader;

use crate::support::patience::patient;
use crate::support::skip;

/// A static shell with the usual tools (package busybox-static).
pub const BUSYBOX: &str = "/bin/busybox";
/// No test waits longer for anything, on a machine of today.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// User of the applications.
pub const USER: u32 = 1000;

/// A runtime of its own.
pub struct Node {
    pub dir: tempfile::TempDir,
    pub runtime: Runtime,
    pub cgroup_root: String,
}

/// Root and busybox, or a recorded skip.
pub fn can_run(test: &str) -> bool {
    if !skip::is_root_or_skip(test) {
        return false;
    }
    let has_shell = Path::new(BUSYBOX).exists();
    if !has_shell {
        skip::skip(test, "needs the package busybox-static");
    }
    has_shell
}

/// Distinct among the tests of this process and others that run at once.
fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Node {
    pub async fn start() -> Node {
        let dir = tempfile::tempdir().expect("a directory");
        make_root(&dir.path().join("root"));
        let cgroup_root = format!("dyno-node-{}-{}", std::process::id(), unique());
        let runtime = Runtime::connect(config(dir.path(), &cgroup_root)).await.expect("the runtime starts");
        Node { dir, runtime, cgroup_root }
    }

    /// A second client, as after a restart of the program.
    pub async fn reconnect(&self) -> Runtime {
        Runtime::connect(config(self.dir.path(), &self.cgroup_root))
            .await
            .expect("the runtime is found again")
    }

    /// A second client whose program is another file, made when it is first asked for, as after an upgrade.
    pub async fn upgraded(&self, file: &str) -> Runtime {
        let binary = self.dir.path().join(file);
        if !binary.exists() {
            fs::copy(env!("CARGO_BIN_EXE_dyno"), &binary).expect("the program is copied");
        }
        let config = RuntimeConfig { binary, ..config(self.dir.path(), &self.cgroup_root) };
        Runtime::connect(config).await.expect("the runtime is found again")
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// A sandbox that runs a shell script, with /tmp, and output to the ring.
    pub fn shell(&self, script: &str) -> Sandbox {
        let number = unique();
        Sandbox {
            id: format!("c{number}").parse().expect("an id"),
            hostname: "inside".into(),
            root_layers: vec![self.root()],
            ids: IdRange { host_base: 0x7000_0000 + 0x0100_0000 + number * 65_536, len: 65_536 },
            mounts: vec![SandboxMount::Tmpfs {
                target: "/tmp".into(),
                size_bytes: 64 << 20,
                mode: 0o1777,
                owner: (0, 0),
                exec: Exec::Allowed,
            }],
            process: Process {
                argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
                env: vec![("PATH".into(), "/bin".into()), ("HOME".into(), "/tmp".into())],
                cwd: "/".into(),
                uid: USER,
                gid: USER,
                umask: 0o022,
            },
            limits: Limits { pids: Some(64), nofile: 1024, ..Limits::default() },
            network: Network::Isolated,
            stdio: StdioKind::Log,
            labels: BTreeMap::from([("purpose".into(), "test".into())]),
        }
    }

    pub async fn run(&self, sandbox: Sandbox) -> Started {
        match self.runtime.start(sandbox).await {
            Ok(started) => started,
            Err(error) => panic!("the container starts: {}", full(&error)),
        }
    }

    /// Runs a script to its end: how it ended, and what it said.
    pub async fn outcome(&self, sandbox: Sandbox) -> (Exit, String) {
        let container = self.run(sandbox).await.container;
        let exit = wait(&container).await;
        let said = output(&container);
        container.remove().await.expect("it is removed");
        (exit, said)
    }

    pub async fn say(&self, script: &str) -> String {
        self.outcome(self.shell(script)).await.1
    }
}

impl Drop for Node {
    /// Ends what a failed test left: every container of this node by its record, then the spawner, then the groups.
    fn drop(&mut self) {
        let containers = self.runtime.adopt_all().unwrap_or_default();
        for adopted in &containers {
            let _ = adopted.container.kill();
        }
        let deadline = SystemTime::now() + Duration::from_secs(5);
        while containers.iter().any(|adopted| adopted.container.is_running()) && SystemTime::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let runtime = self.runtime.clone();
        // Another thread, because a test's own runtime cannot wait for a second one.
        let retired = std::thread::spawn(move || {
            let waiter = tokio::runtime::Builder::new_current_thread().enable_all().build();
            waiter.map(|waiter| waiter.block_on(runtime.shutdown()).is_ok()).is_ok()
        });
        let _ = retired.join();
        let _ = self.runtime.cgroups().teardown();
    }
}

/// A client for the runtime in this directory.
pub async fn connect(dir: &Path, cgroup_root: &str) -> Result<Runtime, RuntimeError> {
    Runtime::connect(config(dir, cgroup_root)).await
}

fn config(dir: &Path, cgroup_root: &str) -> RuntimeConfig {
    RuntimeConfig {
        run_dir: dir.join("run"),
        binary: env!("CARGO_BIN_EXE_dyno").into(),
        cgroup_root: cgroup_root.to_owned(),
        limits: LimitsPolicy::Required,
    }
}

/// A root of busybox.
pub fn make_root(root: &Path) {
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp", "app", "data"] {
        fs::create_dir_all(root.join(dir)).expect("a directory");
    }
    fs::copy(BUSYBOX, root.join("bin/busybox")).expect("busybox is copied");
    for name in [
        "sh", "ls", "cat", "id", "ps", "sleep", "echo", "grep", "stty", "kill", "mount", "dd", "wc", "touch",
        "true",
    ] {
        symlink("busybox", root.join("bin").join(name)).expect("a link");
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nu:x:1000:1000::/tmp:/bin/sh\n")
        .expect("a file");
    fs::write(root.join("etc/hosts"), "").expect("a file");
}

pub async fn wait(container: &Container) -> Exit {
    tokio::time::timeout(patient(PATIENCE), container.wait()).await.expect("the container ends")
}

/// Everything in the ring.
pub fn output(container: &Container) -> String {
    let mut reader = Reader::open(&container.log_ring()).expect("there is a ring");
    let mut text = String::new();
    loop {
        let batch = reader.read().expect("the ring is whole");
        if batch.records.is_empty() {
            return text;
        }
        for record in batch.records {
            text.push_str(&String::from_utf8_lossy(&record.line));
            text.push('\n');
        }
    }
}

/// Waits until the ring holds this text.
pub async fn said(container: &Container, wanted: &str) {
    let deadline = tokio::time::Instant::now() + patient(PATIENCE);
    while !output(container).contains(wanted) {
        assert!(tokio::time::Instant::now() < deadline, "{wanted:?} is said, not {:?}", output(container));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn master(stdio: StdioFds) -> fs::File {
    match stdio {
        StdioFds::Terminal { master } => master.into(),
        StdioFds::Log | StdioFds::Pipes { .. } => panic!("a terminal was asked for"),
    }
}

/// An error with its causes.
pub fn full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
