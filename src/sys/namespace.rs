//! Namespaces that exist already: naming, entering, and making single ones (namespaces(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Users and capabilities.
    User,
    /// Mounts.
    Mount,
    /// Process ids.
    Pid,
    /// Network.
    Network,
    /// System V IPC and message queues.
    Ipc,
    /// Host name.
    Uts,
    /// Control groups.
    Cgroup,
    /// Boot and monotonic clocks.
    Time,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 8] =
        [Kind::User, Kind::Mount, Kind::Pid, Kind::Network, Kind::Ipc, Kind::Uts, Kind::Cgroup, Kind::Time];

    /// Its file's name in `/proc/<pid>/ns`.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Mount => "mnt",
            Kind::Pid => "pid",
            Kind::Network => "net",
            Kind::Ipc => "ipc",
            Kind::Uts => "uts",
            Kind::Cgroup => "cgroup",
            Kind::Time => "time",
        }
    }

    fn flag(self) -> libc::c_int {
        match self {
            Kind::User => libc::CLONE_NEWUSER,
            Kind::Mount => libc::CLONE_NEWNS,
            Kind::Pid => libc::CLONE_NEWPID,
            Kind::Network => libc::CLONE_NEWNET,
            Kind::Ipc => libc::CLONE_NEWIPC,
            Kind::Uts => libc::CLONE_NEWUTS,
            Kind::Cgroup => libc::CLONE_NEWCGROUP,
            Kind::Time => libc::CLONE_NEWTIME,
        }
    }
}

/// Enters the namespace of an open file of `/proc/<pid>/ns`; for process ids and time only children made from here on are in it.
///
/// # Errors
/// `EPERM`; `EINVAL` where the file is no such namespace, or one's own user namespace.
pub fn enter(file: &impl AsFd, kind: Kind) -> io::Result<()> {
    set(file, kind.flag())
}

/// Enters several namespaces of the process of a descriptor at once: all or none.
///
/// # Errors
/// As `enter`; `ESRCH` if the process has ended.
pub fn enter_all(pidfd: &impl AsFd, kinds: &[Kind]) -> io::Result<()> {
    if kinds.is_empty() {
        return Ok(());
    }
    set(pidfd, kinds.iter().fold(0, |flags, kind| flags | kind.flag()))
}

fn set(file: &impl AsFd, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: changes what the calling thread sees; no memory is touched.
    let result = unsafe { libc::setns(file.as_fd().as_raw_fd(), flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a time namespace for the children made from here on. Its clocks may be set until the first of them exists.
///
/// # Errors
/// `EPERM`, `EINVAL` on a kernel without.
pub fn unshare_time() -> io::Result<()> {
    // SAFETY: changes the namespace of future children only.
    let result = unsafe { libc::unshare(libc::CLONE_NEWTIME) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether a file is a namespace of this kind.
///
/// # Errors
/// The kernel's errno; `EINVAL` or `ENOTTY` for no namespace at all.
pub fn is_of_kind(file: &impl AsFd, kind: Kind) -> io::Result<bool> {
    /// `NS_GET_NSTYPE` (ioctl_ns(2)).
    const GET_KIND: libc::Ioctl = 0xb703;
    // SAFETY: the request takes no argument and writes nothing.
    let found = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), GET_KIND) };
    if found < 0 { Err(io::Error::last_os_error()) } else { Ok(found == kind.flag()) }
}

/// Whether two processes share a namespace of this kind; a namespace the kernel does not have is shared by all.
///
/// # Errors
/// One of the processes is gone, or may not be looked at.
pub fn is_shared(one: &str, other: &str, kind: Kind) -> io::Result<bool> {
    let link = |pid: &str| std::fs::read_link(Path::new("/proc").join(pid).join("ns").join(kind.file()));
    match (link(one), link(other)) {
        (Err(error), _) if kind == Kind::Time && error.kind() == io::ErrorKind::NotFound => Ok(true),
        (one, other) => Ok(one? == other?),
    }
}
