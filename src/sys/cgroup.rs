//! Control groups as directories held open: what is read or written is the directory that was opened, wherever its path leads now.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Access, AtFlags, Mode, OFlags};

/// The most a control file of the kernel is read to, in bytes (a list of process ids is the longest).
const FILE_BYTES_MAX: u64 = 4 << 20;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// An open directory of a control group hierarchy.
#[derive(Debug)]
pub struct Group(OwnedFd);

impl Group {
    /// Opens an existing one.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn open(path: &Path) -> io::Result<Group> {
        Ok(Group(rustix::fs::open(path, DIRECTORY, Mode::empty())?))
    }

    /// Opens one inside this one.
    ///
    /// # Errors
    /// The kernel's errno; `NotFound` if there is none.
    pub fn child(&self, name: &str) -> io::Result<Group> {
        Ok(Group(rustix::fs::openat(&self.0, name, DIRECTORY, Mode::empty())?))
    }

    /// Makes one inside this one, or opens the one that is there.
    ///
    /// # Errors
    /// The kernel's errno: `EROFS` or `EACCES` where this hierarchy is not ours to write, `EAGAIN` at the limit of groups.
    pub fn make(&self, name: &str) -> io::Result<Group> {
        match rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => self.child(name),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an empty one inside this one; that there is none is success.
    ///
    /// # Errors
    /// `ResourceBusy` while a process or a further group is in it, dying processes included.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the caller may make groups in it, as far as rights and mount flags tell.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        rustix::fs::accessat(&self.0, ".", Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    }

    /// The whole of a control file.
    ///
    /// # Errors
    /// The kernel's errno; `NotFound` where the controller is not enabled.
    pub fn read(&self, file: &str) -> io::Result<String> {
        let opened = rustix::fs::openat(&self.0, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = String::new();
        File::from(opened).take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Writes a value to a control file, in one write.
    ///
    /// # Errors
    /// The kernel's errno; `NotFound` where the controller is not enabled, `InvalidInput` for a value it does not take.
    pub fn write(&self, file: &str, value: &str) -> io::Result<()> {
        let opened = rustix::fs::openat(&self.0, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        File::from(opened).write_all(value.as_bytes())
    }

    /// Gives one control file to a user.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn give(&self, file: &str, uid: u32) -> io::Result<()> {
        let owner = rustix::fs::Uid::from_raw(uid);
        Ok(rustix::fs::chownat(&self.0, file, Some(owner), None, AtFlags::empty())?)
    }

    /// Processes in this very group, not in those below it. Threads of one process count once.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        Ok(self.read("cgroup.procs")?.lines().filter_map(|line| line.parse().ok()).collect())
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends `SIGKILL` to a process that may be gone already.
///
/// # Errors
/// The kernel's errno, but for `ESRCH`.
pub fn kill_process(pid: u32) -> io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        return Ok(());
    };
    match rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends a signal to a process that may be gone already.
///
/// # Errors
/// The kernel's errno, but for `ESRCH`; `EINVAL` for a number that is no signal.
pub fn signal_process(pid: u32, signal: u8) -> io::Result<()> {
    let Ok(pid) = i32::try_from(pid) else { return Ok(()) };
    // SAFETY: no memory is touched.
    match unsafe { libc::kill(pid, i32::from(signal)) } {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            error => Err(error),
        },
    }
}
