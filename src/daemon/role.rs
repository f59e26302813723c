//! The roles `serve` and `down` of the binary: arguments, the async runtime, and the words for a failure.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::daemon::error::DaemonError;
use crate::daemon::{Config, ServeArgs, down, serve, telemetry};

/// Run the node: the API, the git endpoint, the router and every dyno
#[derive(Debug, Parser)]
#[command(name = "dyno serve")]
struct Serve {
    #[command(flatten)]
    node: ServeArgs,
}

/// Stop the node and everything it runs, leaving only its state
#[derive(Debug, Parser)]
#[command(name = "dyno down")]
struct Down {
    #[command(flatten)]
    node: ServeArgs,
}

/// Plays `dyno serve` with the arguments after the program's name.
#[must_use]
pub fn serve_role(arguments: Vec<OsString>) -> ExitCode {
    play(Serve::try_parse_from(arguments).map(|args| args.node), async |args: ServeArgs| {
        serve::serve(Config::load(&args)?, args.on_exit).await
    })
}

/// Plays `dyno down` with the arguments after the program's name.
#[must_use]
pub fn down_role(arguments: Vec<OsString>) -> ExitCode {
    play(Down::try_parse_from(arguments).map(|args| args.node), async |args: ServeArgs| {
        down::down(&Config::load(&args)?).await
    })
}

fn play(
    args: Result<ServeArgs, clap::Error>,
    role: impl AsyncFnOnce(ServeArgs) -> Result<(), DaemonError>,
) -> ExitCode {
    let args = match args {
        Ok(args) => args,
        Err(error) => {
            let _unprintable = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    telemetry::start(args.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result = runtime.block_on(role(args));
    // Blocking calls on a stuck disk must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// The failure with all its causes, one a line.
fn fail(error: &dyn Error) -> ExitCode {
    let mut text = format!(" ›   Error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(" ›   because: {error}\n"));
        cause = error.source();
    }
    let _closed = std::io::stderr().write_all(text.as_bytes());
    ExitCode::FAILURE
}
