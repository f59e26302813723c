//! `dyno pg:backups:restore` and `pg:copy`: other contents for a database

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::data_service;
use crate::cli::command::pg::POSTGRES;
use crate::cli::command::pg_backups::{database_path, finish, newest};
use crate::cli::confirm::confirmed;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::wire::api::{CopyDatabase, DataTransfer, RestoreBackup};

/// Put what is in a backup in the place of what is in a database
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RestoreArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the backup, or APP::BACKUP of another app [default: the newest]
    #[arg(value_name = "BACKUP")]
    backup: Option<String>,
    /// Name of the add-on, or what the app has it as [default: DATABASE_URL]
    #[arg(value_name = "DATABASE")]
    database: Option<String>,
    /// Name of the app once more, instead of being asked for it
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
}

/// Put what is in a database in the place of what is in another
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CopyArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The database to read: what the app has it as, or APP::NAME of another app
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The database to write
    #[arg(value_name = "TARGET")]
    target: String,
    /// Name of the app once more, instead of being asked for it
    #[arg(long, value_name = "APP")]
    confirm: Option<String>,
}

impl RestoreArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found = data_service::find(context, &self.app, self.database.as_deref(), POSTGRES).await?;
        let app = self.app.name()?;
        let backup = match self.backup {
            Some(backup) if backup.contains("::") => backup,
            Some(backup) => format!("{app}::{backup}"),
            None => format!("{app}::{}", newest(context, &app).await?.name),
        };
        let warning = format!("This will replace all data in {} by that of {backup}.", found.addon.name);
        confirmed(&app, self.confirm, &warning)?;
        let text = format!("Restoring {backup} to {}", found.name);
        let body = RestoreBackup { backup: Some(backup), backup_url: None };
        let path = database_path(&found, "restores");
        let begun: DataTransfer = context.client.send_json(Method::POST, &path, &body).await?;
        let done = finish(context, (&found.addon.app.name, &text), begun).await?;
        if context.node.json { output::json(&done) } else { Ok(()) }
    }
}

impl CopyArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let target = data_service::find(context, &self.app, Some(&self.target), POSTGRES).await?;
        let source = match self.source.split_once("::") {
            Some((app, name)) => {
                let app = AppArgs { app: Some(app.to_owned()), remote: None };
                data_service::find(context, &app, Some(name), POSTGRES).await?
            }
            None => data_service::find(context, &self.app, Some(&self.source), POSTGRES).await?,
        };
        let warning =
            format!("This will replace all data in {} by that of {}.", target.addon.name, source.addon.name);
        confirmed(&app, self.confirm, &warning)?;
        let body = CopyDatabase {
            from_url: Some(source.addon.id.to_string()),
            from_name: Some(source.name.clone()),
        };
        let path = database_path(&target, "transfers");
        let begun: DataTransfer = context.client.send_json(Method::POST, &path, &body).await?;
        let text = format!("Copying {} to {}", source.name, target.name);
        let done = finish(context, (&target.addon.app.name, &text), begun).await?;
        if context.node.json { output::json(&done) } else { Ok(()) }
    }
}
