//! Waiting for a container's process in the foreground: signals go to it, its terminal is ours, its exit code becomes ours.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::error::OciError;
use crate::sys::foreground::{Signals, is_child_end, is_window_change};
use crate::sys::process::{self, End};
use crate::sys::{terminal, tty};

/// Most that is copied at once, in bytes.
const COPY_BYTES: usize = 16 << 10;
/// Pause before a terminal that takes or gives nothing at the moment is tried again.
const RETRY: Duration = Duration::from_millis(20);
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
            watched.extend(terminal.watched());
        }
        let retry = terminal.as_ref().and_then(Terminal::retry);
        let ready = process::wait_readable(&watched, retry)?;
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
            let is_idle = terminal.retry().is_none();
            if is_idle && is_ready(3) {
                terminal.read_input()?;
            }
            terminal.type_in();
            if !is_idle || is_ready(2) {
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
    /// Until it ends.
    input: Option<io::Stdin>,
    /// What was typed and not yet taken.
    pending: Vec<u8>,
    /// Whether no program has the other end open; one may open it again.
    is_hung_up: bool,
    /// Undone when dropped. None where our input is no terminal.
    _raw: Option<tty::RawMode>,
}

impl Terminal {
    fn take(master: OwnedFd) -> io::Result<Terminal> {
        terminal::set_nonblocking(&master)?;
        let raw = if tty::stdin_is_terminal() { Some(tty::RawMode::enter()?) } else { None };
        let terminal = Terminal {
            master: master.into(),
            input: Some(io::stdin()),
            pending: Vec::new(),
            is_hung_up: false,
            _raw: raw,
        };
        terminal.resize();
        Ok(terminal)
    }

    fn resize(&self) {
        if let Ok(size) = tty::window_size() {
            // A terminal that has gone away has no size.
            let _ = terminal::resize(&self.master, (size.rows, size.cols));
        }
    }

    /// What may have something for us: the terminal, then our input, unless they are to be tried again after a pause.
    fn watched(&self) -> Vec<BorrowedFd<'_>> {
        if self.retry().is_some() {
            return Vec::new();
        }
        let input = self.input.as_ref().map(AsFd::as_fd);
        std::iter::once(self.master.as_fd()).chain(input).collect()
    }

    /// The pause until the next try, where the kernel would report it ready without end.
    fn retry(&self) -> Option<Duration> {
        (self.is_hung_up || !self.pending.is_empty()).then_some(RETRY)
    }

    fn read_input(&mut self) -> io::Result<()> {
        let Some(input) = &mut self.input else { return Ok(()) };
        let mut buffer = [0; COPY_BYTES];
        let length = input.read(&mut buffer)?;
        if length == 0 {
            self.input = None;
        }
        self.pending.extend_from_slice(buffer.get(..length).unwrap_or_default());
        Ok(())
    }

    fn type_in(&mut self) {
        while !self.pending.is_empty() {
            match self.master.write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody reads any more.
                Err(_) => self.pending.clear(),
            }
        }
    }

    fn show(&mut self) -> io::Result<()> {
        let mut buffer = [0; COPY_BYTES];
        let mut output = io::stdout();
        loop {
            match self.master.read(&mut buffer) {
                Ok(length) if length > 0 => {
                    self.is_hung_up = false;
                    output.write_all(buffer.get(..length).unwrap_or_default())?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_hung_up = false;
                    return output.flush();
                }
                // EIO: the last program has closed it.
                Ok(_) | Err(_) => {
                    self.is_hung_up = true;
                    return output.flush();
                }
            }
        }
    }
}
