//! Making processes, waiting for them, and ending oneself.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys::credentials;

/// `CLONE_INTO_CGROUP` (linux/sched.h). The libc crate types it `c_int`, in which bit 33 does not exist: its value there is 0.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// First descriptor behind the standard streams.
const FIRST_OTHER: u32 = 3;

/// Namespaces made with a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespaces(u64);

impl Namespaces {
    /// None.
    pub const NONE: Namespaces = Namespaces(0);
    /// Users and capabilities.
    pub const USER: Namespaces = Namespaces(libc::CLONE_NEWUSER as u64);
    /// Mounts.
    pub const MOUNT: Namespaces = Namespaces(libc::CLONE_NEWNS as u64);
    /// Process ids.
    pub const PID: Namespaces = Namespaces(libc::CLONE_NEWPID as u64);
    /// Network.
    pub const NET: Namespaces = Namespaces(libc::CLONE_NEWNET as u64);
    /// System V IPC and message queues.
    pub const IPC: Namespaces = Namespaces(libc::CLONE_NEWIPC as u64);
    /// Host name.
    pub const UTS: Namespaces = Namespaces(libc::CLONE_NEWUTS as u64);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Namespaces) -> Namespaces {
        Namespaces(self.0 | other.0)
    }
}

/// Proof that the process has one thread, so that a child made by `clone` may run ordinary code.
#[derive(Debug, Clone, Copy)]
pub struct SingleThreaded(());

/// On which side of a `clone` one woke up.
#[derive(Debug)]
pub enum Cloned {
    /// In the parent.
    Parent {
        /// The child's process id.
        pid: u32,
        /// A descriptor for it.
        pidfd: OwnedFd,
    },
    /// In the child.
    Child,
}

/// A child that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// Its process id.
    pub pid: u32,
    /// How.
    pub end: End,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Exit code.
    Code(u8),
    /// Number of the signal that ended it.
    Signal(u8),
}

impl SingleThreaded {
    /// Counts the threads; `None` if there are others. What is started afterwards by ordinary means keeps the proof true only
    /// if it starts no thread: for programs that are single-threaded by design.
    #[must_use]
    pub fn claim() -> Option<SingleThreaded> {
        let threads = std::fs::read_dir("/proc/self/task").ok()?.count();
        (threads == 1).then_some(SingleThreaded(()))
    }

    /// Makes a child with new namespaces, in the given version 2 control group (or the caller's own).
    ///
    /// # Errors
    /// The kernel's errno: `EPERM`, `ENOSPC` at the limit of namespaces, `EAGAIN` at the limit of processes.
    pub fn clone(self, namespaces: Namespaces, group: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
        self.fork(namespaces, group, libc::SIGCHLD)
    }

    /// As `make`, which clones, with new namespaces that count as this host user's making: what their processes take of the kernel's
    /// shares for a user (message queues, queued signals, watches of files, namespaces; namespaces(7), getrlimit(2)) is then taken from
    /// nobody else's. The child begins as that user. The caller is the host's root, and must `keep_rights_as_any_user`.
    ///
    /// # Errors
    /// As `clone`.
    pub fn on_account_of(
        self,
        uid: u32,
        make: impl FnOnce(Self) -> io::Result<Cloned>,
    ) -> io::Result<Cloned> {
        credentials::act_as(uid)?;
        let made = make(self);
        if let Ok(Cloned::Child) = made {
            return made;
        }
        credentials::act_as(0)?;
        made
    }

    /// As `clone`, of a child of the caller's parent, who is told of its end.
    ///
    /// # Errors
    /// As `clone`; `EINVAL` for process 1.
    pub fn clone_beside(self, namespaces: Namespaces, group: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
        let parent = Namespaces(u64::try_from(libc::CLONE_PARENT).unwrap_or(0));
        // The kernel gives it the signal of the caller's own end.
        self.fork(namespaces.and(parent), group, 0)
    }

