//! From a bundle's `config.json` to lists of what is done: rules only, no kernel is asked. What a rule refuses names the part of the
//! configuration and what to write instead.

mod mounts;
mod options;
mod process;
mod step;
#[cfg(test)]
mod test;

use std::fmt;
use std::path::Path;

use oci_spec::runtime::{Hook, Linux, LinuxIdMapping, LinuxNamespaceType, LinuxSeccomp, Process, Spec};

use super::seccomp::notifies;
use crate::runtime::plan::PlanError;
use crate::sys::namespace::Kind;

pub use options::{Options, known as known_mount_options};
pub use process::{capability_names, number as capability_number};
pub use step::{IdMap, IdMaps, NamespacePlan, Prepare, Processors, Rlimit, Slot, Step, Turns};

/// How the root is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootChange {
    /// pivot_root(2): nothing of the host's stays reachable.
    Pivot,
    /// chroot(2), for roots that cannot be pivoted to (an initial ramdisk).
    Chroot,
}

/// What plans are made of.
pub(super) struct Wish<'a> {
    pub(super) spec: &'a Spec,
    pub(super) linux: &'a Linux,
    pub(super) bundle: &'a Path,
}

/// All that is done to start a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundlePlan {
    /// Which namespaces.
    pub namespaces: NamespacePlan,
    /// Ids of the new user namespace.
    pub ids: Option<IdMaps>,
    /// Lines for the clocks of the new time namespace.
    pub clock_offsets: Vec<String>,
    /// By the starter, before the clone.
    pub prepare: Vec<Prepare>,
    /// By the container's process.
    pub steps: Vec<Step>,
    /// Limits, set by the starter when all else is ready.
    pub rlimits: Vec<Rlimit>,
    /// Likelihood to be killed when memory runs out.
    pub oom_score_adj: Option<i32>,
    /// When it gets processors and disks, and which processors.
    pub turns: Turns,
}

/// Plans a container.
///
/// # Errors
/// `PlanError` where the configuration is incomplete or contradicts itself.
pub fn plan(spec: &Spec, bundle: &Path, change: RootChange) -> Result<BundlePlan, PlanError> {
    check_version(spec)?;
    let linux = spec.linux().as_ref().ok_or(PlanError::Missing("linux"))?;
    let process = spec.process().as_ref().ok_or(PlanError::Missing("process"))?;
    let wish = Wish { spec, linux, bundle };
    let namespaces = namespaces(linux)?;
    let ids = ids(linux, &namespaces)?;
    check(spec, &namespaces)?;
    check_process(process)?;

    let mut steps = Vec::new();
    if ids.is_some() {
        steps.push(Step::AwaitIds);
    }
    let has_root = ids.as_ref().is_some_and(|ids| ids.users.iter().any(|(inside, ..)| *inside == 0));
    if has_root || namespaces.joins(Kind::User).is_some() {
        steps.push(Step::BecomeRoot);
    }
    steps.extend([Step::NewSession, Step::NewKeyring]);
    let mut prepare = Vec::new();
    if namespaces.makes(Kind::Mount) {
        // Of a user namespace that is joined the configuration may still say what its ids are.
        let known = known_ids(linux);
        let mounts = mounts::plan(&wish, &namespaces, known.as_ref())?;
        prepare = mounts.prepare;
        steps.extend(mounts.steps);
        inside(&mut steps, &wish, &namespaces)?;
        cover(&mut steps, &wish)?;
        steps.extend(mounts.seal);
        steps.push(match change {
            RootChange::Pivot => Step::PivotRoot,
            RootChange::Chroot => Step::ChangeRoot,
        });
        if let Some((propagation, extent)) = mounts::root_propagation(spec)? {
            steps.push(Step::PropagateRoot(propagation, extent));
        }
    } else {
        steps.push(Step::JoinMounts);
        inside(&mut steps, &wish, &namespaces)?;
    }
    if namespaces.makes(Kind::Cgroup) {
        steps.push(Step::EnterCgroupNamespace);
    }
    if let Some(name) = named(spec.hostname()) {
        steps.push(Step::SetHostName(name.clone()));
    }
    if let Some(name) = named(spec.domainname()) {
        steps.push(Step::SetDomainName(name.clone()));
    }
    steps.extend(process::treatment(linux)?);
    steps.extend(await_start(process, linux.seccomp().as_ref()));
    if has(spec, |hooks| hooks.start_container()) {
        steps.push(Step::StartHooks);
    }
    steps.extend(process::rights(process, linux.seccomp().as_ref()));
    Ok(BundlePlan {
        clock_offsets: clock_offsets(linux),
        rlimits: process::rlimits(process)?,
        oom_score_adj: process.oom_score_adj(),
        turns: process::turns(process)?,
        namespaces,
        ids,
        prepare,
        steps,
    })
}

