//! Assembly: configuration, start, shutdown.
//!
//! It joins modules and decides nothing about the product; what branches on a product fact belongs elsewhere.

mod config;
mod doctor;
mod instance;

pub use config::{Config, ConfigError, INDEX_MAX, ServeArgs};
pub use doctor::doctor;
pub use instance::{Instance, InstanceError};
