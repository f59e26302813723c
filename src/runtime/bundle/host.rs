//! The starter's part: what takes the host's rights, in the order in which the container's process needs it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::{Hook, Process, Spec};

use super::admission::Admission;
use super::agent::Agent;
use super::cgroup::BundleCgroup;
use super::child::{self, Child, Joined};
use super::plan::{BundlePlan, Prepare, Rlimit, Slot, Step, Turns};
use super::prepare::{Users, map_ids, prepare};
use super::protocol::{ChildSays, HostSays};
use super::seccomp::Filter;
use super::{BundleError, hooks};
use crate::runtime::spawner::protocol::{hear, say};
use crate::sys::message::{Channel, Listener};
use crate::sys::namespace::{self, Kind};
use crate::sys::process::{self, Cloned, Given, Namespaces, SingleThreaded};
use crate::sys::{credentials, handover, rights, scheduling, tree};

/// The container's process must be ready by then; hooks have their own time.
const CHILD_TIMEOUT: Duration = Duration::from_secs(3600);
/// A killed process must be gone by then.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A container to be made.
pub struct Request<'a> {
    /// Its configuration.
    pub spec: &'a Spec,
    /// The plan made of it.
    pub plan: &'a BundlePlan,
    /// Its filter.
    pub filter: Option<&'a Filter>,
    /// Its groups, which exist.
    pub cgroup: &'a BundleCgroup,
    /// The socket where its start will be asked for; without one it starts when it is settled.
    pub listener: Option<Listener>,
    /// Who gets its terminal, if it has one; without, the caller.
    pub console: Option<OwnedFd>,
    /// Descriptors that it inherits.
    pub preserved: Given,
    /// The state for its hooks, by status and process id.
    pub state: &'a dyn Fn(&str, u32) -> String,
    /// Needed where the filter has notices.
    pub agent: Option<Agent<'a>>,
}

/// A process that waits to be settled.
#[derive(Debug)]
pub struct Born {
    /// Its id.
    pub pid: u32,
    /// A descriptor for it.
    pub pidfd: OwnedFd,
    /// The controlling end of its terminal, where it was not sent elsewhere.
    pub terminal: Option<OwnedFd>,
    channel: Channel,
}

/// Makes a container up to the point where only the start is missing. On failure nothing of the process is left; the groups are the
/// caller's.
///
/// # Errors
/// See `BundleError`.
pub fn create(request: Request<'_>, single: SingleThreaded) -> Result<Born, BundleError> {
    let process =
        request.spec.process().as_ref().ok_or(crate::runtime::plan::PlanError::Missing("process"))?;
    let (ours, theirs) = Channel::pair().map_err(BundleError::host("open a channel"))?;
    let users = if request.plan.ids.is_some() { Users::ItsOwn } else { Users::TheHosts };
    let admission = Admission::to(request.cgroup, request.plan)?;
    let joined = join(request.plan)?;
    let mut prepared = Vec::new();
    let is_able = users == Users::TheHosts && joined.users.is_none();
    for what in &request.plan.prepare {
        // Kernels list mounts in the order in which they were made (Linux 6.8), and the process makes those before it.
        if is_able && matches!(what, Prepare::Devices { .. }) {
            prepared.push(None);
            continue;
        }
        prepared.push(Some(prepare(what, single, users).map_err(BundleError::host(what))?));
    }
    if users == Users::ItsOwn || joined.users.is_some() {
        make_places(request.plan, &prepared);
    }
    let shows_groups = request.plan.steps.iter().any(|step| matches!(step, Step::AttachCgroups { .. }));
    let groups = if shows_groups {
        request.cgroup.mounts().map_err(BundleError::host("open the control groups"))?
    } else {
        Vec::new()
    };
    let all_hooks = request.spec.hooks().as_ref();
    let child = Child {
        plan: request.plan,
        single,
        process,
        filter: request.filter,
        container_hooks: list(all_hooks.and_then(|hooks| hooks.create_container().as_deref())),
        start_hooks: list(all_hooks.and_then(|hooks| hooks.start_container().as_deref())),
        state: request.state,
        host_pid: 0,
        channel: theirs,
        listener: request.listener,
        prepared,
        groups,
        users: joined.users,
        mounts: joined.mounts.map_or(Joined::Nothing, Joined::Namespace),
        console: request.console,
        preserved: request.preserved,
        covers: None,
        root: None,
        program: None,
        caller: None,
        heard: None,
    };
    let (pid, pidfd) = born(child, &ours, admission.group(), single, new_namespaces(request.plan))?;
    let mut born = Born { pid, pidfd, terminal: None, channel: ours };
    let run_all = |born: &Born| {
        let Some(hooks) = all_hooks else { return Ok(()) };
        let state = (request.state)("creating", born.pid);
        let run = |point, list: &Option<Vec<Hook>>| {
            hooks::run_all(point, list.as_deref().unwrap_or_default(), &state)
                .map_err(BundleError::host("run the hooks"))
        };
        run("prestart", hooks.prestart())?;
        run("createRuntime", hooks.create_runtime())
    };
    let settled = admission
        .admit(pid)
        .and_then(|()| born.bring_up(request.plan, Some(request.cgroup), request.agent, run_all));
    match settled {
        Ok(()) => Ok(born),
        Err(error) => {
            born.kill();
            Err(error)
        }
    }
}

