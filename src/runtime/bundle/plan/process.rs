//! The user's process: who it is and what it may do. The same for a container's first process and for one that joins it.

use std::collections::HashSet;

use oci_spec::runtime::{
    Capability, IOPriorityClass, Linux, LinuxCapabilities, LinuxIOPriority, LinuxMemoryPolicy,
    LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, LinuxSeccomp, MemoryPolicyFlagType,
    MemoryPolicyModeType, PosixRlimitType, Process, Scheduler,
};

use super::refused;
use super::step::{Processors, Rlimit, Step, Turns};
use crate::runtime::plan::PlanError;
use crate::sys::rights::{CAPABILITIES, Capabilities, Limited};
use crate::sys::scheduling::{IoPriority, Scheduling};

/// File mode creation mask where the specification has none.
const UMASK: u32 = 0o022;
/// `PER_LINUX` and `PER_LINUX32` (personality(2)).
const DOMAIN_LINUX: u32 = 0;
const DOMAIN_LINUX32: u32 = 8;

/// The last of the levels of reading and writing (`IOPRIO_NR_LEVELS`).
const IO_LEVEL_MAX: u32 = 7;
/// Processors that a list may name (`CPU_SETSIZE`).
const PROCESSORS_MAX: usize = 1024;
/// Memory nodes that a kernel may be built for (`MAX_NUMNODES`).
const NODES_MAX: usize = 1024;

/// The last steps: rights are given up from the strongest down, the filter comes as late as it can.
pub(super) fn rights(process: &Process, filter: Option<&LinuxSeccomp>) -> Vec<Step> {
    let sets = process.capabilities().as_ref().map_or_else(Capabilities::default, capabilities);
    let user = process.user();
    let forbids_gain = process.no_new_privileges() == Some(true);
    let mut steps = vec![Step::Announce, Step::Umask(user.umask().unwrap_or(UMASK))];
    // Without the promise to gain nothing, installing a filter takes a right that is about to go.
    if filter.is_some() && !forbids_gain {
        steps.push(Step::InstallSeccomp);
    }
    steps.push(Step::Bound(sets.bounding));
    let groups = user.additional_gids().clone().unwrap_or_default();
    steps.push(Step::BecomeUser { uid: user.uid(), gid: user.gid(), groups });
    steps.push(Step::SetCapabilities(sets));
    if forbids_gain {
        steps.push(Step::NoNewPrivileges);
        if filter.is_some() {
            steps.push(Step::InstallSeccomp);
        }
    }
    steps.push(Step::Exec);
    steps
}

fn capabilities(wanted: &LinuxCapabilities) -> Capabilities {
    let bits = |set: &Option<HashSet<Capability>>| {
        set.iter().flatten().filter_map(|name| number(&name.to_string())).fold(0, |bits, n| bits | 1u64 << n)
    };
    Capabilities {
        bounding: bits(wanted.bounding()),
        effective: bits(wanted.effective()),
        inheritable: bits(wanted.inheritable()),
        permitted: bits(wanted.permitted()),
        ambient: bits(wanted.ambient()),
    }
}

/// The number of a capability by its name, with or without prefix.
#[must_use]
pub fn number(name: &str) -> Option<usize> {
    let bare = name.strip_prefix("CAP_").unwrap_or(name);
    CAPABILITIES.iter().position(|known| *known == bare)
}

/// Limits of the process's resources.
pub(super) fn rlimits(process: &Process) -> Result<Vec<Rlimit>, PlanError> {
    let mut limits: Vec<Rlimit> = Vec::new();
    for rlimit in process.rlimits().as_deref().unwrap_or_default() {
        let limit = Rlimit { what: limited(rlimit.typ()), soft: rlimit.soft(), hard: rlimit.hard() };
        if limit.soft > limit.hard {
            return Err(refused(
                "the resource limit",
                &rlimit.typ(),
                "its soft value is above its hard one: lower the soft or raise the hard value",
            ));
        }
        if limits.iter().any(|other| other.what == limit.what) {
            return Err(refused("the resource limit", &rlimit.typ(), "it is listed twice: leave one"));
        }
        limits.push(limit);
    }
    Ok(limits)
}

fn limited(kind: PosixRlimitType) -> Limited {
    match kind {
        PosixRlimitType::RlimitCpu => Limited::Cpu,
        PosixRlimitType::RlimitFsize => Limited::FileSize,
        PosixRlimitType::RlimitData => Limited::Data,
        PosixRlimitType::RlimitStack => Limited::Stack,
        PosixRlimitType::RlimitCore => Limited::Core,
        PosixRlimitType::RlimitRss => Limited::Resident,
        PosixRlimitType::RlimitNproc => Limited::Processes,
        PosixRlimitType::RlimitNofile => Limited::OpenFiles,
        PosixRlimitType::RlimitMemlock => Limited::LockedMemory,
        PosixRlimitType::RlimitAs => Limited::AddressSpace,
        PosixRlimitType::RlimitLocks => Limited::Locks,
        PosixRlimitType::RlimitSigpending => Limited::PendingSignals,
        PosixRlimitType::RlimitMsgqueue => Limited::MessageQueues,
        PosixRlimitType::RlimitNice => Limited::Nice,
        PosixRlimitType::RlimitRtprio => Limited::RealTimePriority,
        PosixRlimitType::RlimitRttime => Limited::RealTime,
    }
}

