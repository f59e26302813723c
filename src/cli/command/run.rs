//! `dyno run`

use std::collections::BTreeMap;
use std::process::ExitCode;

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::attached::{self, Terminal};
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
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
    /// The command; several words become one command line
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
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
        let app = self.app.name()?;
        let command = command_line(&self.command);
        let has_terminal = tty::stdin_is_terminal() && tty::stdout_is_terminal() && !self.no_tty;
        let mut request = CreateDyno { attach: Some(true), ..self.dyno.request(command.clone())? };
        let terminal = if has_terminal {
            add_terminal(&mut request.env);
            Terminal::Raw
        } else {
            request.force_no_tty = Some(true);
            Terminal::Pipes
        };
        output::note(&format!("Running {command} on {}... ", shown_app(&app)));
        let dyno: Dyno = context
            .client
            .send_json(Method::POST, &format!("/apps/{app}/dynos"), &request)
            .await
            .inspect_err(|_| output::note("!\n"))?;
        let url = dyno.attach_url.as_deref().ok_or_else(|| Failure::Answer("no attach_url".to_owned()))?;
        let connection = context.client.attach(url).await.inspect_err(|_| output::note("!\n"))?;
        output::note(&format!("up, {} ({})\n", dyno.name, dyno.size));
        attached::converse(connection, terminal).await
    }
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

/// One word is a command line as it stands; of several, those that a shell would split or change are quoted.
pub(super) fn command_line(words: &[String]) -> String {
    let quoted = |word: &String| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&b);
        if !word.is_empty() && word.bytes().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    match words {
        [one] => one.clone(),
        several => several.iter().map(quoted).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn words_reach_the_command_as_they_were_typed() {
        let line = |words: &[&str]| command_line(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["id; cat /proc/self/status"]), "id; cat /proc/self/status");
        assert_eq!(line(&["ls", "-la", "/app"]), "ls -la /app");
        assert_eq!(line(&["echo", "it's $HOME", ""]), r"echo 'it'\''s $HOME' ''");
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
