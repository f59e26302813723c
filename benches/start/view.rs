//! Which control groups a contender sees. `crun` refuses hosts that have both versions, so each round takes place in a mount
//! namespace that shows one of them; nothing of the host's own mounts changes.

use std::io;
use std::path::{Path, PathBuf};

use dyno::sys::{credentials, mount};

/// Where control groups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum View {
    /// Version 2 alone, from a group of our own downwards; on a hybrid host without controllers, so without limits.
    V2,
    /// Version 1 alone, with limits.
    V1,
    /// What the host has; a contender that cannot run there is left out.
    Host,
}

impl View {
    /// Whether limits are asked for.
    pub fn has_limits(self) -> bool {
        self != View::V2
    }

    /// Changes what this process and its children see. The process must have one thread.
    pub fn enter(self, group: &str) -> io::Result<()> {
        let v2 = v2_mount_point()?;
        // A group of our own is what others may take for the root: they set things there.
        let own = v2.join(group);
        std::fs::create_dir_all(&own)?;
        std::fs::write(own.join("cgroup.procs"), "0")?;
        mount::enter_private_namespace()?;
        match self {
            View::Host => Ok(()),
            View::V1 if v2 == Path::new(CGROUPS) => {
                Err(io::Error::other("this host has no version 1 control groups; choose --view v2"))
            }
            View::V1 => mount::detach(&v2),
            View::V2 => {
                credentials::enter_control_group_namespace()?;
                mount::detach(Path::new(CGROUPS))?;
                let attributes = mount::Attributes::NO_SETUID.and(mount::Attributes::NO_DEVICES);
                mount::attach_at(&mount::filesystem("cgroup2", &[], attributes)?, Path::new(CGROUPS))
            }
        }
    }
}

fn v2_mount_point() -> io::Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines.find(|fields| fields.get(2) == Some(&"cgroup2"));
    found
        .and_then(|fields| fields.get(1).map(PathBuf::from))
        .ok_or_else(|| io::Error::other("no version 2 control groups are mounted"))
}

/// Removes the groups of this name from every hierarchy of the host.
pub fn remove_groups(group: &str) {
    let hierarchies = std::fs::read_dir(CGROUPS).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([PathBuf::from(CGROUPS)]) {
        remove_tree(&hierarchy.join(group));
    }
}

fn remove_tree(group: &Path) {
    let below = std::fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&entry.path());
    }
    // One in which a process still dies is told at the end, by what is left.
    let _busy = std::fs::remove_dir(group);
}
