//! Which control group hierarchies this host has, read from its mounts and never assumed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The controllers that hold our limits.
pub(super) const CONTROLLERS: &[&str] = &["memory", "cpu", "cpuacct", "pids"];

/// How a host has its controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One version 2 hierarchy with every controller.
    Unified,
    /// Controllers on version 1 hierarchies, and a version 2 hierarchy beside them for killing, freezing and pressure.
    Hybrid,
    /// Version 1 alone.
    Legacy,
}

/// Where the hierarchies are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) mode: Mode,
    /// Mount point of the version 2 hierarchy.
    pub(super) unified: Option<PathBuf>,
    /// Mount points of version 1 controllers, by controller. Two controllers may share one.
    pub(super) legacy: BTreeMap<&'static str, PathBuf>,
}

impl Layout {
    /// Reads the text of `/proc/<pid>/mountinfo` (proc(5)); `None` where no control groups are mounted.
    pub(super) fn parse(mountinfo: &str) -> Option<Layout> {
        let mut unified = None;
        let mut legacy = BTreeMap::new();
        for mount in mountinfo.lines().filter_map(Mount::parse) {
            match mount.kind {
                // A bind mount of a part shows only groups below that part: the whole is what we can build on.
                "cgroup2" if mount.root == Path::new("/") => {
                    unified.get_or_insert(mount.point);
                }
                "cgroup" => {
                    for controller in CONTROLLERS.iter().filter(|name| mount.options.contains(name)) {
                        legacy.entry(*controller).or_insert_with(|| mount.point.clone());
                    }
                }
                _ => {}
            }
        }
        let mode = match (&unified, legacy.is_empty()) {
            (Some(_), true) => Mode::Unified,
            (Some(_), false) => Mode::Hybrid,
            (None, false) => Mode::Legacy,
            (None, true) => return None,
        };
        Some(Layout { mode, unified, legacy })
    }
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Where.
    pub(crate) point: PathBuf,
    /// Its controllers (or `name=...`) in version 1; `None` is version 2.
    pub(crate) controllers: Option<Vec<String>>,
}

/// All hierarchies in the text of `/proc/<pid>/mountinfo`, whatever their controllers.
pub(crate) fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    /// Options of such a mount that are no controllers.
    const FLAGS: &[&str] =
        &["rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode", "favordynmods", "seclabel"];
    let whole = mountinfo.lines().filter_map(Mount::parse).filter(|mount| mount.root == Path::new("/"));
    whole
        .filter_map(|mount| match mount.kind {
            "cgroup2" => Some(Hierarchy { point: mount.point, controllers: None }),
            "cgroup" => {
                let named = mount
                    .options
                    .iter()
                    .filter(|option| !FLAGS.contains(option) && !option.starts_with("release_agent="));
                let controllers = named.map(ToString::to_string).collect();
                Some(Hierarchy { point: mount.point, controllers: Some(controllers) })
            }
            _ => None,
        })
        .collect()
}

/// One line of mountinfo.
struct Mount<'a> {
    root: PathBuf,
    point: PathBuf,
    kind: &'a str,
    options: Vec<&'a str>,
}

impl Mount<'_> {
    fn parse(line: &str) -> Option<Mount<'_>> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut filesystem = filesystem.split(' ');
        let (kind, _source) = (filesystem.next()?, filesystem.next()?);
        let options = filesystem.next()?.split(',').collect();
        Some(Mount { root: unescape(root), point: unescape(point), kind, options })
    }
}

/// Undoes the octal escapes of spaces, tabs, newlines and backslashes in mountinfo.
fn unescape(field: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(escapes.iter().fold(field.to_owned(), |text, (from, to)| text.replace(from, to)))
}

/// The path of a process in the version 2 hierarchy, from the text of `/proc/<pid>/cgroup`; relative to the mount point.
pub(super) fn own_unified_path(cgroup: &str) -> Option<&Path> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::/")).map(Path::new)
}

#[cfg(test)]
mod test {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime shared:7 - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn controllers_beside_an_empty_version_2_are_hybrid() {
        let layout = Layout::parse(HYBRID).unwrap();
        assert_eq!(layout.mode, Mode::Hybrid);
        assert_eq!(layout.unified.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        let points: Vec<_> = layout.legacy.iter().map(|(c, p)| (*c, p.to_str().unwrap())).collect();
        assert_eq!(
            points,
            [
                ("cpu", "/sys/fs/cgroup/cpu"),
                ("cpuacct", "/sys/fs/cgroup/cpuacct"),
                ("memory", "/sys/fs/cgroup/memory"),
                ("pids", "/sys/fs/cgroup/pids"),
            ]
        );
    }

    #[test]
    fn version_2_alone_is_unified() {
        let text =
            "34 25 0:29 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
        let layout = Layout::parse(text).unwrap();
        assert_eq!((layout.mode, layout.legacy.len()), (Mode::Unified, 0));
    }

    #[test]
    fn controllers_that_share_a_mount_are_both_found() {
        let text = "5 2 0:3 / /cg/a\\040b rw - cgroup cgroup rw,cpu,cpuacct\n";
        let layout = Layout::parse(text).unwrap();
        assert_eq!(layout.mode, Mode::Legacy);
        assert_eq!(layout.legacy["cpu"], Path::new("/cg/a b"));
        assert_eq!(layout.legacy["cpuacct"], Path::new("/cg/a b"));
    }

    #[test]
    fn a_bind_mount_of_a_part_is_not_the_hierarchy() {
        let text = "7 2 0:9 /system.slice /mnt rw - cgroup2 cgroup2 rw\n8 2 0:1 / / rw - ext4 /dev/a rw\n";
        assert_eq!(Layout::parse(text), None);
    }

    #[test]
    fn the_own_group_is_the_line_without_a_controller() {
        let text = "4:memory:/x\n0::/system.slice/node.service\n";
        assert_eq!(own_unified_path(text), Some(Path::new("system.slice/node.service")));
        assert_eq!(own_unified_path("0::/\n"), Some(Path::new("")));
        assert_eq!(own_unified_path("4:memory:/x\n"), None);
    }
}
