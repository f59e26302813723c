//! Handing things to programs that are not ours: a terminal over a stream socket, files in memory.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect as connect_to, sendmsg,
    setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// What goes with the terminal's descriptor: the name by which the program's end was opened, as receivers have come to expect.
const TERMINAL_NAME: &[u8] = b"/dev/ptmx";

/// Connects to the stream socket at `path`, however long that is.
///
/// # Errors
/// The kernel's errno.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let (_open, short) = shortened(path)?;
    Ok(UnixStream::connect(short)?.into())
}

/// A path to the same place that fits in a socket's address (107 bytes), as long as the file returned with it is open.
///
/// # Errors
/// The directory cannot be opened.
pub fn shortened(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let open = File::open(dir)?;
    let short = Path::new("/proc/self/fd").join(open.as_raw_fd().to_string()).join(name);
    Ok((open, short))
}

/// Sends the controlling end of a terminal to who asked for it.
///
/// # Errors
/// The kernel's errno.
pub fn send_terminal(socket: &impl AsFd, master: &impl AsFd) -> io::Result<()> {
    let raw = [master.as_fd().as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&raw)];
    let parts = [IoSlice::new(TERMINAL_NAME)];
    sendmsg::<()>(socket.as_fd().as_raw_fd(), &parts, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Connects to the stream socket at `path`, sends the bytes with one descriptor, and closes. Whoever listens must take connection and bytes
/// within the timeout each.
///
/// # Errors
/// `TimedOut`; the kernel's errno: `ENOENT` without a socket there, `ECONNREFUSED` where nobody listens.
pub fn send_once(path: &Path, bytes: &[u8], given: &impl AsFd, timeout: Duration) -> io::Result<()> {
    let (_open, short) = shortened(path)?;
    let end = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX).max(1);
    setsockopt(&end, SendTimeout, &TimeVal::seconds(seconds))?;
    let late = |errno: Errno| {
        if errno == Errno::EAGAIN { io::ErrorKind::TimedOut.into() } else { io::Error::from(errno) }
    };
    connect_to(end.as_raw_fd(), &UnixAddr::new(&short)?).map_err(late)?;
    let raw = [given.as_fd().as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&raw)];
    let mut sent = 0;
    while sent < bytes.len() {
        let parts = [IoSlice::new(&bytes[sent..])];
        let with = if sent == 0 { &rights[..] } else { &[] };
        sent += sendmsg::<()>(end.as_raw_fd(), &parts, with, MsgFlags::MSG_NOSIGNAL, None).map_err(late)?;
    }
    Ok(())
}

/// A nameless file in memory.
///
/// # Errors
/// No descriptors left.
pub fn memory_file(name: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?)
}
