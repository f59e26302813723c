//! The git endpoint: smart HTTP, and SSH, in front of one bare repository an app (platform reference 3.5).
//!
//! git itself speaks the protocol, as a child, behind HTTP a CGI one (`git http-backend`); this module chooses the repository, checks the
//! credentials and keeps the child's environment and configuration ours. It does not build: the repository's
//! pre-receive hook (`dyno git:hook`) hands the new commit's archive to the API and lets the verdict decide the ref.

mod backend;
mod commands;
mod permit;
mod repository;
mod server;
mod ssh;

pub use repository::{Repositories, RepositoryError};
pub use server::{GitState, router};
pub use ssh::{HostKey, HostKeyError, SshDoor, serve_ssh};
