//! `dyno pg`, `pg:psql`, `ps`, `kill`, `killall`, `diagnose`, `wait`, `promote`, `reset`, `credentials`, `credentials:url` and
//! `credentials:rotate`

use std::process::ExitCode;
use std::time::Duration;

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::data_service::{self, Kind};
use crate::cli::confirm::confirmed;
use crate::cli::failure::Failure;
use crate::cli::output::{self, ruled, shown_app};
use crate::wire::api::{AddOn, Attachment, Credential};

/// The service of these commands.
pub(super) const POSTGRES: Kind =
    Kind { service: "heroku-postgresql", attachment: "DATABASE", noun: "heroku-postgresql database" };
/// Between two looks at a database that is being created, seconds, where no other time is asked for.
const WAIT_INTERVAL_S: u64 = 1;
/// The one credential there is.
const CREDENTIAL: &str = "default";

/// Which database is meant.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DatabaseArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the add-on, or what the app has it as [default: DATABASE_URL]
    #[arg(value_name = "DATABASE")]
    database: Option<String>,
}

impl DatabaseArgs {
    pub(super) async fn find(&self, context: &Context) -> Result<Attachment, Failure> {
        data_service::find(context, &self.app, self.database.as_deref(), POSTGRES).await
    }
}

/// Show the databases of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InfoArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Open psql in a database, or run what is given to it; its exit status becomes ours
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PsqlArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// SQL to run instead
    #[arg(short, long, value_name = "SQL")]
    command: Option<String>,
}

/// Show what runs in a database
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PsArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// End the query of a process of a database
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct KillArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Number of the process, as pg:ps shows it
    #[arg(value_name = "PID")]
    pid: String,
    /// Name of the add-on, or what the app has it as [default: DATABASE_URL]
    #[arg(value_name = "DATABASE")]
    database: Option<String>,
    /// End its connection too
    #[arg(short, long)]
    force: bool,
}

/// End all connections to a database
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct KillallArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Look a database over, and say what to do about what is found
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DiagnoseArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Return when a database answers
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WaitArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_INTERVAL_S)]
    wait_interval: u64,
}

/// Make a database the app's DATABASE_URL; the one it was is kept under another name
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PromoteArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the add-on, or what the app has it as
    #[arg(value_name = "DATABASE")]
    database: String,
}

/// Delete everything in a database
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ResetArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Name of the app once more, instead of being asked for it
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
}

/// Show who may use a database
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CredentialsArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Show where a database is, password included
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CredentialsUrlArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Name of the credential
    #[arg(short, long, value_name = "NAME", default_value = CREDENTIAL)]
    name: String,
}

/// Give a database another password; connections to it end, and its apps restart
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CredentialsRotateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Name of the credential
    #[arg(short, long, value_name = "NAME", default_value = CREDENTIAL)]
    name: String,
    /// Name of the app once more, instead of being asked for it
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
}

impl InfoArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.database.database.is_some() {
            return data_service::inform(context, vec![self.database.find(context).await?]).await;
        }
        let app = self.database.app.name()?;
        let all = data_service::all(context, &app, POSTGRES).await?;
        if all.is_empty() && !context.node.json {
            return output::data(&format!("{} has no heroku-postgresql databases.\n", shown_app(&app)));
        }
        data_service::inform(context, all).await
    }
}

impl PsqlArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let found = self.database.find(context).await?;
        let commands: Vec<_> = self.command.into_iter().collect();
        data_service::converse(context, &found, ("client", commands)).await
    }
}

impl PsArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        data_service::tell(context, &self.database.find(context).await?, ("ps", vec![])).await
    }
}

impl KillArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let found = data_service::find(context, &self.app, self.database.as_deref(), POSTGRES).await?;
        let args = std::iter::once(self.pid).chain(self.force.then(|| "force".to_owned())).collect();
        data_service::tell(context, &found, ("kill", args)).await
    }
}

impl KillallArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        data_service::tell(context, &self.database.find(context).await?, ("killall", vec![])).await
    }
}

impl DiagnoseArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        data_service::tell(context, &self.database.find(context).await?, ("diagnose", vec![])).await
    }
}

impl WaitArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found = self.database.find(context).await?;
        let pause = Duration::from_secs(self.wait_interval.max(1));
        let path = format!("/addons/{}", found.addon.id);
        while context.client.get::<AddOn>(&path).await?.state != "provisioned" {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

impl PromoteArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found = data_service::find(context, &self.app, Some(&self.database), POSTGRES).await?;
        data_service::promote(context, &found, POSTGRES).await
    }
}

impl ResetArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found = self.database.find(context).await?;
        let warning = format!("This will delete all data in {}.", found.addon.name);
        confirmed(&found.app.name, self.confirm, &warning)?;
        let text = format!("Resetting {}", found.addon.name);
        let path = data_service::own_path(&found, "actions/reset");
        let reset = context.client.call::<AddOn>(Method::POST, &path);
        output::action(&text, reset, |_| None).await.map(drop)
    }
}

impl CredentialsArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found = self.database.find(context).await?;
        let path = format!("/postgres/v0/databases/{}/credentials", found.addon.id);
        let all: Vec<Credential> = context.client.get(&path).await?;
        if context.node.json {
            return output::json(&all);
        }
        let head = vec!["Credential".to_owned(), "State".to_owned()];
        let rows = all.into_iter().map(|one| vec![one.name, one.state]);
        output::data(&ruled(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
    }
}

impl CredentialsUrlArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        only_default(&self.name)?;
        let url = data_service::url(context, &self.database.find(context).await?).await?;
        if context.node.json {
            return output::json(&url);
        }
        output::data(&described(&url).unwrap_or_else(|| format!("Connection URL:\n   {url}\n")))
    }
}

impl CredentialsRotateArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        only_default(&self.name)?;
        let found = self.database.find(context).await?;
        let warning = format!("This will end all connections to {}, and restart its apps.", found.addon.name);
        confirmed(&found.app.name, self.confirm, &warning)?;
        data_service::rotate(context, &found).await
    }
}

fn only_default(name: &str) -> Result<(), Failure> {
    if name == CREDENTIAL {
        Ok(())
    } else {
        Err(Failure::Usage(format!("There is no credential {name}: a database has one, {CREDENTIAL}.")))
    }
}

/// The parts of a database's address; none where it is no such address.
fn described(url: &str) -> Option<String> {
    let (user, rest) = url.strip_prefix("postgres://")?.split_once(':')?;
    let (password, rest) = rest.split_once('@')?;
    let (host, database) = rest.split_once('/')?;
    let (host, port) = host.split_once(':')?;
    Some(format!(
        "Connection information for {CREDENTIAL} credential.\nConnection info string:\n            \"dbname={database} host={host} port={port} user={user} password={password}\"\nConnection URL:\n   {url}\n"
    ))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_for_clients_that_want_its_parts() {
        let text = described("postgres://app:pw@addon-1.internal:5432/app").unwrap();
        assert!(
            text.contains("\"dbname=app host=addon-1.internal port=5432 user=app password=pw\""),
            "{text}"
        );
        assert_eq!(described("redis://:pw@h:1"), None);
    }
}