/// When the process gets the processor and the disk.
pub(super) fn turns(process: &Process) -> Result<Turns, PlanError> {
    let scheduling = process.scheduler().as_ref().map(scheduling).transpose()?;
    let io = process.io_priority().as_ref().map(io_priority).transpose()?;
    Ok(Turns { scheduling, io, ..Turns::default() })
}

fn scheduling(wanted: &Scheduler) -> Result<Scheduling, PlanError> {
    // SCHED_* of linux/sched.h.
    let policy = match wanted.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flags = wanted.flags().iter().flatten().map(|flag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 1,
        LinuxSchedulerFlag::SchedFlagReclaim => 2,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 4,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 8,
        LinuxSchedulerFlag::SchedFlagKeepParams => 16,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 32,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 64,
    });
    let priority = wanted.priority().unwrap_or(0);
    Ok(Scheduling {
        policy,
        flags: flags.fold(0, |all, flag| all | flag),
        nice: wanted.nice().unwrap_or(0),
        priority: u32::try_from(priority)
            .map_err(|_| refused("the scheduler's priority", &priority, "give a number from 0 to 99"))?,
        runtime_ns: wanted.runtime().unwrap_or(0),
        deadline_ns: wanted.deadline().unwrap_or(0),
        period_ns: wanted.period().unwrap_or(0),
    })
}

fn io_priority(wanted: &LinuxIOPriority) -> Result<IoPriority, PlanError> {
    // IOPRIO_CLASS_* of linux/ioprio.h.
    let class = match wanted.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u32::try_from(wanted.priority()) {
        Ok(level) if level <= IO_LEVEL_MAX => Ok(IoPriority { class, level }),
        Ok(_) | Err(_) => Err(refused("the I/O priority", &wanted.priority(), "give a number from 0 to 7")),
    }
}

/// Which processors a process that joins a container runs on.
pub(super) fn processors(process: &Process) -> Result<Processors, PlanError> {
    let Some(wanted) = process.exec_cpu_affinity() else { return Ok(Processors::default()) };
    let why = "give numbers of processors and ranges of them, such as 0-3,7";
    let list = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or_default();
        number_list(text, PROCESSORS_MAX).ok_or_else(|| refused("process.execCPUAffinity", &text, why))
    };
    Ok(Processors { at_first: list(wanted.initial())?, finally: list(wanted.cpu_affinity_final())? })
}

/// "0-3,7", numbers below `count`.
fn number_list(text: &str, count: usize) -> Option<Vec<usize>> {
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number < count);
    let part = |part: &str| match part.split_once('-') {
        Some((first, last)) => Some(number(first)?..=number(last)?),
        None => number(part).map(|only| only..=only),
    };
    let all: Option<Vec<_>> = text.split(',').filter(|text| !text.trim().is_empty()).map(part).collect();
    all.map(|all| all.into_iter().flatten().collect())
}

/// How the kernel treats the container's processes, the first and those that join it.
pub(super) fn treatment(linux: &Linux) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    if let Some(personality) = linux.personality() {
        if let Some(flag) = personality.flags().iter().flatten().next() {
            return Err(refused("the flag of linux.personality", flag, "there are none: leave it out"));
        }
        steps.push(Step::SetPersonality(match personality.domain() {
            LinuxPersonalityDomain::PerLinux => DOMAIN_LINUX,
            LinuxPersonalityDomain::PerLinux32 => DOMAIN_LINUX32,
        }));
    }
    if let Some(policy) = linux.memory_policy() {
        steps.push(memory_policy(policy)?);
    }
    Ok(steps)
}

fn memory_policy(wanted: &LinuxMemoryPolicy) -> Result<Step, PlanError> {
    // MPOL_* of linux/mempolicy.h.
    let mode = match wanted.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flags = wanted.flags().iter().flatten().map(|flag| match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
    });
    let nodes = wanted.nodes().as_deref().unwrap_or_default();
    let why = "give numbers of nodes and ranges of them, such as 0-3,7; kernels know 1024 at most";
    Ok(Step::SetMemoryPolicy {
        mode: flags.fold(mode, |all, flag| all | flag),
        nodes: number_list(nodes, NODES_MAX)
            .ok_or_else(|| refused("linux.memoryPolicy.nodes", &nodes, why))?,
    })
}

/// Name and text of a capability and back, for `features`.
#[must_use]
pub fn capability_names() -> Vec<String> {
    CAPABILITIES.iter().map(|name| format!("CAP_{name}")).collect()
}
