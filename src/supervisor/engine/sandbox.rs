//! From a dyno to the container it runs in. Decides only; the files of the stack that it builds on are handed in.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::SizeLimits;
use crate::runtime::{
    Access, Exec, IdMapped, IdRange, Limits, Network, Process, Sandbox, SandboxMount, StdioKind,
};
use crate::supervisor::Connection;
use crate::supervisor::engine::figures::{self, Machine, Moment};
use crate::supervisor::engine::{DynoSpec, Home};
use crate::supervisor::service::Attached;

/// The unprivileged host id that owns slugs and scratch files on disk; mounts show them as the dyno's own.
pub const STORE_ID: u32 = 0x6FFF_0000;
/// The first host id that containers use.
const IDS_BASE: u32 = 0x7000_0000;
/// Ids of one container.
const IDS_LEN: u32 = 65_536;
/// Slots of one node: the ids of nodes side by side do not meet.
const SLOTS: u32 = crate::runtime::slots::SLOTS;
/// Permission bits of generated files.
const FILE_MODE: u32 = 0o644;
/// Permission bits of those that stand for the kernel's.
const FIGURES_MODE: u32 = 0o444;
/// File mode creation mask of a dyno.
const UMASK: u32 = 0o022;
/// Open files of one process.
const OPEN_FILES_MAX: u64 = 10_000;