    fn fork(
        self,
        namespaces: Namespaces,
        group: Option<BorrowedFd<'_>>,
        signal: libc::c_int,
    ) -> io::Result<Cloned> {
        let mut pidfd: libc::c_int = -1;
        let mut request = request(libc::CLONE_PIDFD, group.map(|fd| fd.as_raw_fd()));
        request.flags |= namespaces.0;
        request.pidfd = (&raw mut pidfd).expose_provenance() as u64;
        request.exit_signal = u64::try_from(signal).unwrap_or(0);
        // SAFETY: without CLONE_VM this is a fork: the child gets a copy of the one thread (which `self` proves is the only
        // one, so no lock can be held by another) and of its stack. `request` and `pidfd` live on that stack.
        let result =
            unsafe { libc::syscall(libc::SYS_clone3, &raw const request, size_of::<libc::clone_args>()) };
        match result {
            0 => Ok(Cloned::Child),
            pid if pid > 0 => {
                // SAFETY: the kernel has put a fresh descriptor there, which nobody else owns.
                let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
                Ok(Cloned::Parent { pid: u32::try_from(pid).unwrap_or(0), pidfd })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl SingleThreaded {
    /// Makes a child of the caller's parent with new namespaces; `None` in that child, a descriptor for it in the caller, whose own
    /// number for it may mean another process to the parent.
    ///
    /// # Errors
    /// As `clone`; `EINVAL` for process 1.
    pub fn clone_sibling(self, namespaces: Namespaces) -> io::Result<Option<OwnedFd>> {
        let mut pidfd: libc::c_int = -1;
        let mut request = request(libc::CLONE_PARENT | libc::CLONE_PIDFD, None);
        request.flags |= namespaces.0;
        request.pidfd = (&raw mut pidfd).expose_provenance() as u64;
        // The kernel gives it the caller's own.
        request.exit_signal = 0;
        // SAFETY: as for `clone`.
        let result =
            unsafe { libc::syscall(libc::SYS_clone3, &raw const request, size_of::<libc::clone_args>()) };
        match result {
            0 => Ok(None),
            // SAFETY: the kernel has put a fresh descriptor there, which nobody else owns.
            pid if pid > 0 => Ok(Some(unsafe { OwnedFd::from_raw_fd(pidfd) })),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A request for clone3(2) of a child whose end is told by `SIGCHLD`, in the version 2 control group of the descriptor.
pub(super) fn request(flags: libc::c_int, group: Option<RawFd>) -> libc::clone_args {
    let number = |n: libc::c_int| u64::try_from(n).unwrap_or(0);
    libc::clone_args {
        flags: number(flags) | group.map_or(0, |_| CLONE_INTO_CGROUP),
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: number(libc::SIGCHLD),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: group.map_or(0, number),
    }
}

/// Ends the calling process at once: no destructor, no buffer flushed. For a forked child, whose buffers are its parent's.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: never returns and touches no memory.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Collects one child that has ended, if there is one.
///
/// # Errors
/// The kernel's errno, but for "no children", which is `None`.
pub fn reap() -> io::Result<Option<Reaped>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => {
                let code = u8::try_from(code & 0xff).unwrap_or(u8::MAX);
                return Ok(Some(Reaped { pid: pid.as_raw().unsigned_abs(), end: End::Code(code) }));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                let signal = u8::try_from(signal as i32).unwrap_or(u8::MAX);
                return Ok(Some(Reaped { pid: pid.as_raw().unsigned_abs(), end: End::Signal(signal) }));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Collects one particular child; whether it had ended.
///
/// # Errors
/// `ECHILD` if it is no child of ours, or was collected already.
pub fn reap_one(pid: u32) -> io::Result<bool> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX));
    Ok(waitpid(pid, Some(WaitPidFlag::WNOHANG))? != WaitStatus::StillAlive)
}

/// Waits for one particular child, and says how it ended.
///
/// # Errors
/// `ECHILD` if it is no child of ours, or was collected already.
pub fn wait_one(pid: u32) -> io::Result<End> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX));
    loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, code)) => {
                return Ok(End::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX)));
            }
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return Ok(End::Signal(u8::try_from(signal as i32).unwrap_or(u8::MAX)));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Blocks all signals that can be blocked, so that they wait in a `signal_descriptor`.
///
/// # Errors
/// None is known to occur.
pub fn block_signals() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?)
}

