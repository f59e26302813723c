//! Groups inside of a container's groups, for processes that join it.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::{BundleCgroup, access, read};
use crate::runtime::cgroup::CgroupError;
use crate::sys::cgroup::Group;

/// What the version 2 hierarchy is called where it stands beside others.
const UNIFIED: &str = "unified";

/// Where in a container's groups a process that joins it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// In whose hierarchy; everywhere without one.
    pub controller: Option<String>,
    /// Below the container's own group, whether it begins with a slash or not.
    pub path: PathBuf,
}

impl BundleCgroup {
    /// The groups for a process that joins: the container's own where no place is named. A container that hands controllers down to
    /// groups of its own has nobody in the group above them, by the kernel's rule, and who joins goes where its first process is.
    ///
    /// # Errors
    /// A place outside of the container's groups, or one that is not there; a controller that has no hierarchy, or two places in one.
    pub fn to_join(&self, places: &[Place], first: u32) -> Result<BundleCgroup, CgroupError> {
        let mut groups = self.clone();
        if places.is_empty() {
            groups.unified = groups.unified.map(|dir| beside(&dir, first).unwrap_or(dir));
            return Ok(groups);
        }
        let mut given: Vec<(&PathBuf, PathBuf)> = Vec::new();
        for Place { controller, path } in places {
            let below = inside(path)?;
            let Some(controller) = controller else {
                given.extend(self.dirs().map(|own| (own, below.clone())));
                continue;
            };
            let own = self.dir_of(controller).ok_or_else(|| self.lacks(controller))?;
            if given.iter().any(|(other, place)| *other == own && *place != below) {
                let error =
                    io::Error::new(io::ErrorKind::InvalidInput, "its hierarchy was given another place");
                return Err(access(&format!("place the controller {controller} at"), path)(error));
            }
            given.push((own, below));
        }
        for dir in groups.unified.iter_mut().chain(groups.legacy.iter_mut().map(|(_, dir)| dir)) {
            if let Some((_, below)) = given.iter().find(|(own, _)| *own == dir) {
                go_below(dir, below)?;
            }
        }
        Ok(groups)
    }

    fn dir_of(&self, controller: &str) -> Option<&PathBuf> {
        if controller == UNIFIED && !self.legacy.is_empty() {
            return self.unified.as_ref();
        }
        let bare = |name: &str| name.trim_start_matches("name=").to_owned();
        let is_it = |name: &String| bare(name) == bare(controller);
        self.legacy.iter().find(|(names, _)| names.iter().any(is_it)).map(|(_, dir)| dir)
    }

    fn lacks(&self, controller: &str) -> CgroupError {
        let names: Vec<_> = self.legacy.iter().flat_map(|(names, _)| names).map(String::as_str).collect();
        let why = if names.is_empty() {
            "this host has one hierarchy for all: give a path without controller".to_owned()
        } else {
            format!("this host has {}", names.join(", "))
        };
        let attempt = format!("find the version 1 hierarchy of the controller {controller} for");
        access(&attempt, self.any_dir())(io::Error::new(io::ErrorKind::NotFound, why))
    }
}

/// The path below the container's group; its root is that group.
fn inside(path: &Path) -> Result<PathBuf, CgroupError> {
    let mut below = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => below.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                let why = "it leads out of the container's: give a path without '..'";
                let error = io::Error::new(io::ErrorKind::InvalidInput, why);
                return Err(access("join the control group", path)(error));
            }
        }
    }
    Ok(below)
}

/// Goes to a group that must be there.
fn go_below(dir: &mut PathBuf, below: &Path) -> Result<(), CgroupError> {
    // Joined with nothing, a path would end in a slash.
    if !below.as_os_str().is_empty() {
        dir.push(below);
    }
    Group::open(dir).map(drop).map_err(access("join the control group", dir))
}

/// Where the container's first process is, if that is below this group, and this group hands controllers down.
fn beside(dir: &Path, first: u32) -> Option<PathBuf> {
    if read(dir, "cgroup.subtree_control").trim().is_empty() {
        return None;
    }
    below_by_pid(dir, first)
}