/// Makes the places where something will be mounted, in the root and in the device directory: the root of a user namespace may not be
/// let to. What cannot be made here is made, or missed, by the container's process.
fn make_places(plan: &BundlePlan, prepared: &[Option<OwnedFd>]) {
    let at = |slot: &Slot| prepared.get(slot.0).and_then(Option::as_ref);
    // What is mounted where so far, and where places may be made in it.
    let mut mounted: Vec<(&Path, Option<&OwnedFd>)> = Vec::new();
    for step in &plan.steps {
        if let Step::AttachRoot(slot) = step {
            mounted.push((Path::new("/"), at(slot)));
            continue;
        }
        let (target, kind, mount) = if let Step::Attach { slot, target } = step {
            let Some(Ok(kind)) = at(slot).map(tree::kind) else { continue };
            let is_ours = matches!(plan.prepare.get(slot.0), Some(Prepare::Devices { .. }));
            (target.as_path(), kind, at(slot).filter(|_| is_ours))
        } else if let Some((target, kind)) = place_of(step) {
            (target, kind, None)
        } else {
            continue;
        };
        let below = mounted.iter().rev().find(|(place, _)| target.starts_with(place));
        if let Some((place, Some(mount))) = below
            && let Ok(rest) = target.strip_prefix(place)
        {
            // Told of when something is mounted there.
            let _ = tree::place(*mount, rest, kind);
        }
        mounted.push((target, mount));
    }
}

/// What is mounted by a step that brings its own mount, and as what.
fn place_of(step: &Step) -> Option<(&Path, tree::Kind)> {
    if let Step::Mount { target, .. } | Step::AttachCgroups { target, .. } = step {
        Some((target, tree::Kind::Directory))
    } else if let Step::AttachDevice { target, .. } = step {
        Some((target, tree::Kind::File))
    } else if let Step::OpenTerminal { .. } = step {
        Some((Path::new("/dev/console"), tree::Kind::File))
    } else {
        None
    }
}

fn list(hooks: Option<&[Hook]>) -> &[Hook] {
    hooks.unwrap_or_default()
}

/// A process for a container that runs.
pub struct Entry<'a> {
    /// The process.
    pub process: &'a Process,
    /// The plan made of it.
    pub plan: &'a BundlePlan,
    /// The container's filter.
    pub filter: Option<&'a Filter>,
    /// The container's groups.
    pub cgroup: &'a BundleCgroup,
    /// The container's first process.
    pub target: &'a OwnedFd,
    /// Namespaces it does not share with the caller.
    pub kinds: Vec<Kind>,
    /// See `Request`.
    pub console: Option<OwnedFd>,
    /// See `Request`.
    pub preserved: Given,
    /// See `Request`.
    pub agent: Option<Agent<'a>>,
}

