//! The one binary: decides which role this process plays and hands over.

use std::io::Write;
use std::process::ExitCode;

use dyno::runtime::spawner;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    // Before anything else: this role must not have a second thread.
    if arguments.next().as_deref() == Some(spawner::ROLE) {
        return played(spawner::main_from(&arguments.next().unwrap_or_default()));
    }
    ExitCode::FAILURE
}

fn played(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere to complain about a lost complaint.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
