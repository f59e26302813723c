//! Agents for system calls: programs of the host's that answer, for a container, the calls that its filter passes on (`SCMP_ACT_NOTIFY`).

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use super::BundleError;
use crate::sys::handover;

/// An agent must take the connection, and its message, by then.
const AGENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Who decides on system calls that the filter passes on (runtime-spec, "The Container Process State").
#[derive(Clone, Copy)]
pub struct Agent<'a> {
    /// The stream socket where it waits.
    pub path: &'a Path,
    /// What it is told together with the descriptor, by process id.
    pub message: &'a dyn Fn(u32) -> String,
}

impl Agent<'_> {
    /// Tells it of the process `pid`, and gives it the descriptor.
    pub(super) fn engage(&self, pid: u32, mut given: Vec<OwnedFd>) -> Result<(), BundleError> {
        let attempt =
            BundleError::host(format!("reach the agent for system calls at {}", self.path.display()));
        let lost = || std::io::Error::other("there is no descriptor for it");
        let told = given.pop().ok_or_else(lost).and_then(|given| {
            handover::send_once(self.path, (self.message)(pid).as_bytes(), &given, AGENT_TIMEOUT)
        });
        told.map_err(attempt)
    }
}
