//! Further commands in a running container. A process between, cloned by the spawner, joins the container's limits and namespaces and
//! clones the command there, so that it is born among the container's processes; the command then takes the very steps that the
//! application took. The process between stays outside of the container's view, as the command's parent: it tells the client of the
//! command's end, and ends the command when the client has gone. With the container both are killed.
//!
//! Unlike the application before its exec, the command is not alone there. Its memory is a copy of the spawner's, who hides from
//! debuggers, so nobody inside may look into it; and of the host it has nothing open but what its client gave it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::runtime::cgroup::ContainerCgroup;
use crate::runtime::entered::Entry;
use crate::runtime::init::{Ends, Program, become_program};
use crate::runtime::plan::{PLAN_FORMAT, ProcessStep};
use crate::runtime::record::{ContainerDir, ProcessRecord};
use crate::runtime::spawner::protocol::{
    self, ChildSays, ClientSays, PLAN_BYTES_MAX, Reply, Side, StepFailed,
};
use crate::runtime::spawner::{Recorder, Spawner, Trace, full_text, status, streams};
use crate::runtime::spec::StdioKind;
use crate::sys::message::{self, Channel};
use crate::sys::namespace::{self, Kind};
use crate::sys::process::{self, Cloned, Namespaces, SingleThreaded};
use crate::sys::{clock, credentials, launch, terminal};

/// All that a container has of its own; the control groups' is entered by the command, once it is in its groups.
const KINDS: [Kind; 6] = [Kind::User, Kind::Mount, Kind::Pid, Kind::Network, Kind::Ipc, Kind::Uts];
/// Where a container's terminals are.
const TERMINALS: &str = "/dev/pts";
/// How long a command may go on that was told that its client has gone.
const HANG_UP_WAIT: Duration = Duration::from_secs(5);
/// The command has said how its start went when its maker comes to hear of it.
const SAID_TIMEOUT: Duration = Duration::from_secs(1);
/// Numbers of the signals that tell a command that its client has gone, and that end it.
const SIGHUP: u8 = 1;
const SIGKILL: u8 = 9;

/// What the process between works with.
struct Between<'a> {
    single: SingleThreaded,
    client: &'a Channel,
    /// The container's init.
    target: &'a OwnedFd,
    cgroup: &'a ContainerCgroup,
    entry: &'a Entry,
    process: &'a ProcessRecord,
}

/// A command that runs.
struct Command {
    pid: u32,
    pidfd: OwnedFd,
}

/// Makes the process between, which answers the client from then on.
pub(super) fn run(spawner: &Spawner, client: &Channel, descriptors: Vec<OwnedFd>) -> Result<(), StepFailed> {
    let entry = at("read what is to be run", || {
        let file = descriptors.into_iter().next().ok_or(io::ErrorKind::InvalidData)?;
        let bytes = message::contents(file, PLAN_BYTES_MAX)?;
        Ok(serde_json::from_slice::<Entry>(&bytes)?)
    })?;
    let dir = ContainerDir::of(&spawner.config.run_dir, &entry.id);
    let process = at("read how the container's application was started", || known_process(&dir))?;
    let target = at("find the container's first process", || init_of(&dir))?;
    let cgroup = at("open the container's control groups", || {
        spawner.cgroups.open(entry.id.as_str()).map_err(|error| io::Error::other(full_text(&error)))
    })?;
    let single = spawner.single;
    // Born beside init, in whose place the kernel lets it clone into the application's group.
    match at("clone the process between", || single.clone(Namespaces::NONE, cgroup.init_fd()))? {
        Cloned::Parent { .. } => Ok(()),
        Cloned::Child => {
            let (target, cgroup, entry, process) = (&target, &cgroup, &entry, &process);
            Between { single, client, target, cgroup, entry, process }.play()
        }
    }
}

/// Gives a failure the name of the attempt.
fn at<T>(attempt: &str, act: impl FnOnce() -> io::Result<T>) -> Result<T, StepFailed> {
    act().map_err(|error| StepFailed::new(Side::Host, 0, attempt, &error))
}

