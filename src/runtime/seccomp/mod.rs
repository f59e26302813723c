//! The filter of system calls a container's application runs under: `profile` is the reviewed data, `compile` makes the
//! kernel's program of it, once.
//!
//! It is one program, a tree over the calls' numbers: named calls pass, those that must look absent (`clone3`), everything newer than
//! our table and x32 numbers (bit 30) get `ENOSYS`, all others `EPERM`; a foreign architecture is killed (`int 0x80` from 64-bit code
//! included). Calls that depend on their arguments are judged by what `seccompiler` makes of their rules.

mod compile;
pub mod numbers;
pub mod profile;
mod tree;

use std::sync::OnceLock;

use crate::sys::seccomp::Instruction;

pub use compile::{Answering, SeccompError, compile};
pub use numbers::Architecture;

/// Programs in the order in which they are to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs(pub Vec<Vec<Instruction>>);

/// The hardened profile for this machine's architecture, compiled at the first call and kept.
///
/// # Errors
/// `SeccompError` where no table exists for the architecture, or the profile names a call wrongly.
pub fn hardened() -> Result<&'static Programs, SeccompError> {
    static COMPILED: OnceLock<Result<Programs, SeccompError>> = OnceLock::new();
    COMPILED.get_or_init(|| native(Answering::Kernel)).as_ref().map_err(Clone::clone)
}

/// The same profile for who has somebody to answer the refusals that are worth telling (`profile::Notice`), and hears of them so: the
/// program is to be installed with a listener. Nothing passes that `hardened` refuses, unless the listener's holder lets it.
///
/// # Errors
/// As `hardened`.
pub fn telling() -> Result<&'static Programs, SeccompError> {
    static COMPILED: OnceLock<Result<Programs, SeccompError>> = OnceLock::new();
    COMPILED.get_or_init(|| native(Answering::Listener)).as_ref().map_err(Clone::clone)
}

fn native(answering: Answering) -> Result<Programs, SeccompError> {
    compile(Architecture::native().ok_or(SeccompError::Architecture)?, answering)
}
