//! The control groups of a container that a bundle describes: one group at the path that its configuration names, in every hierarchy of
//! the host. (`runtime::cgroup` knows another shape: a node's subtree, with a group of its own for init.)

mod apply;
mod below;
mod devices;
mod settings;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

pub use below::Place;

use crate::runtime::cgroup::{CgroupError, Hierarchy, hierarchies};
use crate::sys::cgroup::{Group, kill_process};
use crate::sys::tree::{self, Extent};

/// Where groups lie whose container names no path.
const DEFAULT_PARENT: &str = "dyno-oci";
/// How long processes on their way out are waited for when a group is removed.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(2);
/// First and longest pause between two tries.
const PAUSE: Duration = Duration::from_micros(200);
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// Tries to make a group while the ends of other containers take its empty parents away.
const MAKE_TRIES: u32 = 16;
/// Rounds of killing on a host without `cgroup.kill`.
const KILL_ROUNDS_MAX: u32 = 100;
/// How long processes are waited for to be frozen.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(5);

/// The groups of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleCgroup {
    /// In the version 2 hierarchy.
    unified: Option<PathBuf>,
    /// In each version 1 hierarchy: its controllers, and the group.
    legacy: Vec<(Vec<String>, PathBuf)>,
}

impl BundleCgroup {
    /// Where the groups of a container would be; changes nothing.
    ///
    /// # Errors
    /// No hierarchy is mounted; the path climbs.
    pub fn at(wanted: Option<&Path>, id: &str) -> Result<BundleCgroup, CgroupError> {
        let mounts = Path::new("/proc/self/mountinfo");
        let text = std::fs::read_to_string(mounts).map_err(access("read", mounts))?;
        let path = path_of(wanted, id)?;
        let mut group = BundleCgroup { unified: None, legacy: Vec::new() };
        for Hierarchy { point, controllers } in hierarchies(&text) {
            match controllers {
                None => {
                    group.unified.get_or_insert(point.join(&path));
                }
                Some(controllers) if group.legacy.iter().all(|(known, _)| *known != controllers) => {
                    group.legacy.push((controllers, point.join(&path)));
                }
                Some(_) => {}
            }
        }
        if group.unified.is_none() && group.legacy.is_empty() {
            return Err(CgroupError::NoHierarchy);
        }
        Ok(group)
    }

    /// Makes the groups and sets the limits, before any process is in them. `Some` rules for devices are held; where the configuration
    /// has none, only the usual devices may be used.
    ///
    /// # Errors
    /// `Busy` where processes are in a group of this name already; what the kernel refused. Nothing is left behind on failure.
    pub fn create(&self, resources: Option<&LinuxResources>, rules: Devices) -> Result<(), CgroupError> {
        for dir in self.dirs() {
            let pids = pids_below(dir).unwrap_or_default();
            if !pids.is_empty() {
                return Err(CgroupError::Busy { path: dir.clone(), pids: pids.into_iter().collect() });
            }
        }
        let made = self.make().and_then(|()| {
            if let Some(resources) = resources {
                self.apply(resources)?;
            }
            self.hold_devices(resources, rules)
        });
        if made.is_err() {
            // The failure is told already; what stays behind is an empty group.
            let _ = self.remove();
        }
        made
    }

