//! The one binary: decides which role this process plays and hands over.

use std::io::Write;
use std::process::ExitCode;

use dyno::runtime::spawner;
use dyno::{cli, daemon, oci};
use mimalloc::MiMalloc;

/// Faster than the C library's where small pieces come and go, as in the router (`docs/speed.md`).
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // Before anything else: these roles must not have a second thread.
    if arguments.get(1).is_some_and(|role| role == spawner::ROLE) {
        let config = arguments.get(2).and_then(|config| config.to_str());
        return spawned(spawner::main_from(config.unwrap_or_default()));
    }
    if arguments.get(1).is_some_and(|role| role == daemon::router::ROLE) {
        let config = arguments.get(2).and_then(|config| config.to_str());
        return spawned(daemon::router::main_from(config.unwrap_or_default()));
    }
    if arguments.first().is_some_and(|program| oci::is_called_by_name(program)) {
        return oci::main(&arguments, 1);
    }
    if arguments.get(1).is_some_and(|role| role == oci::ROLE) {
        return oci::main(&arguments, 2);
    }
    cli::main(arguments, &daemon::roles())
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
