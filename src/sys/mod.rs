//! The kernel: the only home of `unsafe`, of raw system calls and of the crates that make them. Knows no product word.

pub mod cgroup;
pub mod fs;
pub mod netns;
pub mod seccomp;