    fn make(&self) -> Result<(), CgroupError> {
        for (controllers, dir) in &self.legacy {
            undisturbed(|| std::fs::create_dir_all(dir).map_err(access("make the control group", dir)))?;
            if controllers.iter().any(|name| name == "cpuset") {
                apply::inherit_cpus(dir)?;
            }
        }
        if let Some(dir) = &self.unified {
            undisturbed(|| {
                if !self.legacy.is_empty() {
                    return std::fs::create_dir_all(dir).map_err(access("make the control group", dir));
                }
                apply::hand_down(dir)?;
                match std::fs::create_dir(dir) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    made => made.map_err(access("make the control group", dir)),
                }
            })?;
        }
        Ok(())
    }

    /// The version 2 group, for a clone straight into it.
    ///
    /// # Errors
    /// It is gone.
    pub fn unified_group(&self) -> Result<Option<Group>, CgroupError> {
        self.unified.as_deref().map(|dir| Group::open(dir).map_err(access("open", dir))).transpose()
    }

    /// The version 2 group's way in for one who will be in another control group namespace by then: the kernel judges by the namespace in
    /// which this was opened, and a clone straight into a group outside of the own namespace it refuses (cgroups(7), `nsdelegate`).
    ///
    /// # Errors
    /// It is gone.
    pub fn entrance(&self) -> Result<Option<File>, CgroupError> {
        let open = |dir: &Path| {
            let path = dir.join("cgroup.procs");
            File::options().write(true).open(&path).map_err(access("open", &path))
        };
        self.unified.as_deref().map(open).transpose()
    }

    /// Moves a process that was cloned into the version 2 group into the others: a burst of writes, because only the first of them waits
    /// for the kernel's grace period.
    ///
    /// # Errors
    /// What the kernel refused; `ESRCH` when the process is gone.
    pub fn attach(&self, pid: u32) -> Result<(), CgroupError> {
        for (_, dir) in &self.legacy {
            let attempt = format!("move process {pid} into");
            Group::open(dir)
                .and_then(|group| group.write("cgroup.procs", &pid.to_string()))
                .map_err(access(&attempt, dir))?;
        }
        Ok(())
    }

    /// A detached mount of each group, to be shown to the container: unnamed where there is one hierarchy only.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn mounts(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let copy = |dir: &Path| tree::copy(dir, Extent::Top);
        match (&self.unified, self.legacy.as_slice()) {
            (Some(dir), []) => Ok(vec![(String::new(), copy(dir)?)]),
            (unified, legacy) => {
                let named = legacy.iter().map(|(controllers, dir)| {
                    let names: Vec<_> =
                        controllers.iter().map(|name| name.trim_start_matches("name=")).collect();
                    Ok((names.join(","), copy(dir)?))
                });
                let unified = unified.iter().map(|dir| Ok(("unified".to_owned(), copy(dir)?)));
                named.chain(unified).collect()
            }
        }
    }

    /// Every process of the container, as the host numbers them.
    ///
    /// # Errors
    /// The group is gone.
    pub fn pids(&self) -> Result<BTreeSet<u32>, CgroupError> {
        let Some(dir) = self.main() else { return Ok(BTreeSet::new()) };
        pids_below(dir).map_err(access("list the processes of", dir))
    }

    /// Ends every process of the container.
    ///
    /// # Errors
    /// On hosts without `cgroup.kill`: they fork faster than they can be killed.
    pub fn kill(&self) -> Result<(), CgroupError> {
        if let Some(dir) = &self.unified
            && Group::open(dir).and_then(|group| group.write("cgroup.kill", "1")).is_ok()
        {
            return Ok(());
        }
        for _ in 0..KILL_ROUNDS_MAX {
            let pids = self.pids()?;
            if pids.is_empty() {
                return Ok(());
            }
            for pid in pids {
                kill_process(pid).map_err(access(&format!("kill process {pid} of"), self.any_dir()))?;
            }
            std::thread::sleep(PAUSE_MAX);
        }
        Err(CgroupError::Busy { path: self.any_dir().to_owned(), pids: self.pids()?.into_iter().collect() })
    }

    /// Stops every process where it is, or lets all go on; returns when it is so.
    ///
    /// # Errors
    /// The host can freeze nothing; it did not work in time.
    pub fn freeze(&self, wanted: Frozen) -> Result<(), CgroupError> {
        let deadline = Instant::now() + FREEZE_TIMEOUT;
        let (dir, file, value) = self
            .freezer(wanted)
            .ok_or(CgroupError::CannotLimit { limit: "freeze", controller: "freezer" })?;
        let group = Group::open(dir).map_err(access("open", dir))?;
        group.write(file, value).map_err(access("freeze or thaw", dir))?;
        let mut pause = PAUSE;
        while self.is_frozen() != (wanted == Frozen::Yes) {
            if Instant::now() >= deadline {
                let error = io::Error::from(io::ErrorKind::TimedOut);
                return Err(access("freeze or thaw", dir)(error));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// Whether the processes are stopped.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        match self.freezer(Frozen::Yes) {
            Some((dir, "cgroup.freeze", _)) => {
                read(dir, "cgroup.events").lines().any(|line| line == "frozen 1")
            }
            Some((dir, ..)) => read(dir, "freezer.state").trim() == "FROZEN",
            None => false,
        }
    }

    fn freezer(&self, wanted: Frozen) -> Option<(&Path, &'static str, &'static str)> {
        if let Some(dir) = self.unified.as_deref().filter(|dir| dir.join("cgroup.freeze").exists()) {
            return Some((dir, "cgroup.freeze", if wanted == Frozen::Yes { "1" } else { "0" }));
        }
        let dir = self.legacy_dir("freezer")?;
        Some((dir, "freezer.state", if wanted == Frozen::Yes { "FROZEN" } else { "THAWED" }))
    }

    /// Removes the groups and those that the container made in them; waits a little for processes on their way out. Idempotent.
    ///
    /// # Errors
    /// `Busy` while processes are in them.
    pub fn remove(&self) -> Result<(), CgroupError> {
        self.dirs().try_for_each(|dir| {
            remove(dir)?;
            remove_default_parents(dir);
            Ok(())
        })
    }

    fn legacy_dir(&self, controller: &str) -> Option<&Path> {
        let found =
            self.legacy.iter().find(|(controllers, _)| controllers.iter().any(|name| name == controller));
        found.map(|(_, dir)| dir.as_path())
    }

    /// The group in which all processes are for certain.
    fn main(&self) -> Option<&Path> {
        let legacy = self.legacy_dir("pids").or_else(|| self.legacy.first().map(|(_, dir)| dir.as_path()));
        self.unified.as_deref().or(legacy)
    }

    fn any_dir(&self) -> &Path {
        self.main().unwrap_or_else(|| Path::new("/"))
    }

    fn dirs(&self) -> impl Iterator<Item = &PathBuf> {
        self.unified.iter().chain(self.legacy.iter().map(|(_, dir)| dir))
    }
}

