//! The container's process, from its clone to its exec: a fork of the starter that does the plan's steps and then becomes the user's program.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::{Hook, Process};

use super::hooks;
use super::plan::{BundlePlan, Options, Slot, Step};
use super::prepare::{Users, prepare};
use super::program;
use super::protocol::{ChildSays, Complaint, HostSays};
use super::seccomp::Filter;
use crate::runtime::spawner::protocol::{hear, say};
use crate::sys::message::{Channel, Listener};
use crate::sys::mount::{self, Attributes};
use crate::sys::namespace::{self, Kind};
use crate::sys::process::{Given, SingleThreaded};
use crate::sys::tree::{self, Change, Extent, attribute};
use crate::sys::{credentials, handover, loopback, memory, process, rights, seccomp, terminal};

/// Names in the mount of covers.
pub(super) const COVER_FILE: &str = "file";
/// See `COVER_FILE`.
pub(super) const COVER_DIRECTORY: &str = "directory";
/// Directory of the host's root over which the covers are attached until the host is out of reach, seen by this process alone.
const COVERS_PLACE: &str = "/sys";
/// Exit code of a process that could not become the program.
const CODE_FAILED: u8 = 125;
/// The starter must have done its part by then, its hooks excepted.
const HOST_TIMEOUT: Duration = Duration::from_secs(30);
/// No hook may take longer in all; what a configuration allows a single one is its own affair.
const HOOKS_TIMEOUT: Duration = Duration::from_secs(3600);

/// What the process works with. It is a copy of the starter's, so everything the starter had prepared is at hand.
pub(super) struct Child<'a> {
    pub(super) plan: &'a BundlePlan,
    pub(super) single: SingleThreaded,
    pub(super) process: &'a Process,
    pub(super) filter: Option<&'a Filter>,
    pub(super) container_hooks: &'a [Hook],
    pub(super) start_hooks: &'a [Hook],
    /// State for the hooks, by status and process id.
    pub(super) state: &'a dyn Fn(&str, u32) -> String,
    /// The process's id as the host numbers it; 0 until it is looked up.
    pub(super) host_pid: u32,
    pub(super) channel: Channel,
    /// Where somebody will ask for the start; without, the starter does.
    pub(super) listener: Option<Listener>,
    /// In the plan's order; what is missing this process can make itself.
    pub(super) prepared: Vec<Option<OwnedFd>>,
    /// The container's own control groups, by name.
    pub(super) groups: Vec<(String, OwnedFd)>,
    /// The user namespace that is joined, entered by the process that clones this one.
    pub(super) users: Option<OwnedFd>,
    pub(super) mounts: Joined,
    /// Who gets the terminal; without, the starter.
    pub(super) console: Option<OwnedFd>,
    /// Descriptors that the program inherits.
    pub(super) preserved: Given,
    pub(super) covers: Option<OwnedFd>,
    pub(super) root: Option<OwnedFd>,
    pub(super) program: Option<program::Program>,
    /// Who asked for the start.
    pub(super) caller: Option<Channel>,
    /// What the starter has said last.
    pub(super) heard: Option<HostSays>,
}

/// Where the mounts come from if they are not made.
pub(super) enum Joined {
    /// They are made.
    Nothing,
    /// A mount namespace by path.
    Namespace(OwnedFd),
    /// All namespaces of a running process.
    Process(OwnedFd, Vec<Kind>),
}

/// Runs as the new process, never to return.
pub(super) fn main(child: Child<'_>) -> ! {
    // A panic must not unwind into the copy of the starter's stack that lies below.
    let run = std::panic::AssertUnwindSafe(|| run(child));
    let _panicked = std::panic::catch_unwind(run);
    process::exit_now(CODE_FAILED)
}

fn run(mut child: Child<'_>) {
    if let Err(error) = child.keep_own() {
        let failed = ChildSays::Failed(Complaint::new(&"close what is the starter's", &error));
        let _ = say(&child.channel, &failed, &[]);
        return;
    }
    // While the host's /proc is still the one that is seen.
    if !(child.container_hooks.is_empty() && child.start_hooks.is_empty()) {
        let own = std::fs::read_link("/proc/self").ok();
        child.host_pid = own.and_then(|path| path.to_str()?.parse().ok()).unwrap_or(0);
    }
    for step in &child.plan.steps {
        if let Err(error) = child.step(step) {
            let failed = ChildSays::Failed(Complaint::new(step, &error));
            // If even this fails, the other end sees the channel close.
            let _ = say(child.caller.as_ref().unwrap_or(&child.channel), &failed, &[]);
            return;
        }
    }
}

