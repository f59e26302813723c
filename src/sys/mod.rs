//! The kernel: the only home of `unsafe`, of raw system calls and of the crates that make them. Knows no product word.

pub mod cgroup;
pub mod clock;
pub mod fs;
pub mod lock;
pub mod netns;
pub mod peer;
pub mod privilege;
pub mod ring;
pub mod seccomp;
pub mod tty;
pub mod watch;
