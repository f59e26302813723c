//! The one binary: decides which role this process plays and hands over.

use std::process::ExitCode;

use dyno::{cli, daemon};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match arguments.get(1).and_then(|role| role.to_str()) {
        Some("doctor") => daemon::doctor(arguments[1..].to_vec()),
        _ => cli::main(arguments),
    }
}
