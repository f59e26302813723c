//! The hardened profile: a `Sandbox` spelled as an OCI runtime specification, where that has words, and extensions where not.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::path::PathBuf;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder, LinuxIdMapping, LinuxIdMappingBuilder,
    LinuxMemoryBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPidsBuilder,
    LinuxResources, LinuxResourcesBuilder, Mount, MountBuilder, PosixRlimitBuilder, PosixRlimitType,
    ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};
use serde::{Deserialize, Serialize};

use crate::runtime::limits::Limits;
use crate::runtime::spec::{ContainerId, IdRange, Network, Process, Sandbox, SandboxMount, StdioKind};

/// Files and directories of the kernel that tell about the host or its other tenants, and how busy both are, covered by something
/// empty.
const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/buddyinfo",
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/diskstats",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/pagetypeinfo",
    "/proc/pressure",
    "/proc/sched_debug",
    "/proc/schedstat",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/softirqs",
    "/proc/swaps",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/proc/vmstat",
    "/proc/zoneinfo",
    "/sys/class/dmi",
    "/sys/devices/system/node",
    "/sys/devices/virtual/dmi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/cgroup",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
    "/sys/module",
];

/// Directories through which the kernel takes settings.
const READ_ONLY_PATHS: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// `cpu.idle` of a group that gives way to every other.
const IDLE: i64 = 1;
/// Most that `/dev/shm` holds, in bytes; it counts against the memory limit besides.
const SHM_BYTES_MAX: u64 = 64 << 20;
/// Group that owns terminals (`tty` on Debian).
const TTY_GROUP: u32 = 5;

/// What plan and execution take: an OCI specification, and what OCI has no words for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Name of the container.
    pub id: ContainerId,
    /// The standard part.
    pub oci: Spec,
    /// The rest.
    pub ext: Extensions,
}

/// What the OCI specification has no words for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extensions {
    /// Layers of the root, lowest first.
    pub root_layers: Vec<PathBuf>,
    /// Laid over the root after the mounts of the standard part.
    pub mounts: Vec<SandboxMount>,
    /// Where the standard streams lead.
    pub stdio: StdioKind,
    /// What each scratch directory holds at most, in bytes.
    pub disk_bytes: Option<u64>,
    /// Kept in the container's record, not interpreted.
    pub labels: BTreeMap<String, String>,
}

impl Sandbox {
    /// Spells the sandbox in OCI terms under the hardened profile.
    ///
    /// # Errors
    /// A part that the OCI types cannot hold.
    pub fn into_spec(self) -> Result<ContainerSpec, OciSpecError> {
        let Sandbox { id, hostname, root_layers, ids, mounts, process, limits, network, stdio, labels } =
            self;
        let root = root_layers.first().cloned().unwrap_or_default();
        let linux = LinuxBuilder::default()
            .uid_mappings([mapping(ids)?])
            .gid_mappings([mapping(ids)?])
            .namespaces(namespaces(&network)?)
            .resources(resources(&limits)?)
            .masked_paths(MASKED_PATHS.iter().map(ToString::to_string).collect::<Vec<_>>())
            .readonly_paths(READ_ONLY_PATHS.iter().map(ToString::to_string).collect::<Vec<_>>())
            .build()?;
        let oci = SpecBuilder::default()
            .version("1.2.0")
            .root(RootBuilder::default().path(root).readonly(true).build()?)
            .mounts(kernel_mounts()?)
            .process(process_of(process, &limits, stdio)?)
            .hostname(hostname)
            .linux(linux)
            .build()?;
        let ext = Extensions { root_layers, mounts, stdio, disk_bytes: limits.disk_bytes, labels };
        Ok(ContainerSpec { id, oci, ext })
    }
}

fn mapping(ids: IdRange) -> Result<LinuxIdMapping, OciSpecError> {
    LinuxIdMappingBuilder::default().container_id(0u32).host_id(ids.host_base).size(ids.len).build()
}