/// A descriptor that becomes readable when a child has ended (`SIGCHLD` must be blocked).
///
/// # Errors
/// No descriptors left.
pub fn child_descriptor() -> io::Result<ChildSignals> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    Ok(ChildSignals(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
}

/// See `child_descriptor`.
#[derive(Debug)]
pub struct ChildSignals(SignalFd);

impl ChildSignals {
    /// Empties the descriptor.
    pub fn drain(&self) {
        while matches!(self.0.read_signal(), Ok(Some(_))) {}
    }
}

impl AsFd for ChildSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives every signal its default effect and blocks none: what a fresh program expects.
///
/// # Errors
/// None is known to occur.
pub fn default_signals() -> io::Result<()> {
    for signal in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: installs no handler, only the default action.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
    }
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// Starts a session without terminal.
///
/// # Errors
/// `EPERM` if the caller leads a process group already.
pub fn new_session() -> io::Result<()> {
    Ok(rustix::process::setsid().map(|_| ())?)
}

/// A descriptor of a process; the process may have ended meanwhile, and its id may be another's: compare the start time.
///
/// # Errors
/// `ESRCH` if there is none.
pub fn open_pid(pid: u32) -> io::Result<OwnedFd> {
    let gone = || io::Error::from_raw_os_error(libc::ESRCH);
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or_else(gone)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

/// Waits, without holding a thread, until the process of a descriptor has ended.
///
/// # Errors
/// The descriptor cannot be waited for (`ENOMEM`).
pub async fn ended(pidfd: OwnedFd) -> io::Result<()> {
    readable(pidfd).await
}

/// Waits, without holding a thread, until a descriptor is readable, or its other end closed.
///
/// # Errors
/// The descriptor cannot be waited for (`ENOMEM`, `EPERM` for a plain file).
pub async fn readable(descriptor: OwnedFd) -> io::Result<()> {
    // SAFETY: an OwnedFd names the same open file for as long as it lives, and `AsyncFd` owns it.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }
        .map_err(io::Error::from)?;
    watched.readable().await.map(|_| ())
}

/// Sends a signal to the process of a descriptor. 0 only checks.
///
/// # Errors
/// `ESRCH` if it has ended; `EINVAL` for a number that is no signal.
pub fn signal_descriptor(pidfd: &impl AsFd, signal: u8) -> io::Result<()> {
    // SAFETY: no pointer but a null `info`, which stands for the default.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            libc::c_int::from(signal),
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a signal to every process of the group that `leader` leads. For a child that was not collected yet: its number cannot be
/// another's.
///
/// # Errors
/// `ESRCH` if none is left; `EINVAL` for a number that is no signal.
pub fn signal_group(leader: u32, signal: u8) -> io::Result<()> {
    let none = || io::Error::from_raw_os_error(libc::ESRCH);
    let leader = i32::try_from(leader).ok().filter(|leader| *leader > 1).ok_or_else(none)?;
    let signal = Signal::try_from(i32::from(signal))?;
    Ok(nix::sys::signal::killpg(nix::unistd::Pid::from_raw(leader), signal)?)
}

/// Threads of a process that run or wait for a processor (proc(5), state `R`); 0 for one that is gone.
#[must_use]
pub fn runnable_threads(pid: u32) -> u32 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let runs = |thread: &std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name before the state is in parentheses, and may hold any character.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
    };
    u32::try_from(threads.filter(runs).count()).unwrap_or(u32::MAX)
}

/// When a process was started, in clock ticks since boot (field 22 of `/proc/<pid>/stat`, proc(5)); with its id it names a process.
///
/// # Errors
/// `NotFound` if there is none.
pub fn start_time(pid: u32) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything, a parenthesis included: count from the last one.
    let after = text.rsplit_once(')').map(|(_, after)| after);
    let field = after.and_then(|after| after.split_whitespace().nth(19)).and_then(|word| word.parse().ok());
    field.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is not as known"))
    })
}

/// Waits until one of the descriptors is readable (or its other end closed), at most so long; says for each whether it is.
///
/// # Errors
/// The kernel's errno.
pub fn wait_readable(descriptors: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut polled: Vec<_> = descriptors.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let timeout = timeout.map_or(PollTimeout::NONE, |t| PollTimeout::try_from(t).unwrap_or(PollTimeout::MAX));
    match poll(&mut polled, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(polled.iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty())).collect())
}

/// Becomes another program.
///
/// # Errors
/// Only returns on failure: the kernel's errno, or `InvalidInput` for a zero byte in a word.
pub fn execute(program: &str, argv: &[String], env: &[String]) -> io::Error {
    let words =
        |list: &[String]| list.iter().map(|word| CString::new(word.as_str())).collect::<Result<Vec<_>, _>>();
    let attempt = || -> io::Result<()> {
        let (program, argv, env) = (CString::new(program)?, words(argv)?, words(env)?);
        match nix::unistd::execve(&program, &argv, &env)? {}
    };
    attempt().err().unwrap_or_else(|| io::Error::other("execve came back"))
}

/// Goes to a directory that lies where its path says: the kernel's links in `/proc` may lead out of the caller's root, and are refused.
///
/// # Errors
/// The kernel's errno: `ELOOP` for such a link.
pub fn change_directory(path: &Path) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, ResolveFlags};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found =
        rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?;
    Ok(rustix::process::fchdir(found)?)
}

/// Whether a file may be run by the caller, and lies where its path says: what the kernel's links in `/proc` lead to (a process's own
/// program, an open file) may be outside the caller's root, and does not count.
#[must_use]
pub fn is_executable(path: &str) -> bool {
    use rustix::fs::{Access, FileType, Mode, OFlags, ResolveFlags};
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS);
    let Ok(found) = found else { return false };
    let kind = rustix::fs::fstat(&found).map(|found| FileType::from_raw_mode(found.st_mode));
    kind == Ok(FileType::RegularFile) && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

