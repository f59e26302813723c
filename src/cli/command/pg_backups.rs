//! `dyno pg:backups` and `pg:backups:info`, and what the commands beside them share: finding transfers and waiting for them.

use std::time::Duration;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::data_service::encoded;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, megabytes, pairs, ruled, shown_app};
use crate::wire::api::{Attachment, DataTransfer};

/// Between two looks at a transfer that goes on.
const WAIT_PAUSE: Duration = Duration::from_millis(500);

/// Show the backups of an app, and what was made from them
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

/// Which backup is meant.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BackupArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the backup, such as b001 [default: the newest]
    #[arg(value_name = "BACKUP")]
    backup: Option<String>,
}

/// Show a backup
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InfoArgs {
    #[command(flatten)]
    backup: BackupArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let all = all(context, &app).await?;
        if context.node.json {
            return output::json(&all);
        }
        output::data(&listed(&all, &app))
    }
}

impl BackupArgs {
    /// The app and the backup.
    pub(super) async fn find(&self, context: &Context) -> Result<(String, DataTransfer), Failure> {
        let app = self.app.name()?;
        let found = match &self.backup {
            Some(backup) => context.client.get(&transfer_path(&app, backup, "")).await?,
            None => newest(context, &app).await?,
        };
        Ok((app, found))
    }
}

impl InfoArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (_, found) = self.backup.find(context).await?;
        if context.node.json { output::json(&found) } else { output::data(&described(&found)) }
    }
}

pub(super) fn database_path(of: &Attachment, below: &str) -> String {
    format!("/client/v11/databases/{}/{below}", of.addon.id)
}

/// Waits for the end of a transfer.
pub(super) async fn finish(
    context: &Context,
    (app, text): (&str, &str),
    begun: DataTransfer,
) -> Result<DataTransfer, Failure> {
    let waiting = async {
        loop {
            let now: DataTransfer = context.client.get(&transfer_path(app, &begun.name, "")).await?;
            match now.succeeded {
                Some(true) => return Ok(now),
                Some(false) => {
                    let why = now.logs.last().map_or("it was cancelled", |line| line.message.as_str());
                    return Err(Failure::Nothing(format!("{} failed: {why}", now.name)));
                }
                None => tokio::time::sleep(WAIT_PAUSE).await,
            }
        }
    };
    output::action(text, waiting, |done| Some(megabytes(done.processed_bytes))).await
}

pub(super) fn transfer_path(app: &str, key: &str, below: &str) -> String {
    format!("/client/v11/apps/{app}/transfers/{}{below}", encoded(key))
}

pub(super) async fn all(context: &Context, app: &str) -> Result<Vec<DataTransfer>, Failure> {
    context.client.get(&format!("/client/v11/apps/{app}/transfers")).await
}

/// The newest backup that is whole.
pub(super) async fn newest(context: &Context, app: &str) -> Result<DataTransfer, Failure> {
    let all = all(context, app).await?;
    let found = all.into_iter().find(|one| is_backup(one) && one.succeeded == Some(true));
    found.ok_or_else(|| {
        Failure::Nothing(format!("{} has no backups: take one with dyno pg:backups:capture.", shown_app(app)))
    })
}

fn is_backup(one: &DataTransfer) -> bool {
    one.to_type == "gof3r"
}

fn status(one: &DataTransfer) -> String {
    match (&one.finished_at, one.succeeded) {
        (_, None) => format!("Running (processed {})", megabytes(one.processed_bytes)),
        (Some(at), Some(true)) => format!("Completed {at}"),
        _ if one.canceled_at.is_some() => "Cancelled".to_owned(),
        (at, Some(_)) => format!("Failed {}", at.as_deref().unwrap_or_default()),
    }
}

fn verified(one: &DataTransfer) -> &'static str {
    match (&one.verified_at, &one.verify_fault) {
        (None, _) => "",
        (Some(_), None) => "restored",
        (Some(_), Some(_)) => "broken",
    }
}

fn listed(all: &[DataTransfer], app: &str) -> String {
    let section = |title: &str, none: &str, header: &[&str], rows: Vec<Vec<String>>| {
        let body = if rows.is_empty() {
            format!("{none}\n")
        } else {
            let header = header.iter().map(|&text| text.to_owned()).collect();
            ruled(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
        };
        heading(title) + &body
    };
    let backups = all.iter().filter(|one| is_backup(one)).map(|one| {
        let size = megabytes(one.processed_bytes);
        vec![
            one.name.clone(),
            one.created_at.clone(),
            status(one),
            size,
            one.from_name.clone(),
            verified(one).to_owned(),
        ]
    });
    let others = |is_copy: bool| {
        let rows = all.iter().filter(move |one| !is_backup(one) && (one.from_type == "pg_dump") == is_copy);
        let row = |one: &DataTransfer| {
            vec![
                one.name.clone(),
                one.created_at.clone(),
                status(one),
                one.from_name.clone(),
                one.to_name.clone(),
            ]
        };
        rows.map(row).collect::<Vec<_>>()
    };
    let how = "No backups. Capture one with dyno pg:backups:capture.";
    let first = section(
        "Backups",
        how,
        &["ID", "Created at", "Status", "Size", "Database", "Verified"],
        backups.collect(),
    );
    let header = ["ID", "Started at", "Status", "From", "To"];
    let app = shown_app(app);
    let restores = section("Restores", &format!("No restores found on {app}."), &header, others(false));
    let copies = section("Copies", &format!("No copies found on {app}."), &header, others(true));
    [first, restores, copies].join("\n")
}

fn described(one: &DataTransfer) -> String {
    let size = megabytes(one.processed_bytes);
    let (status, fault) = (status(one), one.verify_fault.clone().unwrap_or_default());
    let why = one.logs.last().map(|line| line.message.clone()).unwrap_or_default();
    let told = [
        ("Database", one.from_name.as_str()),
        ("Started at", one.started_at.as_str()),
        ("Finished at", one.finished_at.as_deref().unwrap_or_default()),
        ("Status", status.as_str()),
        ("Backup Size", size.as_str()),
        ("SHA-256", one.digest.as_deref().unwrap_or_default()),
        ("Verified at", one.verified_at.as_deref().unwrap_or_default()),
        ("Cannot be restored", fault.as_str()),
        ("Failed because", why.as_str()),
    ];
    heading(&format!("Backup {}", one.name)) + &pairs(told.into_iter().filter(|(_, text)| !text.is_empty()))
}
