//! Limits on version 1 hierarchies, through `cgroups-rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cgroups_rs::CgroupPid;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::error::Error as CrateError;
use cgroups_rs::fs::hierarchies::V1;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use cgroups_rs::fs::{Cgroup, MaxValue};

use super::readings::{Events, Usage, keyed, single};
use super::{CgroupError, access};
use crate::runtime::limits::{Limits, WEIGHT_DEFAULT};
use crate::sys::cgroup::Group;

/// `cpu.shares` of a group with the default weight.
const SHARES_DEFAULT: u64 = 1024;
/// The kernel's bounds of `cpu.shares`.
const SHARES_MIN: u64 = 2;
const SHARES_MAX: u64 = 262_144;

/// The version 1 groups of one container: `<path>`, `<path>/app` and `<path>/init` in every hierarchy of `points`.
#[derive(Debug)]
pub(super) struct LegacyGroups {
    path: String,
    points: BTreeMap<&'static str, PathBuf>,
}

impl LegacyGroups {
    pub(super) fn new(path: String, points: BTreeMap<&'static str, PathBuf>) -> LegacyGroups {
        LegacyGroups { path, points }
    }

    /// Makes the groups.
    pub(super) fn make(&self) -> Result<(), CgroupError> {
        for part in ["", "/app", "/init"] {
            self.group(part).create().map_err(|source| self.error("make", source))?;
        }
        Ok(())
    }

    /// Gives the groups another name; who is in them stays there.
    pub(super) fn rename(&self, to: &LegacyGroups) -> Result<(), CgroupError> {
        let to = to.dirs();
        self.dirs().iter().zip(&to).try_for_each(|(from, to)| {
            std::fs::rename(from, to).map_err(access(&format!("rename to {}", to.display()), from))
        })
    }

    /// Sets the limits; every limit's controller is known to be present or waived.
    pub(super) fn limit(&self, limits: &Limits) -> Result<(), CgroupError> {
        let whole = self.group("");
        let app = self.group("/app");
        if let Some(cpu) = whole.controller_of::<CpuController>() {
            cpu.set_shares(shares(limits.cpu_weight))
                .map_err(|source| self.error("set the cpu share of", source))?;
            if limits.cpu_idle {
                self.idle()?;
            }
            if let Some(quota) = limits.cpu_quota {
                let quota_us = i64::try_from(quota.quota_us).unwrap_or(i64::MAX);
                // The period first: the kernel checks the quota against the period that is set.
                cpu.set_cfs_period(quota.period_us)
                    .and_then(|()| cpu.set_cfs_quota(quota_us))
                    .map_err(|source| self.error("set the cpu ceiling of", source))?;
            }
        }
        if let (Some(memory), Some(limit)) = (app.controller_of::<MemController>(), limits.memory_bytes) {
            self.limit_memory(memory, limit, limits.memory_swap_bytes)?;
        }
        if let (Some(pids), Some(limit)) = (app.controller_of::<PidController>(), limits.pids) {
            let limit = MaxValue::Value(i64::try_from(limit).unwrap_or(i64::MAX));
            pids.set_pid_max(limit).map_err(|source| self.error("set the pids limit of", source))?;
        }
        Ok(())
    }

    /// Lets everyone else go first; a kernel before 5.15 has no file for it.
    fn idle(&self) -> Result<(), CgroupError> {
        let Some(file) = self.dir("cpu", "").map(|dir| dir.join("cpu.idle")).filter(|file| file.exists())
        else {
            return Ok(());
        };
        std::fs::write(&file, "1").map_err(access("write 1 to", &file))
    }

    /// Memory before memory-and-swap: the kernel refuses a sum below the part.
    fn limit_memory(&self, memory: &MemController, limit: u64, swap: Option<u64>) -> Result<(), CgroupError> {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let failed = |source| self.error("set the memory limit of", source);
        memory.set_limit(signed(limit)).map_err(failed)?;
        match swap {
            Some(swap) if self.counts_swap() => {
                memory.set_memswap_limit(signed(limit.saturating_add(swap))).map_err(failed)
            }
            // A kernel that does not count swap can still be told to leave this group out of it.
            Some(0) => memory.set_swappiness(0).map_err(failed),
            Some(_) | None => Ok(()),
        }
    }

