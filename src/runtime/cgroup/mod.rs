//! Control groups: what a container may use, what it uses, and how to end all of it at once.
//!
//! One subtree per node, and in it per container `<id>/app` and `<id>/init`: limits of memory and pids stand on `app` alone, so
//! that nothing the application does takes init along. On unified hosts everything is on the version 2 hierarchy. On hybrid
//! hosts limits are on version 1 hierarchies, and version 2 serves for killing, freezing and pressure. On purely legacy hosts
//! killing is a loop.
//!
//! Not here: when to kill, what a limit should be, and the clone itself.

mod container;
mod layout;
mod legacy;
mod readings;
mod ready;
mod unified;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::runtime::devices;
use crate::runtime::limits::Limits;
use crate::sys::cgroup::Group;
use crate::sys::device_filter::{self, DeviceKind, Earlier, READ, Rule, WRITE};
use layout::Layout;
use legacy::LegacyGroups;
use unified::UnifiedGroups;

pub use container::ContainerCgroup;
pub use layout::Mode;
pub(crate) use layout::{Hierarchy, hierarchies};
pub use readings::{Averages, Events, Pressure, Stall, Usage, stall as stalled};
pub use ready::ReadyGroups;

/// How long removing a group is tried while its last processes are still on their way out, in milliseconds.
const REMOVE_WAIT_MS: u64 = 2_000;
/// First and longest pause between two tries, in milliseconds.
const REMOVE_PAUSE_MS: u64 = 1;
const REMOVE_PAUSE_MAX_MS: u64 = 50;

/// The leaf of the process that makes containers.
const KEEPER_LEAF: &str = ".spawner";

/// What processes of the subtree may do with devices: use those that are in every container. None is made.
fn device_rules() -> Vec<Rule> {
    let rule = |(major, minor)| Rule {
        allow: true,
        kind: DeviceKind::Character,
        major: Some(major),
        minor,
        access: READ | WRITE,
    };
    devices::usable().map(rule).collect()
}

/// Whether a limit that the host cannot hold stops the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enforcement {
    /// Refuse to start without it.
    #[default]
    Required,
    /// Start all the same: chosen explicitly by whoever runs the host.
    WhereOffered,
}

/// Why a control group could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// None are mounted.
    #[error("no control group hierarchy is mounted; mount one with 'mount -t cgroup2 none /sys/fs/cgroup'")]
    NoHierarchy,
    /// A limit has no controller on this host.
    #[error(
        "the {limit} limit cannot be held: this host offers no '{controller}' controller; enable it on the kernel's \
         command line, or allow containers without limits in the configuration"
    )]
    CannotLimit {
        /// Which limit.
        limit: &'static str,
        /// What it needs.
        controller: &'static str,
    },
    /// The kernel refused a file operation.
    #[error("could not {attempt} {}", path.display())]
    Access {
        /// What was tried.
        attempt: String,
        /// With what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A version 1 operation failed.
    #[error("could not {attempt} the control group {}", path.display())]
    Legacy {
        /// What was tried.
        attempt: String,
        /// Below the hierarchies' mount points.
        path: PathBuf,
        /// The cause.
        source: cgroups_rs::fs::error::Error,
    },
    /// Processes are still in it.
    #[error("the control group {} still holds processes {pids:?}; end them and try again", path.display())]
    Busy {
        /// The group.
        path: PathBuf,
        /// Who.
        pids: Vec<u32>,
    },
}

/// Whether the kernel keeps the rules about devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceRules {
    /// It does.
    InForce,
    /// It took none, and why: mounts without devices and user namespaces are the walls that are left.
    NotTaken(String),
}

/// A node's subtree in the host's hierarchies.
#[derive(Debug, Clone)]
pub struct Cgroups {
    layout: Layout,
    /// Path of the subtree below the version 1 mount points.
    name: String,
    /// The subtree in the version 2 hierarchy.
    unified: Option<PathBuf>,
    enforcement: Enforcement,
}

