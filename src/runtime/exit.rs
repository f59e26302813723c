//! How a container ended.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Added to a signal's number where a shell reports it as an exit status.
const SHELL_SIGNAL_BASE: u8 = 128;
/// What a shell-minded reader sees where nobody knows the status.
const SHELL_STATUS_LOST: u8 = 255;

/// How and when a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// What the application's first process said, or what ended it.
    pub status: ExitStatus,
    /// When; for `Lost` the moment somebody noticed.
    pub at: SystemTime,
    /// Whether the kernel killed a process of the application for want of memory.
    pub oom: bool,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
    /// Nobody was there to see.
    Lost,
}

impl Exit {
    /// As a shell would report it in `$?`: the code, or 128 + the signal's number; 255 for a lost status.
    #[must_use]
    pub fn shell_status(&self) -> u8 {
        self.status.shell()
    }

    /// Whether the application said that all went well.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status == ExitStatus::Code(0)
    }
}

impl ExitStatus {
    /// As `Exit::shell_status`.
    #[must_use]
    pub fn shell(self) -> u8 {
        match self {
            ExitStatus::Code(code) => code,
            ExitStatus::Signal(signal) => SHELL_SIGNAL_BASE.saturating_add(signal),
            ExitStatus::Lost => SHELL_STATUS_LOST,
        }
    }
}
