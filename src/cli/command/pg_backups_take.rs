//! `dyno pg:backups:capture`, `verify`, `cancel` and `delete`: what becomes of a backup

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::pg::DatabaseArgs;
use crate::cli::command::pg_backups::{BackupArgs, all, database_path, finish, transfer_path};
use crate::cli::confirm::confirmed;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::DataTransfer;

/// Take a backup of a database, and return when it is whole
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CaptureArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Try it out too: restore it into a container made for it
    #[arg(long)]
    verify: bool,
}

/// Try a backup out: restore it into a container made for it
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct VerifyArgs {
    #[command(flatten)]
    backup: BackupArgs,
}

/// End a backup, a restore or a copy that goes on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CancelArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Its name [default: all that go on]
    #[arg(value_name = "BACKUP")]
    backup: Option<String>,
}

/// Delete a backup
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DeleteArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the backup
    #[arg(value_name = "BACKUP")]
    backup: String,
    /// Name of the app once more, instead of being asked for it
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
}

impl CaptureArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found = self.database.find(context).await?;
        let begun: DataTransfer =
            context.client.call(Method::POST, &database_path(&found, "backups")).await?;
        let app = found.addon.app.name.clone();
        let text = format!("Backing up {} to {}", found.name, begun.name);
        let mut done = finish(context, (&app, &text), begun).await?;
        if self.verify {
            done = verify(context, &app, &done).await?;
        }
        if context.node.json { output::json(&done) } else { Ok(()) }
    }
}

impl VerifyArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, found) = self.backup.find(context).await?;
        let tried = verify(context, &app, &found).await?;
        if context.node.json { output::json(&tried) } else { Ok(()) }
    }
}

impl CancelArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let going = match self.backup {
            Some(backup) => {
                vec![context.client.get::<DataTransfer>(&transfer_path(&app, &backup, "")).await?]
            }
            None => all(context, &app).await?.into_iter().filter(|one| one.finished_at.is_none()).collect(),
        };
        if going.is_empty() {
            return Err(Failure::Nothing("Nothing goes on that could be cancelled.".to_owned()));
        }
        for one in going {
            let path = transfer_path(&app, &one.name, "/actions/cancel");
            let cancelled = context.client.call::<DataTransfer>(Method::POST, &path);
            output::action(&format!("Cancelling {}", one.name), cancelled, |_| None).await?;
        }
        Ok(())
    }
}

impl DeleteArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let found: DataTransfer = context.client.get(&transfer_path(&app, &self.backup, "")).await?;
        confirmed(&app, self.confirm, &format!("This will delete {}.", found.name))?;
        let text = format!("Deleting backup {} on {}", found.name, shown_app(&app));
        let path = transfer_path(&app, &found.name, "");
        let gone = context.client.call::<DataTransfer>(Method::DELETE, &path);
        output::action(&text, gone, |_| None).await.map(drop)
    }
}

async fn verify(context: &Context, app: &str, of: &DataTransfer) -> Result<DataTransfer, Failure> {
    let path = transfer_path(app, &of.name, "/actions/verify");
    let tried = async {
        let tried: DataTransfer = context.client.call(Method::POST, &path).await?;
        match &tried.verify_fault {
            Some(fault) => Err(Failure::Nothing(format!("{} cannot be restored from: {fault}", tried.name))),
            None => Ok(tried),
        }
    };
    output::action(&format!("Restoring {} into a container made for it", of.name), tried, |_| None).await
}
