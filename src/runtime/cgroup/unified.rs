//! The version 2 hierarchy, by open directories: `CLONE_INTO_CGROUP` needs one, and none can be exchanged under our hands.

use std::path::{Path, PathBuf};

use super::layout::Mode;
use super::readings::{Events, Pressure, Stall, Usage, keyed, single, stall};
use super::{CgroupError, access};
use crate::runtime::limits::Limits;
use crate::sys::cgroup::Group;

/// The version 2 groups of one container.
#[derive(Debug)]
pub(super) struct UnifiedGroups {
    path: PathBuf,
    whole: Group,
    pub(super) app: Group,
    pub(super) init: Group,
}

impl UnifiedGroups {
    /// Makes the groups; with limits only in unified mode, in hybrid mode the controllers are elsewhere.
    pub(super) fn create(
        subtree: &Path,
        id: &str,
        mode: Mode,
        limits: &Limits,
    ) -> Result<UnifiedGroups, CgroupError> {
        let path = subtree.join(id);
        let failed = || access("make the control group", &path);
        let whole = Group::open(subtree).and_then(|subtree| subtree.make(id)).map_err(failed())?;
        if mode == Mode::Unified {
            enable(&whole, &path)?;
        }
        let app = whole.make("app").map_err(failed())?;
        let init = whole.make("init").map_err(failed())?;
        let groups = UnifiedGroups { path, whole, app, init };
        if mode == Mode::Unified {
            groups.limit(limits)?;
        }
        Ok(groups)
    }

    pub(super) fn open(subtree: &Path, id: &str) -> Result<UnifiedGroups, CgroupError> {
        let path = subtree.join(id);
        let failed = || access("open the control group", &path);
        let whole = Group::open(&path).map_err(failed())?;
        let app = whole.child("app").map_err(failed())?;
        let init = whole.child("init").map_err(failed())?;
        Ok(UnifiedGroups { path, whole, app, init })
    }

    /// Limits of processor and disks stand on the whole, so that containers compete as one each; memory and pids stand on the
    /// application, so that init outlives what the application does.
    fn limit(&self, limits: &Limits) -> Result<(), CgroupError> {
        let bytes = |value: Option<u64>| value.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
        let mut settings = Vec::new();
        if self.controls(&self.whole, "cpu.weight") {
            // A group is idle or has a weight: the kernel takes no weight of one that is idle.
            settings.push(match limits.cpu_idle && self.controls(&self.whole, "cpu.idle") {
                true => (&self.whole, "cpu.idle", "1".to_owned()),
                false => (&self.whole, "cpu.weight", limits.cpu_weight.to_string()),
            });
            if let Some(quota) = limits.cpu_quota {
                settings.push((&self.whole, "cpu.max", format!("{} {}", quota.quota_us, quota.period_us)));
            }
        }
        // Absent where the kernel has no way of weighing devices.
        if self.controls(&self.whole, "io.weight") {
            settings.push((&self.whole, "io.weight", limits.io_weight.to_string()));
        }
        if self.controls(&self.app, "memory.max") {
            settings.push((&self.app, "memory.max", bytes(limits.memory_bytes)));
            settings.push((&self.app, "memory.high", bytes(limits.memory_high_bytes)));
            settings.push((&self.app, "memory.oom.group", "1".to_owned()));
            // Absent where the kernel was built or booted without swap accounting.
            if self.controls(&self.app, "memory.swap.max") {
                settings.push((&self.app, "memory.swap.max", bytes(limits.memory_swap_bytes)));
            }
        }
        if self.controls(&self.app, "pids.max") {
            settings.push((&self.app, "pids.max", bytes(limits.pids)));
        }
        for (group, file, value) in settings {
            let attempt = format!("write {value} to {file} of");
            group.write(file, &value).map_err(access(&attempt, &self.path))?;
        }
        Ok(())
    }

    fn controls(&self, group: &Group, file: &str) -> bool {
        group.read(file).is_ok()
    }

    /// Lets a user start processes in the application's group out of init's: for that the kernel wants the right to write where
    /// both lie, and where the new process comes to be (cgroup.procs, also of a clone).
    pub(super) fn let_start(&self, uid: u32) -> Result<(), CgroupError> {
        let given = [&self.whole, &self.app].iter().try_for_each(|group| group.give("cgroup.procs", uid));
        given.map_err(access("give to the container's root the right to start processes in", &self.path))
    }

