//! Containers as a bundle describes them: a directory with a root file system and a `config.json` of the runtime specification. The
//! user's program is process 1, there is no resident daemon, and what is isolated is what the configuration asks for.
//!
//! The same three parts as for the hardened containers of this node: rules make a plan (`plan`), the starter does the part that takes the
//! host's rights (`host`, `prepare`), and the container's process does the rest (`child`). Kernel calls, control group files and
//! seccomp tables are shared with them.

mod admission;
mod agent;
mod cgroup;
mod child;
mod hooks;
mod host;
mod plan;
mod prepare;
mod program;
mod protocol;
mod seccomp;

use std::io;

pub use agent::Agent;
pub use cgroup::{BundleCgroup, Devices, Frozen, Place};
pub use hooks::run_all as run_hooks;
pub use host::{Born, Entry, Request, create, enter, start};
pub use plan::{
    BundlePlan, IdMap, IdMaps, NamespacePlan, Options, Prepare, Processors, Rlimit, RootChange, Slot, Step,
    Turns, capability_names, capability_number, known_mount_options, plan, plan_process,
};
pub use protocol::Complaint;
pub use seccomp::{Filter, Notices, compile};

use crate::runtime::cgroup::CgroupError;
use crate::runtime::plan::PlanError;

/// Why a container could not be made, or entered.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Its configuration.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Its control groups.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The starter's part failed.
    #[error("could not {attempt}: {reason}")]
    Host {
        /// What was tried.
        attempt: String,
        /// The kernel's answer.
        reason: String,
    },
    /// The container's process failed.
    #[error(transparent)]
    Child(#[from] Complaint),
    /// A limit lies above what the host lets us set.
    #[error(
        "could not set the limit '{what}' to {wanted}: this host lets us raise it to {ceiling}, and no further without \
         CAP_SYS_RESOURCE; lower process.rlimits in config.json (Podman: --ulimit {what}={ceiling}:{ceiling})"
    )]
    Limit {
        /// Which.
        what: &'static str,
        /// To what.
        wanted: u64,
        /// What there is.
        ceiling: u64,
    },
}

impl BundleError {
    fn host(attempt: impl std::fmt::Display) -> impl FnOnce(io::Error) -> BundleError {
        let attempt = attempt.to_string();
        move |error| BundleError::Host { attempt, reason: protocol::spelled(&error) }
    }
}
