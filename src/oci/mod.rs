//! The runtime's own command line faces: the commands of an OCI runtime, and doctor.

mod arguments;
mod command;
mod containers;
mod doctor;
mod error;
mod face;
mod foreground;
mod report;

pub use doctor::{Finding, Subject, Verdict, examine, git, is_fit};
pub use face::{ROLE, is_called_by_name, main};