impl Cgroups {
    /// Looks at the host's mounts; changes nothing. `name` is that of the subtree.
    ///
    /// # Errors
    /// `NoHierarchy`, or `/proc` could not be read.
    pub fn detect(name: &str, enforcement: Enforcement) -> Result<Cgroups, CgroupError> {
        let mounts = Path::new("/proc/self/mountinfo");
        let text = std::fs::read_to_string(mounts).map_err(access("read", mounts))?;
        let layout = Layout::parse(&text).ok_or(CgroupError::NoHierarchy)?;
        let unified = match &layout.unified {
            Some(point) => Some(subtree_of(point, name)?),
            None => None,
        };
        Ok(Cgroups { layout, name: name.to_owned(), unified, enforcement })
    }

    /// How this host has its controllers.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.layout.mode
    }

    /// Makes the subtree. May be repeated.
    ///
    /// # Errors
    /// The hierarchy may not be written, or lacks a controller that every container needs.
    pub fn setup(&self) -> Result<DeviceRules, CgroupError> {
        let mut rules = DeviceRules::NotTaken("there are no version 2 control groups".to_owned());
        if let Some(subtree) = &self.unified {
            let (Some(parent), Some(name)) = (subtree.parent(), subtree.file_name().and_then(|n| n.to_str()))
            else {
                return Err(CgroupError::NoHierarchy);
            };
            let above = Group::open(parent).map_err(access("open", parent))?;
            if self.layout.mode == Mode::Unified {
                leave_for_children(&above, parent)?;
                unified::enable(&above, parent)?;
            }
            let ours = above.make(name).map_err(access("make the control group", subtree))?;
            if self.layout.mode == Mode::Unified {
                unified::enable(&ours, subtree)?;
            }
            // A second wall: the first are mounts without devices and user namespaces. Once for all containers.
            rules = match device_filter::attach(&ours, &device_rules(), Earlier::Go) {
                Ok(()) => DeviceRules::InForce,
                Err(error) if is_not_offered(&error) => DeviceRules::NotTaken(error.to_string()),
                Err(error) => {
                    return Err(access("limit the devices of the control group", subtree)(error));
                }
            };
        }
        for point in self.layout.legacy.values() {
            let subtree = point.join(&self.name);
            std::fs::create_dir_all(&subtree).map_err(access("make the control group", &subtree))?;
        }
        for (limit, controller) in [("memory", "memory"), ("processor", "cpu"), ("pids", "pids")] {
            self.require(limit, controller)?;
        }
        Ok(rules)
    }

    /// Moves the calling process into a leaf of the subtree, out of the group of whoever started it: a service manager ends all
    /// that is in a service's group with the service. Of version 1 it is the processor's hierarchy alone: an idle group gives way
    /// at once to its siblings, and to nobody else.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn move_in(&self) -> Result<(), CgroupError> {
        let processor = self.layout.legacy.get("cpu").map(|point| point.join(&self.name));
        for subtree in self.unified.iter().chain(&processor) {
            let leaf = subtree.join(KEEPER_LEAF);
            let group = Group::open(subtree).and_then(|group| group.make(KEEPER_LEAF));
            // 0 is whoever writes (cgroups(7)).
            group
                .and_then(|group| group.write("cgroup.procs", "0"))
                .map_err(access("move into the control group", &leaf))?;
        }
        Ok(())
    }

    /// Makes the groups of one container and sets its limits, before any process exists.
    ///
    /// # Errors
    /// `CannotLimit` where the host lacks a controller and limits are required; else what the kernel refused. Nothing is
    /// left behind on failure.
    pub fn create(&self, id: &str, limits: &Limits) -> Result<ContainerCgroup, CgroupError> {
        self.check(limits)?;
        let made = self.make(id, limits, None);
        if made.is_err() {
            self.remove_everywhere(id)?;
        }
        made
    }

    /// Whether the host can hold these limits, or need not.
    fn check(&self, limits: &Limits) -> Result<(), CgroupError> {
        let wanted = [
            (limits.memory_bytes.is_some(), "memory", "memory"),
            (limits.cpu_quota.is_some(), "processor", "cpu"),
            (limits.pids.is_some(), "pids", "pids"),
        ];
        for (_, limit, controller) in wanted.iter().filter(|(is_set, ..)| *is_set) {
            self.require(limit, controller)?;
        }
        Ok(())
    }

    fn make(
        &self,
        id: &str,
        limits: &Limits,
        ready: Option<&ReadyGroups>,
    ) -> Result<ContainerCgroup, CgroupError> {
        let unified = match &self.unified {
            Some(subtree) => Some(UnifiedGroups::create(subtree, id, self.layout.mode, limits)?),
            None => None,
        };
        let legacy = self.legacy_groups(id);
        if let Some(legacy) = &legacy {
            ready.map_or_else(|| legacy.make(), |ready| ready.become_groups_of(legacy))?;
            legacy.limit(limits)?;
        }
        Ok(ContainerCgroup::new(unified, legacy))
    }

    /// The groups of a container that were made earlier, by another process perhaps.
    ///
    /// # Errors
    /// They are gone, or cannot be opened.
    pub fn open(&self, id: &str) -> Result<ContainerCgroup, CgroupError> {
        let unified = match &self.unified {
            Some(subtree) => Some(UnifiedGroups::open(subtree, id)?),
            None => None,
        };
        Ok(ContainerCgroup::new(unified, self.legacy_groups(id)))
    }

    /// Containers that have groups in the subtree, in no order.
    ///
    /// # Errors
    /// The subtree cannot be listed.
    pub fn ids(&self) -> Result<Vec<String>, CgroupError> {
        let mut ids = Vec::new();
        for subtree in self.subtrees() {
            let names = children(&subtree)?.into_iter().filter_map(|name| name.into_string().ok());
            // No container's name has a dot; what is ours has one in front.
            ids.extend(names.filter(|name| !name.starts_with('.')));
        }
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    /// Removes the groups of a container by name, whatever is left of them. Idempotent.
    ///
    /// # Errors
    /// `Busy` while processes are in them.
    pub fn remove_everywhere(&self, id: &str) -> Result<(), CgroupError> {
        self.subtrees().iter().try_for_each(|subtree| remove_tree(&subtree.join(id)))
    }

    /// Removes the subtree and all groups in it, if no process is left in any. Idempotent.
    ///
    /// # Errors
    /// `Busy` names the first group with processes.
    pub fn teardown(&self) -> Result<(), CgroupError> {
        self.subtrees().iter().try_for_each(|subtree| remove_tree(subtree))
    }

    fn legacy_groups(&self, id: &str) -> Option<LegacyGroups> {
        let points = &self.layout.legacy;
        (!points.is_empty()).then(|| LegacyGroups::new(format!("{}/{id}", self.name), points.clone()))
    }

    fn subtrees(&self) -> Vec<PathBuf> {
        let mut subtrees: Vec<_> = self.layout.legacy.values().map(|point| point.join(&self.name)).collect();
        subtrees.extend(self.unified.clone());
        subtrees.sort();
        subtrees.dedup();
        subtrees
    }

    fn require(&self, limit: &'static str, controller: &'static str) -> Result<(), CgroupError> {
        let is_offered = match self.layout.mode {
            Mode::Hybrid | Mode::Legacy => self.layout.legacy.contains_key(controller),
            Mode::Unified => self.unified.as_deref().is_some_and(|subtree| {
                let offered = Group::open(subtree).and_then(|group| group.read("cgroup.controllers"));
                offered.is_ok_and(|list| list.split_whitespace().any(|name| name == controller))
            }),
        };
        match (is_offered, self.enforcement) {
            (true, _) | (false, Enforcement::WhereOffered) => Ok(()),
            (false, Enforcement::Required) => Err(CgroupError::CannotLimit { limit, controller }),
        }
    }
}

