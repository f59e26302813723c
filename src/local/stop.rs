//! The user's wish that it ends: Ctrl-C, a signal, a terminal that goes away.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for such wishes.
#[derive(Debug)]
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// How it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// By Ctrl-C.
    Interrupt,
    /// By anything else.
    Terminate,
}

impl Stop {
    /// Takes these signals from now on.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next. Nothing is lost where the waiting is given up.
    pub async fn asked(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.hangup.recv() => Asked::Terminate,
        }
    }
}
