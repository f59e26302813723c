//! The Platform API v3 (platform reference 7): parse a request, call a story of [`crate::flows`], show the result.
//!
//! It decides nothing. [`routes`] is the table of what there is; a handler is a few lines in the file of its resource;
//! `view` turns domain values into the shapes of `wire::api`; `error` is the only place that makes a failed answer.
//! The unix socket's peers are administrators if the kernel says so; over TCP a token is asked for, and may do what
//! its user may (`auth`).

mod account_features;
mod accounts;
mod acm;
mod add_ons;
mod app_features;
mod app_setups;
mod apps;
mod asked;
mod attach;
mod auth;
mod authorizations;
mod body;
mod builds;
mod catalog;
mod change;
mod collaborators;
mod config_vars;
mod data_services;
mod describe;
mod domains;
mod dynos;
mod error;
mod etag;
mod exec;
mod formation;
mod keys;
mod log_drains;
mod log_sessions;
mod node;
mod pipeline_tests;
mod pipelines;
mod promotions;
mod pushes;
mod range;
mod rate;
mod releases;
mod rendezvous;
mod replay;
mod repositories;
mod routes;
mod routing;
mod scheduler;
mod server;
mod shares;
mod slugs;
mod sni_endpoints;
mod source_body;
mod sources;
mod state;
#[cfg(test)]
mod test;
mod test_runs;
mod transfers;
mod users;
mod view;
mod view_add_ons;
mod view_formation;
mod webhooks;

pub use auth::Door;
pub use routes::{Need, Route, router, table};
pub use server::{Front, serve_tcp, serve_unix};
pub use state::{Api, FiguresSource, ShutdownSignal};
