//! `dyno redis`, `redis:cli`, `redis:credentials`, `redis:promote` and `redis:wait`

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::data_service::{self, Kind};
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::{AddOn, Attachment};

/// The service of these commands.
const REDIS: Kind = Kind { service: "heroku-redis", attachment: "REDIS", noun: "heroku-redis store" };
/// Between two looks at a store that is being created.
const WAIT_PAUSE: Duration = Duration::from_secs(1);

/// Which store is meant.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct StoreArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the add-on, or what the app has it as [default: REDIS_URL]
    #[arg(value_name = "DATABASE")]
    store: Option<String>,
}

impl StoreArgs {
    async fn find(&self, context: &Context) -> Result<Attachment, Failure> {
        data_service::find(context, &self.app, self.store.as_deref(), REDIS).await
    }
}

/// Show the Redis stores of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InfoArgs {
    #[command(flatten)]
    store: StoreArgs,
}

/// Open redis-cli in a store, or run what comes on its input; its exit status becomes ours
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CliArgs {
    #[command(flatten)]
    store: StoreArgs,
}

/// Show where a store is, password included
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CredentialsArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Give it another password instead; connections to it end, and its apps restart
    #[arg(long)]
    reset: bool,
}

/// Make a store the app's REDIS_URL; the one it was is kept under another name
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PromoteArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the add-on, or what the app has it as
    #[arg(value_name = "DATABASE")]
    store: String,
}

/// Return when a store answers
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WaitArgs {
    #[command(flatten)]
    store: StoreArgs,
}

impl InfoArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.store.store.is_some() {
            return data_service::inform(context, vec![self.store.find(context).await?]).await;
        }
        let app = self.store.app.name()?;
        let all = data_service::all(context, &app, REDIS).await?;
        if all.is_empty() && !context.node.json {
            return output::data(&format!("{} has no heroku-redis stores.\n", shown_app(&app)));
        }
        data_service::inform(context, all).await
    }
}

impl CliArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let found = self.store.find(context).await?;
        data_service::converse(context, &found, ("client", vec![])).await
    }
}

impl CredentialsArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found = self.store.find(context).await?;
        if self.reset {
            return data_service::rotate(context, &found).await;
        }
        let url = data_service::url(context, &found).await?;
        if context.node.json { output::json(&url) } else { output::data(&format!("{url}\n")) }
    }
}

impl PromoteArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found = data_service::find(context, &self.app, Some(&self.store), REDIS).await?;
        data_service::promote(context, &found, REDIS).await
    }
}

impl WaitArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found = self.store.find(context).await?;
        let path = format!("/addons/{}", found.addon.id);
        while context.client.get::<AddOn>(&path).await?.state != "provisioned" {
            tokio::time::sleep(WAIT_PAUSE).await;
        }
        Ok(())
    }
}