impl Child<'_> {
    /// The clone copied every descriptor of the starter's, the lock on the container's name among them: while one copy of it is open,
    /// nobody else gets the lock. Only numbers that the starter's own caller has filled are the program's.
    fn keep_own(&self) -> io::Result<()> {
        let joined = match &self.mounts {
            Joined::Nothing => None,
            Joined::Namespace(file) | Joined::Process(file, _) => Some(file),
        };
        let one = [self.console.as_ref(), joined];
        let many = self.prepared.iter().flatten().chain(self.groups.iter().map(|(_, group)| group));
        let mut keep: Vec<BorrowedFd<'_>> = one.into_iter().flatten().chain(many).map(AsFd::as_fd).collect();
        keep.push(self.channel.as_fd());
        keep.extend(self.listener.as_ref().map(AsFd::as_fd));
        process::close_all_but_given(&keep, &self.preserved)
    }

    #[expect(clippy::too_many_lines, reason = "a line or two for each step of a closed list")]
    fn step(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::JoinMounts => self.join_mounts(),
            Step::AwaitIds => self.expect(HostSays::Mapped, HOST_TIMEOUT),
            Step::BecomeRoot => credentials::become_user(0, 0),
            Step::NewSession => process::new_session(),
            Step::NewKeyring => credentials::new_session_keyring(),
            Step::Propagate(propagation) => tree::propagate_all(*propagation),
            Step::AttachCovers(slot) => {
                let covers = self.take(*slot)?;
                mount::attach_at(&covers, Path::new(COVERS_PLACE))?;
                self.covers = Some(covers);
                Ok(())
            }
            Step::AttachRoot(slot) => {
                let root = self.take(*slot)?;
                mount::attach_at(&root, Path::new("/"))?;
                self.root = Some(root);
                Ok(())
            }
            Step::Attach { slot, target } => {
                let prepared = self.take(*slot)?;
                let place = tree::place(self.root()?, target, tree::kind(&prepared)?)?;
                tree::attach(&prepared, &place)
            }
            Step::Mount { kind, source, target, options } => self.mount(kind, source, target, options),
            Step::AttachCgroups { target, options } => self.attach_cgroups(target, options),
            Step::AttachDevice { index, target } => self.attach_device(*index, target),
            Step::LinkDevices => self.link_devices(),
            Step::Seal { target, change, extent } => {
                tree::change(&mount::resolve(self.root()?, target)?, *extent, *change, None, None)
            }
            Step::LoopbackUp => loopback::up(),
            Step::AwaitRuntimeHooks => {
                say(&self.channel, &ChildSays::Mounted, &[])?;
                self.expect(HostSays::Hooked, HOOKS_TIMEOUT)
            }
            Step::ContainerHooks => hooks::run_all(
                "createContainer",
                self.container_hooks,
                &(self.state)("creating", self.host_pid),
            ),
            Step::OpenTerminal { size, owner } => self.open_terminal(*size, *owner),
            Step::Sysctl { name, value } => {
                let path = Path::new("/proc/sys").join(name.replace('.', "/"));
                tree::write_proc(self.root()?, &path, value)
            }
            Step::SealCovers => self.seal_covers(),
            Step::Mask(path) => self.mask(path),
            Step::MakeReadOnly(path) => self.make_read_only(path),
            Step::SealRoot => {
                let change = Change { set: attribute::READ_ONLY, clear: 0 };
                tree::change(self.root()?, Extent::Top, change, None, None)
            }
            Step::PivotRoot => mount::pivot(self.root()?),
            Step::ChangeRoot => tree::change_root(self.root()?),
            Step::PropagateRoot(propagation, extent) => {
                tree::change(self.root()?, *extent, Change::default(), Some(*propagation), None)
            }
            Step::SetHostName(name) => credentials::set_host_name(name),
            Step::SetDomainName(name) => rights::set_domain_name(name),
            Step::EnterCgroupNamespace => {
                self.expect(HostSays::Attached, HOST_TIMEOUT)?;
                credentials::enter_control_group_namespace()
            }
            Step::SetPersonality(domain) => rights::set_personality(*domain),
            Step::SetMemoryPolicy { mode, nodes } => {
                self.expect(HostSays::Attached, HOST_TIMEOUT)?;
                memory::set_policy(*mode, nodes)
            }
            Step::FindProgram(directory) => {
                self.program = Some(program::find(self.process, directory)?);
                Ok(())
            }
            Step::EngageAgent => self.engage_agent(),
            Step::AwaitStart => self.await_start(),
            Step::StartHooks => hooks::run_all_beside(
                // They run where the program will, and find there what it finds.
                self.process.env().as_deref().unwrap_or_default(),
                "startContainer",
                self.start_hooks,
                &(self.state)("created", self.host_pid),
            ),
            Step::Announce => self.announce(),
            Step::Umask(mask) => {
                credentials::set_umask(*mask);
                Ok(())
            }
            Step::InstallSeccomp => match self.filter {
                Some(filter) => seccomp::install_with(&filter.program, filter.flags),
                None => Ok(()),
            },
            Step::Bound(keep) => rights::bound(*keep),
            Step::BecomeUser { uid, gid, groups } => {
                rights::keep_over_user_change()?;
                rights::become_user(*uid, *gid, groups)
            }
            Step::SetCapabilities(wanted) => set_capabilities(wanted),
            Step::NoNewPrivileges => seccomp::set_no_new_privs(),
            Step::Exec => match &self.program {
                Some(program) => Err(program.execute()),
                None => Err(missing("program")),
            },
        }
    }

    /// Waits until the starter has said this, or what it says after it.
    fn expect(&mut self, wanted: HostSays, timeout: Duration) -> io::Result<()> {
        while self.heard < Some(wanted) {
            match hear::<HostSays>(&self.channel, timeout)? {
                Some((said, _)) => self.heard = self.heard.max(Some(said)),
                None => return Err(io::Error::other("the starter gave up")),
            }
        }
        Ok(())
    }

    fn take(&mut self, Slot(place): Slot) -> io::Result<OwnedFd> {
        if let Some(prepared) = self.prepared.get_mut(place).and_then(Option::take) {
            return Ok(prepared);
        }
        let what = self.plan.prepare.get(place).ok_or_else(|| missing("prepared mount"))?;
        prepare(what, self.single, Users::TheHosts)
    }

    fn root(&self) -> io::Result<&OwnedFd> {
        self.root.as_ref().ok_or_else(|| missing("root"))
    }

    fn join_mounts(&mut self) -> io::Result<()> {
        match &self.mounts {
            Joined::Nothing => return Err(missing("mount namespace")),
            Joined::Namespace(file) => namespace::enter(file, Kind::Mount)?,
            Joined::Process(pidfd, kinds) => {
                namespace::enter_all(pidfd, kinds)?;
                if kinds.contains(&Kind::User) {
                    credentials::become_user(0, 0)?;
                }
            }
        }
        self.root = Some(std::fs::File::open("/")?.into());
        Ok(())
    }

    fn mount(&mut self, kind: &str, source: &Path, target: &Path, options: &Options) -> io::Result<()> {
        let made = tree::filesystem(kind, source, &options.data, options.own.set | options.recursive.set)?;
        let place = tree::place(self.root()?, target, tree::Kind::Directory)?;
        if options.copy_up {
            tree::copy_files(&readable(&place)?, &made)?;
        }
        if let Some((propagation, extent)) = options.propagation {
            tree::change(&made, extent, Change::default(), Some(propagation), None)?;
        }
        tree::attach(&made, &place)
    }

    /// One group on unified hosts; a directory with one for each hierarchy on others.
    fn attach_cgroups(&mut self, target: &Path, options: &Options) -> io::Result<()> {
        let groups = std::mem::take(&mut self.groups);
        let place = tree::place(self.root()?, target, tree::Kind::Directory)?;
        if let [(name, group)] = groups.as_slice()
            && name.is_empty()
        {
            tree::change(group, Extent::Top, options.own, None, None)?;
            return tree::attach(group, &place);
        }
        let size = ["mode=755".to_owned(), "size=1m".to_owned()];
        let directory =
            tree::filesystem("tmpfs", Path::new("tmpfs"), &size, options.own.set & !attribute::READ_ONLY)?;
        for (name, _) in &groups {
            tree::make_directory(&directory, Path::new(name), (0, 0))?;
        }
        tree::attach(&directory, &place)?;
        for (name, group) in &groups {
            tree::change(group, Extent::Top, options.own, None, None)?;
            tree::attach(group, &mount::resolve(&directory, Path::new(name))?)?;
        }
        tree::change(&directory, Extent::Top, options.own, None, None)
    }

    fn covers(&self) -> io::Result<&OwnedFd> {
        self.covers.as_ref().ok_or_else(|| missing("cover"))
    }

    fn attach_device(&self, index: usize, target: &Path) -> io::Result<()> {
        let device = mount::copy_at(self.covers()?, &index.to_string())?;
        tree::attach(&device, &tree::place(self.root()?, target, tree::Kind::File)?)
    }

    fn link_devices(&self) -> io::Result<()> {
        let devices = tree::place(self.root()?, Path::new("/dev"), tree::Kind::Directory)?;
        crate::runtime::devices::LINKS
            .iter()
            .try_for_each(|(name, to)| tree::make_link(&devices, Path::new(name), to))
    }

    /// What this kernel does not have needs no cover.
    fn find(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        match mount::resolve(self.root()?, path) {
            Ok(found) => Ok(Some(found)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn mask(&self, path: &Path) -> io::Result<()> {
        let Some(target) = self.find(path)? else { return Ok(()) };
        let name = if mount::is_directory(&target)? { COVER_DIRECTORY } else { COVER_FILE };
        tree::attach(&mount::copy_at(self.covers()?, name)?, &target)
    }

    /// Each copy has what the original has.
    fn seal_covers(&self) -> io::Result<()> {
        let sealed = Attributes::READ_ONLY.and(Attributes::NO_SETUID);
        mount::set_attributes(
            self.covers()?,
            sealed.and(Attributes::NO_DEVICES).and(Attributes::NO_EXEC),
            None,
        )
    }

    fn make_read_only(&self, path: &Path) -> io::Result<()> {
        let Some(target) = self.find(path)? else { return Ok(()) };
        let copy = mount::copy_at(&target, "")?;
        mount::set_attributes(&copy, Attributes::READ_ONLY, None)?;
        tree::attach(&copy, &target)
    }

    fn open_terminal(&mut self, size: Option<(u16, u16)>, owner: u32) -> io::Result<()> {
        let terminals = tree::open_terminals(self.root()?, Path::new("/dev/pts"))?;
        let (master, slave) = terminal::open(&terminals, size.unwrap_or((0, 0)), owner)?;
        match &self.console {
            Some(socket) => handover::send_terminal(socket, &master)?,
            None => say(&self.channel, &ChildSays::Terminal, &[master.as_fd()])?,
        }
        terminal::control(&slave)?;
        terminal::become_standard(slave.as_fd(), slave.as_fd(), slave.as_fd())?;
        if matches!(self.mounts, Joined::Nothing) {
            let console = tree::place(self.root()?, Path::new("/dev/console"), tree::Kind::File)?;
            tree::attach(&mount::copy_at(&slave, "")?, &console)?;
        }
        Ok(())
    }

    fn engage_agent(&self) -> io::Result<()> {
        let notices = self.filter.and_then(|filter| filter.notices.as_ref());
        let notices = notices.ok_or_else(|| missing("filter for an agent"))?;
        let said = serde_json::to_vec(&ChildSays::Noticed)?;
        seccomp::install_and_hand_over(&notices.program, notices.flags, &self.channel, &said)
    }

    fn await_start(&mut self) -> io::Result<()> {
        say(&self.channel, &ChildSays::Ready, &[])?;
        self.expect(HostSays::Settled, HOST_TIMEOUT)?;
        let Some(listener) = self.listener.take() else { return Ok(()) };
        // Until somebody comes: hours may pass.
        while self.caller.is_none() {
            process::wait_readable(&[listener.as_fd()], None)?;
            self.caller = listener.accept()?;
        }
        Ok(())
    }

    fn announce(&self) -> io::Result<()> {
        say(self.caller.as_ref().unwrap_or(&self.channel), &ChildSays::Executing, &[])?;
        process::default_signals()?;
        self.preserved.close_others_on_exec()
    }
}

/// What the starter itself does not have cannot be given; the specification wants the container to run all the same.
fn set_capabilities(wanted: &rights::Capabilities) -> io::Result<()> {
    let held = rights::permitted()?;
    let (permitted, inheritable) = (wanted.permitted & held, wanted.inheritable & held);
    rights::set_capabilities(&rights::Capabilities {
        bounding: wanted.bounding,
        permitted,
        effective: wanted.effective & permitted,
        inheritable,
        ambient: wanted.ambient & permitted & inheritable,
    })
}

fn readable(place: &impl AsFd) -> io::Result<OwnedFd> {
    let path: BorrowedFd<'_> = place.as_fd();
    let path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&path)));
    Ok(std::fs::File::open(path)?.into())
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("the plan is out of order: there is no {what}"))
}
