//! The git endpoint: smart HTTP in front of one bare repository an app (platform reference 3.5).
//!
//! git itself speaks the protocol, as a CGI child (`git http-backend`); this module chooses the repository, checks the
//! credentials and keeps the child's environment and configuration ours. It does not build: the repository's
//! pre-receive hook (`dyno git:hook`) hands the new commit's archive to the API and lets the verdict decide the ref.

mod backend;
mod repository;
mod server;

pub use repository::{Repositories, RepositoryError};
pub use server::{GitState, router};
