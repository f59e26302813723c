//! Writing resources to the kernel's files.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::settings::{self, Setting};
use super::{BundleCgroup, access, read};
use crate::runtime::cgroup::CgroupError;
use crate::sys::cgroup::Group;

/// Controllers that are handed down on unified hosts.
const CONTROLLERS: &[&str] = &["cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma"];

impl BundleCgroup {
    /// Sets limits; what the resources do not name stays as it is.
    ///
    /// # Errors
    /// `CannotLimit` where the host lacks a controller; what the kernel refused.
    pub fn apply(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let mut legacy = settings::legacy(resources);
        let mut unified = settings::unified(resources);
        // Each controller is in one version only.
        unified.retain(|setting| self.legacy_dir(setting.controller).is_none());
        legacy.retain(|setting| {
            self.legacy_dir(setting.controller).is_some()
                || !unified.iter().any(|u| u.controller == setting.controller)
        });
        in_a_possible_order(&mut legacy, |setting| self.write_legacy(setting))?;
        for setting in &unified {
            self.write_unified(setting.controller, &setting.file, &setting.value)?;
        }
        for (file, value) in settings::as_written(resources) {
            self.write_unified("unified", &file, &value)?;
        }
        Ok(())
    }

    fn write_legacy(&self, setting: &Setting) -> Result<(), CgroupError> {
        let lacking = CgroupError::CannotLimit { limit: setting.controller, controller: setting.controller };
        let dir = self.legacy_dir(setting.controller).ok_or(lacking)?;
        // Kernels that do not count swap have no such file, and nothing to limit.
        if setting.file.starts_with("memory.memsw.") && !dir.join(&setting.file).exists() {
            return Ok(());
        }
        write(dir, &setting.file, &setting.value)
    }

    fn write_unified(&self, controller: &'static str, file: &str, value: &str) -> Result<(), CgroupError> {
        let lacking = || CgroupError::CannotLimit { limit: controller, controller };
        let dir = self.unified.as_deref().ok_or_else(lacking)?;
        if file.contains('/') || file.starts_with('.') {
            let error =
                std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no name of a control file");
            return Err(access(&format!("write {file} of"), dir)(error));
        }
        if !dir.join(file).exists() {
            // Swap is not always counted; that it is unlimited then is the kernel's doing.
            return if file == "memory.swap.max" && dir.join("memory.max").exists() {
                Ok(())
            } else {
                Err(lacking())
            };
        }
        write(dir, file, value)
    }
}

/// Memory must not come to lie above memory and swap together: which of the two goes first depends on what was set before.
fn in_a_possible_order(
    settings: &mut [Setting],
    write: impl Fn(&Setting) -> Result<(), CgroupError>,
) -> Result<(), CgroupError> {
    let is_pair = |pair: &[Setting]| matches!(pair, [memory, swap, ..] if memory.file == "memory.limit_in_bytes" && swap.file.starts_with("memory.memsw."));
    let mut start = 0;
    if is_pair(settings)
        && let [memory, swap, ..] = &*settings
        && write(memory).is_err()
    {
        write(swap)?;
        write(memory)?;
        start = 2;
    }
    settings.iter().skip(start).try_for_each(write)
}

fn write(dir: &Path, file: &str, value: &str) -> Result<(), CgroupError> {
    let attempt = format!("write {value:?} to {file} of");
    Group::open(dir).and_then(|group| group.write(file, value)).map_err(access(&attempt, dir))
}

/// A new version 1 group has no processors and no memory nodes until it is given some.
pub(super) fn inherit_cpus(dir: &Path) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !read(dir, file).trim().is_empty() {
            continue;
        }
        let Some(parent) = dir.parent() else { continue };
        if read(parent, file).trim().is_empty() && parent.join(file).exists() {
            inherit_cpus(parent)?;
        }
        let value = read(parent, file);
        if !value.trim().is_empty() {
            write(dir, file, value.trim())?;
        }
    }
    Ok(())
}

/// Makes the groups above `dir` and lets each hand its controllers down; what one cannot hand down, the limit that needs it will say.
pub(super) fn hand_down(dir: &Path) -> Result<(), CgroupError> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    if !parent.join("cgroup.procs").exists() {
        hand_down(parent)?;
        match std::fs::create_dir(parent) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.map_err(access("make the control group", parent))?,
        }
    }
    let (offered, enabled) = (read(parent, "cgroup.controllers"), read(parent, "cgroup.subtree_control"));
    let names = |list: &str, wanted: &str| list.split_whitespace().any(|name| name == wanted);
    for controller in CONTROLLERS.iter().filter(|name| names(&offered, name) && !names(&enabled, name)) {
        // Refused while processes are in the parent.
        let _ = Group::open(parent)
            .and_then(|group| group.write("cgroup.subtree_control", &format!("+{controller}")));
    }
    Ok(())
}