/// The group in which a process is, of this one and those in it.
fn below_by_pid(dir: &Path, pid: u32) -> Option<PathBuf> {
    if Group::open(dir).and_then(|group| group.pids()).ok()?.contains(&pid) {
        return Some(dir.to_owned());
    }
    let groups = std::fs::read_dir(dir).ok()?.flatten();
    let mut groups = groups.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.find_map(|entry| below_by_pid(&entry.path(), pid))
}

#[cfg(test)]
mod test {
    use super::*;

    fn place(controller: Option<&str>, path: &str) -> Place {
        Place { controller: controller.map(str::to_owned), path: path.into() }
    }

    const LEGACY: &[&[&str]] = &[&["cpu", "cpuacct"], &["memory"], &["name=systemd"]];

    /// Groups as directories: version 1 hierarchies of these names with "one" and "two", version 2 with "one" and what is in it.
    fn groups(dir: &Path, names: &[&[&str]]) -> BundleCgroup {
        let legacy = names.iter().map(|names| {
            let own = dir.join(names.join(",")).join("own");
            std::fs::create_dir_all(own.join("one")).unwrap();
            std::fs::create_dir_all(own.join("two")).unwrap();
            (names.iter().map(ToString::to_string).collect(), own)
        });
        let legacy = legacy.collect();
        let unified = dir.join("unified/own");
        std::fs::create_dir_all(unified.join("one/deep")).unwrap();
        BundleCgroup { unified: Some(unified), legacy }
    }

    #[test]
    fn a_path_alone_is_for_every_hierarchy_and_begins_at_the_containers_group() {
        let dir = tempfile::tempdir().unwrap();
        let own = groups(dir.path(), LEGACY);
        for path in ["one", "/one", "./one/", "//one"] {
            let found = own.to_join(&[place(None, path)], 1).unwrap();
            assert!(found.dirs().all(|dir| dir.ends_with("own/one")), "{path}: {found:?}");
        }
        assert_eq!(own.to_join(&[place(None, "/")], 1).unwrap(), own);
        assert_eq!(own.to_join(&[], 1).unwrap(), own);
        // One that is not everywhere.
        for path in ["two", "one/deep", "absent"] {
            assert!(own.to_join(&[place(None, path)], 1).is_err(), "{path}");
        }
    }

    #[test]
    fn controllers_are_placed_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let own = groups(dir.path(), LEGACY);
        let places = [
            place(Some("cpu"), "two"),
            place(Some("cpuacct"), "/two"),
            place(Some("systemd"), "one"),
            place(Some("unified"), "one/deep"),
        ];
        let found = own.to_join(&places, 1).unwrap();
        let ends: Vec<_> = found.dirs().map(|at| at.strip_prefix(dir.path()).unwrap().to_owned()).collect();
        assert_eq!(
            ends,
            ["unified/own/one/deep", "cpu,cpuacct/own/two", "memory/own", "name=systemd/own/one"]
                .map(PathBuf::from)
        );
        let refused = |places: &[Place], expected: &str| {
            let error = own.to_join(places, 1).unwrap_err();
            let text = format!("{error}: {}", std::error::Error::source(&error).unwrap());
            assert!(text.contains(expected), "{text}");
        };
        for other in ["two", "/"] {
            refused(&[place(Some("cpu"), "one"), place(Some("cpuacct"), other)], "another place");
        }
        refused(&[place(Some("nonsense"), "/")], "this host has cpu, cpuacct, memory, name=systemd");
        refused(&[place(Some("cpu"), "absent")], "absent");
    }

    #[test]
    fn nothing_leads_out_of_the_containers_groups() {
        let dir = tempfile::tempdir().unwrap();
        for own in [groups(&dir.path().join("a"), LEGACY), groups(&dir.path().join("b"), &[])] {
            for path in ["..", "/..", "one/../..", "one/../two", "../own"] {
                assert!(own.to_join(&[place(None, path)], 1).is_err(), "{path}");
                assert!(own.to_join(&[place(Some("cpu"), path)], 1).is_err(), "{path}");
            }
        }
        let alone = groups(&dir.path().join("c"), &[]);
        let error = alone.to_join(&[place(Some("cpu"), "/")], 1).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("without controller"));
    }
}
