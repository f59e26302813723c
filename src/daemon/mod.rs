//! Assembly: configuration, start, shutdown.
//!
//! It joins modules and decides nothing about the product; what branches on a product fact belongs elsewhere.

mod acme_section;
mod builder;
mod cleanup;
mod config;
mod debug;
mod doctor;
mod down;
mod dynos;
mod error;
mod forks;
mod instance;
mod layers;
mod local;
mod notify;
mod role;
pub mod router;
mod routing;
mod serve;
mod services;
mod size_section;
mod streams;
mod telemetry;

pub use acme_section::AcmeError;
pub use config::{Config, ConfigError, INDEX_MAX, LogFormat, OnExit, ServeArgs};
pub use instance::{Instance, InstanceError};
pub use role::{Role, roles};
