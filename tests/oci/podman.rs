//! Debian's Podman with this runtime in the place of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::bundle::{Bundle, Said, remove_groups};
use crate::support::container::{PATIENCE, can_run};
use crate::support::patience::patient;
use crate::support::skip::skip;
use crate::support::terminal::Terminal;

/// Podman with a storage of its own, on the bundle's runtime and root.
struct Podman {
    bundle: Bundle,
}

impl Podman {
    fn new(test: &str) -> Option<Podman> {
        if !can_run(test) {
            return None;
        }
        if !Path::new("/usr/bin/podman").exists() {
            skip(test, "needs the package podman");
            return None;
        }
        let bundle = Bundle::new();
        // Podman forgets the runtime's own options where it cleans up, so they are put before its words here.
        let (runtime, state) = (bundle.path("dyno-oci"), bundle.path("state"));
        let script = format!("#!/bin/sh\nexec '{}' --root '{}' \"$@\"\n", runtime.display(), state.display());
        std::fs::write(bundle.path("runtime"), script).unwrap();
        std::fs::set_permissions(bundle.path("runtime"), std::fs::Permissions::from_mode(0o755)).unwrap();
        Some(Podman { bundle })
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let dir = |name: &str| self.bundle.path(name).to_str().unwrap().to_owned();
        let mut all: Vec<String> =
            ["podman", "--root", &dir("storage"), "--runroot", &dir("run"), "--tmpdir", &dir("tmp")]
                .map(str::to_owned)
                .into();
        all.extend(
            ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none"].map(str::to_owned),
        );
        all.extend(["--runtime".to_owned(), dir("runtime")]);
        all.extend(words.iter().map(ToString::to_string));
        all
    }

    fn call(&self, words: &[&str]) -> Said {
        let words = self.words(words);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        self.bundle.finish(command)
    }

    /// Starts a container; what Podman wants of limits may be more than this host gives.
    fn run(&self, options: &[&str], program: &[&str]) -> Said {
        let root = self.bundle.root();
        let parent = self.parent();
        let limits = ["--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000"];
        let fixed = [&["run", "--network=none", "--cgroup-parent", &parent][..], &limits, options].concat();
        self.call(&[&fixed[..], &["--rootfs", root.to_str().unwrap()], program].concat())
    }

    fn parent(&self) -> String {
        format!("/{}", self.bundle.id("podman"))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.call(&["rm", "--all", "--force", "--time", "0"]);
        // The parent is Podman's own making.
        remove_groups(self.parent().trim_start_matches('/'));
        let _ = Command::new("umount")
            .arg("-R")
            .arg(self.bundle.path("storage/vfs"))
            .stderr(std::process::Stdio::null())
            .status();
    }
}

#[test]
fn podman_runs_executes_pauses_stops_and_removes() {
    let Some(podman) = Podman::new("podman_runs_executes_pauses_stops_and_removes") else { return };
    let said = podman.run(&["--rm"], &["/bin/sh", "-c", "echo hello; id -u; exit 3"]);
    assert_eq!((said.code, said.out.as_str()), (3, "hello\n0\n"), "{said:?}");

    let script = "trap 'exit 5' TERM; while true; do sleep 0.1; done";
    let said = podman.run(&["--detach", "--name", "one"], &["/bin/sh", "-c", script]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = podman.call(&["exec", "one", "/bin/sh", "-c", "hostname > /dev/null; echo inside; exit 4"]);
    assert_eq!((said.code, said.out.as_str()), (4, "inside\n"), "{said:?}");
    let status = || podman.call(&["inspect", "--format", "{{.State.Status}}", "one"]).out;
    assert_eq!(status(), "running\n");
    assert_eq!(podman.call(&["pause", "one"]).code, 0);
    assert_eq!(status(), "paused\n");
    assert_eq!(podman.call(&["unpause", "one"]).code, 0);
    let said = podman.call(&["stop", "--time", "20", "one"]);
    assert_eq!(said.code, 0, "{said:?}");
    let code = podman.call(&["inspect", "--format", "{{.State.ExitCode}}", "one"]).out;
    assert_eq!((status().as_str(), code.as_str()), ("exited\n", "5\n"));
    assert_eq!(podman.call(&["rm", "one"]).code, 0);
    // Podman itself removes the first one when it finds the time.
    let begin = Instant::now();
    while !podman.call(&["ps", "--all", "--quiet"]).out.is_empty() {
        assert!(begin.elapsed() < patient(PATIENCE));
    }
    assert_eq!(podman.bundle.must(&["list", "-q"]).out, "");
}

#[test]
fn podman_gives_a_container_a_terminal() {
    let Some(podman) = Podman::new("podman_gives_a_container_a_terminal") else { return };
    let root = podman.bundle.root();
    let parent = podman.parent();
    // It stays until it is answered: what a terminal has not passed on when its last program goes is lost, with any runtime.
    let script = "tty; test -c /dev/console && echo console; read -r answer; exit \"$answer\"";
    let words = podman.words(&[
        "run",
        "--rm",
        "-it",
        "--network=none",
        "--cgroup-parent",
        &parent,
        "--ulimit",
        "nofile=1000:1000",
        "--ulimit",
        "nproc=1000:1000",
        "--rootfs",
        root.to_str().unwrap(),
        "/bin/sh",
        "-c",
        script,
    ]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    let mut terminal = Terminal::open(24, 80, &command);
    // How lines end depends on whether the outer terminal is raw by then.
    terminal.until("/dev/pts/0");
    terminal.until("console");
    terminal.keys("4\n");
    assert_eq!(terminal.end().code(), Some(4));
}

#[test]
fn podman_understands_what_went_wrong() {
    let Some(podman) = Podman::new("podman_understands_what_went_wrong") else { return };
    let said = podman.run(&["--rm"], &["/bin/nonsense"]);
    assert_eq!(said.code, 127, "not found: {said:?}");
    let said = podman.run(&["--rm"], &["/etc/passwd"]);
    assert_eq!(said.code, 126, "not to be run: {said:?}");
}