/// The start wrapper (platform reference 1.6): profile scripts may change the environment, or end the dyno; a failing
/// command in them does not. The task limit is set as a limit of the user as well, because start scripts of buildpacks
/// read `ulimit -u`; it is never the one that refuses (`own_tasks_max`). The command comes as an argument, so that nothing in
/// it is interpreted twice.
const WRAPPER: &str = r#"ulimit -u "$1" 2>/dev/null
__dyno_command=$2
set --
for __dyno_file in /etc/profile.d/*.sh /app/.profile.d/*.sh /app/.profile; do
  [ -f "$__dyno_file" ] && source "$__dyno_file"
done
unset __dyno_file
exec /bin/bash -c "$__dyno_command"
"#;

/// What the control group grants of a size's tasks: init is one of them, and in a group of its own. So the user has one fewer
/// than its own limit, which the kernel looks at first (fork(2)) and whose refusals nobody counts: those of the group are.
fn own_tasks_max(tasks_max: u64) -> u64 {
    tasks_max.saturating_sub(1).max(1)
}

/// What the node lends to one dyno.
#[derive(Clone, Debug)]
pub(super) struct Loan {
    /// Index of the node on its host.
    pub(super) index: u32,
    /// What a dyno of its size may use.
    pub(super) size: SizeLimits,
    /// The slot.
    pub(super) slot: u32,
    /// The network namespace to join.
    pub(super) netns: PathBuf,
    /// The dyno's address there.
    pub(super) address: Ipv4Addr,
    /// Who answers names.
    pub(super) resolvers: Vec<IpAddr>,
    /// The data services that it reaches.
    pub(super) attached: Vec<Attached>,
    /// Where `/app` comes from.
    pub(super) home: Home,
    /// The unpacked slug, where something of it is seen.
    pub(super) slug: PathBuf,
    /// The dyno's scratch directory; its directories for mounts exist.
    pub(super) scratch: PathBuf,
    /// The machine it shares.
    pub(super) machine: Arc<Machine>,
    /// The stack's `/etc/passwd`.
    pub(super) passwd: String,
    /// The stack's `/etc/group`.
    pub(super) group: String,
}

/// The host ids of a slot's container.
pub(in crate::supervisor) fn ids(index: u32, slot: u32) -> IdRange {
    IdRange { host_base: IDS_BASE + (index * SLOTS + slot) * IDS_LEN, len: IDS_LEN }
}

/// The container of a dyno, but for its name and its labels.
pub(super) fn sandbox(spec: &DynoSpec, loan: &Loan) -> Parts {
    let label = &spec.label;
    let uid = label.uid;
    let size = loan.size;
    Parts {
        hostname: label.id.to_string(),
        ids: ids(loan.index, loan.slot),
        mounts: mounts(spec, loan),
        process: Process {
            argv: argv(&label.command, &size),
            env: spec.env.clone().into_iter().collect(),
            cwd: PathBuf::from("/app"),
            uid,
            gid: uid,
            umask: UMASK,
        },
        limits: Limits {
            memory_bytes: Some(size.memory_max.0),
            memory_swap_bytes: Some(0),
            cpu_weight: size.cpu_weight,
            io_weight: size.cpu_weight,
            pids: Some(own_tasks_max(size.tasks_max)),
            nofile: OPEN_FILES_MAX,
            // In memory: a full disk alone then does not bring the dyno to the memory at which it is ended.
            disk_bytes: Some(size.memory.0),
            ..Limits::default()
        },
        network: Network::Joined(loan.netns.clone()),
        stdio: stdio(spec.connection),
    }
}

/// What runs a command in a dyno of this size.
pub(super) fn argv(command: &str, size: &SizeLimits) -> Vec<String> {
    let tasks_max = size.tasks_max.to_string();
    ["/bin/bash", "-c", WRAPPER, "bash", &tasks_max, command].map(str::to_owned).into()
}

/// Where a command's streams lead.
pub(super) fn stdio(connection: Connection) -> StdioKind {
    match connection {
        Connection::Log => StdioKind::Log,
        Connection::Terminal { rows, cols } => StdioKind::Terminal { rows, cols },
        Connection::Pipes => StdioKind::Pipes,
    }
}

/// A [`Sandbox`] without its name.
pub(super) struct Parts {
    hostname: String,
    ids: IdRange,
    mounts: Vec<SandboxMount>,
    process: Process,
    limits: Limits,
    network: Network,
    stdio: StdioKind,
}

impl Parts {
    /// Names it.
    pub(super) fn named(
        self,
        id: crate::runtime::ContainerId,
        root_layers: Vec<PathBuf>,
        labels: std::collections::BTreeMap<String, String>,
    ) -> Sandbox {
        let Self { hostname, ids, mounts, process, limits, network, stdio } = self;
        Sandbox { id, hostname, root_layers, ids, mounts, process, limits, network, stdio, labels }
    }
}

fn mounts(spec: &DynoSpec, loan: &Loan) -> Vec<SandboxMount> {
    let uid = spec.label.uid;
    let stored = |path: PathBuf| IdMapped { path, disk: Some((STORE_ID, uid)) };
    let scratch = |name: &str, target: &str| SandboxMount::Scratch {
        scratch: loan.scratch.clone(),
        name: name.to_owned(),
        target: target.into(),
        mode: TMP_MODE,
        owner: (uid, uid),
    };
    let generated = |target: &str, contents: String, mode: u32| SandboxMount::File {
        target: target.into(),
        contents: contents.into_bytes(),
        mode,
    };
    let file = |target: &str, contents: String| generated(target, contents, FILE_MODE);
    let hostname = spec.label.id.to_string();
    // So it is at the start: what it uses by the time that its program looks is told by the first reading.
    let figures = figures::files(&loan.machine, loan.size.memory, &Moment::default());
    let resolvers: String = loan.resolvers.iter().map(|address| format!("nameserver {address}\n")).collect();
    let services: String =
        loan.attached.iter().map(|service| format!("{} {}\n", service.at.ip(), service.host)).collect();
    let mut mounts = loan.home.mounts(uid, (&loan.slug, &loan.scratch), stored);
    mounts.extend([
        scratch("tmp", "/tmp"),
        scratch("vartmp", "/var/tmp"),
        SandboxMount::Bind {
            source: IdMapped { path: loan.scratch.join(CGROUP), disk: None },
            target: "/sys/fs/cgroup".into(),
            access: Access::ReadOnly,
            exec: Exec::Denied,
        },
        file("/etc/passwd", passwd(&loan.passwd, uid)),
        file("/etc/group", group(&loan.group, uid)),
        file(
            "/etc/hosts",
            format!(
                "127.0.0.1 localhost localhost.localdomain\n::1 localhost\n{} {hostname}\n{services}",
                loan.address
            ),
        ),
        file("/etc/hostname", format!("{hostname}\n")),
        file("/etc/resolv.conf", resolvers),
    ]);
    mounts.extend(figures.map(|(target, text)| generated(target, text, FIGURES_MODE)));
    mounts
}

/// Permission bits of the directories for temporary files.
const TMP_MODE: u32 = 0o1777;

/// Name of the directory in a dyno's scratch directory that a dyno sees as `/sys/fs/cgroup`.
pub(super) const CGROUP: &str = "cgroup";
/// The one file in it: start scripts of buildpacks read the dyno's quota here, in bytes (platform reference 1.2).
pub(super) const MEMORY_LIMIT: &str = "memory/memory.limit_in_bytes";

/// The stack's users and the dyno's own.
fn passwd(stack: &str, uid: u32) -> String {
    format!("{}u{uid}:x:{uid}:{uid}::/app:/bin/bash\n", lines(stack))
}

/// The stack's groups and the dyno's own.
fn group(stack: &str, gid: u32) -> String {
    format!("{}dyno:x:{gid}:\n", lines(stack))
}

/// The text, ending with a line feed when there is any.
fn lines(text: &str) -> String {
    let text = text.trim_end_matches('\n');
    if text.is_empty() { String::new() } else { format!("{text}\n") }
}

/// The file `name` of a root made of layers: the topmost layer that has it wins.
pub(in crate::supervisor) fn in_layers(layers: &[PathBuf], name: &Path) -> Option<PathBuf> {
    layers.iter().rev().map(|layer| layer.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn ids_of_slots_and_nodes_do_not_meet() {
        let last = ids(31, SLOTS - 1);
        assert_eq!(ids(0, 1).host_base, ids(0, 0).host_base + IDS_LEN);
        assert_eq!(ids(1, 0).host_base, ids(0, SLOTS - 1).host_base + IDS_LEN);
        assert!(last.host_base.checked_add(IDS_LEN).is_some(), "the last id is one");
        const { assert!(STORE_ID < IDS_BASE) };
    }

    #[test]
    fn the_group_refuses_before_the_users_limit_and_lets_something_run() {
        assert_eq!([1, 2, 256].map(own_tasks_max), [1, 1, 255]);
    }

    #[test]
    fn the_dynos_user_comes_after_the_stacks() {
        assert_eq!(
            passwd("root:x:0:0::/root:/bin/sh", 42856),
            "root:x:0:0::/root:/bin/sh\nu42856:x:42856:42856::/app:/bin/bash\n"
        );
        assert_eq!(group("", 42856), "dyno:x:42856:\n");
    }
}
