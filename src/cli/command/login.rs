//! `dyno login` and `dyno logout`

use std::io::{BufRead as _, Read as _, Write as _};

use hyper::Method;
use serde_json::Value;

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::host::Host;
use crate::cli::netrc::{self, Login};
use crate::cli::output;
use crate::sys::tty::{self, Unseen};
use crate::wire::api::{Account, Authorization, CreateAuthorization};

/// How long a login lasts unless told otherwise, seconds: 30 days, as the platform's do.
const LIFE_S: u32 = 30 * 24 * 60 * 60;
/// The most bytes of a name or a password that are read.
const LINE_BYTES_MAX: u64 = 4096;

/// Log in at a node elsewhere: --host or DYNO_HOST names it
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are what they are")]
pub(in crate::cli) struct Args {
    /// Ask in the terminal, which is all that a node knows; there for those who are used to it
    #[arg(short, long)]
    interactive: bool,
    /// Your name at the node; asked for otherwise
    #[arg(long)]
    email: Option<String>,
    /// Read the password from standard input, its first line
    #[arg(long, requires = "email")]
    password_stdin: bool,
    /// How long the login lasts, seconds
    #[arg(short, long, value_name = "SECONDS", default_value_t = LIFE_S, value_parser = clap::value_parser!(u32).range(1..=i64::from(LIFE_S)))]
    expires_in: u32,
}

/// End the login at a node: its token is worth nothing from then on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LogoutArgs {}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let host = host(context)?;
        let (email, password) = self.credentials()?;
        let body = CreateAuthorization {
            description: Some(format!("dyno login from {}", machine())),
            expires_in: Some(self.expires_in),
            scope: Some(vec!["global".to_owned()]),
        };
        let client = context.client.with_password(&email, &password)?;
        let made: Authorization = client.send_json(Method::POST, "/oauth/authorizations", &body).await?;
        let token = made.access_token.token;
        netrc::keep(&host.authority(), &Login { user: email, password: token })?;
        // Asked with the token: that it is good for something is seen now rather than at the next command.
        let account: Account = context.client.get("/account").await?;
        if context.node.json {
            return output::json(&account);
        }
        output::data(&format!("Logged in as {}\n", account.email))
    }

    fn credentials(&self) -> Result<(String, String), Failure> {
        if let (Some(email), true) = (&self.email, self.password_stdin) {
            let mut text = String::new();
            let mut stdin = std::io::stdin().lock().take(LINE_BYTES_MAX);
            stdin.read_to_string(&mut text).map_err(Failure::local("read the password"))?;
            return Ok((email.clone(), text.lines().next().unwrap_or_default().to_owned()));
        }
        if !tty::stdin_is_terminal() {
            return Err(Failure::Usage(
                "There is no terminal to ask in: give --email and --password-stdin, or put a token in DYNO_API_KEY."
                    .to_owned(),
            ));
        }
        let email = match &self.email {
            Some(email) => email.clone(),
            None => asked("Email: ")?,
        };
        let unseen = Unseen::enter().map_err(Failure::local("set the terminal"))?;
        let password = asked("Password: ")?;
        drop(unseen);
        output::note("\n");
        Ok((email, password))
    }
}

impl LogoutArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let host = host(context)?;
        if netrc::login(&host.authority())?.is_none() {
            return Err(Failure::LoggedOut(host.origin()));
        }
        let ended = context.client.call::<Value>(Method::DELETE, "/oauth/sessions/~").await;
        match ended {
            // A token that the node takes no longer needs no end.
            Ok(_) | Err(Failure::LoggedOut(_)) => {}
            Err(failure) => return Err(failure),
        }
        netrc::forget(&host.authority())?;
        output::note("Logged out\n");
        Ok(())
    }
}

/// The node to log in at.
fn host(context: &Context) -> Result<&Host, Failure> {
    context.node.host.as_ref().ok_or_else(|| {
        Failure::Usage(
            "This machine's own node knows you by your user here: name a node with --host or DYNO_HOST to log in there."
                .to_owned(),
        )
    })
}

/// What this machine calls itself (proc_sys_kernel(5)).
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "a machine without a name".to_owned() } else { name.trim().to_owned() }
}

/// A line of the terminal.
fn asked(question: &str) -> Result<String, Failure> {
    output::note(question);
    let failed = || Failure::local("read the terminal");
    std::io::stderr().flush().map_err(failed())?;
    let mut line = String::new();
    std::io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line).map_err(failed())?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