/// Whether processes are to be stopped where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen {
    /// They are.
    Yes,
    /// They are to go on.
    No,
}

/// What is done about devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// Rules of the configuration, or the usual devices only.
    Held,
    /// Only rules of the configuration: a user namespace keeps the container from making device files anyway.
    HeldIfAsked,
}

/// The path of a container's group, below the hierarchies' mount points.
fn path_of(wanted: Option<&Path>, id: &str) -> Result<PathBuf, CgroupError> {
    let wanted = wanted.filter(|path| !path.as_os_str().is_empty());
    let path = match wanted {
        None => Path::new(DEFAULT_PARENT).join(id),
        Some(path) => match path.strip_prefix("/") {
            Ok(below) => below.to_owned(),
            Err(_) => Path::new(DEFAULT_PARENT).join(path),
        },
    };
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if is_plain && path.components().next().is_some() {
        Ok(path)
    } else {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "give a path below the root, without '..'");
        Err(access("use as a control group", &path)(error))
    }
}

fn pids_below(dir: &Path) -> io::Result<BTreeSet<u32>> {
    let group = match Group::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        opened => opened?,
    };
    let mut pids: BTreeSet<_> = group.pids()?.into_iter().collect();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            pids.extend(pids_below(&entry.path())?);
        }
    }
    Ok(pids)
}

fn remove(dir: &Path) -> Result<(), CgroupError> {
    let deadline = Instant::now() + REMOVE_TIMEOUT;
    let mut pause = PAUSE;
    loop {
        let Err(error) = std::fs::remove_dir(dir) else { return Ok(()) };
        if error.kind() == io::ErrorKind::NotFound {
            return Ok(());
        }
        if error.kind() != io::ErrorKind::ResourceBusy {
            return Err(access("remove the control group", dir)(error));
        }
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path())?;
            }
        }
        if Instant::now() >= deadline {
            let pids = pids_below(dir).unwrap_or_default().into_iter().collect();
            return Err(CgroupError::Busy { path: dir.to_owned(), pids });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Takes away what this runtime has made above a group that named no place of its own, as far as it is empty.
fn remove_default_parents(dir: &Path) {
    let is_ours = dir.iter().any(|name| name == DEFAULT_PARENT);
    for parent in dir
        .ancestors()
        .skip(1)
        .take_while(|parent| is_ours && parent.iter().any(|name| name == DEFAULT_PARENT))
    {
        // Others are in it, or have taken it away themselves.
        if std::fs::remove_dir(parent).is_err() {
            return;
        }
    }
}

/// Makes a group, again if a parent went in between.
fn undisturbed(make: impl Fn() -> Result<(), CgroupError>) -> Result<(), CgroupError> {
    let is_gone = |error: &CgroupError| matches!(error, CgroupError::Access { source, .. } if source.kind() == io::ErrorKind::NotFound);
    for _ in 1..MAKE_TRIES {
        match make() {
            Err(error) if is_gone(&error) => {}
            made => return made,
        }
    }
    make()
}

fn read(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join(file)).unwrap_or_default()
}

/// Turns the kernel's answer into an error that names the attempt and its object.
fn access(attempt: &str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError + use<> {
    let (attempt, path) = (attempt.to_owned(), path.to_owned());
    move |source| CgroupError::Access { attempt, path, source }
}
