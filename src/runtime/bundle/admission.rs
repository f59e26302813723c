//! The container's process and its version 2 control group.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};

use super::BundleError;
use super::cgroup::BundleCgroup;
use super::plan::BundlePlan;
use crate::sys::cgroup::Group;
use crate::sys::namespace::Kind;

/// How a process comes into its version 2 group.
pub(super) enum Admission {
    /// It is born there, if there is one.
    Born(Option<Group>),
    /// It is moved: whoever clones it is in another control group namespace by then.
    Moved(File),
}

impl Admission {
    /// The way for what is planned.
    pub(super) fn to(cgroup: &BundleCgroup, plan: &BundlePlan) -> Result<Admission, BundleError> {
        if plan.namespaces.joins(Kind::Cgroup).is_some()
            && let Some(entrance) = cgroup.entrance()?
        {
            return Ok(Admission::Moved(entrance));
        }
        Ok(Admission::Born(cgroup.unified_group()?))
    }

    /// Where to clone it.
    pub(super) fn group(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Admission::Born(group) => group.as_ref().map(AsFd::as_fd),
            Admission::Moved(_) => None,
        }
    }

    /// What is left to do for the clone.
    pub(super) fn admit(&self, pid: u32) -> Result<(), BundleError> {
        match self {
            Admission::Born(_) => Ok(()),
            Admission::Moved(entrance) => {
                let mut entrance: &File = entrance;
                let attempt = format!("move process {pid} into its control group");
                entrance.write_all(pid.to_string().as_bytes()).map_err(BundleError::host(attempt))
            }
        }
    }
}
