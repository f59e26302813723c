//! The container of a data service. Decides only; the directories that it builds on are made by the keeper.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::runtime::{
    Access, Container, ContainerId, Entry, Exec, IdMapped, Limits, Network, Process, Sandbox, SandboxMount,
    StdioKind,
};
use crate::supervisor::engine::{STORE_ID, ids};
use crate::supervisor::service::{Act, ServiceSpec};

/// What names of containers of services begin with; the service's identity follows.
pub const CONTAINER_PREFIX: &str = "service-";
/// The one user of a service's container, the same in each: their host ids differ.
const USER: u32 = 2000;
/// The name of that user, which servers look up.
const USER_NAME: &str = "service";
/// Role and database of clients.
pub const CLIENT: &str = "app";
/// Processes and threads of a service beyond one for each of its clients.
const TASKS_BASE: u64 = 128;
/// Open files of one process.
const OPEN_FILES_MAX: u64 = 65_536;
/// What it may keep in `/tmp`, bytes; in memory.
const TMP_BYTES: u64 = 16 << 20;
/// Its share of a processor and of disks, beside dynos: they wait for it.
const WEIGHT: u64 = 200;
/// Where its data is, inside.
const DATA: &str = "/srv";
/// The label that tells the slot.
const SLOT: &str = "slot";
/// Stands there while the server answers, and holds what it was started with.
pub(super) const READY: &str = ".ready";

/// Stands there in a copy of another service's data that is not made its own yet.
pub(super) const FORKED: &str = ".forked";

/// Runs the service's own commands, which come as arguments so that nothing in them is read twice. An unfilled directory is emptied
/// first: it is what a filling that was cut off has left. A copy of another's data is made its own. A password other than that of the last start is set, and remembered as a
/// digest when it is. The shell waits for the server, and tells when it answers: where the disk
/// has no room for that, as soon as it has.
const WRAPPER: &str = r#"set -u
init=$1 start=$2 check=$3 nonce=$4 password=$5 fork=$6
cd /srv
rm -f .ready
if [ ! -e .filled ]; then
  find . -mindepth 1 -delete
  bash -euc "$init" || exit 70
  sync .
  : >.filled
  sync .filled .
fi
if [ -e .forked ]; then
  bash -euc "$fork" || exit 73
  rm .forked
  sync .
fi
digest=$(printf %s "$PASSWORD" | sha256sum)
if [ -n "$password" ] && [ "$(cat .password 2>/dev/null)" != "$digest" ]; then
  bash -euc "$password" || exit 72
  printf '%s\n' "$digest" >.password.new
  sync .password.new
  mv .password.new .password
  sync .
fi
trap : TERM
bash -c "$start" &
server=$!
until bash -c "$check" && printf %s "$nonce" >.ready; do
  rm -f .ready
  kill -0 "$server" 2>/dev/null || break
  sleep 0.05
done
while kill -0 "$server" 2>/dev/null; do wait "$server"; status=$?; done
rm -f .ready
exit "${status:-71}"
"#;

/// What the keeper adds to the spec.
pub(super) struct Loan {
    pub(super) index: u32,
    /// The network namespace to join.
    pub(super) netns: PathBuf,
    /// Its directory.
    pub(super) volume: PathBuf,
    /// Tells this start from others.
    pub(super) nonce: String,
    /// The stack's `/etc/passwd`.
    pub(super) passwd: String,
}

/// The name of a service's container.
pub(super) fn id(service: uuid::Uuid) -> Option<ContainerId> {
    format!("{CONTAINER_PREFIX}{service}").parse().ok()
}

