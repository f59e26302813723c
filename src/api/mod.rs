//! The Platform API v3 (platform reference 7): parse a request, call a story of [`crate::flows`], show the result.
//!
//! It decides nothing. [`routes`] is the table of what there is; a handler is a few lines in the file of its resource;
//! `view` turns domain values into the shapes of `wire::api`; `error` is the only place that makes a failed answer.
//! The unix socket's peers are administrators if the kernel says so; over TCP the node's token is asked for (`auth`).

mod accounts;
mod apps;
mod attach;
mod auth;
mod body;
mod builds;
mod change;
mod config_vars;
mod dynos;
mod error;
mod formation;
mod log_drains;
mod log_sessions;
mod node;
mod pushes;
mod range;
mod releases;
mod routes;
mod server;
mod state;
#[cfg(test)]
mod test;
mod view;

pub use auth::Door;
pub use routes::router;
pub use server::{serve_tcp, serve_unix};
pub use state::{Api, ShutdownSignal};