/// Makes a further process in a running container, up to the point where it waits to be settled.
///
/// # Errors
/// See `BundleError`.
pub fn enter(entry: Entry<'_>, single: SingleThreaded) -> Result<Born, BundleError> {
    let (ours, theirs) = Channel::pair().map_err(BundleError::host("open a channel"))?;
    let (outside, inside): (Vec<_>, Vec<_>) =
        entry.kinds.iter().partition(|kind| matches!(kind, Kind::Pid | Kind::Time));
    let at_first = &entry.plan.turns.processors.at_first;
    if !at_first.is_empty() {
        let attempt = format!("run on the processors {at_first:?}");
        scheduling::set_processors(0, at_first).map_err(BundleError::host(attempt))?;
    }
    namespace::enter_all(entry.target, &outside)
        .map_err(BundleError::host("enter the container's namespaces"))?;
    let child = Child {
        plan: entry.plan,
        single,
        process: entry.process,
        filter: entry.filter,
        container_hooks: &[],
        start_hooks: &[],
        state: &|_, _| String::new(),
        host_pid: 0,
        channel: theirs,
        listener: None,
        prepared: Vec::new(),
        groups: Vec::new(),
        users: None,
        mounts: Joined::Process(
            entry.target.try_clone().map_err(BundleError::host("copy a descriptor"))?,
            inside,
        ),
        console: entry.console,
        preserved: entry.preserved,
        covers: None,
        root: None,
        program: None,
        caller: None,
        heard: None,
    };
    let group = entry.cgroup.unified_group()?;
    let group = group.as_ref().map(AsFd::as_fd);
    let (pid, pidfd) = born(child, &ours, group, single, Namespaces::NONE)?;
    let mut born = Born { pid, pidfd, terminal: None, channel: ours };
    match born.bring_up(entry.plan, Some(entry.cgroup), entry.agent, |_| Ok(())) {
        Ok(()) => Ok(born),
        Err(error) => {
            born.kill();
            Err(error)
        }
    }
}

/// Namespaces that only the child can join.
#[derive(Default)]
struct JoinedFiles {
    users: Option<OwnedFd>,
    mounts: Option<OwnedFd>,
}

/// Joins what can be joined before the clone, while the starter still has every right.
fn join(plan: &BundlePlan) -> Result<JoinedFiles, BundleError> {
    let mut files = JoinedFiles::default();
    let mut opened = Vec::new();
    for (kind, path) in &plan.namespaces.joined {
        let attempt = || BundleError::host(format!("join the {} namespace {}", kind.file(), path.display()));
        let file: OwnedFd = File::open(path).map_err(attempt())?.into();
        if !namespace::is_of_kind(&file, *kind).map_err(attempt())? {
            let error = std::io::Error::other("it is a namespace of another kind");
            return Err(attempt()(error));
        }
        opened.push((*kind, file, path));
    }
    for (kind, file, path) in opened {
        match kind {
            Kind::User => files.users = Some(file),
            Kind::Mount => files.mounts = Some(file),
            Kind::Pid | Kind::Network | Kind::Ipc | Kind::Uts | Kind::Cgroup | Kind::Time => {
                let attempt = format!("join the {} namespace {}", kind.file(), path.display());
                namespace::enter(&file, kind).map_err(BundleError::host(attempt))?;
            }
        }
    }
    if plan.namespaces.makes(Kind::Time) {
        namespace::unshare_time().map_err(BundleError::host("make a time namespace"))?;
        for line in &plan.clock_offsets {
            let attempt = BundleError::host(format!("set the clock offset {:?}", line.trim()));
            std::fs::write("/proc/self/timens_offsets", line).map_err(attempt)?;
        }
    }
    Ok(files)
}

/// Namespaces made with the process: all but those of control groups, entered when the groups are, and of time.
fn new_namespaces(plan: &BundlePlan) -> Namespaces {
    plan.namespaces.new.iter().fold(Namespaces::NONE, |all, kind| {
        all.and(match kind {
            Kind::User => Namespaces::USER,
            Kind::Mount => Namespaces::MOUNT,
            Kind::Pid => Namespaces::PID,
            Kind::Network => Namespaces::NET,
            Kind::Ipc => Namespaces::IPC,
            Kind::Uts => Namespaces::UTS,
            Kind::Cgroup | Kind::Time => Namespaces::NONE,
        })
    })
}

