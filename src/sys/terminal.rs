//! Pseudo-terminals made inside a container, and the standard streams of a new program.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

/// Opens a new terminal of the devpts instance whose root is `devpts`: (the controlling end, the program's end). The program's end
/// is asked of the kernel, not of a path (CVE-2025-52565), and belongs to `uid`, who may open it again.
///
/// # Errors
/// `ENOSPC` at the limit of terminals.
pub fn open(devpts: &impl AsFd, (rows, cols): (u16, u16), uid: u32) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::openat(devpts.as_fd(), "ptmx", flags, Mode::empty())?;
    rustix::pty::unlockpt(&master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, size)?;
    std::os::unix::fs::fchown(slave.as_fd(), Some(uid), None)?;
    Ok((master, slave))
}

/// The devpts instance that the caller sees at `path`, for `open`; what lies there must be a directory itself, no link to one.
///
/// # Errors
/// The kernel's errno: `ENOTDIR` for a link.
pub fn instance(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Gives the terminal another window size; its foreground processes get `SIGWINCH`.
///
/// # Errors
/// The descriptor is no terminal.
pub fn resize(terminal: &impl AsFd, (rows, cols): (u16, u16)) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal.as_fd(), size)?)
}

/// Makes a terminal the controlling one of the caller's session, which must have none.
///
/// # Errors
/// `EPERM` if the caller leads no session.
pub fn control(terminal: &impl AsFd) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(terminal.as_fd())?)
}

/// Puts three descriptors in the places of standard input, output and errors. They stay open beside.
///
/// # Errors
/// The kernel's errno.
pub fn become_standard(
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
    errors: BorrowedFd<'_>,
) -> io::Result<()> {
    // Away from the three places first, lest one be overwritten before it is copied.
    let [input, output, errors] = [input, output, errors].map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3));
    rustix::stdio::dup2_stdin(input?)?;
    rustix::stdio::dup2_stdout(output?)?;
    Ok(rustix::stdio::dup2_stderr(errors?)?)
}

/// Makes reads of a descriptor return at once.
///
/// # Errors
/// The kernel's errno.
pub fn set_nonblocking(fd: &impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd.as_fd())?;
    Ok(rustix::fs::fcntl_setfl(fd.as_fd(), flags | OFlags::NONBLOCK)?)
}

/// Reads what is there into `buffer`; `None` if nothing is there now, `Some(0)` at the end.
///
/// # Errors
/// The kernel's errno.
pub fn read_now(fd: &impl AsFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match rustix::io::read(fd.as_fd(), buffer) {
        Ok(length) => Ok(Some(length)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Reads from a terminal's controlling end as far as a program has written before it closed the other. The kernel looks for bytes first and
/// for the end then (`n_tty_read`): of a program that writes and ends in between it tells the end, and gives the bytes to whoever
/// asks once more.
///
/// # Errors
/// The kernel's errno: `EIO` at the end, `WouldBlock` if nothing is there now.
pub fn read_to_the_last(mut terminal: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    match terminal.read(buffer) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
            terminal.read(buffer)
        }
        read => read,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    /// A terminal that tells these one by one, and from then on its end.
    struct Told(Vec<Option<&'static [u8]>>);

    impl Read for Told {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let next = if self.0.is_empty() { None } else { self.0.remove(0) };
            let bytes = next.ok_or_else(|| io::Error::from(rustix::io::Errno::IO))?;
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn what_was_written_between_two_looks_comes_before_the_end() {
        let mut terminal = Told(vec![Some(b"first"), None, Some(b"last")]);
        let mut buffer = [0; 16];
        assert_eq!(read_to_the_last(&mut terminal, &mut buffer).unwrap(), 5);
        assert_eq!(read_to_the_last(&mut terminal, &mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"last");
        let end = read_to_the_last(&mut terminal, &mut buffer).unwrap_err();
        assert_eq!(end.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    }
}
