//! `dyno ps:exec`, and `dyno run:inside`, which names the dyno first as the platform's command does.

use std::process::ExitCode;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::run::{CommandArgs, Wanted, converse, resolve};
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::domain::command_line;
use crate::wire::api::CreateDyno;

/// What stands for itself in a dyno's name.
const DYNO_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');
/// What runs where no command is given.
const SHELL: &str = "bash";
/// The dyno where none is named.
pub(super) const DYNO: &str = "web.1";

/// Run a command, or a shell, in a dyno that runs; its exit status becomes ours
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// In which dyno
    #[arg(short, long, value_name = "DYNO", default_value = DYNO)]
    dyno: String,
    /// Pipes instead of a terminal, even where there is one
    #[arg(long)]
    no_tty: bool,
    /// The command, bash if none is given; several words become one command line. Behind -- nothing is taken for a flag of ours
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    words: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let (app, words) = resolve(self.words, self.app)?;
        let command = if words.is_empty() { SHELL.to_owned() } else { command_line(&words) };
        visit(context, (&app, &self.dyno), command, Wanted::from(self.no_tty)).await
    }
}

/// Run a command in a dyno that runs; its exit status becomes ours
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InsideArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Pipes instead of a terminal, even where there is one
    #[arg(long)]
    no_tty: bool,
    /// Accepted for scripts: the exit status is always passed on
    #[arg(short = 'x', long = "exit-code", hide = true)]
    _exit_code: Option<Option<bool>>,
    /// In which dyno: web.1
    #[arg(value_name = "DYNO")]
    dyno: String,
    #[command(flatten)]
    command: CommandArgs,
}

impl InsideArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let (app, command) = self.command.resolve(self.app)?;
        visit(context, (&app, &self.dyno), command, Wanted::from(self.no_tty)).await
    }
}

async fn visit(
    context: &Context,
    (app, dyno): (&str, &str),
    command: String,
    wanted: Wanted,
) -> Result<ExitCode, Failure> {
    output::note(&format!("Running {command} in {dyno} of {}... ", shown_app(app)));
    let request = CreateDyno { command, ..CreateDyno::default() };
    converse(context, &path(app, dyno), request, wanted).await
}

/// Where a command in a dyno is asked for.
pub(super) fn path(app: &str, dyno: &str) -> String {
    format!("/apps/{app}/dynos/{}", utf8_percent_encode(dyno, DYNO_NAME))
}
