//! The terminal: whether there is one, its size, and raw mode that is always undone.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;

use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use rustix::termios::tcgetwinsize;

/// A window's size, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub cols: u16,
}

/// Standard input in raw mode: bytes come as typed, without echo, and no key makes a signal. Dropping it restores the mode
/// before.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

/// Standard input whose lines are not shown while they are typed. Dropping it restores the mode before.
#[derive(Debug)]
pub struct Unseen {
    before: Termios,
}

/// Whether a person types into standard input.
#[must_use]
pub fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Whether a person reads standard output.
#[must_use]
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether a person reads standard error.
#[must_use]
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// The size of the window that standard output is shown in.
///
/// # Errors
/// The kernel's errno; `ENOTTY` where there is no terminal.
pub fn window_size() -> io::Result<WindowSize> {
    let size = tcgetwinsize(io::stdout().as_fd())?;
    Ok(WindowSize { rows: size.ws_row, cols: size.ws_col })
}

// === impl RawMode ===

impl RawMode {
    /// Switches standard input to raw mode.
    ///
    /// # Errors
    /// The kernel's errno; `ENOTTY` where there is no terminal.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(stdin.as_fd(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

// === impl Unseen ===

impl Unseen {
    /// Switches echo off (termios(3)).
    ///
    /// # Errors
    /// The kernel's errno; `ENOTTY` where there is no terminal.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(stdin.as_fd())?;
        let mut unseen = before.clone();
        unseen.local_flags.remove(LocalFlags::ECHO);
        termios::tcsetattr(stdin.as_fd(), SetArg::TCSADRAIN, &unseen)?;
        Ok(Self { before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

fn restore(before: &Termios) {
    // A terminal that has gone away has no mode to restore.
    let _ = termios::tcsetattr(io::stdin().as_fd(), SetArg::TCSADRAIN, before);
}