/// All of them, each new, but for a network namespace that the caller has made ready.
fn namespaces(network: &Network) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    let new = |typ: LinuxNamespaceType| LinuxNamespaceBuilder::default().typ(typ).build();
    let network = match network {
        Network::Isolated => new(LinuxNamespaceType::Network)?,
        Network::Joined(path) => {
            LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network).path(path.clone()).build()?
        }
    };
    Ok(vec![
        new(LinuxNamespaceType::User)?,
        new(LinuxNamespaceType::Mount)?,
        new(LinuxNamespaceType::Pid)?,
        new(LinuxNamespaceType::Ipc)?,
        new(LinuxNamespaceType::Uts)?,
        new(LinuxNamespaceType::Cgroup)?,
        network,
    ])
}

fn resources(limits: &Limits) -> Result<LinuxResources, OciSpecError> {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut built = LinuxResourcesBuilder::default();
    if let Some(bytes) = limits.memory_bytes {
        let mut memory = LinuxMemoryBuilder::default().limit(signed(bytes));
        if let Some(swap) = limits.memory_swap_bytes {
            // OCI counts memory and swap together.
            memory = memory.swap(signed(bytes.saturating_add(swap)));
        }
        built = built.memory(memory.build()?);
    }
    if limits.cpu_quota.is_some() || limits.cpu_idle {
        let mut cpu = LinuxCpuBuilder::default();
        if let Some(quota) = limits.cpu_quota {
            cpu = cpu.quota(signed(quota.quota_us)).period(quota.period_us);
        }
        if limits.cpu_idle {
            cpu = cpu.idle(IDLE);
        }
        built = built.cpu(cpu.build()?);
    }
    if let Some(pids) = limits.pids {
        built = built.pids(LinuxPidsBuilder::default().limit(signed(pids)).build()?);
    }
    let mut unified = HashMap::from([
        ("cpu.weight".to_owned(), limits.cpu_weight.to_string()),
        ("io.weight".to_owned(), limits.io_weight.to_string()),
    ]);
    if let Some(high) = limits.memory_high_bytes {
        unified.insert("memory.high".to_owned(), high.to_string());
    }
    built.unified(unified).build()
}

fn process_of(
    process: Process,
    limits: &Limits,
    stdio: StdioKind,
) -> Result<oci_spec::runtime::Process, OciSpecError> {
    let rlimit = |typ: PosixRlimitType, value: u64| {
        PosixRlimitBuilder::default().typ(typ).soft(value).hard(value).build()
    };
    let none = LinuxCapabilitiesBuilder::default()
        .bounding([])
        .effective([])
        .inheritable([])
        .permitted([])
        .ambient([])
        .build()?;
    let user = UserBuilder::default().uid(process.uid).gid(process.gid).umask(process.umask).build()?;
    let env = process.env.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
    ProcessBuilder::default()
        .terminal(matches!(stdio, StdioKind::Terminal { .. }))
        .user(user)
        .args(process.argv)
        .env(env)
        .cwd(process.cwd)
        .capabilities(none)
        .rlimits([
            rlimit(PosixRlimitType::RlimitNofile, limits.nofile)?,
            rlimit(PosixRlimitType::RlimitCore, limits.core_bytes)?,
        ])
        .no_new_privileges(true)
        .build()
}

/// The file systems that the kernel fills, and `/dev`.
fn kernel_mounts() -> Result<Vec<Mount>, OciSpecError> {
    let mount = |target: &str, kind: &str, options: &[String]| {
        MountBuilder::default().destination(target).typ(kind).source(kind).options(options.to_vec()).build()
    };
    let words = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    Ok(vec![
        mount("/proc", "proc", &words("nosuid,noexec,nodev,hidepid=invisible"))?,
        mount("/sys", "sysfs", &words("nosuid,noexec,nodev,ro"))?,
        mount("/dev", "tmpfs", &words("nosuid,noexec,ro"))?,
        mount(
            "/dev/pts",
            "devpts",
            &words(&format!("nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid={TTY_GROUP}")),
        )?,
        mount("/dev/shm", "tmpfs", &words(&format!("nosuid,noexec,nodev,mode=1777,size={SHM_BYTES_MAX}")))?,
        mount("/dev/mqueue", "mqueue", &words("nosuid,noexec,nodev"))?,
    ])
}
