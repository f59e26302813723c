//! The runtime's own command line faces: debug and doctor.

mod doctor;

pub use doctor::{Finding, Subject, Verdict, examine, is_fit};
