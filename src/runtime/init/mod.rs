//! Process 1 of a container: a fork of the spawner, never another program, so nothing inside the root has a part in it. It builds
//! the container around itself, starts the application, gives up all rights, and stays to relay, to reap and to report.

mod application;
mod refusals;
mod relay;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use crate::runtime::plan::{InitStep, KernelFs, Plan, Slot};
use crate::runtime::seccomp;
use crate::runtime::spawner::protocol::{self, ChildSays, HostSays, Side, StepFailed};
use crate::runtime::spawner::{ChildStreams, MASK_DIRECTORY, MASK_FILE, Recorder};
use crate::sys::message::Channel;
use crate::sys::mount::{self, Attributes};
use crate::sys::process::{self, ChildSignals, SingleThreaded};
use crate::sys::{credentials, launch, loopback, terminal};

pub(in crate::runtime) use application::{Ends, Program, main as become_program};

use refusals::Refusals;

/// The spawner must have done its part of the start by then; its slowest is a burst of control group writes.
const HOST_TIMEOUT: Duration = Duration::from_secs(10);
/// Directory of the host's root over which the masks are attached until the pivot, seen by init alone.
const MASKS_PLACE: &str = "/sys";
/// Number of the descriptor by which init holds the generated files' file system: beyond all that it has meanwhile.
pub(in crate::runtime) const FILES_FD: u32 = 500;
/// Exit code of a process that could not say what went wrong.
const CODE_FAILED: u8 = 125;

/// What init holds while it works through its steps.
struct Init<'a> {
    plan: &'a Plan,
    single: SingleThreaded,
    channel: Channel,
    streams: ChildStreams,
    mounts: Vec<Option<OwnedFd>>,
    masks: Option<OwnedFd>,
    root: Option<OwnedFd>,
    devpts: Option<OwnedFd>,
    /// The generated files' file system, held for the host.
    files: Option<OwnedFd>,
    /// Made and not attached yet, in the plan's order.
    made: VecDeque<(KernelFs, OwnedFd)>,
    signals: Option<ChildSignals>,
    application: Option<u32>,
    refusals: Option<Refusals>,
    trace: Recorder,
}

/// Runs as the new process, never to return.
pub(crate) fn main(
    plan: &Plan,
    single: SingleThreaded,
    channel: Channel,
    streams: ChildStreams,
    trace: Recorder,
) -> ! {
    // A panic must not unwind into the copy of the spawner's stack that lies below.
    let run = std::panic::AssertUnwindSafe(|| run(plan, single, channel, streams, trace));
    let code = std::panic::catch_unwind(run).unwrap_or(CODE_FAILED);
    process::exit_now(code)
}

fn run(plan: &Plan, single: SingleThreaded, channel: Channel, streams: ChildStreams, trace: Recorder) -> u8 {
    let mut init = Init {
        plan,
        single,
        channel,
        streams,
        mounts: Vec::new(),
        masks: None,
        root: None,
        devpts: None,
        files: None,
        made: VecDeque::new(),
        signals: None,
        application: None,
        refusals: None,
        trace,
    };
    let began = init.trace.begin();
    if let Err(error) = init.keep_own() {
        return init.failed(StepFailed::new(Side::Init, 0, "close what is the spawner's", &error));
    }
    init.trace.end(began, Side::Init, "close what is the spawner's");
    for (index, step) in plan.init.iter().enumerate() {
        let began = init.trace.begin();
        let done = init.step(step);
        init.trace.end(began, Side::Init, step);
        if let Err(error) = done {
            return init.failed(StepFailed::new(Side::Init, index, step, &error));
        }
    }
    let Init { channel, streams, signals, application, refusals, files: _held, .. } = init;
    // The channel is the application's now, until its exec.
    drop(channel);
    match (signals, application) {
        (Some(signals), Some(application)) => relay::until_the_end(application, &signals, streams, refusals),
        _ => CODE_FAILED,
    }
}