/// How long a process on its way out is waited for, with growing pauses.
struct Patience {
    deadline: Instant,
    pause_ms: u64,
}

impl Patience {
    fn new() -> Patience {
        Patience {
            deadline: Instant::now() + Duration::from_millis(REMOVE_WAIT_MS),
            pause_ms: REMOVE_PAUSE_MS,
        }
    }

    /// Sleeps a little; `false` when the time is up.
    fn pause(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(self.pause_ms));
        self.pause_ms = (self.pause_ms * 2).min(REMOVE_PAUSE_MAX_MS);
        true
    }
}

/// The subtree in the version 2 hierarchy: under its root, or where we may not write that, under our own group.
fn subtree_of(point: &Path, name: &str) -> Result<PathBuf, CgroupError> {
    let at_root = point.join(name);
    if at_root.exists() {
        return Ok(at_root);
    }
    let root = Group::open(point).map_err(access("open", point))?;
    if root.is_writable() {
        return Ok(at_root);
    }
    let own = Path::new("/proc/self/cgroup");
    let text = std::fs::read_to_string(own).map_err(access("read", own))?;
    let mut path = point.join(layout::own_unified_path(&text).ok_or(CgroupError::NoHierarchy)?);
    // After `setup` the caller sits in the leaf it made way into; the subtree is that leaf's sibling.
    if path.ends_with(WAY_LEAF) {
        path.pop();
    }
    Ok(path.join(name))
}