fn born(
    child: Child<'_>,
    ours: &Channel,
    group: Option<BorrowedFd<'_>>,
    single: SingleThreaded,
    namespaces: Namespaces,
) -> Result<(u32, OwnedFd), BundleError> {
    // Whoever shares a process namespace with the child must not be able to look into it before its exec: it begins as this process is.
    credentials::hide_from_debuggers().map_err(BundleError::host("hide from debuggers"))?;
    let attempt = match group {
        Some(_) => "clone the container's process into its control group",
        None => "clone the container's process",
    };
    if child.users.is_none() {
        return match single.clone(namespaces, group).map_err(BundleError::host(attempt))? {
            Cloned::Child => child::main(child),
            Cloned::Parent { pid, pidfd } => Ok((pid, pidfd)),
        };
    }
    // New namespaces must belong to the users that are joined: one process enters, and clones the other as its sibling.
    match single.clone(Namespaces::NONE, group).map_err(BundleError::host(attempt))? {
        Cloned::Child => between(child, single, namespaces),
        Cloned::Parent { pid, .. } => {
            let said = hear::<Result<(), String>>(ours, KILL_TIMEOUT)
                .map_err(BundleError::host("hear of the clone"))?;
            // It ends with its word.
            let _ = process::wait_one(pid);
            let host =
                |reason| BundleError::Host { attempt: "clone the container's process".to_owned(), reason };
            let mut given = match said {
                Some((Ok(()), given)) => given,
                Some((Err(reason), _)) => return Err(host(reason)),
                None => return Err(host("the process between ended".to_owned())),
            };
            let pidfd = given.pop().ok_or_else(|| host("there is no descriptor for it".to_owned()))?;
            let pid = process::id_of(&pidfd).map_err(BundleError::host("look up the container's process"))?;
            Ok((pid, pidfd))
        }
    }
}

fn between(mut child: Child<'_>, single: SingleThreaded, namespaces: Namespaces) -> ! {
    let cloned = match child.users.take() {
        Some(users) => namespace::enter(&users, Kind::User).and_then(|()| single.clone_sibling(namespaces)),
        None => Err(std::io::ErrorKind::InvalidInput.into()),
    };
    let (said, given): (Result<(), String>, _) = match cloned {
        Ok(None) => child::main(child),
        Ok(Some(pidfd)) => (Ok(()), Some(pidfd)),
        Err(error) => (Err(super::protocol::spelled(&error)), None),
    };
    let given: Vec<_> = given.iter().map(AsFd::as_fd).collect();
    // If even this fails, the starter sees the channel close.
    let _ = say(&child.channel, &said, &given);
    process::exit_now(0)
}

impl Born {
    /// Maps ids, enters the groups, runs hooks and sets limits, until the process is ready.
    fn bring_up(
        &mut self,
        plan: &BundlePlan,
        cgroup: Option<&BundleCgroup>,
        agent: Option<Agent<'_>>,
        run_hooks: impl Fn(&Born) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        if let Some(ids) = &plan.ids {
            map_ids(self.pid, ids).map_err(BundleError::host("map the container's ids"))?;
            self.say(HostSays::Mapped)?;
        }
        if let Some(cgroup) = cgroup {
            let attached = cgroup.attach(self.pid);
            // What ails the process is the cause of what then fails here.
            attached.map_err(|error| self.told().unwrap_or_else(|| error.into()))?;
        }
        self.say(HostSays::Attached)?;
        let deadline = Instant::now() + CHILD_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match hear(&self.channel, left).map_err(BundleError::host("hear of the container's process"))? {
                Some((ChildSays::Mounted, _)) => {
                    run_hooks(self)?;
                    self.say(HostSays::Hooked)?;
                }
                Some((ChildSays::Terminal, mut given)) => self.terminal = given.pop(),
                Some((ChildSays::Noticed, given)) => {
                    let agent = agent
                        .ok_or(crate::runtime::plan::PlanError::Missing("linux.seccomp.listenerPath"))?;
                    agent.engage(self.pid, given)?;
                }
                Some((ChildSays::Ready, _)) => break,
                Some((ChildSays::Failed(complaint), _)) => return Err(complaint.into()),
                Some((ChildSays::Executing, _)) | None => return Err(ended_early()),
            }
        }
        plan.rlimits.iter().try_for_each(|rlimit| limit(self.pid, rlimit))?;
        if let Some(score) = plan.oom_score_adj {
            let path = PathBuf::from(format!("/proc/{}/oom_score_adj", self.pid));
            let attempt = format!("set the OOM score to {score}");
            write_score(&path, score).map_err(BundleError::host(attempt))?;
        }
        take_turns(self.pid, &plan.turns)
    }

    /// The process goes on: to its exec, or to wait for its start.
    ///
    /// # Errors
    /// It has ended.
    pub fn settle(&self) -> Result<(), BundleError> {
        self.say(HostSays::Settled)
    }

    /// After `settle`, where nobody else asks for the start: waits until the program runs.
    ///
    /// # Errors
    /// Why it does not.
    pub fn await_exec(&self) -> Result<(), BundleError> {
        await_exec(&self.channel)
    }

    fn say(&self, what: HostSays) -> Result<(), BundleError> {
        match say(&self.channel, &what, &[]) {
            // It has failed, and said so, or will have ended.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                Err(self.told().unwrap_or_else(ended_early))
            }
            other => other.map_err(BundleError::host("talk to the container's process")),
        }
    }

    /// The process's complaint, if it has left one.
    fn told(&self) -> Option<BundleError> {
        while let Ok(Some((said, _))) = hear(&self.channel, Duration::ZERO) {
            if let ChildSays::Failed(complaint) = said {
                return Some(complaint.into());
            }
        }
        None
    }

    /// Ends the process and waits for its end.
    pub fn kill(&self) {
        // Already dead is as good.
        let _ = process::signal_descriptor(&self.pidfd, 9);
        let _ = process::wait_readable(&[self.pidfd.as_fd()], Some(KILL_TIMEOUT));
        let _ = process::reap_one(self.pid);
    }
}