impl Init<'_> {
    /// The clone copied every descriptor of the spawner's: other containers', clients'.
    fn keep_own(&mut self) -> io::Result<()> {
        let mut keep: Vec<BorrowedFd<'_>> = vec![self.channel.as_fd()];
        keep.extend(self.streams.exit.as_ref().map(AsFd::as_fd));
        keep.extend(self.streams.refused.as_ref().map(AsFd::as_fd));
        keep.extend(self.streams.standard.iter().map(AsFd::as_fd));
        keep.extend(self.streams.group.as_ref().map(AsFd::as_fd));
        if let Some((ring, pipe)) = &self.streams.relay {
            keep.extend([ring.as_fd(), pipe.as_fd()]);
        }
        process::close_all_but(&keep)
    }

    fn failed(&self, failed: StepFailed) -> u8 {
        // If even this fails, the spawner sees the channel close.
        let _ = protocol::say(&self.channel, &ChildSays::Failed(failed), &[]);
        CODE_FAILED
    }

    fn step(&mut self, step: &InitStep) -> io::Result<()> {
        match step {
            InitStep::AwaitIds => self.hear(HostSays::Mapped).map(|_| ()),
            InitStep::BecomeRoot => credentials::become_user(0, 0),
            InitStep::NewSession => {
                process::new_session()?;
                credentials::new_session_keyring()
            }
            InitStep::Make { kind, options } => self.make(*kind, options),
            InitStep::ReceiveMounts => self.receive_mounts(),
            InitStep::HoldFiles(slot) => {
                self.files = Some(process::hold_at(&self.take(*slot)?, FILES_FD)?);
                Ok(())
            }
            InitStep::AttachMasks(slot) => {
                let masks = self.take(*slot)?;
                // Somewhere in the old root, with which they go. Not over its top: there they would lie between the two roots.
                mount::attach_at(&masks, Path::new(MASKS_PLACE))?;
                self.masks = Some(masks);
                Ok(())
            }
            InitStep::AttachRoot(slot) => {
                let root = self.take(*slot)?;
                mount::attach_at(&root, Path::new("/"))?;
                self.root = Some(root);
                Ok(())
            }
            InitStep::Attach { slot, target } => {
                let mount = self.take(*slot)?;
                mount::attach(&mount, &mount::resolve(self.root()?, target)?)
            }
            InitStep::AttachMade { kind, target } => self.attach_made(*kind, target),
            InitStep::Mask(path) => self.mask(path),
            InitStep::MakeReadOnly(path) => self.make_read_only(path),
            InitStep::SetHostName(name) => credentials::set_host_name(name),
            InitStep::LoopbackUp => loopback::up(),
            InitStep::OpenTerminal { rows, cols, owner } => self.open_terminal((*rows, *cols), owner.0),
            InitStep::PivotRoot => mount::pivot(self.root()?),
            InitStep::AwaitRelease => self.hear(HostSays::Release).map(|_| ()),
            InitStep::StartProcess => self.start_process(),
            InitStep::DropRights => drop_rights(),
        }
    }

    fn hear(&self, expected: HostSays) -> io::Result<Vec<OwnedFd>> {
        match protocol::hear::<HostSays>(&self.channel, HOST_TIMEOUT)? {
            Some((said, descriptors)) if said == expected => Ok(descriptors),
            Some(_) | None => Err(io::Error::other("the spawner gave up")),
        }
    }

    fn receive_mounts(&mut self) -> io::Result<()> {
        let mounts = self.hear(HostSays::Mounts)?;
        self.mounts = mounts.into_iter().map(Some).collect();
        Ok(())
    }

    fn take(&mut self, Slot(place): Slot) -> io::Result<OwnedFd> {
        let mount = self.mounts.get_mut(place).and_then(Option::take);
        mount.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the mount was not prepared"))
    }

    fn root(&self) -> io::Result<&OwnedFd> {
        self.root.as_ref().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there is no root yet"))
    }

    fn make(&mut self, kind: KernelFs, options: &[(String, String)]) -> io::Result<()> {
        let options: Vec<_> = options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let safe = Attributes::NO_SETUID.and(Attributes::NO_EXEC);
        let attributes = match kind {
            KernelFs::Proc | KernelFs::Mqueue => safe.and(Attributes::NO_DEVICES),
            // Terminals are devices.
            KernelFs::Devpts => safe,
        };
        self.made.push_back((kind, mount::filesystem(kind.name(), &options, attributes)?));
        Ok(())
    }

    fn attach_made(&mut self, kind: KernelFs, target: &Path) -> io::Result<()> {
        let first = self.made.iter().position(|(made, _)| *made == kind);
        let Some((_, made)) = first.and_then(|at| self.made.remove(at)) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file system was not made"));
        };
        mount::attach(&made, &mount::resolve(self.root()?, target)?)?;
        if kind == KernelFs::Devpts {
            self.devpts = Some(made);
        }
        Ok(())
    }

    /// What this kernel does not have needs no cover.
    fn find(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        match mount::resolve(self.root()?, path) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn mask(&self, path: &Path) -> io::Result<()> {
        let Some(target) = self.find(path)? else { return Ok(()) };
        let masks = self.masks.as_ref().ok_or_else(|| io::Error::other("there are no masks"))?;
        let mask = if mount::is_directory(&target)? { MASK_DIRECTORY } else { MASK_FILE };
        mount::attach(&mount::copy_at(masks, mask)?, &target)
    }

    fn make_read_only(&self, path: &Path) -> io::Result<()> {
        let Some(target) = self.find(path)? else { return Ok(()) };
        let copy = mount::copy_at(&target, "")?;
        mount::set_attributes(&copy, Attributes::READ_ONLY, None)?;
        mount::attach(&copy, &target)
    }

    fn open_terminal(&mut self, size: (u16, u16), uid: u32) -> io::Result<()> {
        let devpts = self.devpts.as_ref().ok_or_else(|| io::Error::other("there are no terminals"))?;
        let (master, slave) = terminal::open(devpts, size, uid)?;
        protocol::say(&self.channel, &ChildSays::Terminal, &[master.as_fd()])?;
        self.streams.standard = vec![slave.try_clone()?, slave.try_clone()?, slave];
        Ok(())
    }

    fn start_process(&mut self) -> io::Result<()> {
        // Before the clone, lest the application's end be missed.
        self.signals = Some(process::child_descriptor()?);
        let group = self.streams.group.take();
        let (plan, standard) = (self.plan, self.streams.standard.as_slice());
        let trace = self.trace.clone();
        let (ours, theirs) = Channel::pair()?;
        let ends = Ends { starter: &self.channel, init: Some(&theirs) };
        let program = Program { steps: &plan.process, stdio: plan.stdio, argv: &plan.argv, env: &plan.env };
        // In init's own memory until it runs the application: a fork would copy init first, to no end.
        let pid = launch::until_exec(self.single, group.as_ref().map(AsFd::as_fd), || {
            become_program(program, ends, standard, trace)
        })?;
        drop(theirs);
        self.refusals = Refusals::of(&ours, self.streams.refused.take());
        self.application = Some(pid);
        // The ends of the application's streams are its own, so that init sees when the last one is closed.
        self.streams.standard.clear();
        (self.root, self.masks, self.devpts) = (None, None, None);
        self.mounts.clear();
        Ok(())
    }
}

/// Init needs no right at all for what is left to do.
fn drop_rights() -> io::Result<()> {
    credentials::empty_bounding_set()?;
    credentials::lock_secure_bits()?;
    credentials::clear_capabilities()?;
    install_filter()
}

fn install_filter() -> io::Result<()> {
    crate::sys::seccomp::set_no_new_privs()?;
    let programs = seccomp::hardened().map_err(io::Error::other)?;
    for program in &programs.0 {
        crate::sys::seccomp::install(program)?;
    }
    Ok(())
}