    /// Moves a process into a group of this hierarchy.
    pub(super) fn attach(&self, group: &Group, pid: u32) -> Result<(), CgroupError> {
        let attempt = format!("move process {pid} into");
        group.write("cgroup.procs", &pid.to_string()).map_err(access(&attempt, &self.path))
    }

    /// Kills every process of the application, whatever it does meanwhile; forks included.
    pub(super) fn kill_app(&self) -> Result<(), CgroupError> {
        self.app.write("cgroup.kill", "1").map_err(access("kill the application of", &self.path))
    }

    /// Kills the application and init.
    pub(super) fn kill_all(&self) -> Result<(), CgroupError> {
        self.whole.write("cgroup.kill", "1").map_err(access("kill all processes of", &self.path))
    }

    pub(super) fn freeze(&self, value: &str) -> Result<(), CgroupError> {
        self.app.write("cgroup.freeze", value).map_err(access("freeze or thaw", &self.path))
    }

    /// `freeze` is an order: it has been carried out once this is told (cgroup-v2.rst, cgroup.freeze).
    pub(super) fn is_frozen(&self) -> Result<bool, CgroupError> {
        let events = self.app.read("cgroup.events").map_err(access("look at", &self.path))?;
        Ok(keyed(&events, "frozen") == 1)
    }

    pub(super) fn is_populated(&self) -> Result<bool, CgroupError> {
        let events = self.whole.read("cgroup.events").map_err(access("look at", &self.path))?;
        Ok(keyed(&events, "populated") == 1)
    }

    pub(super) fn pids(&self, group: &Group) -> Result<Vec<u32>, CgroupError> {
        group.pids().map_err(access("list the processes of", &self.path))
    }

    pub(super) fn usage(&self) -> Result<Usage, CgroupError> {
        let statistics = self.read(&self.app, "memory.stat")?;
        Ok(Usage {
            memory_bytes: single(&self.read(&self.app, "memory.current")?),
            memory_anonymous_bytes: keyed(&statistics, "anon"),
            memory_cache_bytes: keyed(&statistics, "file"),
            memory_shared_bytes: keyed(&statistics, "shmem"),
            memory_peak_bytes: single(&self.read(&self.app, "memory.peak")?),
            swap_bytes: single(&self.read(&self.app, "memory.swap.current")?),
            pages_in: 0,
            pages_out: 0,
            cpu_ns: keyed(&self.read(&self.whole, "cpu.stat")?, "usage_usec").saturating_mul(1000),
            pids: single(&self.read(&self.app, "pids.current")?),
            oom_kills: self.events()?.oom_kills,
        })
    }

    pub(super) fn events(&self) -> Result<Events, CgroupError> {
        let memory = self.read(&self.app, "memory.events")?;
        Ok(Events {
            oom_kills: keyed(&memory, "oom_kill"),
            memory_limit_hits: keyed(&memory, "max"),
            pids_limit_hits: keyed(&self.read(&self.app, "pids.events")?, "max"),
        })
    }

    pub(super) fn pressure(&self) -> Pressure {
        // A kernel booted without pressure accounting has the files and refuses to read them.
        let stall = |file| -> Option<Stall> { self.app.read(file).ok().map(|text| stall(&text)) };
        Pressure { cpu: stall("cpu.pressure"), memory: stall("memory.pressure"), io: stall("io.pressure") }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.path
    }

    /// Empty where the host lacks the controller.
    fn read(&self, group: &Group, file: &str) -> Result<String, CgroupError> {
        match group.read(file) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(access(&format!("read {file} of"), &self.path)(error)),
        }
    }
}

/// Hands the controllers of `group` to the groups below it, those it has.
pub(super) fn enable(group: &Group, path: &Path) -> Result<(), CgroupError> {
    let offered = group.read("cgroup.controllers").map_err(access("read the controllers of", path))?;
    let enabled = group.read("cgroup.subtree_control").map_err(access("read the controllers of", path))?;
    for controller in ["memory", "cpu", "pids", "io"] {
        let names = |list: &str| list.split_whitespace().any(|name| name == controller);
        if names(&offered) && !names(&enabled) {
            let attempt = format!("hand the {controller} controller to the groups of");
            group
                .write("cgroup.subtree_control", &format!("+{controller}"))
                .map_err(access(&attempt, path))?;
        }
    }
    Ok(())
}
