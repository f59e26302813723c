//! Executing the host's part of a plan: one loop over the steps. What fails is named, and everything made so far is taken back.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::runtime::cgroup::ContainerCgroup;
use crate::runtime::init;
use crate::runtime::limits::Limits;
use crate::runtime::plan::{GeneratedFile, HostStep, Plan, Slot};
use crate::runtime::record::{ContainerDir, Record};
use crate::runtime::spawner::bench::{Attached, exec_attribute, layer, name, tmpfs};
use crate::runtime::spawner::berth::{self, Berth, Order};
use crate::runtime::spawner::protocol::{self, ChildSays, HostSays, Side, StepFailed, Timings};
use crate::runtime::spawner::{ChildStreams, Lap, Recorder, Spawner, full_text, streams};
use crate::runtime::spec::{Access, Exec, IdMapped, IdRange, Network, StdioKind};
use crate::sys::message::{self, Channel};
use crate::sys::mount::{self, Attributes};
use crate::sys::netns;
use crate::sys::process::{self, Cloned, Namespaces};
use crate::sys::{clock, fs, ring};

/// The container must be running this long after its clone.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// A killed container must be gone by then.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two looks at it.
const KILL_PAUSE: Duration = Duration::from_millis(1);
/// How long a process that only holds a user namespace open is kept, should its maker die.
const HOLDER_TIMEOUT: Duration = Duration::from_secs(10);
/// Name of the place in a scratch directory over which room of limited size is attached.
const DISK: &str = "disk";
/// Bytes of such room for which there may be one file or directory: small files are the rule.
const BYTES_PER_FILE: u64 = 4096;
/// Permission bits of a writable layer's top, seen as those of the directory that it is laid over.
const WRITABLE_LAYER_MODE: u32 = 0o755;
/// All namespaces but the network's and the control groups'; the latter is entered by the application once it is in its groups.
pub(super) const NAMESPACES: Namespaces =
    Namespaces::USER.and(Namespaces::MOUNT).and(Namespaces::PID).and(Namespaces::IPC).and(Namespaces::UTS);

/// A running container.
pub(super) struct Started {
    pub(super) record: Record,
    /// For the client: the pidfd, then what belongs to the standard streams.
    pub(super) given: Vec<OwnedFd>,
    pub(super) timings: Timings,
    pub(super) laps: Vec<Lap>,
    pub(super) rest: Rest,
}

/// What the last step needs.
pub(super) struct Rest {
    pub(super) pid: u32,
    cgroup: ContainerCgroup,
    berth: Option<Berth>,
}

/// What a start is given beside its plan.
pub(super) struct Given {
    /// The network namespace to join, if one is.
    pub(super) netns: Option<OwnedFd>,
    /// A process that waits in control groups for it, if one does.
    pub(super) berth: Option<Berth>,
    pub(super) trace: Recorder,
}

struct Start<'a> {
    spawner: &'a Spawner,
    plan: &'a Plan,
    netns: Option<OwnedFd>,
    berth: Option<Berth>,
    dir: ContainerDir,
    cgroup: Option<ContainerCgroup>,
    streams: ChildStreams,
    /// The client's ends of the streams.
    given: Vec<OwnedFd>,
    child: Option<Child>,
    ids: Option<IdRange>,
    /// User namespaces by which mounts are id-mapped, by (id on disk, host id).
    mappings: HashMap<(u32, u32), OwnedFd>,
    mounts: Vec<Option<OwnedFd>>,
    scratch: Vec<PathBuf>,
    /// Room of limited size, by scratch directory; attached in the spawner's mount namespace until the container has started.
    disks: HashMap<PathBuf, Attached>,
    record: Option<Record>,
    timings: Timings,
    phase: Instant,
    trace: Recorder,
}

struct Child {
    pid: u32,
    pidfd: OwnedFd,
    channel: Channel,
    /// Its user namespace.
    users: Option<OwnedFd>,
}

