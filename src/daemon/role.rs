//! The roles of the binary that are no clients of a node: arguments, the async runtime, and the words for a failure.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::daemon::error::DaemonError;
use crate::daemon::{Config, ServeArgs, debug, doctor, down, local, serve, telemetry};
use crate::oci;

/// A subcommand and what plays it with its arguments.
pub type Role = (Command, fn(&ArgMatches) -> ExitCode);

/// Run the node: the API, the git endpoint, the router and every dyno
#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    node: ServeArgs,
}

/// Stop the node and everything it runs, leaving only its state
#[derive(Debug, Args)]
struct Down {
    #[command(flatten)]
    node: ServeArgs,
}

/// The roles, in the order of the help.
#[must_use]
pub fn roles() -> Vec<Role> {
    vec![
        (Serve::augment_args(Command::new("serve")), |matches| {
            parsed(matches, |args: Serve| {
                play(args.node, async |args| serve::serve(Config::load(&args)?, args.on_exit).await)
            })
        }),
        (Down::augment_args(Command::new("down")), |matches| {
            parsed(matches, |args: Down| play(args.node, async |args| down::down(Config::load(&args)?).await))
        }),
        (local::Local::augment_args(Command::new("local")), |matches| parsed(matches, local::local)),
        (local::LocalRun::augment_args(Command::new("local:run")), |matches| {
            parsed(matches, local::local_run)
        }),
        (doctor::Doctor::augment_args(Command::new("doctor")), |matches| parsed(matches, doctor::doctor)),
        (debug::Debug::augment_args(Command::new("debug")), |matches| parsed(matches, debug::debug)),
        // Played by the binary before this grammar is made; here for the help.
        (Command::new(oci::ROLE).about("Run containers of OCI bundles (see 'dyno oci --help')"), |_| {
            oci::main(&std::env::args_os().collect::<Vec<_>>(), 2)
        }),
    ]
}

/// Reads a role's arguments out of the command line that the grammar has taken.
fn parsed<A: FromArgMatches>(matches: &ArgMatches, play: impl FnOnce(A) -> ExitCode) -> ExitCode {
    match A::from_arg_matches(matches) {
        Ok(args) => play(args),
        Err(error) => {
            let _unprintable = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

fn play(args: ServeArgs, role: impl AsyncFnOnce(ServeArgs) -> Result<(), DaemonError>) -> ExitCode {
    telemetry::start(args.log_format, telemetry::SERVING);
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
pub(super) fn fail(error: &dyn Error) -> ExitCode {
    let mut text = format!(" ›   Error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(" ›   because: {error}\n"));
        cause = error.source();
    }
    let _closed = std::io::stderr().write_all(text.as_bytes());
    ExitCode::FAILURE
}