/// The container.
pub(super) fn sandbox(spec: &ServiceSpec, loan: &Loan, id: ContainerId) -> Sandbox {
    let commands = &spec.service.commands;
    let password = commands.password.as_deref().unwrap_or_default();
    let fork = commands.fork.as_deref().unwrap_or_default();
    let script =
        [WRAPPER, "service", &commands.init, &commands.start, &commands.check, &loan.nonce, password, fork];
    let argv = ["/bin/bash", "-c"].into_iter().chain(script).map(str::to_owned).collect();
    Sandbox {
        id,
        hostname: spec.host.clone(),
        root_layers: spec.layers.clone(),
        ids: ids(loan.index, spec.slot),
        mounts: mounts(spec, loan),
        process: Process {
            argv,
            env: environment(spec),
            cwd: "/".into(),
            uid: USER,
            gid: USER,
            umask: 0o077,
        },
        limits: Limits {
            memory_bytes: Some(spec.plan.memory.0),
            memory_swap_bytes: Some(0),
            cpu_weight: WEIGHT,
            io_weight: WEIGHT,
            pids: Some(TASKS_BASE + u64::from(spec.plan.connections)),
            nofile: OPEN_FILES_MAX,
            ..Limits::default()
        },
        network: Network::Joined(loan.netns.clone()),
        stdio: StdioKind::Log,
        labels: [
            ("kind".to_owned(), "service".to_owned()),
            (SLOT.to_owned(), spec.slot.to_string()),
            generation(spec),
        ]
        .into(),
    }
}

/// The slot of a container that an earlier process left; nothing where that did not write it down yet.
pub(super) fn slot(container: &Container) -> Option<u32> {
    container.labels().get(SLOT)?.parse().ok()
}

/// What tells a container that was started under what the service is now from an earlier one.
pub(super) fn generation(spec: &ServiceSpec) -> (String, String) {
    ("generation".to_owned(), spec.generation.to_string())
}

/// A command of the service beside its server. What it is told is what the service is now, whatever the server was started with.
pub(super) fn entry(spec: &ServiceSpec, act: Act, id: ContainerId) -> Entry {
    let Act { script, args, env, stdio } = act;
    let script = format!("{}\n{script}", spec.service.commands.common);
    let argv = ["/bin/bash".to_owned(), "-ec".to_owned(), script, "service".to_owned()];
    let mut told: BTreeMap<_, _> = told(spec).into();
    told.extend(env);
    Entry { id, argv: argv.into_iter().chain(args).collect(), env: told, stdio }
}

/// The stack's environment, and what the commands are told. Nobody but the service itself sees its processes.
fn environment(spec: &ServiceSpec) -> Vec<(String, String)> {
    let mut env = spec.env.clone();
    env.extend(told(spec));
    env.into_iter().collect()
}

fn told(spec: &ServiceSpec) -> [(String, String); 8] {
    let told = [
        ("HOME", DATA.to_owned()),
        ("USER", CLIENT.to_owned()),
        ("DATABASE", CLIENT.to_owned()),
        ("PASSWORD", spec.password.clone()),
        ("PORT", spec.service.port.to_string()),
        ("CONNECTIONS", spec.plan.connections.to_string()),
        ("MEMORY_MIB", (spec.plan.memory.0 >> 20).to_string()),
        ("LANG", "C.UTF-8".to_owned()),
    ];
    told.map(|(name, value)| (name.to_owned(), value))
}

fn mounts(spec: &ServiceSpec, loan: &Loan) -> Vec<SandboxMount> {
    let file = |target: &str, contents: String| SandboxMount::File {
        target: target.into(),
        contents: contents.into_bytes(),
        mode: 0o444,
    };
    vec![
        SandboxMount::Tmpfs {
            target: "/tmp".into(),
            size_bytes: TMP_BYTES,
            mode: 0o1777,
            owner: (USER, USER),
            exec: Exec::Denied,
        },
        SandboxMount::Bind {
            source: IdMapped { path: loan.volume.clone(), disk: Some((STORE_ID, USER)) },
            target: Path::new(DATA).into(),
            access: Access::ReadWrite,
            exec: Exec::Denied,
        },
        file(
            "/etc/passwd",
            format!("{}\n{USER_NAME}:x:{USER}:{USER}::{DATA}:/bin/bash\n", loan.passwd.trim_end()),
        ),
        file("/etc/hosts", format!("127.0.0.1 localhost {}\n", spec.host)),
        file("/etc/hostname", format!("{}\n", spec.host)),
    ]
}
