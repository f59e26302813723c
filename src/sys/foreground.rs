//! Standing in for a process: its signals come to us.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals as they come, all of them (they must be blocked; see `process::block_signals`).
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Opens the descriptor.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn open() -> io::Result<Signals> {
        Ok(Signals(SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// The next signal that has come, by number.
    #[must_use]
    pub fn next(&self) -> Option<u8> {
        let info = self.0.read_signal().ok()??;
        u8::try_from(info.ssi_signo).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Number of a signal by name, with or without prefix, or by number.
#[must_use]
pub fn signal_number(text: &str) -> Option<u8> {
    /// The first real-time signal that a libc leaves to programs (signal(7)), and the last.
    const REAL_TIME: u8 = 34;
    const LAST: u8 = 64;
    if let Ok(number) = text.parse::<u8>() {
        return (number <= LAST).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = bare.strip_prefix("RTMIN+").and_then(|n| n.parse::<u8>().ok()) {
        return REAL_TIME.checked_add(offset).filter(|number| *number <= LAST);
    }
    let found = Signal::iterator().find(|signal| signal.as_str() == format!("SIG{bare}"))?;
    u8::try_from(found as i32).ok()
}

/// Whether a signal is about the terminal's size.
#[must_use]
pub fn is_window_change(signal: u8) -> bool {
    i32::from(signal) == Signal::SIGWINCH as i32
}

/// Whether a signal tells of a child.
#[must_use]
pub fn is_child_end(signal: u8) -> bool {
    i32::from(signal) == Signal::SIGCHLD as i32
}
