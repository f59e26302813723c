//! Waiting for a container's process in the foreground: signals go to it, its terminal is ours, its exit code becomes ours.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::error::OciError;
use crate::sys::foreground::{Signals, is_child_end, is_window_change};
use crate::sys::process::{self, End};
use crate::sys::{terminal, tty};

/// Most that is copied at once, in bytes.
const COPY_BYTES: usize = 16 << 10;
/// Exit codes of processes ended by a signal begin here.
const SIGNAL_CODE: u8 = 128;

/// From here on signals wait to be passed on. Before the process exists, lest one be lost.
pub(super) fn take_signals() -> Result<Signals, OciError> {
    process::block_signals()
        .and_then(|()| Signals::open())
        .map_err(OciError::file("take", Path::new("signals")))
}

/// Waits for the end; the exit code, 128 + n for a signal.
pub(super) fn wait(
    pid: u32,
    pidfd: &OwnedFd,
    master: Option<OwnedFd>,
    signals: &Signals,
) -> Result<u8, OciError> {
    let relayed = relay(pidfd, master, signals);
    let end = process::wait_one(pid).map_err(OciError::file("wait for", Path::new("the container")))?;
    relayed.map_err(OciError::file("relay", Path::new("the container's terminal")))?;
    Ok(match end {
        End::Code(code) => code,
        End::Signal(signal) => SIGNAL_CODE.saturating_add(signal),
    })
}

fn relay(pidfd: &OwnedFd, master: Option<OwnedFd>, signals: &Signals) -> io::Result<()> {
    let mut terminal = master.map(Terminal::take).transpose()?;
    loop {
        let mut watched = vec![pidfd.as_fd(), signals.as_fd()];
        if let Some(terminal) = &terminal {
            watched.push(terminal.master.as_fd());
            if terminal.has_input {
                watched.push(terminal.input.as_fd());
            }
        }
        let ready = process::wait_readable(&watched, None)?;
        let is_ready = |index: usize| ready.get(index) == Some(&true);
        while let Some(signal) = signals.next() {
            match &terminal {
                Some(terminal) if is_window_change(signal) => terminal.resize(),
                _ if is_child_end(signal) => {}
                // It may have ended by now.
                _ => drop(process::signal_descriptor(pidfd, signal)),
            }
        }
        if let Some(terminal) = &mut terminal {
            if is_ready(3) {
                terminal.type_in()?;
            }
            if is_ready(2) {
                terminal.show()?;
            }
        }
        if is_ready(0) {
            // What it said last.
            return terminal.map_or(Ok(()), |mut terminal| terminal.show());
        }
    }
}

/// The container's terminal and ours.
struct Terminal {
    master: std::fs::File,
    input: io::Stdin,
    has_input: bool,
    /// Undone when dropped. None where our input is no terminal.
    _raw: Option<tty::RawMode>,
}

impl Terminal {
    fn take(master: OwnedFd) -> io::Result<Terminal> {
        terminal::set_nonblocking(&master)?;
        let raw = if tty::stdin_is_terminal() { Some(tty::RawMode::enter()?) } else { None };
        let terminal = Terminal { master: master.into(), input: io::stdin(), has_input: true, _raw: raw };
        terminal.resize();
        Ok(terminal)
    }

    fn resize(&self) {
        if let Ok(size) = tty::window_size() {
            // A terminal that has gone away has no size.
            let _ = terminal::resize(&self.master, (size.rows, size.cols));
        }
    }

    fn type_in(&mut self) -> io::Result<()> {
        let mut buffer = [0; COPY_BYTES];
        let length = self.input.read(&mut buffer)?;
        if length == 0 {
            self.has_input = false;
            return Ok(());
        }
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            match self.master.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.show()?,
                // Nobody reads any more.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn show(&mut self) -> io::Result<()> {
        let mut buffer = [0; COPY_BYTES];
        let mut output = io::stdout();
        loop {
            match self.master.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => output.write_all(buffer.get(..length).unwrap_or_default())?,
                // EIO: the last program has closed it.
                Err(_) => return output.flush(),
            }
        }
    }
}