/// Executes all but the last of the host's steps.
pub(super) fn run(spawner: &Spawner, plan: &Plan, given: Given) -> Result<Started, StepFailed> {
    let Given { netns, berth, trace } = given;
    let dir = ContainerDir::of(&spawner.config.run_dir, &plan.id);
    let mut start = Start {
        spawner,
        plan,
        netns,
        berth,
        dir,
        cgroup: None,
        streams: ChildStreams::default(),
        given: Vec::new(),
        child: None,
        ids: None,
        mappings: HashMap::new(),
        mounts: Vec::new(),
        scratch: Vec::new(),
        disks: HashMap::new(),
        record: None,
        timings: Timings::default(),
        phase: clock::monotonic(),
        trace,
    };
    // A name in use is refused before anything of its owner could be touched.
    if let Err(error) = start.claim() {
        return Err(StepFailed::new(Side::Host, 0, "claim the container's name", &error));
    }
    for (index, step) in plan.host.iter().enumerate() {
        let began = start.trace.begin();
        let done = start.step(step);
        start.trace.end(began, Side::Host, step);
        if let Err(failed) = done {
            let told = start.told();
            start.undo();
            return Err(match failed {
                // What ails the child is the cause of what then fails here.
                Failed::Here(error) => {
                    told.unwrap_or_else(|| StepFailed::new(Side::Host, index, step, &error))
                }
                Failed::There(failed) => failed,
            });
        }
    }
    match (start.child, start.cgroup, start.record) {
        (Some(child), Some(cgroup), Some(record)) => {
            let mut given = vec![child.pidfd];
            given.extend(start.given);
            let laps = start.trace.take();
            let (timings, berth) = (start.timings, start.berth);
            let rest = Rest { pid: child.pid, cgroup, berth };
            Ok(Started { record, given, timings, laps, rest })
        }
        _ => Err(StepFailed::new(
            Side::Host,
            plan.host.len(),
            "end",
            &io::Error::other("the plan starts nothing"),
        )),
    }
}

/// Executes the last step, for which nobody waits.
pub(super) fn finish(plan: &Plan, rest: &Rest) -> Result<(), StepFailed> {
    let Rest { pid, cgroup, berth } = rest;
    for (index, step) in plan.host.iter().enumerate() {
        if matches!(step, HostStep::MoveInit) {
            // It may have ended by now.
            let moved = match berth {
                // By itself: it may take as long as it likes.
                Some(berth) => berth.leave(),
                None => cgroup.attach_init(*pid).map_err(|error| io::Error::other(full_text(&error))),
            };
            let is_alive = process::start_time(*pid).is_ok();
            if let (Err(error), true) = (moved, is_alive) {
                return Err(StepFailed::new(Side::Host, index, step, &error));
            }
        }
    }
    Ok(())
}

/// Where a step failed.
enum Failed {
    Here(io::Error),
    There(StepFailed),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Here(error)
    }
}

impl From<crate::runtime::cgroup::CgroupError> for Failed {
    fn from(error: crate::runtime::cgroup::CgroupError) -> Failed {
        Failed::Here(io::Error::other(full_text(&error)))
    }
}

