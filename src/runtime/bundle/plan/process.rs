//! The user's process: who it is and what it may do. The same for a container's first process and for one that joins it.

use std::collections::HashSet;

use oci_spec::runtime::{
    Capability, LinuxCapabilities, LinuxPersonalityDomain, LinuxSeccomp, PosixRlimitType, Process, Spec,
};

use super::refused;
use super::step::{Rlimit, Step};
use crate::runtime::plan::PlanError;
use crate::sys::rights::{CAPABILITIES, Capabilities, Limited};

/// File mode creation mask where the specification has none.
const UMASK: u32 = 0o022;
/// `PER_LINUX` and `PER_LINUX32` (personality(2)).
const DOMAIN_LINUX: u32 = 0;
const DOMAIN_LINUX32: u32 = 8;

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

/// The execution domain.
pub(super) fn personality(spec: &Spec) -> Option<u32> {
    let personality = spec.linux().as_ref()?.personality().as_ref()?;
    Some(match personality.domain() {
        LinuxPersonalityDomain::PerLinux => DOMAIN_LINUX,
        LinuxPersonalityDomain::PerLinux32 => DOMAIN_LINUX32,
    })
}

/// Name and text of a capability and back, for `features`.
#[must_use]
pub fn capability_names() -> Vec<String> {
    CAPABILITIES.iter().map(|name| format!("CAP_{name}")).collect()
}
