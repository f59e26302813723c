//! The kernel: the only home of `unsafe`, of raw system calls and of the crates that make them. Knows no product word.

pub mod cgroup;
pub mod clock;
pub mod credentials;
pub mod device_filter;
pub mod foreground;
pub mod fs;
pub mod handover;
pub mod landlock;
pub mod lock;
pub mod loopback;
pub mod message;
pub mod mount;
pub mod namespace;
pub mod netns;
pub mod peer;
pub mod privilege;
pub mod process;
pub mod rights;
pub mod ring;
pub mod seal;
pub mod seccomp;
pub mod socket;
pub mod terminal;
pub mod tree;
pub mod tty;
pub mod watch;
