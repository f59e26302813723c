//! The one binary: decides which role this process plays and hands over.

use std::io::Write;
use std::process::ExitCode;

use dyno::runtime::spawner;
use dyno::{cli, daemon};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match arguments.get(1).and_then(|role| role.to_str()) {
        // Before anything else: this role must not have a second thread.
        Some(spawner::ROLE) => {
            let config = arguments.get(2).and_then(|config| config.to_str());
            spawned(spawner::main_from(config.unwrap_or_default()))
        }
        Some("serve") => daemon::serve_role(arguments[1..].to_vec()),
        Some("down") => daemon::down_role(arguments[1..].to_vec()),
        Some("debug") => daemon::debug(arguments[1..].to_vec()),
        Some("doctor") => daemon::doctor(arguments[1..].to_vec()),
        _ => cli::main(arguments),
    }
}

fn spawned(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The starter reads this; there is nowhere to complain about a lost complaint.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