/// Sets close-on-exec on every descriptor from `first` on.
///
/// # Errors
/// `ENOSYS` before Linux 5.11.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_on_exec_between(first, libc::c_uint::MAX)
}

fn close_on_exec_between(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: marks descriptors; closes none.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A copy of a descriptor under this number, so that others can be told where it is; closed at exec.
///
/// # Errors
/// `AlreadyExists` if the number is taken; the kernel's errno: `EMFILE` at the limit of descriptors.
pub fn hold_at(descriptor: &OwnedFd, number: u32) -> io::Result<OwnedFd> {
    let number = RawFd::try_from(number).map_err(io::Error::other)?;
    let copy = rustix::io::fcntl_dupfd_cloexec(descriptor, number)?;
    if copy.as_raw_fd() == number { Ok(copy) } else { Err(io::ErrorKind::AlreadyExists.into()) }
}

/// Closes all descriptors but the standard streams and those listed. For a forked child that keeps only what it owns: every
/// value that owns another descriptor must be forgotten, not dropped.
///
/// # Errors
/// The kernel's errno.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    close_all_but_given(keep, &Given::default())
}

/// As `close_all_but`, and leaves what the program was given as well.
///
/// # Errors
/// The kernel's errno.
pub fn close_all_but_given(keep: &[BorrowedFd<'_>], given: &Given) -> io::Result<()> {
    let listed = keep.iter().filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok());
    between(listed.chain(given.0.iter().copied()).collect())
        .into_iter()
        .try_for_each(|(first, last)| close_between(first, last))
}

/// Descriptors behind the standard streams that a program was given by whoever started it, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given(Vec<u32>);

impl Given {
    /// Those among the first `count` numbers behind the standard streams. Numbers that nothing was given under are left out: what this
    /// program opens itself may come to lie there, and is told apart by being closed at exec.
    #[must_use]
    pub fn among_first(count: u32) -> Given {
        let is_given = |number: &u32| {
            let Ok(number) = RawFd::try_from(*number) else { return false };
            // SAFETY: asks for a flag of a number that need not be a descriptor; touches no memory.
            let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
            flags >= 0 && flags & libc::FD_CLOEXEC == 0
        };
        Given((FIRST_OTHER..FIRST_OTHER.saturating_add(count)).filter(is_given).collect())
    }

    /// Has everything else behind the standard streams closed at exec.
    ///
    /// # Errors
    /// `ENOSYS` before Linux 5.11.
    pub fn close_others_on_exec(&self) -> io::Result<()> {
        between(self.0.clone()).into_iter().try_for_each(|(first, last)| close_on_exec_between(first, last))
    }
}

/// The ranges of numbers behind the standard streams that lie between these.
fn between(mut kept: Vec<u32>) -> Vec<(u32, u32)> {
    kept.sort_unstable();
    kept.dedup();
    let mut ranges = Vec::new();
    let mut first = FIRST_OTHER;
    for number in kept.into_iter().filter(|number| *number >= FIRST_OTHER) {
        if number > first {
            ranges.push((first, number - 1));
        }
        first = number + 1;
    }
    ranges.push((first, libc::c_uint::MAX));
    ranges
}

fn close_between(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the caller's contract: nobody uses these descriptors any more.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the process that was started then (see `start_time`) runs still: a dead one that nobody has collected does not.
#[must_use]
pub fn is_running(pid: u32, started: u64) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let Some((_, after)) = text.rsplit_once(')') else { return false };
    let mut fields = after.split_whitespace();
    let is_dead = fields.next().is_none_or(|state| state == "Z" || state == "X");
    !is_dead && fields.nth(18).and_then(|word| word.parse().ok()) == Some(started)
}

/// A process's command line, words separated by spaces; the kernel's name for it where it has none.
///
/// # Errors
/// It is gone.
pub fn command_line(pid: u32) -> io::Result<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    match text.trim() {
        "" => Ok(std::fs::read_to_string(format!("/proc/{pid}/comm"))?.trim().to_owned()),
        words => Ok(words.to_owned()),
    }
}

/// The id, as the caller numbers processes, of the process of a descriptor.
///
/// # Errors
/// `ESRCH` if it has ended and was collected, or is in no process namespace of the caller's.
pub fn id_of(pidfd: &impl AsFd) -> io::Result<u32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    // 0 and -1 are no process that can be seen from here.
    let id = line.and_then(|id| id.trim().parse::<u32>().ok()).filter(|id| *id > 0);
    id.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}
