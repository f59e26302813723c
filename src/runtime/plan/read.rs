//! Reading the specification: each part once, into the form the rules want.

use crate::runtime::limits::{CpuQuota, Limits, WEIGHT_DEFAULT, WEIGHT_RANGE};
use crate::runtime::plan::PlanError;
use crate::runtime::spec::{ContainerSpec, IdRange, Network};

use oci_spec::runtime::{LinuxNamespaceType, LinuxResources, PosixRlimitType, Process};

/// Host ids that a container may never get: the system's and ordinary users'.
const HOST_ID_MIN: u32 = 65_536;
/// Longest host name the kernel takes, in bytes.
const HOST_NAME_BYTES_MAX: usize = 64;

/// Namespaces without which this runtime makes no container.
const NEEDED: [LinuxNamespaceType; 6] = [
    LinuxNamespaceType::User,
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::Uts,
    LinuxNamespaceType::Cgroup,
];

fn refused(what: &'static str, value: impl ToString, why: &'static str) -> PlanError {
    PlanError::Refused { what, value: value.to_string(), why }
}

/// One range for users and groups, starting at container id 0, well away from the host's own users.
pub(super) fn id_range(spec: &ContainerSpec) -> Result<IdRange, PlanError> {
    let linux = spec.oci.linux().as_ref().ok_or(PlanError::Missing("the part 'linux'"))?;
    let users = linux.uid_mappings().as_deref().unwrap_or_default();
    let groups = linux.gid_mappings().as_deref().unwrap_or_default();
    let ([users], [groups]) = (users, groups) else {
        return Err(PlanError::Missing("exactly one mapping of user ids and one of group ids"));
    };
    if users != groups || users.container_id() != 0 {
        return Err(refused("the id mapping", format!("{users:?}"), "map users and groups alike, from 0"));
    }
    let range = IdRange { host_base: users.host_id(), len: users.size() };
    if range.host_base < HOST_ID_MIN || range.len == 0 || range.host_base.checked_add(range.len).is_none() {
        return Err(refused("the id range", range.host_base, "start it at 65536 or above"));
    }
    Ok(range)
}

/// All namespaces must be new; only the network's may be one that exists.
pub(super) fn network(spec: &ContainerSpec) -> Result<Network, PlanError> {
    let linux = spec.oci.linux().as_ref().ok_or(PlanError::Missing("the part 'linux'"))?;
    let asked = linux.namespaces().as_deref().unwrap_or_default();
    for needed in NEEDED {
        let found = asked.iter().find(|namespace| namespace.typ() == needed);
        if found.is_none_or(|namespace| namespace.path().is_some()) {
            return Err(refused("the namespace", format!("{needed:?}"), "ask for a new one"));
        }
    }
    let network = asked.iter().find(|namespace| namespace.typ() == LinuxNamespaceType::Network);
    let network = network.ok_or(PlanError::Missing("a network namespace"))?;
    Ok(match network.path() {
        Some(path) => Network::Joined(path.clone()),
        None => Network::Isolated,
    })
}

pub(super) fn oci_process(spec: &ContainerSpec) -> Result<&Process, PlanError> {
    spec.oci.process().as_ref().ok_or(PlanError::Missing("the part 'process'"))
}

/// User and group of the application. Not 0, which is init's: the application must not be able to signal or read it.
pub(super) fn user(spec: &ContainerSpec, ids: IdRange) -> Result<(u32, u32), PlanError> {
    let user = oci_process(spec)?.user();
    if user.uid() == 0 {
        return Err(refused("the user id", 0, "the container's root belongs to init; choose another user"));
    }
    for id in [user.uid(), user.gid()] {
        super::host_id(ids, id)?;
    }
    Ok((user.uid(), user.gid()))
}

/// The words of the command, and the environment.
pub(super) fn command(spec: &ContainerSpec) -> Result<(Vec<String>, Vec<String>), PlanError> {
    let process = oci_process(spec)?;
    let argv = process.args().clone().unwrap_or_default();
    if argv.first().is_none_or(String::is_empty) {
        return Err(PlanError::Missing("a command"));
    }
    let env = process.env().clone().unwrap_or_default();
    if argv.iter().chain(&env).any(|word| word.contains('\0')) {
        return Err(refused("a word", "(with a zero byte)", "the kernel cannot pass it to a program"));
    }
    Ok((argv, env))
}

pub(super) fn host_name(spec: &ContainerSpec) -> Result<String, PlanError> {
    let name = spec.oci.hostname().clone().unwrap_or_default();
    if (1..=HOST_NAME_BYTES_MAX).contains(&name.len()) {
        Ok(name)
    } else {
        Err(refused("the host name", name, "use 1 to 64 bytes"))
    }
}

/// Limits back out of their OCI words.
pub(super) fn limits(spec: &ContainerSpec) -> Result<Limits, PlanError> {
    let mut limits =
        Limits { nofile: rlimit(spec, PosixRlimitType::RlimitNofile)?.unwrap_or(1024), ..Limits::default() };
    limits.core_bytes = rlimit(spec, PosixRlimitType::RlimitCore)?.unwrap_or(0);
    limits.disk_bytes = spec.ext.disk_bytes;
    let resources = spec.oci.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let Some(resources) = resources else { return Ok(limits) };
    if let Some(memory) = resources.memory() {
        limits.memory_bytes = memory.limit().and_then(|bytes| u64::try_from(bytes).ok());
        let both = memory.swap().and_then(|bytes| u64::try_from(bytes).ok());
        limits.memory_swap_bytes =
            both.zip(limits.memory_bytes).map(|(both, memory)| both.saturating_sub(memory));
    }
    if let Some(cpu) = resources.cpu() {
        let quota = cpu.quota().and_then(|quota| u64::try_from(quota).ok());
        limits.cpu_quota =
            quota.zip(cpu.period()).map(|(quota_us, period_us)| CpuQuota { quota_us, period_us });
        limits.cpu_idle = cpu.idle().is_some_and(|idle| idle != 0);
    }
    if let Some(pids) = resources.pids() {
        limits.pids = u64::try_from(pids.limit()).ok();
    }
    limits.memory_high_bytes = unified(resources, "memory.high")?;
    limits.cpu_weight = weight(resources, "cpu.weight")?;
    limits.io_weight = weight(resources, "io.weight")?;
    Ok(limits)
}

fn weight(resources: &LinuxResources, name: &'static str) -> Result<u64, PlanError> {
    let weight = unified(resources, name)?.unwrap_or(WEIGHT_DEFAULT);
    if WEIGHT_RANGE.contains(&weight) { Ok(weight) } else { Err(refused(name, weight, "use 1 to 10000")) }
}

fn unified(resources: &LinuxResources, name: &'static str) -> Result<Option<u64>, PlanError> {
    let Some(text) = resources.unified().as_ref().and_then(|table| table.get(name)) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| refused(name, text, "give a number"))
}

pub(super) fn rlimit(spec: &ContainerSpec, typ: PosixRlimitType) -> Result<Option<u64>, PlanError> {
    let limits = oci_process(spec)?.rlimits().as_deref().unwrap_or_default();
    Ok(limits.iter().find(|limit| limit.typ() == typ).map(|limit| limit.hard()))
}