/// The leaf into which the processes of a delegated group move, so that the group may hand out controllers.
const WAY_LEAF: &str = "node";

/// Version 2 lets a group hand controllers down only while no process is in it (the root excepted): a delegated group is left
/// for a leaf beside the subtree.
fn leave_for_children(group: &Group, path: &Path) -> Result<(), CgroupError> {
    // The root has no such file, and no such rule.
    if group.read("cgroup.type").is_err() {
        return Ok(());
    }
    let pids = group.pids().map_err(access("list the processes of", path))?;
    if pids.is_empty() {
        return Ok(());
    }
    let leaf = group.make(WAY_LEAF).map_err(access("make a leaf in", path))?;
    for pid in pids {
        match leaf.write("cgroup.procs", &pid.to_string()) {
            // ESRCH: it ended meanwhile.
            Err(error) if error.raw_os_error() != Some(3) => {
                return Err(access(&format!("move process {pid} within"), path)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Removes a group and those below it, deepest first; waits for processes on their way out.
fn remove_tree(path: &Path) -> Result<(), CgroupError> {
    for child in children(path)? {
        remove_tree(&path.join(child))?;
    }
    let mut patience = Patience::new();
    loop {
        let Err(error) = std::fs::remove_dir(path) else { return Ok(()) };
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound {
            return Ok(());
        }
        if kind != io::ErrorKind::ResourceBusy {
            return Err(access("remove the control group", path)(error));
        }
        if !patience.pause() {
            let pids = Group::open(path).and_then(|group| group.pids()).unwrap_or_default();
            return Err(CgroupError::Busy { path: path.to_owned(), pids });
        }
    }
}

/// Names of the groups directly in `path`; none if it does not exist.
fn children(path: &Path) -> Result<Vec<std::ffi::OsString>, CgroupError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(access("list the control group", path)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(access("list the control group", path))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}

/// Kernels built without such programs, and hosts that keep them to themselves.
fn is_not_offered(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

/// Turns the kernel's answer into an error that names the attempt and its object.
fn access(attempt: &str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError + use<> {
    let (attempt, path) = (attempt.to_owned(), path.to_owned());
    move |source| CgroupError::Access { attempt, path, source }
}
