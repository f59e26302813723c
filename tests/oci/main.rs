//! The OCI face, called as its callers call it: by its path, one process a command. Root and a real kernel; a shell for a root file system.

#[path = "../support/mod.rs"]
mod support;

mod agent;
mod bundle;
mod config;
mod containerd;
mod devices;
mod hooks;
mod hostile;
mod lifecycle;
mod namespaces;
mod podman;
mod resources;
mod rights;
