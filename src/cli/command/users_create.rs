//! `dyno users:create` and `dyno users:password`

use std::io::Read as _;

use hyper::Method;
use rand::Rng as _;
use rand::distr::Alphanumeric;

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::wire::api::{SetUser, User};

/// Characters of a password that is made up: about 140 bits.
const PASSWORD_CHARS: usize = 24;
/// The most bytes of a password that are read.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Create a user who can log in, with a password that is made up and shown once
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The user's name
    email: String,
    /// Read the password from standard input, its first line
    #[arg(long)]
    password_stdin: bool,
}

/// Give a user another password; the user's tokens are worth nothing from then on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PasswordArgs {
    #[command(flatten)]
    user: Args,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (password, shown) = self.password()?;
        let body = SetUser { email: Some(self.email.clone()), password };
        let created = context.client.send_json(Method::POST, "/node/users", &body);
        let created: User =
            output::action(&format!("Creating user {}", self.email), created, |_| None).await?;
        if context.node.json {
            output::json(&serde_json::json!({ "user": created, "password": shown }))
        } else {
            output::data(&shown.map(|shown| format!("Password: {shown}\n")).unwrap_or_default())
        }
    }

    /// The password, and once more if it must be shown.
    fn password(&self) -> Result<(String, Option<String>), Failure> {
        if !self.password_stdin {
            let made: String =
                rand::rng().sample_iter(Alphanumeric).take(PASSWORD_CHARS).map(char::from).collect();
            return Ok((made.clone(), Some(made)));
        }
        let mut text = String::new();
        let mut stdin = std::io::stdin().lock().take(PASSWORD_BYTES_MAX);
        stdin.read_to_string(&mut text).map_err(Failure::local("read the password"))?;
        Ok((text.lines().next().unwrap_or_default().to_owned(), None))
    }
}

impl PasswordArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (password, shown) = self.user.password()?;
        let path = super::users_destroy::path(&self.user.email);
        let body = SetUser { email: None, password };
        let changed = context.client.send_nothing(Method::PATCH, &path, &body);
        let text = format!("Changing the password of {}", self.user.email);
        output::action(&text, changed, |()| None).await?;
        output::data(&shown.map(|shown| format!("Password: {shown}\n")).unwrap_or_default())
    }
}
