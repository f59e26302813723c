//! One bundle for all: a small root, the same isolation spelled as an OCI configuration and as a sandbox of ours.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use dyno::runtime::seccomp::profile::{ALLOWED, Answer, CHECKED, Operation, REFUSED};
use dyno::runtime::{Exec, IdRange, Limits, Network, Process, Sandbox, SandboxMount, StdioKind};
use serde_json::{Value, json};

use crate::view::View;

/// A static shell with the usual tools (package busybox-static).
const BUSYBOX: &str = "/bin/busybox";
/// The host ids of every container of the benchmark: only one of a kind writes anything.
const IDS: IdRange = IdRange { host_base: 0x7f00_0000, len: 65_536 };
/// User of the workload.
const USER: u32 = 1000;
const TMP_BYTES: u64 = 64 << 20;
const MEMORY_BYTES: u64 = 512 << 20;
const TASKS: u64 = 256;

/// The program inside that ends at once, and the one that stays.
pub const TRUE: &str = "/bin/stamp";
pub const IDLE: &str = "/bin/idle";

/// The bundle on disk.
pub struct Bundle {
    pub dir: PathBuf,
}

impl Bundle {
    /// Makes it below `dir`.
    pub fn make(dir: &Path, view: View, group: &str) -> io::Result<Bundle> {
        let root = dir.join("rootfs");
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(root.join(name))?;
        }
        fs::copy(BUSYBOX, root.join("bin/busybox"))?;
        symlink("busybox", root.join("bin/sh"))?;
        compile(&root.join("bin/stamp"), &[])?;
        compile(&root.join("bin/idle"), &["-DIDLE"])?;
        let bundle = Bundle { dir: dir.to_owned() };
        fs::write(dir.join("config.json"), bundle.oci(view, group)?.to_string())?;
        Ok(bundle)
    }

    /// The same with other control groups, for one that runs at the same time.
    pub fn another(&self, number: usize, view: View, group: &str) -> io::Result<Bundle> {
        let dir = self.dir.join(format!("another{number}"));
        fs::create_dir_all(&dir)?;
        let root = dir.join("rootfs");
        if !root.exists() {
            symlink(self.dir.join("rootfs"), root)?;
        }
        let config = self.oci(view, &format!("{group}/{number}"))?;
        fs::write(dir.join("config.json"), config.to_string())?;
        Ok(Bundle { dir })
    }

    /// A sandbox of ours.
    pub fn sandbox(&self, name: &str, program: &str, view: View) -> Sandbox {
        let limits = Limits { memory_bytes: Some(MEMORY_BYTES), pids: Some(TASKS), ..Limits::default() };
        Sandbox {
            id: name.parse().expect("a name"),
            hostname: "bench".to_owned(),
            root_layers: vec![self.dir.join("rootfs")],
            ids: IDS,
            mounts: vec![SandboxMount::Tmpfs {
                target: "/tmp".into(),
                size_bytes: TMP_BYTES,
                mode: 0o1777,
                owner: (0, 0),
                exec: Exec::Allowed,
            }],
            process: Process {
                argv: vec![program.to_owned()],
                env: vec![("PATH".to_owned(), "/bin".to_owned())],
                cwd: "/".into(),
                uid: USER,
                gid: USER,
                umask: 0o022,
            },
            limits: if view.has_limits() { limits } else { Limits::default() },
            network: Network::Isolated,
            stdio: StdioKind::Pipes,
            labels: BTreeMap::new(),
        }
    }

    /// The same for the others: our own specification, with the parts that ours says by other means.
    fn oci(&self, view: View, group: &str) -> io::Result<Value> {
        let spec = self.sandbox("oci", TRUE, view).into_spec().map_err(io::Error::other)?;
        let mut config = serde_json::to_value(&spec.oci)?;
        for mount in config["mounts"].as_array_mut().into_iter().flatten() {
            // Ours copies a ready one; others make the nodes themselves, so it must be writable at first.
            if mount["destination"] == "/dev" {
                mount["options"] = json!(["nosuid", "noexec", "mode=755", "size=65536k"]);
            }
        }
        let tmp = json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "nodev", "mode=1777", format!("size={TMP_BYTES}")]});
        config["mounts"].as_array_mut().expect("there are mounts").push(tmp);
        config["root"] = json!({"path": self.dir.join("rootfs"), "readonly": true});
        // What the oldest of them knows.
        config["ociVersion"] = json!("1.0.2");
        config["linux"]["cgroupsPath"] = json!(format!("/{group}/oci"));
        config["linux"]["seccomp"] = seccomp();
        config["linux"]["resources"] = if view.has_limits() {
            json!({"memory": {"limit": MEMORY_BYTES}, "pids": {"limit": TASKS}, "cpu": {"shares": 1024}})
        } else {
            json!({})
        };
        Ok(config)
    }
}

/// Compiles the workload.
fn compile(to: &Path, options: &[&str]) -> io::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/start/workload.c");
    let status = Command::new("cc")
        .args(["-Os", "-static", "-nostdlib"])
        .args(options)
        .arg("-o")
        .arg(to)
        .arg(source)
        .status()?;
    status.success().then_some(()).ok_or_else(|| io::Error::other("the workload did not compile"))
}

/// Our filter as the OCI specification spells it.
fn seccomp() -> Value {
    let allowed: Vec<&str> = ALLOWED.iter().flat_map(|group| group.names.split_whitespace()).collect();
    let mut rules = vec![json!({"names": allowed, "action": "SCMP_ACT_ALLOW"})];
    for checked in CHECKED {
        for tests in checked.any_of {
            let arguments: Vec<Value> = tests
                .iter()
                .map(|test| match test.operation {
                    Operation::Is(value) => {
                        json!({"index": test.argument, "value": value, "op": "SCMP_CMP_EQ"})
                    }
                    Operation::IsNot(value) => {
                        json!({"index": test.argument, "value": value, "op": "SCMP_CMP_NE"})
                    }
                    Operation::Masked(mask, value) => json!({"index": test.argument, "value": mask,
                        "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}),
                })
                .collect();
            rules.push(json!({"names": [checked.name], "action": "SCMP_ACT_ALLOW", "args": arguments}));
        }
    }
    let absent = REFUSED.iter().filter(|refusal| refusal.answer == Answer::NoSuchCall);
    let absent: Vec<&str> = absent.flat_map(|refusal| refusal.names.split_whitespace()).collect();
    rules.push(json!({"names": absent, "action": "SCMP_ACT_ERRNO", "errnoRet": 38}));
    let architecture = if cfg!(target_arch = "aarch64") { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" };
    json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": [architecture], "syscalls": rules})
}
