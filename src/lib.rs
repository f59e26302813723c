//! `dyno`: a single-node dyno runtime on native Linux containers.
//!
//! The modules in layer order; each imports only from those above it in this list (`tests/tidy.rs` holds the table).
//! The library has no users outside this package: `pub` is for the binary, the tests and the benches.

pub mod domain;
#[allow(clippy::allow_attributes, reason = "the fence may stand before the first unsafe line does")]
#[allow(unsafe_code, reason = "the kernel's raw interface is fenced into this one module")]
pub mod sys;

pub mod runtime;
pub mod store;
pub mod wire;

pub mod build;
pub mod cli;
pub mod logs;
pub mod oci;
pub mod router;
pub mod stack;

pub mod supervisor;

pub mod flows;
pub mod local;

pub mod api;
pub mod git;

pub mod daemon;
