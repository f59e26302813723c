//! Assembly: configuration, start, shutdown.
//!
//! It joins modules and decides nothing about the product; what branches on a product fact belongs elsewhere.

mod config;
mod instance;

pub use config::{Config, ConfigError, INDEX_MAX, ServeArgs};
pub use instance::{Instance, InstanceError};
