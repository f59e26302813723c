//! What the kernel does for us, on the real one: root only, and skipped loudly without.

#[path = "../support/mod.rs"]
mod support;

mod build;
mod buildpack_api;
mod cgroups;
mod dynos;
mod enter;
mod escape;
mod hold;
mod isolation;
mod lifetime;
mod network;
mod refusals;
mod router;
mod seccomp;
mod soak;
mod unified;
