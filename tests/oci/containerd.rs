//! Debian's containerd, its shim and `ctr`, with this runtime in the place of theirs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::bundle::{Bundle, Said, remove_groups};
use crate::support::container::{PATIENCE, can_run};
use crate::support::patience::patient;
use crate::support::skip::skip;
use crate::support::terminal::Terminal;

const IMAGE: &str = "example.test/shell:1";

/// A containerd of a test's own: every file of its in the bundle's directory, its mounts and the sockets of its shims, for which it knows
/// one place only, out of the host's sight.
struct Containerd {
    bundle: Bundle,
    daemon: Child,
}

impl Containerd {
    fn new(test: &str) -> Option<Containerd> {
        if !can_run(test) {
            return None;
        }
        if !Path::new("/usr/bin/containerd").exists() {
            skip(test, "needs the package containerd");
            return None;
        }
        let bundle = Bundle::new();
        let dir = bundle.dir.path().display();
        // The shim names the root; the runtime is a path to it, without words.
        let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", bundle.path("dyno-oci").display());
        fs::write(bundle.path("runtime"), script).unwrap();
        fs::set_permissions(bundle.path("runtime"), fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!(
            "version = 2\nroot = '{dir}/containerd'\nstate = '{dir}/run'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.internal.v1.opt']\n\
             [grpc]\naddress = '{dir}/socket'\n[ttrpc]\naddress = '{dir}/socket.ttrpc'\n"
        );
        fs::write(bundle.path("containerd.toml"), config).unwrap();
        write_image(&bundle);
        let log = fs::File::create(bundle.path("containerd.log")).unwrap();
        let start = format!("mount -t tmpfs tmpfs /run && exec containerd --config '{dir}/containerd.toml'");
        let daemon = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &start])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let containerd = Containerd { bundle, daemon };
        let begin = Instant::now();
        while containerd.ctr(&["version"]).code != 0 {
            let log = fs::read_to_string(containerd.bundle.path("containerd.log")).unwrap_or_default();
            assert!(begin.elapsed() < patient(PATIENCE), "containerd does not answer: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(containerd)
    }

    fn namespace(&self) -> String {
        self.bundle.id("containerd")
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let socket = self.bundle.path("socket");
        let fixed = ["ctr", "--address", socket.to_str().unwrap(), "--namespace", &self.namespace()];
        fixed.iter().chain(words).map(ToString::to_string).collect()
    }

    fn ctr(&self, words: &[&str]) -> Said {
        self.call(&self.words(words))
    }

    fn call(&self, words: &[String]) -> Said {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        self.bundle.finish(command)
    }

    /// Its call must go well.
    fn must(&self, words: &[&str]) -> Said {
        let said = self.ctr(words);
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        said
    }

    fn run(&self, options: &[&str], id: &str, program: &[&str]) -> Said {
        self.call(&self.run_words(options, id, program))
    }

    /// The command line that runs a container by our face.
    fn run_words(&self, options: &[&str], id: &str, program: &[&str]) -> Vec<String> {
        let path = |name: &str| self.bundle.path(name).to_str().unwrap().to_owned();
        let (runtime, state, fifos) = (path("runtime"), path("runtimes"), path("fifos"));
        let fixed = [
            "run",
            "--runtime",
            "io.containerd.runc.v2",
            "--runc-binary",
            &runtime,
            "--runc-root",
            &state,
            "--fifo-dir",
            &fifos,
            "--snapshotter",
            "native",
        ];
        self.words(&[&fixed[..], options, &[IMAGE, id], program].concat())
    }

    fn exec(&self, id: &str, program: &[&str]) -> Said {
        let fifos = self.bundle.path("fifos");
        let fixed = ["task", "exec", "--fifo-dir", fifos.to_str().unwrap(), "--exec-id", "one", id];
        self.ctr(&[&fixed[..], program].concat())
    }

    /// What the runtime itself knows of the shims' containers.
    fn known(&self) -> String {
        let mut command = Command::new(self.bundle.path("dyno-oci"));
        command.arg("--root").arg(self.bundle.path("runtimes").join(self.namespace())).args(["list", "-q"]);
        self.bundle.finish(command).out
    }

    fn await_task(&self, id: &str, wanted: &str) {
        let begin = Instant::now();
        loop {
            let said = self.must(&["task", "ls"]).out;
            if said.lines().any(|line| line.starts_with(id) && line.ends_with(wanted)) {
                return;
            }
            assert!(begin.elapsed() < patient(PATIENCE), "{id} becomes {wanted}: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // A shim ends with its task.
        for id in self.ctr(&["task", "ls", "--quiet"]).out.lines() {
            let _ = self.ctr(&["task", "rm", "--force", id]);
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        remove_groups(&self.namespace());
    }
}

/// The bundle's root as an image in an archive, in the form that `docker save` writes.
fn write_image(bundle: &Bundle) {
    let tar = |out: &str, dir: &str, names: &[&str]| {
        let mut command = Command::new("tar");
        command.arg("-cf").arg(bundle.path(out)).arg("-C").arg(bundle.path(dir)).args(names);
        assert!(command.status().unwrap().success());
    };
    fs::create_dir(bundle.path("image")).unwrap();
    tar("image/layer.tar", "rootfs", &["."]);
    let digest = Sha256::digest(fs::read(bundle.path("image/layer.tar")).unwrap());
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "config": {"Env": ["PATH=/bin", "GREETING=from the image"], "Cmd": ["/bin/sh"], "WorkingDir": "/tmp"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hex::encode(digest))]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
    fs::write(bundle.path("image/config.json"), config.to_string()).unwrap();
    fs::write(bundle.path("image/manifest.json"), manifest.to_string()).unwrap();
    tar("image.tar", "image", &["manifest.json", "config.json", "layer.tar"]);
}

#[test]
fn containerd_runs_executes_pauses_measures_and_deletes() {
    let Some(containerd) = Containerd::new("containerd_runs_executes_pauses_measures_and_deletes") else {
        return;
    };
    let image = containerd.bundle.path("image.tar");
    containerd.must(&["image", "import", "--snapshotter", "native", image.to_str().unwrap()]);

    let said = containerd.run(&["--rm"], "zero", &["sh", "-c", "echo $GREETING; pwd; id -u; exit 3"]);
    assert_eq!((said.code, said.out.as_str()), (3, "from the image\n/tmp\n0\n"), "{said:?}");
    assert_eq!(containerd.known(), "");

    let script = "trap 'exit 5' TERM; while true; do sleep 0.1; done";
    let limits = ["--detach", "--memory-limit", "67108864", "--cpus", "0.5", "--seccomp"];
    let said = containerd.run(&limits, "one", &["sh", "-c", script]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(containerd.known(), "one\n");
    containerd.await_task("one", "RUNNING");
    let said = containerd.exec("one", &["sh", "-c", "echo inside; echo beside >&2; exit 4"]);
    assert_eq!((said.code, said.out.as_str()), (4, "inside\n"), "{said:?}");
    assert!(said.err.contains("beside"), "{said:?}");
    let said = containerd.must(&["task", "ps", "one"]);
    assert!(said.out.lines().count() >= 2, "{said:?}");
    let said = containerd.must(&["task", "metrics", "one"]);
    assert!(said.out.contains("memory"), "{said:?}");
    containerd.must(&["task", "pause", "one"]);
    containerd.await_task("one", "PAUSED");
    containerd.must(&["task", "resume", "one"]);
    containerd.await_task("one", "RUNNING");
    containerd.must(&["task", "kill", "--signal", "SIGTERM", "one"]);
    containerd.await_task("one", "STOPPED");
    let said = containerd.must(&["task", "rm", "one"]);
    assert!(said.err.contains("exit with non-zero exit code 5"), "{said:?}");
    containerd.must(&["container", "rm", "one"]);
    assert_eq!(containerd.known(), "");
    assert_eq!(containerd.must(&["container", "ls", "--quiet"]).out, "");
}

#[test]
fn containerd_gives_a_container_a_terminal() {
    let Some(containerd) = Containerd::new("containerd_gives_a_container_a_terminal") else { return };
    let image = containerd.bundle.path("image.tar");
    containerd.must(&["image", "import", "--snapshotter", "native", image.to_str().unwrap()]);
    // It stays until it is answered: what a terminal has not passed on when its last program goes is lost, with any runtime.
    let program = ["sh", "-c", "tty; read -r answer; exit \"$answer\""];
    let words = containerd.run_words(&["--rm", "--tty"], "tty", &program);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    let mut terminal = Terminal::open(24, 80, &command);
    terminal.until("/dev/pts/0");
    terminal.keys("4\n");
    assert_eq!(terminal.end().code(), Some(4));
}

#[test]
fn containerd_tells_what_went_wrong() {
    let Some(containerd) = Containerd::new("containerd_tells_what_went_wrong") else { return };
    let image = containerd.bundle.path("image.tar");
    containerd.must(&["image", "import", "--snapshotter", "native", image.to_str().unwrap()]);
    let said = containerd.run(&["--rm"], "one", &["/bin/nonsense"]);
    assert!(said.code != 0 && said.err.contains("\"/bin/nonsense\": no such file or directory"), "{said:?}");
    let said =
        containerd.run(&["--rm", "--runc-systemd-cgroup", "--cgroup", "a.slice:b:c"], "two", &["true"]);
    assert!(said.code != 0 && said.err.contains("control groups by systemd are not supported"), "{said:?}");
    assert_eq!(containerd.known(), "");
}
