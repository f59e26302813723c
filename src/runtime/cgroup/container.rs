//! The control groups of one container: moving in, counting, killing, removing.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use super::legacy::LegacyGroups;
use super::unified::UnifiedGroups;
use super::{CgroupError, Events, Patience, Pressure, Usage, access, remove_tree};
use crate::sys::cgroup::kill_process;

/// Rounds of killing on a host without `cgroup.kill`; a fork bomb under a pids limit is gone after a few.
const KILL_ROUNDS_MAX: u32 = 100;
/// Pause between two rounds, in milliseconds.
const KILL_PAUSE_MS: u64 = 5;

/// The control groups of one container.
#[derive(Debug)]
pub struct ContainerCgroup {
    unified: Option<UnifiedGroups>,
    legacy: Option<LegacyGroups>,
}

impl ContainerCgroup {
    pub(super) fn new(unified: Option<UnifiedGroups>, legacy: Option<LegacyGroups>) -> ContainerCgroup {
        ContainerCgroup { unified, legacy }
    }

    /// The version 2 group of the application, for a clone straight into it; `None` on legacy hosts.
    #[must_use]
    pub fn app_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(|groups| groups.app.as_fd())
    }

    /// The version 2 group of init, likewise.
    #[must_use]
    pub fn init_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(|groups| groups.init.as_fd())
    }

    /// Lets init, whose root is this user of the host, clone the application into `app_fd`.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn let_start(&self, uid: u32) -> Result<(), CgroupError> {
        self.unified.as_ref().map_or(Ok(()), |groups| groups.let_start(uid))
    }

    /// Puts a process under the application's limits on version 1 hierarchies, by a burst of writes; nothing on unified hosts.
    /// Children it has already stay behind.
    ///
    /// # Errors
    /// What the kernel refused; `ESRCH` when the process is gone.
    pub fn attach(&self, pid: u32) -> Result<(), CgroupError> {
        self.legacy.as_ref().map_or(Ok(()), |legacy| legacy.attach("/app", pid))
    }

    /// Moves a process from wherever it is to the application's groups, in every hierarchy.
    ///
    /// # Errors
    /// As `attach`.
    pub fn move_app(&self, pid: u32) -> Result<(), CgroupError> {
        if let Some(groups) = &self.unified {
            groups.attach(&groups.app, pid)?;
        }
        self.attach(pid)
    }

    /// Moves a process from wherever it is to init's groups, in every hierarchy.
    ///
    /// # Errors
    /// As `attach`.
    pub fn move_init(&self, pid: u32) -> Result<(), CgroupError> {
        if let Some(groups) = &self.unified {
            groups.attach(&groups.init, pid)?;
        }
        self.legacy.as_ref().map_or(Ok(()), |legacy| legacy.attach("/init", pid))
    }

    /// Takes init, who was `attach`ed for the application to inherit the limits, out from under them again.
    ///
    /// # Errors
    /// As `attach`.
    pub fn attach_init(&self, pid: u32) -> Result<(), CgroupError> {
        self.legacy.as_ref().map_or(Ok(()), |legacy| legacy.attach("/init", pid))
    }

    /// Every process of the application, init not among them, as the host numbers them.
    ///
    /// # Errors
    /// The group is gone.
    pub fn app_pids(&self) -> Result<Vec<u32>, CgroupError> {
        match (&self.unified, &self.legacy) {
            (Some(groups), _) => groups.pids(&groups.app),
            (None, Some(legacy)) => legacy.pids("/app"),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Kills every process of the application; init lives.
    ///
    /// # Errors
    /// The group is gone, or (on legacy hosts) it forks faster than it can be killed.
    pub fn kill_app(&self) -> Result<(), CgroupError> {
        match (&self.unified, &self.legacy) {
            (Some(groups), _) => groups.kill_app(),
            (None, Some(legacy)) => kill_one_by_one(legacy, &["/app"]),
            (None, None) => Ok(()),
        }
    }

    /// Kills every process of the container.
    ///
    /// # Errors
    /// As `kill_app`.
    pub fn kill(&self) -> Result<(), CgroupError> {
        match (&self.unified, &self.legacy) {
            (Some(groups), _) => groups.kill_all(),
            (None, Some(legacy)) => kill_one_by_one(legacy, &["/app", "/init"]),
            (None, None) => Ok(()),
        }
    }

    /// Whether any process, a dying one included, is left in the container; on legacy hosts whether any is listed.
    ///
    /// # Errors
    /// The group is gone.
    pub fn is_populated(&self) -> Result<bool, CgroupError> {
        match (&self.unified, &self.legacy) {
            (Some(groups), _) => groups.is_populated(),
            (None, Some(legacy)) => {
                Ok(!(legacy.pids("/app")?.is_empty() && legacy.pids("/init")?.is_empty()))
            }
            (None, None) => Ok(false),
        }
    }

    /// Stops every process of the application where it is, without it noticing. A kill still reaches it. Legacy hosts: no effect.
    ///
    /// # Errors
    /// The group is gone.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.unified.as_ref().map_or(Ok(()), |groups| groups.freeze("1"))
    }

    /// Undoes `freeze`.
    ///
    /// # Errors
    /// The group is gone.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.unified.as_ref().map_or(Ok(()), |groups| groups.freeze("0"))
    }

    /// Whether every process of the application stands still. Never on legacy hosts.
    ///
    /// # Errors
    /// The group is gone.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        self.unified.as_ref().map_or(Ok(false), UnifiedGroups::is_frozen)
    }

    /// What it uses now. Figures whose controller the host lacks are 0.
    ///
    /// # Errors
    /// The group is gone.
    pub fn usage(&self) -> Result<Usage, CgroupError> {
        match (&self.legacy, &self.unified) {
            (Some(legacy), _) => legacy.usage(),
            (None, Some(groups)) => groups.usage(),
            (None, None) => Ok(Usage::default()),
        }
    }

    /// What happened to it so far.
    ///
    /// # Errors
    /// The group is gone.
    pub fn events(&self) -> Result<Events, CgroupError> {
        match (&self.legacy, &self.unified) {
            (Some(legacy), _) => legacy.events(),
            (None, Some(groups)) => groups.events(),
            (None, None) => Ok(Events::default()),
        }
    }

    /// How much it waits; empty where the kernel does not account for pressure.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        self.unified.as_ref().map(UnifiedGroups::pressure).unwrap_or_default()
    }

    /// Removes the groups; waits up to `REMOVE_WAIT_MS` for processes on their way out. Idempotent. Blocks.
    ///
    /// # Errors
    /// `Busy` when processes are left; then nothing was removed.
    pub fn remove(&self) -> Result<(), CgroupError> {
        self.wait_until_empty()?;
        if let Some(groups) = &self.unified {
            remove_tree(groups.dir())?;
        }
        let legacy = self.legacy.iter().flat_map(LegacyGroups::dirs);
        legacy.collect::<Vec<_>>().iter().try_for_each(|dir| remove_tree(dir))
    }

    fn wait_until_empty(&self) -> Result<(), CgroupError> {
        let mut patience = Patience::new();
        // Groups that are gone hold nobody.
        while self.is_populated().unwrap_or(false) {
            if !patience.pause() {
                let path = match (&self.unified, &self.legacy) {
                    (Some(groups), _) => groups.dir().to_owned(),
                    (None, legacy) => legacy.iter().flat_map(LegacyGroups::dirs).next().unwrap_or_default(),
                };
                return Err(CgroupError::Busy { path, pids: self.app_pids().unwrap_or_default() });
            }
        }
        Ok(())
    }
}

/// Kills what is listed until nothing is, for hosts without `cgroup.kill`.
fn kill_one_by_one(legacy: &LegacyGroups, parts: &[&str]) -> Result<(), CgroupError> {
    let mut pids = Vec::new();
    for _ in 0..KILL_ROUNDS_MAX {
        pids.clear();
        for part in parts {
            pids.extend(legacy.pids(part)?);
        }
        if pids.is_empty() {
            return Ok(());
        }
        for pid in &pids {
            kill_process(*pid)
                .map_err(access(&format!("kill process {pid} of"), Path::new("the container")))?;
        }
        std::thread::sleep(Duration::from_millis(KILL_PAUSE_MS));
    }
    Err(CgroupError::Busy { path: legacy.dirs().into_iter().next().unwrap_or_default(), pids })
}