impl Start<'_> {
    fn claim(&self) -> io::Result<()> {
        std::fs::create_dir(self.dir.path()).map_err(|error| name(self.dir.path(), error))
    }

    fn step(&mut self, step: &HostStep) -> Result<(), Failed> {
        match step {
            HostStep::CreateCgroup(limits) => self.create_cgroup(limits),
            HostStep::OpenStreams(kind) => Ok(self.open_streams(*kind)?),
            HostStep::Clone(network) => Ok(self.clone_init(network)?),
            HostStep::MapIds(ids) => self.map_ids(*ids),
            HostStep::PrepareRoot { slot, layers, by } => {
                let mapped = self.root_layers(layers)?;
                self.keep(*slot, self.spawner.bench.root(mapped, *by)?)
            }
            HostStep::PrepareDevices(slot) => {
                self.keep(*slot, self.spawner.bench.devices(self.users()?.as_fd())?)
            }
            HostStep::PrepareMasks(slot) => self.keep(*slot, self.spawner.bench.masks()?),
            HostStep::PrepareSysfs(slot) => self.keep(*slot, self.sysfs()?),
            HostStep::PrepareTmpfs { slot, size_bytes, mode, owner, exec } => {
                self.keep(*slot, tmpfs(*size_bytes, *mode, *owner, *exec)?)
            }
            HostStep::PrepareBind { slot, source, access, exec } => {
                let bind = self.bind(source, *access, *exec)?;
                self.keep(*slot, bind)
            }
            HostStep::PrepareOverlay { slot, lowers, scratch, owner, by } => {
                let lowers: Vec<_> = lowers
                    .iter()
                    .map(|lower| self.bind(lower, Access::ReadOnly, Exec::Allowed))
                    .collect::<Result<_, _>>()?;
                let place = self.make_writable_layer(scratch, *owner)?;
                let made = self.spawner.bench.overlay(&lowers, *by, Some(&place))?;
                self.keep(*slot, made)
            }
            HostStep::PrepareDisk { scratch, size_bytes } => Ok(self.disk(scratch, *size_bytes)?),
            HostStep::PrepareScratch { slot, scratch, name, mode, owner } => {
                let dir = self.make_scratch(scratch)?.join(name);
                make_owned(&dir, *mode, *owner)?;
                let copy = mount::copy(&dir)?;
                mount::set_attributes(&copy, Attributes::NO_SETUID.and(Attributes::NO_DEVICES), None)?;
                self.keep(*slot, copy)
            }
            HostStep::PrepareFiles { all, files } => self.files(*all, files),
            HostStep::SendMounts => {
                self.timings.mounts_us = self.lap();
                Ok(self.send_mounts()?)
            }
            HostStep::Record => Ok(self.write_record()?),
            HostStep::AttachControllers => {
                let (pid, cgroup) = (self.child()?.pid, self.cgroup.as_ref().ok_or_else(out_of_order)?);
                // Whoever was born of a berth is under them already.
                if self.berth.is_none() {
                    cgroup.attach(pid)?;
                }
                self.timings.attach_us = self.lap();
                Ok(())
            }
            HostStep::Release => {
                self.release()?;
                self.timings.exec_us = self.lap();
                Ok(())
            }
            // Done by `finish`.
            HostStep::MoveInit => Ok(()),
        }
    }

    fn lap(&mut self) -> u64 {
        let took = self.phase.elapsed();
        self.phase = clock::monotonic();
        u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
    }

    fn child(&self) -> io::Result<&Child> {
        self.child.as_ref().ok_or_else(out_of_order)
    }

    fn users(&self) -> io::Result<&OwnedFd> {
        self.child()?.users.as_ref().ok_or_else(out_of_order)
    }

    fn keep(&mut self, Slot(place): Slot, mount: OwnedFd) -> Result<(), Failed> {
        if self.mounts.len() <= place {
            self.mounts.resize_with(place + 1, || None);
        }
        let free = self.mounts.get_mut(place).ok_or_else(out_of_order)?;
        *free = Some(mount);
        Ok(())
    }

    fn create_cgroup(&mut self, limits: &Limits) -> Result<(), Failed> {
        let (cgroups, id) = (&self.spawner.cgroups, self.plan.id.as_str());
        self.cgroup = Some(match &self.berth {
            Some(berth) => cgroups.create_from(&berth.groups, id, limits)?,
            None => cgroups.create(id, limits)?,
        });
        self.timings.cgroup_us = self.lap();
        Ok(())
    }

    fn open_streams(&mut self, kind: StdioKind) -> io::Result<()> {
        let (uid, gid) = self.plan.owner;
        self.streams.exit = Some(File::create_new(self.dir.init_exit())?.into());
        self.streams.refused = Some(File::create_new(self.dir.init_refused())?.into());
        match kind {
            StdioKind::Log => {
                let (from, to) = message::pipe()?;
                // An application opens /dev/stdout again, and must be let.
                mount::give_fd_to(&to, uid, gid)?;
                ring::create(&self.dir.log_ring(), ring::RING_BYTES)?;
                let file = File::options().read(true).write(true).open(self.dir.log_ring())?;
                self.streams.relay = Some((file.into(), from));
                let null = File::open("/dev/null")?;
                self.streams.standard = vec![null.into(), to.try_clone()?, to];
            }
            StdioKind::Pipes => {
                (self.streams.standard, self.given) = streams::pipes(self.plan.owner)?;
            }
            StdioKind::Terminal { .. } => {}
        }
        Ok(())
    }

    /// The network namespace that is to be joined is entered by the spawner around the clone: the child, root of a new user
    /// namespace only, could not.
    fn clone_init(&mut self, network: &Network) -> io::Result<()> {
        let (ours, theirs) = Channel::pair()?;
        let mut streams = std::mem::take(&mut self.streams);
        let groups = self.cgroup.as_ref();
        // Each is born where it stays: moving a process afterwards stalls the whole host for a grace period of the kernel.
        streams.group =
            groups.and_then(ContainerCgroup::app_fd).map(|fd| fd.try_clone_to_owned()).transpose()?;
        let group = groups.and_then(ContainerCgroup::init_fd);
        if let (Network::Joined(path), None) = (network, &self.netns) {
            return Err(name(path, io::ErrorKind::NotFound.into()));
        }
        if let Some(berth) = &self.berth {
            let order = Order {
                networks: self.netns.iter().count(),
                groups: group.iter().count(),
                streams: streams.shape(),
                trace_age_us: self.trace.age_us(),
            };
            let given = berth::descriptors(&theirs, self.netns.as_ref(), group, &streams);
            let (pid, pidfd) = berth.clone_init(order, &given)?;
            self.child = Some(Child { pid, pidfd, channel: ours, users: None });
            return Ok(());
        }
        let (single, plan) = (self.spawner.single, self.plan);
        let account = plan.owner.0;
        let clone = |namespaces| single.on_account_of(account, |single| single.clone(namespaces, group));
        let born = |namespaces: Namespaces| match clone(namespaces)? {
            Cloned::Child => init::main(plan, single, theirs, streams, self.trace.forked()),
            Cloned::Parent { pid, pidfd } => io::Result::Ok((pid, pidfd)),
        };
        let (pid, pidfd) = match (network, &self.netns) {
            (Network::Isolated, _) => born(NAMESPACES.and(Namespaces::NET))?,
            (Network::Joined(_), Some(namespace)) => netns::in_netns(namespace, || born(NAMESPACES))??,
            (Network::Joined(path), None) => return Err(name(path, io::ErrorKind::NotFound.into())),
        };
        self.child = Some(Child { pid, pidfd, channel: ours, users: None });
        Ok(())
    }

    fn map_ids(&mut self, ids: IdRange) -> Result<(), Failed> {
        let pid = self.child()?.pid;
        let users = map_ids(pid, &format!("0 {} {}", ids.host_base, ids.len))?;
        self.ids = Some(ids);
        self.cgroup.as_ref().ok_or_else(out_of_order)?.let_start(ids.host_base)?;
        if let Some(child) = &mut self.child {
            child.users = Some(users);
        }
        self.say(HostSays::Mapped, &[])?;
        self.timings.clone_us = self.lap();
        Ok(())
    }

    fn root_layers(&self, layers: &[PathBuf]) -> io::Result<Vec<OwnedFd>> {
        let users = self.users()?;
        layers.iter().map(|path| layer(path, Attributes::READ_ONLY, users)).collect()
    }

    fn bind(&mut self, source: &IdMapped, access: Access, exec: Exec) -> io::Result<OwnedFd> {
        let access = match access {
            Access::ReadOnly => Attributes::READ_ONLY,
            Access::ReadWrite => Attributes::NONE,
        };
        let attributes = access.and(exec_attribute(exec));
        match source.disk {
            None => layer(&source.path, attributes, self.users()?),
            Some(ids) => {
                if !self.mappings.contains_key(&ids) {
                    let made = self.mapping(ids)?;
                    self.mappings.insert(ids, made);
                }
                let users = self.mappings.get(&ids).ok_or_else(out_of_order)?;
                layer(&source.path, attributes, users)
            }
        }
    }

    /// A user namespace that only serves to map one id; a process must be in it while it is set up.
    fn mapping(&self, (disk, host): (u32, u32)) -> io::Result<OwnedFd> {
        let (ours, theirs) = Channel::pair()?;
        match self.spawner.single.clone(Namespaces::USER, None)? {
            Cloned::Child => {
                drop(ours);
                // Until the other end closes.
                let _ = theirs.receive(HOLDER_TIMEOUT);
                process::exit_now(0)
            }
            Cloned::Parent { pid, .. } => map_ids(pid, &format!("{disk} {host} 1")),
        }
    }

    fn sysfs(&self) -> io::Result<OwnedFd> {
        let pid = self.child()?.pid;
        let namespace: OwnedFd = File::open(format!("/proc/{pid}/ns/net"))?.into();
        let attributes = exec_attribute(Exec::Denied).and(Attributes::READ_ONLY);
        let make = || {
            mount::filesystem("sysfs", &[], attributes.and(Attributes::NO_SETUID).and(Attributes::NO_DEVICES))
        };
        netns::in_netns(&namespace, make)?
    }

    /// Puts room of limited size in the place of a scratch directory.
    fn disk(&mut self, scratch: &Path, size_bytes: u64) -> io::Result<()> {
        let place = self.make_scratch(scratch)?.join(DISK);
        std::fs::create_dir(&place).map_err(|error| name(&place, error))?;
        let (size, files) = (size_bytes.to_string(), (size_bytes / BYTES_PER_FILE).max(1).to_string());
        let options = [("size", size.as_str()), ("nr_inodes", &files), ("mode", "0755")];
        let made = mount::filesystem("tmpfs", &options, Attributes::NO_SETUID.and(Attributes::NO_DEVICES))?;
        self.disks.insert(scratch.to_owned(), Attached::at(&place, &made)?);
        Ok(())
    }

    /// Where to write what belongs to a scratch directory.
    fn make_scratch(&mut self, scratch: &Path) -> io::Result<PathBuf> {
        if self.disks.contains_key(scratch) {
            return Ok(scratch.join(DISK));
        }
        if !self.scratch.iter().any(|known| known == scratch) {
            std::fs::create_dir_all(scratch).map_err(|error| name(scratch, error))?;
            self.scratch.push(scratch.to_owned());
        }
        Ok(scratch.to_owned())
    }

    fn make_writable_layer(&mut self, scratch: &Path, owner: (u32, u32)) -> io::Result<PathBuf> {
        let place = self.make_scratch(scratch)?;
        make_owned(&place.join(mount::UPPER), WRITABLE_LAYER_MODE, owner)?;
        let work = place.join(mount::WORK);
        std::fs::create_dir(&work).map_err(|error| name(&work, error))?;
        Ok(place)
    }

    fn files(&mut self, all: Slot, files: &[GeneratedFile]) -> Result<(), Failed> {
        let root = self.ids.ok_or_else(out_of_order)?.host_base;
        let (whole, made) = self.spawner.bench.files(files, (root, root))?;
        for (file, mount) in files.iter().zip(made) {
            self.keep(file.slot, mount)?;
        }
        self.keep(all, whole)
    }

    fn write_record(&mut self) -> io::Result<()> {
        let pid = self.child()?.pid;
        let netns = netns::NetnsRef::of(Path::new(&format!("/proc/{pid}/ns/net")))?;
        let record = Record {
            id: self.plan.id.clone(),
            pid,
            start_time: process::start_time(pid)?,
            netns: (netns.dev, netns.ino),
            cgroup_root: self.spawner.config.cgroup_root.clone(),
            scratch: self.scratch.clone(),
            started_at: clock::now(),
            labels: self.plan.labels.clone(),
        };
        self.dir.write_record(&record)?;
        self.record = Some(record);
        Ok(())
    }

    fn send_mounts(&mut self) -> io::Result<()> {
        let mounts: Vec<_> = std::mem::take(&mut self.mounts).into_iter().flatten().collect();
        let borrowed: Vec<_> = mounts.iter().map(AsFd::as_fd).collect();
        self.say(HostSays::Mounts, &borrowed)
    }

    fn say(&self, what: HostSays, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        match protocol::say(&self.child()?.channel, &what, descriptors) {
            // It has failed, and said so: its word is heard by `release`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Lets init go, and listens until the application runs: the channel then closes, for exec closes it.
    fn release(&mut self) -> Result<(), Failed> {
        self.say(HostSays::Release, &[])?;
        let deadline = clock::monotonic() + START_TIMEOUT;
        let mut executing = None;
        loop {
            let left = deadline.saturating_duration_since(clock::monotonic());
            match protocol::hear(&self.child()?.channel, left)? {
                Some((ChildSays::Terminal, descriptors)) => self.given = descriptors,
                Some((ChildSays::Executing(laps), _)) => {
                    self.trace.add(laps);
                    executing = Some(self.trace.begin());
                }
                Some((ChildSays::Failed(failed), _)) => return Err(Failed::There(failed)),
                None => {
                    let Some(began) = executing else {
                        let early = "the container ended before its application started";
                        return Err(io::Error::other(early).into());
                    };
                    self.trace.end(began, Side::Process, "InstallSeccomp, Exec");
                    return Ok(());
                }
            }
        }
    }

    /// The child's complaint, if it has left one.
    fn told(&self) -> Option<StepFailed> {
        let channel = &self.child.as_ref()?.channel;
        match protocol::hear(channel, Duration::ZERO).ok()?? {
            (ChildSays::Failed(failed), _) => Some(failed),
            (ChildSays::Terminal | ChildSays::Executing(_), _) => None,
        }
    }

    /// Takes back what was made. Each part may be missing; what cannot be removed now is found by its name later.
    fn undo(self) {
        if let Some(child) = &self.child {
            // Already dead is as good.
            let _ = process::signal_descriptor(&child.pidfd, 9);
            let deadline = clock::monotonic() + KILL_TIMEOUT;
            while process::start_time(child.pid).is_ok() && clock::monotonic() < deadline {
                if !matches!(process::reap_one(child.pid), Ok(false)) {
                    break;
                }
                std::thread::sleep(KILL_PAUSE);
            }
        }
        if let Some(berth) = &self.berth {
            berth.give_up();
            let _ = self.spawner.cgroups.remove_everywhere(self.plan.id.as_str());
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.remove();
        }
        // What is mounted on cannot be removed.
        drop(self.disks);
        for dir in &self.scratch {
            let _ = fs::remove_tree(dir);
        }
        let _ = fs::remove_tree(self.dir.path());
    }
}

/// Makes a directory with exactly these permission bits, whatever this process's mask says.
fn make_owned(dir: &Path, mode: u32, owner: (u32, u32)) -> io::Result<()> {
    let made = std::fs::create_dir(dir)
        .and_then(|()| mount::give_to(dir, owner.0, owner.1))
        .and_then(|()| std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)));
    made.map_err(|error| name(dir, error))
}

/// Writes both maps of a fresh user namespace, and opens it.
fn map_ids(pid: u32, line: &str) -> io::Result<OwnedFd> {
    for map in ["uid_map", "gid_map"] {
        let path = PathBuf::from(format!("/proc/{pid}/{map}"));
        std::fs::write(&path, line).map_err(|error| name(&path, error))?;
    }
    Ok(File::open(format!("/proc/{pid}/ns/user"))?.into())
}

/// A plan whose steps are not in the order that `plan` gives them.
fn out_of_order() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the plan's steps are out of order")
}