/// Plans a further process in a running container, of whose configuration `linux` is a part.
///
/// # Errors
/// As `plan`.
pub fn plan_process(process: &Process, linux: &Linux) -> Result<BundlePlan, PlanError> {
    let filter = linux.seccomp().as_ref();
    check_process(process)?;
    let mut steps = vec![Step::JoinMounts, Step::NewSession, Step::NewKeyring];
    if process.terminal() == Some(true) {
        steps.push(terminal(process));
    }
    steps.extend(process::treatment(linux)?);
    steps.extend(await_start(process, filter));
    steps.extend(process::rights(process, filter));
    Ok(BundlePlan {
        namespaces: NamespacePlan::default(),
        ids: None,
        clock_offsets: Vec::new(),
        prepare: Vec::new(),
        steps,
        rlimits: process::rlimits(process)?,
        oom_score_adj: process.oom_score_adj(),
        turns: Turns { processors: process::processors(process)?, ..process::turns(process)? },
    })
}

/// What is done when everything is mounted and before the host is out of reach.
fn inside(steps: &mut Vec<Step>, wish: &Wish<'_>, namespaces: &NamespacePlan) -> Result<(), PlanError> {
    if namespaces.makes(Kind::Network) {
        steps.push(Step::LoopbackUp);
    }
    if has(wish.spec, |hooks| hooks.create_runtime()) || has_prestart(wish.spec) {
        steps.push(Step::AwaitRuntimeHooks);
    }
    if has(wish.spec, |hooks| hooks.create_container()) {
        steps.push(Step::ContainerHooks);
    }
    if let Some(process) = wish.spec.process().as_ref().filter(|process| process.terminal() == Some(true)) {
        steps.push(terminal(process));
    }
    let mut sysctl: Vec<_> = wish.linux.sysctl().iter().flatten().collect();
    sysctl.sort();
    for (name, value) in sysctl {
        check_sysctl(name, namespaces)?;
        steps.push(Step::Sysctl { name: name.clone(), value: value.clone() });
    }
    Ok(())
}

/// What of the kernel's files is not to be written or seen.
fn cover(steps: &mut Vec<Step>, wish: &Wish<'_>) -> Result<(), PlanError> {
    for path in wish.linux.readonly_paths().iter().flatten() {
        steps.push(Step::MakeReadOnly(mounts::target(Path::new(path))?));
    }
    let masked = wish.linux.masked_paths().as_deref().unwrap_or_default();
    if !masked.is_empty() {
        steps.push(Step::SealCovers);
    }
    for path in masked {
        steps.push(Step::Mask(mounts::target(Path::new(path))?));
    }
    Ok(())
}

/// An agent is engaged when a container is created, as other runtimes do it, so that one that is missing is missed then.
fn await_start(process: &Process, filter: Option<&LinuxSeccomp>) -> Vec<Step> {
    let mut steps = vec![Step::FindProgram(process.cwd().clone())];
    if filter.is_some_and(notifies) {
        steps.push(Step::EngageAgent);
    }
    steps.push(Step::AwaitStart);
    steps
}

fn terminal(process: &Process) -> Step {
    let side = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
    let size = process.console_size().map(|size| (side(size.height()), side(size.width())));
    Step::OpenTerminal { size, owner: process.user().uid() }
}

fn named(name: &Option<String>) -> Option<&String> {
    name.as_ref().filter(|name| !name.is_empty())
}

fn has(spec: &Spec, list: impl Fn(&oci_spec::runtime::Hooks) -> &Option<Vec<Hook>>) -> bool {
    spec.hooks().as_ref().and_then(|hooks| list(hooks).as_ref()).is_some_and(|hooks| !hooks.is_empty())
}

fn has_prestart(spec: &Spec) -> bool {
    has(spec, |hooks| hooks.prestart())
}

fn namespaces(linux: &Linux) -> Result<NamespacePlan, PlanError> {
    let mut plan = NamespacePlan::default();
    for namespace in linux.namespaces().iter().flatten() {
        let kind = kind(namespace.typ());
        if plan.makes(kind) || plan.joins(kind).is_some() {
            return Err(refused("the namespace", &namespace.typ(), "it is listed twice: leave one"));
        }
        match namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
            Some(path) if path.is_absolute() => plan.joined.push((kind, path.clone())),
            Some(path) => {
                return Err(refused("the namespace path", &path.display(), "give an absolute path"));
            }
            None => plan.new.push(kind),
        }
    }
    Ok(plan)
}

fn kind(kind: LinuxNamespaceType) -> Kind {
    match kind {
        LinuxNamespaceType::Mount => Kind::Mount,
        LinuxNamespaceType::Cgroup => Kind::Cgroup,
        LinuxNamespaceType::Uts => Kind::Uts,
        LinuxNamespaceType::Ipc => Kind::Ipc,
        LinuxNamespaceType::User => Kind::User,
        LinuxNamespaceType::Pid => Kind::Pid,
        LinuxNamespaceType::Network => Kind::Network,
        LinuxNamespaceType::Time => Kind::Time,
    }
}

