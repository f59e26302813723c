//! Network namespaces: making one, naming one safely, and doing something inside one.
//!
//! `setns(2)` moves the calling thread alone, so everything here goes in and comes back within one call, without a point at
//! which an asynchronous task could be moved to another thread. A thread that could not come back would hand foreign
//! sockets to whoever uses it next; the process is aborted instead.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// The file of the calling thread's own network namespace.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace by path and identity: the path goes through a process id, which another process may come to own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NetnsRef {
    /// Where it can be opened, for example `/proc/<pid>/ns/net`.
    pub path: PathBuf,
    /// Device of the file (`st_dev`).
    pub dev: u64,
    /// Inode of the file (`st_ino`); together with the device it names the namespace itself.
    pub ino: u64,
}

/// Version of the internet protocol of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl NetnsRef {
    /// Notes the namespace that is at `path` now.
    ///
    /// # Errors
    /// The path cannot be opened (the process is gone, or the caller may not look at it).
    pub fn of(path: &Path) -> io::Result<NetnsRef> {
        let at = std::fs::metadata(path)?;
        Ok(NetnsRef { path: path.to_owned(), dev: at.dev(), ino: at.ino() })
    }

    /// Opens it, if it is still the namespace that was noted.
    ///
    /// # Errors
    /// `NotFound` where the path is gone or leads to another namespace by now; else the kernel's errno.
    pub fn open(&self) -> io::Result<OwnedFd> {
        let file = File::open(&self.path)?;
        let at = file.metadata()?;
        if (at.dev(), at.ino()) != (self.dev, self.ino) {
            let text = format!("{} is another network namespace by now", self.path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        Ok(file.into())
    }
}

/// The calling thread's network namespace.
///
/// # Errors
/// The kernel's errno (no descriptors left).
pub fn current() -> io::Result<OwnedFd> {
    File::open(OWN).map(OwnedFd::from)
}

/// Makes an empty network namespace (its `lo` is down). It lives as long as the descriptor, a process, or a socket in it.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`; `ENOSPC` when the limit of namespaces is reached; failure to start a thread.
pub fn create() -> io::Result<OwnedFd> {
    // The thread ends with the call, so it never has to come back.
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        current()
    };
    let thread = std::thread::Builder::new().name("netns".to_owned()).spawn(make)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread making a network namespace panicked")))
}

/// Runs `work` with the calling thread inside the namespace, and comes back. `work` must not wait for anything.
///
/// Aborts the process if the thread cannot come back.
///
/// # Errors
/// The namespace could not be entered (`EPERM`, `EINVAL` where the descriptor is no network namespace); `work` did not run.
pub fn in_netns<T>(namespace: &impl AsFd, work: impl FnOnce() -> T) -> io::Result<T> {
    let way_back = WayBack(current()?);
    setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
    let result = work();
    drop(way_back);
    Ok(result)
}

/// A TCP socket that lives in the namespace: nonblocking, closed on exec, usable from any thread.
///
/// # Errors
/// As `in_netns`, or the socket could not be made.
pub fn tcp_socket_in(namespace: &impl AsFd, version: IpVersion) -> io::Result<OwnedFd> {
    let family = match version {
        IpVersion::V4 => AddressFamily::INET,
        IpVersion::V6 => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = || rustix::net::socket_with(family, SocketType::STREAM, flags, None);
    Ok(in_netns(namespace, socket)??)
}

/// Leads the thread home when dropped, a panic inside included.
struct WayBack(OwnedFd);

impl Drop for WayBack {
    fn drop(&mut self) {
        if setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET).is_err() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_by_now_is_not_opened() {
        let own = NetnsRef::of(Path::new(OWN)).unwrap();
        assert!(own.open().is_ok());
        let other = NetnsRef { ino: own.ino + 1, ..own.clone() };
        assert_eq!(other.open().unwrap_err().kind(), io::ErrorKind::NotFound);
        let gone = NetnsRef { path: "/proc/0/ns/net".into(), ..own };
        assert_eq!(gone.open().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_socket_of_the_own_namespace_is_made_without_blocking() {
        // Entering even the own namespace needs a right that ordinary users lack.
        match tcp_socket_in(&current().unwrap(), IpVersion::V4) {
            Ok(socket) => {
                let flags = rustix::fs::fcntl_getfl(&socket).unwrap();
                assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }
}