/// Asks a waiting container to start, over the socket it listens at, and waits until its program runs.
///
/// # Errors
/// Why it does not.
pub fn start(socket: &Path) -> Result<(), BundleError> {
    let attempt = || BundleError::host("reach the waiting container");
    let (_open, short) = handover::shortened(socket).map_err(attempt())?;
    await_exec(&Channel::connect(&short).map_err(attempt())?)
}

fn await_exec(channel: &Channel) -> Result<(), BundleError> {
    let mut is_executing = false;
    loop {
        match hear(channel, CHILD_TIMEOUT).map_err(BundleError::host("hear of the container's process"))? {
            Some((ChildSays::Executing, _)) => is_executing = true,
            Some((ChildSays::Failed(complaint), _)) => return Err(complaint.into()),
            Some((ChildSays::Mounted | ChildSays::Terminal | ChildSays::Noticed | ChildSays::Ready, _)) => {}
            None if is_executing => return Ok(()),
            None => return Err(ended_early()),
        }
    }
}

fn ended_early() -> BundleError {
    let reason = "it ended before that: see the host's log for a reason such as a lack of memory".to_owned();
    BundleError::Host { attempt: "bring the container's process to its program".to_owned(), reason }
}

fn limit(pid: u32, rlimit: &Rlimit) -> Result<(), BundleError> {
    rights::limit(pid, rlimit.what, rlimit.soft, rlimit.hard).map_err(|error| {
        let ceiling = rights::hard_limit(rlimit.what).unwrap_or(u64::MAX);
        let what = rlimit.what.word();
        if error.kind() == std::io::ErrorKind::PermissionDenied && rlimit.hard > ceiling {
            BundleError::Limit { what, wanted: rlimit.hard, ceiling }
        } else {
            BundleError::host(format!("set the limit '{what}' to {}", rlimit.hard))(error)
        }
    })
}

fn take_turns(pid: u32, turns: &Turns) -> Result<(), BundleError> {
    let Turns { scheduling, io, processors } = turns;
    if !processors.finally.is_empty() {
        let attempt = format!("run on the processors {:?}", processors.finally);
        scheduling::set_processors(pid, &processors.finally).map_err(BundleError::host(attempt))?;
    }
    if let Some(wanted) = scheduling {
        scheduling::set_scheduling(pid, wanted).map_err(BundleError::host("set the scheduler"))?;
    }
    if let Some(wanted) = io {
        scheduling::set_io_priority(pid, *wanted).map_err(BundleError::host("set the I/O priority"))?;
    }
    Ok(())
}

/// Lowering it takes a right that the starter may lack; that the score is already so low is as good.
fn write_score(path: &Path, score: i32) -> std::io::Result<()> {
    match std::fs::write(path, score.to_string()) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let now = std::fs::read_to_string(path)?.trim().parse();
            if now.is_ok_and(|now: i32| now <= score) { Ok(()) } else { Err(error) }
        }
        written => written,
    }
}