fn known_process(dir: &ContainerDir) -> io::Result<ProcessRecord> {
    let earlier = || io::Error::other("an earlier version of this program started it; start it anew");
    match dir.process() {
        Ok(process) if process.format == PLAN_FORMAT => Ok(process),
        Ok(_) => Err(earlier()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(earlier()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.record().is_ok() => Err(earlier()),
        Err(error) => Err(error),
    }
}

fn init_of(dir: &ContainerDir) -> io::Result<OwnedFd> {
    let record = dir.record()?;
    let target = process::open_pid(record.pid)?;
    // The number may be another's by now: the descriptor first, and then the look at whose it is.
    if process::is_running(record.pid, record.start_time) {
        Ok(target)
    } else {
        Err(io::Error::other("it has ended"))
    }
}

impl Between<'_> {
    /// Runs as the new process, never to return: what it was forked with is the spawner's, and must not be dropped.
    fn play(&self) -> ! {
        // A panic must not unwind into the copy of the spawner's stack that lies below.
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| self.start()));
        let code = match done {
            Ok(Ok(command)) => u8::from(self.attend(&command).is_err()),
            Ok(Err(failed)) => {
                // If even this fails, the client sees the channel close.
                let _ = protocol::say(self.client, &Reply::Failed(failed), &[]);
                1
            }
            Err(_) => 1,
        };
        process::exit_now(code)
    }

    fn start(&self) -> Result<Command, StepFailed> {
        at("close what is the spawner's", || self.keep_own())?;
        at("join the container's limits", || {
            self.cgroup.attach(std::process::id()).map_err(|error| io::Error::other(full_text(&error)))
        })?;
        let pipes = at("open the streams", || match self.entry.stdio {
            StdioKind::Pipes => streams::pipes(self.process.owner).map(Some),
            StdioKind::Terminal { .. } => Ok(None),
            StdioKind::Log => Err(io::Error::other("a further command has no place in the log")),
        })?;
        at("enter the container", || {
            namespace::enter_all(self.target, &KINDS)?;
            credentials::become_user(0, 0)?;
            // What the container's processes may see of it once it has changed its user.
            credentials::hide_from_debuggers()?;
            process::new_session()?;
            credentials::new_session_keyring()
        })?;
        let (standard, given) = at("open the terminal", || match (pipes, self.entry.stdio) {
            (Some(pipes), _) => Ok(pipes),
            (None, StdioKind::Terminal { rows, cols }) => self.terminal((rows, cols)),
            (None, StdioKind::Pipes | StdioKind::Log) => Err(io::ErrorKind::InvalidInput.into()),
        })?;
        let command = self.launch(&standard)?;
        let given: Vec<_> = given.iter().map(AsFd::as_fd).collect();
        // A client that has gone is noticed at once.
        let _ = protocol::say(self.client, &Reply::Entered { pid: command.pid }, &given);
        Ok(command)
    }

    /// The clone copied every descriptor of the spawner's: other containers', other clients'.
    fn keep_own(&self) -> io::Result<()> {
        let mut keep: Vec<BorrowedFd<'_>> = vec![self.client.as_fd(), self.target.as_fd()];
        keep.extend(self.cgroup.app_fd());
        process::close_all_but(&keep)
    }

    fn terminal(&self, size: (u16, u16)) -> io::Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
        let user =
            self.process.steps.iter().find_map(|step| {
                if let ProcessStep::BecomeUser { uid, .. } = step { Some(*uid) } else { None }
            });
        let user = user.ok_or_else(|| io::Error::other("the application has no user"))?;
        let (master, slave) = terminal::open(&terminal::instance(Path::new(TERMINALS))?, size, user)?;
        Ok((vec![slave.try_clone()?, slave.try_clone()?, slave], vec![master]))
    }

    fn launch(&self, standard: &[OwnedFd]) -> Result<Command, StepFailed> {
        let (ours, theirs) = at("make a channel", Channel::pair)?;
        let env = self.entry.environment(&self.process.env);
        let program = Program {
            steps: &self.process.steps,
            stdio: self.entry.stdio,
            argv: &self.entry.argv,
            env: &env,
        };
        let ends = Ends { starter: &theirs, init: None };
        let pid = at("clone the command", || {
            launch::until_exec(self.single, self.cgroup.app_fd(), || {
                become_program(program, ends, standard, Recorder::new(Trace::Off))
            })
        })?;
        drop(theirs);
        let started = hear_start(&ours).and_then(|()| at("watch the command", || process::open_pid(pid)));
        started.map(|pidfd| Command { pid, pidfd }).inspect_err(|_| {
            // Most have ended by themselves.
            let _ = process::signal_group(pid, SIGKILL);
            let _ = process::wait_one(pid);
        })
    }

    /// Passes signals on until the command has ended, and says how it did. A client that goes hangs up.
    fn attend(&self, command: &Command) -> io::Result<()> {
        let (mut client, mut deadline) = (Some(self.client), None::<Instant>);
        loop {
            let mut waited = vec![command.pidfd.as_fd()];
            waited.extend(client.map(AsFd::as_fd));
            let left = deadline.map(|deadline| deadline.saturating_duration_since(clock::monotonic()));
            let ready = process::wait_readable(&waited, left)?;
            if ready.first() == Some(&true) {
                return self.tell_end(command);
            }
            if ready.get(1) == Some(&true) {
                match protocol::hear::<ClientSays>(self.client, Duration::ZERO) {
                    Ok(Some((ClientSays::Signal(number), _))) => signal(command, number),
                    Ok(None) | Err(_) => {
                        signal(command, SIGHUP);
                        client = None;
                        deadline = Some(clock::monotonic() + HANG_UP_WAIT);
                    }
                }
            }
            if deadline.is_some_and(|deadline| clock::monotonic() >= deadline) {
                signal(command, SIGKILL);
                deadline = None;
            }
        }
    }

    /// What the command has left in its group ends with it: nobody would be there to end it.
    fn tell_end(&self, command: &Command) -> io::Result<()> {
        // Before it is collected: until then its number is nobody else's.
        signal(command, SIGKILL);
        let end = process::wait_one(command.pid)?;
        protocol::say(self.client, &Reply::Ended(status(end)), &[])
    }
}

/// How the start of the command went: by now it runs its program, or has ended.
fn hear_start(command: &Channel) -> Result<(), StepFailed> {
    let mut is_executing = false;
    loop {
        match at("hear of the command's start", || protocol::hear::<ChildSays>(command, SAID_TIMEOUT))? {
            Some((ChildSays::Executing(_), _)) => is_executing = true,
            Some((ChildSays::Failed(failed), _)) => return Err(failed),
            Some((ChildSays::Terminal, _)) => {}
            None if is_executing => return Ok(()),
            None => return at("start the command", || Err(io::Error::other("it ended before that"))),
        }
    }
}

fn signal(command: &Command, number: u8) {
    // That none is left to hear it is the end, which is noticed by itself.
    let _ = process::signal_group(command.pid, number);
}