    fn counts_swap(&self) -> bool {
        self.dir("memory", "/app").is_some_and(|dir| dir.join("memory.memsw.limit_in_bytes").exists())
    }

    /// Moves a process into `/app` or `/init` of every hierarchy, back to back: the first write waits for the kernel's grace
    /// period (10 ms after a quiet spell), those that follow at once do not.
    pub(super) fn attach(&self, part: &str, pid: u32) -> Result<(), CgroupError> {
        let group = self.group(part);
        group
            .add_task_by_tgid(CgroupPid::from(u64::from(pid)))
            .map_err(|source| self.error(&format!("move process {pid} into"), source))
    }

    /// Processes in `part`, from the first hierarchy (all hold the same).
    pub(super) fn pids(&self, part: &str) -> Result<Vec<u32>, CgroupError> {
        let Some(dir) = self.points.keys().next().and_then(|controller| self.dir(controller, part)) else {
            return Ok(Vec::new());
        };
        Group::open(&dir).and_then(|group| group.pids()).map_err(access("list the processes of", &dir))
    }

    pub(super) fn usage(&self) -> Result<Usage, CgroupError> {
        let statistics = self.read("memory", "/app", "memory.stat")?;
        Ok(Usage {
            memory_bytes: single(&self.read("memory", "/app", "memory.usage_in_bytes")?),
            memory_anonymous_bytes: keyed(&statistics, "total_rss"),
            memory_cache_bytes: keyed(&statistics, "total_cache"),
            memory_shared_bytes: keyed(&statistics, "total_shmem"),
            memory_peak_bytes: single(&self.read("memory", "/app", "memory.max_usage_in_bytes")?),
            swap_bytes: keyed(&statistics, "total_swap"),
            pages_in: keyed(&statistics, "total_pgpgin"),
            pages_out: keyed(&statistics, "total_pgpgout"),
            cpu_ns: single(&self.read("cpuacct", "", "cpuacct.usage")?),
            pids: single(&self.read("pids", "/app", "pids.current")?),
            oom_kills: self.events()?.oom_kills,
        })
    }

    pub(super) fn events(&self) -> Result<Events, CgroupError> {
        Ok(Events {
            oom_kills: keyed(&self.read("memory", "/app", "memory.oom_control")?, "oom_kill"),
            memory_limit_hits: single(&self.read("memory", "/app", "memory.failcnt")?),
            pids_limit_hits: keyed(&self.read("pids", "/app", "pids.events")?, "max"),
        })
    }

    /// The directories of the container in every hierarchy, each once.
    pub(super) fn dirs(&self) -> Vec<PathBuf> {
        let mut dirs: Vec<_> = self.points.values().map(|point| point.join(&self.path)).collect();
        dirs.sort();
        dirs.dedup();
        dirs
    }

    fn group(&self, part: &str) -> Cgroup {
        let controllers = self.points.keys().map(|name| (*name).to_owned()).collect();
        let path = format!("{}{part}", self.path);
        Cgroup::load_with_specified_controllers(Box::new(V1::new()), path, controllers)
    }

    fn dir(&self, controller: &str, part: &str) -> Option<PathBuf> {
        Some(self.points.get(controller)?.join(format!("{}{part}", self.path)))
    }

    /// Empty where the host lacks the controller.
    fn read(&self, controller: &str, part: &str, file: &str) -> Result<String, CgroupError> {
        let Some(dir) = self.dir(controller, part) else { return Ok(String::new()) };
        Group::open(&dir).and_then(|group| group.read(file)).map_err(access("read", &dir.join(file)))
    }

    fn error(&self, attempt: &str, source: CrateError) -> CgroupError {
        CgroupError::Legacy { attempt: attempt.to_owned(), path: Path::new(&self.path).to_owned(), source }
    }
}

/// `cpu.shares` of a weight, in proportion to the defaults of both.
fn shares(weight: u64) -> u64 {
    (weight * SHARES_DEFAULT / WEIGHT_DEFAULT).clamp(SHARES_MIN, SHARES_MAX)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_default_weight_is_the_default_share() {
        assert_eq!((shares(WEIGHT_DEFAULT), shares(1), shares(10_000)), (SHARES_DEFAULT, 10, 102_400));
    }
}
