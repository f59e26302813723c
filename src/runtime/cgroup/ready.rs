//! Version 1 groups made and entered ahead of need. Entering one is a write for which the kernel waits a grace period (about 10 ms
//! after a quiet spell); who is born of a process that sits there already is there at once. When a container comes, the
//! groups are given its name.

use super::legacy::LegacyGroups;
use super::{CgroupError, Cgroups, ContainerCgroup};
use crate::runtime::limits::Limits;

/// How the names of such groups begin; no container's name has a dot.
pub(super) const PREFIX: &str = ".ready-";

/// Groups without limits, for a container that has no name yet.
#[derive(Debug)]
pub struct ReadyGroups(LegacyGroups);

impl Cgroups {
    /// Groups under a number of the caller's that no other has; nothing is made yet. `None` on hosts without version 1
    /// controllers: there a process is cloned straight into its group.
    #[must_use]
    pub fn ready(&self, number: u64) -> Option<ReadyGroups> {
        self.legacy_groups(&format!("{PREFIX}{}-{number}", std::process::id())).map(ReadyGroups)
    }

    /// As `create`, of groups that somebody waits in. On failure what was made stays: it cannot go before who is in it.
    ///
    /// # Errors
    /// As `create`.
    pub fn create_from(
        &self,
        ready: &ReadyGroups,
        id: &str,
        limits: &Limits,
    ) -> Result<ContainerCgroup, CgroupError> {
        self.check(limits)?;
        self.make(id, limits, Some(ready))
    }

    /// Removes what earlier processes have made ready and left, where nobody is in it.
    pub fn sweep_ready(&self) {
        for subtree in self.subtrees() {
            let entries = std::fs::read_dir(&subtree).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
                for below in ["app", "init", ""] {
                    // One that is still in use is removed with the subtree.
                    let _busy = std::fs::remove_dir(entry.path().join(below));
                }
            }
        }
    }
}

impl ReadyGroups {
    /// Makes the groups, and moves a process into the application's.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn enter(&self, pid: u32) -> Result<(), CgroupError> {
        self.0.make()?;
        self.0.attach("/app", pid)
    }

    /// Removes them; waits for processes on their way out.
    ///
    /// # Errors
    /// `Busy` while somebody is in them.
    pub fn remove(&self) -> Result<(), CgroupError> {
        self.0.dirs().iter().try_for_each(|dir| super::remove_tree(dir))
    }

    pub(super) fn become_groups_of(&self, container: &LegacyGroups) -> Result<(), CgroupError> {
        self.0.rename(container)
    }
}
