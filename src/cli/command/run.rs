//! `dyno run`

use std::collections::BTreeMap;
use std::process::ExitCode;

use hyper::Method;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::attached::{self, Terminal};
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::domain::command_line;
use crate::sys::tty;
use crate::wire::api::{CreateDyno, Dyno};

/// Run a command in a one-off dyno, attached to this terminal; its exit status becomes ours
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    pub(super) dyno: DynoArgs,
    /// Pipes instead of a terminal, even where there is one
    #[arg(long)]
    no_tty: bool,
    /// Accepted for scripts: the exit status is always passed on
    #[arg(short = 'x', long = "exit-code", hide = true)]
    _exit_code: Option<Option<bool>>,
    #[command(flatten)]
    command: CommandArgs,
}

/// What a one-off dyno runs.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CommandArgs {
    /// The command; several words become one command line. Behind -- nothing is taken for a flag of ours
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    words: Vec<String>,
}

impl CommandArgs {
    /// The app and the command line for it. The platform's users often name the app behind the command
    /// (`run bash -a example`), which counts unless it is named before it.
    pub(super) fn resolve(self, app: AppArgs) -> Result<(String, String), Failure> {
        let (app, words) = resolve(self.words, app)?;
        Ok((app, command_line(&words)))
    }
}

/// The app, and the words of a command without what named it.
pub(super) fn resolve(mut words: Vec<String>, mut app: AppArgs) -> Result<(String, Vec<String>), Failure> {
    let typed: Vec<_> = std::env::args().collect();
    if app.app.is_none() && app.remote.is_none() && !is_verbatim(&typed, &words) {
        app.app = late_app(&mut words);
    }
    Ok((app.name()?, words))
}

/// Whether a `--`, which the grammar swallows, stands between our flags and the command at the end of what was typed.
fn is_verbatim(typed: &[String], words: &[String]) -> bool {
    typed.strip_suffix(words).is_some_and(|ours| ours.last().is_some_and(|last| last == "--"))
}

/// Takes `-a APP`, `--app APP` or `--app=APP` out of a command's words, as far as a `--`.
fn late_app(words: &mut Vec<String>) -> Option<String> {
    let ours = words.iter().position(|word| word == "--").unwrap_or(words.len());
    for at in 0..ours {
        if let Some(app) = words[at].strip_prefix("--app=") {
            let app = app.to_owned();
            words.remove(at);
            return Some(app);
        }
        if matches!(words[at].as_str(), "-a" | "--app") && at + 1 < ours {
            words.remove(at);
            return Some(words.remove(at));
        }
    }
    None
}

/// What a one-off dyno is like.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DynoArgs {
    /// Size of the dyno
    #[arg(short, long)]
    size: Option<String>,
    /// Process type of the dyno
    #[arg(long = "type", value_name = "TYPE")]
    process_type: Option<String>,
    /// Variables for this dyno: "A=1;B=2"
    #[arg(short, long, value_name = "VARS")]
    env: Option<String>,
}

impl DynoArgs {
    /// The request for a dyno that runs `command`.
    pub(super) fn request(self, command: String) -> Result<CreateDyno, Failure> {
        let mut env = BTreeMap::new();
        for pair in self.env.iter().flat_map(|env| env.split(';')).filter(|pair| !pair.is_empty()) {
            let refuse = || Failure::Usage(format!("{pair:?} sets no variable: write --env \"A=1;B=2\"."));
            let (name, value) =
                pair.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(refuse)?;
            env.insert(name.to_owned(), value.to_owned());
        }
        Ok(CreateDyno {
            command,
            env,
            size: self.size,
            process_type: self.process_type,
            ..CreateDyno::default()
        })
    }
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let (app, command) = self.command.resolve(self.app)?;
        let request = self.dyno.request(command.clone())?;
        output::note(&format!("Running {command} on {}... ", shown_app(&app)));
        converse(context, &format!("/apps/{app}/dynos"), request, Wanted::from(self.no_tty)).await
    }
}

/// What is wanted at the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A terminal, where this end is one.
    Terminal,
    /// Pipes.
    Pipes,
}

impl From<bool> for Wanted {
    /// As the flag `--no-tty` says.
    fn from(no_tty: bool) -> Self {
        if no_tty { Self::Pipes } else { Self::Terminal }
    }
}

/// Asks for a command at a path of the API, and is this end of it until it ends; its exit status is the result.
pub(super) async fn converse(
    context: &Context,
    path: &str,
    mut request: CreateDyno,
    wanted: Wanted,
) -> Result<ExitCode, Failure> {
    let terminal = if wanted == Wanted::Terminal && tty::stdin_is_terminal() && tty::stdout_is_terminal() {
        add_terminal(&mut request.env);
        Terminal::Raw
    } else {
        request.force_no_tty = Some(true);
        Terminal::Pipes
    };
    let (dyno, connection) = attach(context, path, request).await.inspect_err(|_| output::note("!\n"))?;
    output::note(&format!("up, {} ({})\n", dyno.name, dyno.size));
    attached::converse(connection, terminal).await
}

/// Asks for a command at a path of the API, and attaches to it.
pub(super) async fn attach(
    context: &Context,
    path: &str,
    request: CreateDyno,
) -> Result<(Dyno, TokioIo<Upgraded>), Failure> {
    let request = CreateDyno { attach: Some(true), ..request };
    let dyno: Dyno = context.client.send_json(Method::POST, path, &request).await?;
    let url = dyno.attach_url.as_deref().ok_or_else(|| Failure::Answer("no attach_url".to_owned()))?;
    let connection = context.client.attach(url).await?;
    Ok((dyno, connection))
}

/// What the dyno's shell must know of this terminal.
fn add_terminal(env: &mut BTreeMap<String, String>) {
    let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
    env.entry("TERM".to_owned()).or_insert(term);
    if let Ok(size) = tty::window_size() {
        env.entry("COLUMNS".to_owned()).or_insert_with(|| size.cols.to_string());
        env.entry("LINES".to_owned()).or_insert_with(|| size.rows.to_string());
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_app_named_behind_the_command_is_found_and_taken_out() {
        let late = |line: &str| {
            let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            (late_app(&mut words), words.join(" "))
        };
        let app = || Some("example".to_owned());
        assert_eq!(late("bash -a example"), (app(), "bash".to_owned()));
        assert_eq!(late("--app example rake db:migrate"), (app(), "rake db:migrate".to_owned()));
        assert_eq!(late("ls -l --app=example /"), (app(), "ls -l /".to_owned()));
        for left_alone in ["ls -a", "ls -la", "grep -- -a example", "ls -- --app=example"] {
            assert_eq!(late(left_alone), (None, left_alone.to_owned()));
        }
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(is_verbatim(&words("dyno run -- ls -a /"), &words("ls -a /")));
        assert!(!is_verbatim(&words("dyno run ls -- -a /"), &words("ls -- -a /")));
    }

    #[test]
    fn variables_are_split_at_semicolons() {
        let args = |env: &str| {
            DynoArgs { size: None, process_type: None, env: Some(env.to_owned()) }.request(String::new())
        };
        let env = args("A=1;B=x=y;").unwrap().env;
        assert_eq!(
            env.into_iter().collect::<Vec<_>>(),
            [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x=y".to_owned())]
        );
        assert!(args("A").is_err());
        assert!(args("=1").is_err());
    }
}