fn ids(linux: &Linux, namespaces: &NamespacePlan) -> Result<Option<IdMaps>, PlanError> {
    let users = id_map(linux.uid_mappings().as_deref().unwrap_or_default());
    let groups = id_map(linux.gid_mappings().as_deref().unwrap_or_default());
    match (namespaces.makes(Kind::User), users.is_empty(), groups.is_empty()) {
        (true, false, false) => Ok(Some(IdMaps { users, groups })),
        (true, true, _) => Err(PlanError::Missing("linux.uidMappings, which the new user namespace needs")),
        (true, _, true) => Err(PlanError::Missing("linux.gidMappings, which the new user namespace needs")),
        (false, true, true) => Ok(None),
        // Beside a user namespace that is joined they only repeat what it has.
        (false, ..) if namespaces.joins(Kind::User).is_some() => Ok(None),
        (false, ..) => Err(refused(
            "id mappings without user namespace",
            &users.len().max(groups.len()),
            "add a namespace of type user, or leave the mappings out",
        )),
    }
}

fn known_ids(linux: &Linux) -> Option<IdMaps> {
    let (users, groups) = (linux.uid_mappings().as_deref()?, linux.gid_mappings().as_deref()?);
    Some(IdMaps { users: id_map(users), groups: id_map(groups) })
}

pub(super) fn id_map(mappings: &[LinuxIdMapping]) -> IdMap {
    mappings.iter().map(|map| (map.container_id(), map.host_id(), map.size())).collect()
}

fn check_version(spec: &Spec) -> Result<(), PlanError> {
    let major = spec.version().split('.').next().unwrap_or_default();
    if major != "1" {
        return Err(refused(
            "ociVersion",
            spec.version(),
            "this runtime follows version 1 of the specification",
        ));
    }
    Ok(())
}

fn check(spec: &Spec, namespaces: &NamespacePlan) -> Result<(), PlanError> {
    if !namespaces.makes(Kind::Mount) && namespaces.joins(Kind::Mount).is_none() {
        return Err(PlanError::Missing(
            "a namespace of type mount; without one its mounts would be the host's: add it to linux.namespaces",
        ));
    }
    let has_names = named(spec.hostname()).is_some() || named(spec.domainname()).is_some();
    if has_names && !namespaces.makes(Kind::Uts) && namespaces.joins(Kind::Uts).is_none() {
        return Err(PlanError::Missing(
            "a namespace of type uts; without one its host name would be the host's: add it, or leave the name out",
        ));
    }
    Ok(())
}

fn check_process(process: &Process) -> Result<(), PlanError> {
    if process.args().as_ref().and_then(|args| args.first()).is_none_or(String::is_empty) {
        return Err(PlanError::Missing("process.args"));
    }
    if !process.cwd().is_absolute() {
        return Err(refused("process.cwd", &process.cwd().display(), "give an absolute path"));
    }
    for label in [process.apparmor_profile(), process.selinux_label()] {
        if let Some(label) = named(label) {
            return Err(refused(
                "the security label",
                label,
                "AppArmor and SELinux are not supported: leave it out",
            ));
        }
    }
    Ok(())
}

/// Only parameters that a namespace of the container's own holds may be set, lest the host's be.
fn check_sysctl(name: &str, namespaces: &NamespacePlan) -> Result<(), PlanError> {
    const OF_IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let dotted = name.replace('/', ".");
    let owner = if OF_IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        Some(Kind::Ipc)
    } else if dotted.starts_with("net.") {
        Some(Kind::Network)
    } else if ["kernel.domainname", "kernel.hostname"].contains(&dotted.as_str()) {
        Some(Kind::Uts)
    } else if dotted.starts_with("user.") {
        Some(Kind::User)
    } else {
        None
    };
    let is_plain = !name.contains("..") && !name.is_empty();
    let is_own = owner.is_some_and(|kind| namespaces.makes(kind) || namespaces.joins(kind).is_some());
    if is_plain && is_own {
        Ok(())
    } else {
        Err(refused("linux.sysctl", &name, "no namespace of the container's own holds this kernel parameter"))
    }
}

fn clock_offsets(linux: &Linux) -> Vec<String> {
    let mut lines: Vec<_> = linux
        .time_offsets()
        .iter()
        .flatten()
        .map(|(clock, offset)| {
            format!("{clock} {} {}\n", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0))
        })
        .collect();
    lines.sort();
    lines
}

pub(super) fn refused(what: &'static str, value: &impl fmt::Display, why: &'static str) -> PlanError {
    PlanError::Refused { what, value: value.to_string(), why }
}
