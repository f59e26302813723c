//! A bundle in a directory of its own, and the containers made of it; whatever a test leaves is removed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::container::{BUSYBOX, PATIENCE};
use crate::support::patience::patient;

/// Tools of the shell that tests use.
const TOOLS: &[&str] = &[
    "sh", "ls", "cat", "id", "ps", "sleep", "echo", "grep", "kill", "mount", "umount", "touch", "true",
    "false", "stat", "tty", "stty", "hostname", "mkdir", "mknod", "dd", "pwd", "chmod", "head", "env",
    "readlink", "uname", "sysctl", "wc",
];

/// A bundle, a root for what is remembered, and the runtime's path.
pub(crate) struct Bundle {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: Value,
    prefix: String,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bundle {
    /// A usual configuration: every namespace but that of users, the usual mounts, no rights.
    pub(crate) fn new() -> Bundle {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("rootfs");
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "data"] {
            fs::create_dir_all(root.join(name)).expect("a directory");
        }
        fs::copy(BUSYBOX, root.join("bin/busybox")).expect("busybox is copied");
        for name in TOOLS {
            symlink("busybox", root.join("bin").join(name)).expect("a link");
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nu:x:1000:1000::/tmp:/bin/sh\n")
            .expect("a file");
        symlink(env!("CARGO_BIN_EXE_dyno"), dir.path().join("dyno-oci")).expect("a link");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("oci-test-{}-{number}-", std::process::id());
        Bundle { dir, config: usual(), prefix }
    }

    /// The same with users of its own.
    pub(crate) fn with_users() -> Bundle {
        let mut bundle = Bundle::new();
        bundle.namespaces().push(json!({"type": "user"}));
        let map = json!([{"containerID": 0, "hostID": 0x7200_0000, "size": 65536}]);
        bundle.config["linux"]["uidMappings"] = map.clone();
        bundle.config["linux"]["gidMappings"] = map;
        bundle
    }

    pub(crate) fn namespaces(&mut self) -> &mut Vec<Value> {
        self.config["linux"]["namespaces"].as_array_mut().expect("a list")
    }

    pub(crate) fn mounts(&mut self) -> &mut Vec<Value> {
        self.config["mounts"].as_array_mut().expect("a list")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("rootfs")
    }

    /// Full name of a container: others on this machine may have tests running too.
    pub(crate) fn id(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Lets the container run a shell script.
    pub(crate) fn script(&mut self, script: &str) -> &mut Bundle {
        self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        self
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        // Whole at any moment: a command that was given before may be about to read it.
        fs::write(self.path("config.new"), self.config.to_string()).expect("a file");
        fs::rename(self.path("config.new"), self.path("config.json")).expect("a file");
        let mut command = Command::new(self.path("dyno-oci"));
        command.arg("--root").arg(self.path("state")).args(words).current_dir(self.dir.path());
        command
    }

    /// Runs one command of the runtime; a container's name in its place is made full.
    pub(crate) fn call(&self, words: &[&str]) -> Said {
        self.finish(self.command(words))
    }

    /// As `call`; input from nowhere, output through files, for a container's processes would hold pipes open.
    pub(crate) fn finish(&self, mut command: Command) -> Said {
        let (out, err) = (self.path("out"), self.path("err"));
        let file = |path: &Path| Stdio::from(fs::File::create(path).expect("a file"));
        let status =
            command.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err)).status().expect("it runs");
        let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned();
        Said { code: status.code().unwrap_or(-1), out: text(&out), err: text(&err) }
    }

    /// Runs a script in a fresh container, to its end.
    pub(crate) fn run(&mut self, script: &str) -> Said {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = self.id(&format!("r{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        self.script(script);
        self.call(&["run", &id])
    }

    /// What a script said, which must have gone well.
    pub(crate) fn say(&mut self, script: &str) -> String {
        let said = self.run(script);
        assert_eq!(said.code, 0, "{said:?}");
        said.out
    }

    pub(crate) fn state(&self, id: &str) -> Value {
        let said = self.call(&["state", id]);
        assert_eq!(said.code, 0, "{said:?}");
        serde_json::from_str(&said.out).expect("JSON")
    }

    pub(crate) fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().expect("a word").to_owned()
    }

    pub(crate) fn await_status(&self, id: &str, wanted: &str) {
        let begin = Instant::now();
        while self.status(id) != wanted {
            assert!(begin.elapsed() < patient(PATIENCE), "{id} becomes {wanted}, and is {}", self.status(id));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Calls until it goes well.
    pub(crate) fn until(&self, words: &[&str]) {
        let begin = Instant::now();
        loop {
            let said = self.call(words);
            if said.code == 0 {
                return;
            }
            assert!(begin.elapsed() < patient(PATIENCE), "{words:?}: {said:?}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Its call must go well.
    pub(crate) fn must(&self, words: &[&str]) -> Said {
        let said = self.call(words);
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        said
    }

    /// Its call must fail with these words.
    pub(crate) fn refused(&self, words: &[&str], expected: &str) {
        let said = self.call(words);
        assert_ne!(said.code, 0, "{words:?} is refused: {said:?}");
        assert!(said.err.contains(expected), "{words:?} says {expected:?}: {said:?}");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.path("state")).into_iter().flatten().flatten() {
            let id = entry.file_name().to_string_lossy().into_owned();
            let _ = self.call(&["delete", "--force", &id]);
        }
    }
}

/// Removes groups that a test, or a program that it called, has made above those of its containers; waits for who is on the way out.
pub(crate) fn remove_groups(name: &str) {
    let begin = Instant::now();
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        for top in [hierarchy.path().join(name), Path::new("/sys/fs/cgroup").join(name)] {
            while top.exists() && begin.elapsed() < patient(PATIENCE) {
                for below in fs::read_dir(&top).into_iter().flatten().flatten() {
                    let _ = fs::remove_dir(below.path());
                }
                let _ = fs::remove_dir(&top);
            }
        }
    }
}

/// A mount of the configuration.
pub(crate) fn mount(target: &str, kind: &str, source: &str, options: &str) -> Value {
    let options: Vec<_> = options.split(',').filter(|option| !option.is_empty()).collect();
    json!({"destination": target, "type": kind, "source": source, "options": options})
}

fn usual() -> Value {
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "inside",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "noNewPrivileges": true,
        },
        "mounts": [
            mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
            mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
            mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                {"type": "cgroup"},
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys"],
        },
    })
}
