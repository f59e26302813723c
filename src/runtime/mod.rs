//! Containers: a spec becomes a plan, a plan is executed. Knows no product word.

pub mod bundle;
pub mod cgroup;
pub mod client;
pub mod container;
pub mod devices;
pub mod entered;
pub mod exit;
pub mod facts;
mod init;
pub mod limits;
pub mod network;
pub mod plan;
pub mod record;
pub mod seccomp;
pub mod slots;
pub mod spawner;
pub mod spec;

pub use client::{Adopted, Outcome, Runtime, RuntimeConfig, RuntimeError, StartError, Started, StdioFds};
pub use container::{Container, ContainerError, Signal};
pub use entered::{EnterError, Entered, Entry, Hold};
pub use exit::{Exit, ExitStatus};
pub use limits::{CpuQuota, Limits};
pub use spec::{
    Access, ContainerId, Exec, IdMapped, IdRange, ListeningSocket, Network, Process, Sandbox, SandboxMount,
    StdioKind,
};
