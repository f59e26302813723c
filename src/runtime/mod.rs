//! Containers: a spec becomes a plan, a plan is executed. Knows no product word.

pub mod cgroup;
pub mod exit;
pub mod limits;
pub mod network;
pub mod seccomp;
pub mod slots;
pub mod spec;
