//! Handing things to programs that are not ours: a terminal over a stream socket, files in memory.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

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

/// A nameless file in memory.
///
/// # Errors
/// No descriptors left.
pub fn memory_file(name: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?)
}
