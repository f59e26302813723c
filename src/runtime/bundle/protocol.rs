//! What the starter and the container's process say to each other while a container is made; `spawner::protocol` carries it.

use std::io;

use serde::{Deserialize, Serialize};

/// Said by the container's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ChildSays {
    /// Everything is mounted: the hooks of the host's side may run.
    Mounted,
    /// Descriptor: the controlling end of the terminal.
    Terminal,
    /// Descriptor: where an agent takes the system calls that it decides on. The last that is said without its leave.
    Noticed,
    /// What is left waits for the start.
    Ready,
    /// The start is under way: the channel closes with the exec.
    Executing,
    /// It did not work.
    Failed(Complaint),
}

/// Said by the starter, in this order; the child may wait for them in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum HostSays {
    /// The ids are mapped.
    Mapped,
    /// All control groups are entered.
    Attached,
    /// The hooks have run.
    Hooked,
    /// Everything is written down: wait to be started, or start where nobody else will say so.
    Settled,
}

/// What went wrong, in the container's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("could not {attempt}: {reason}")]
pub struct Complaint {
    /// What was tried.
    pub attempt: String,
    /// Why it failed.
    pub reason: String,
}

impl Complaint {
    pub(super) fn new(attempt: &impl std::fmt::Display, error: &io::Error) -> Complaint {
        Complaint { attempt: attempt.to_string(), reason: spelled(error) }
    }
}

/// Words of the C library for what programs look for in the texts of a runtime, without the number that Rust adds.
pub(super) fn spelled(error: &io::Error) -> String {
    let text = error.to_string();
    let plain = text.split(" (os error").next().unwrap_or(&text).to_owned();
    match plain.strip_prefix(|first: char| first.is_ascii_uppercase()) {
        Some(rest) if error.raw_os_error().is_some() => {
            let first = plain.chars().next().map_or('?', |c| c.to_ascii_lowercase());
            format!("{first}{rest}")
        }
        _ => plain,
    }
}
