//! `dyno pg:backups`, `pg:backups:capture`, `info`, `url`, `download`, `restore`, `verify`, `delete`, `cancel`, `schedule`, `unschedule`,
//! `schedules`, and `pg:copy`

use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::data_service::{self, encoded};
use crate::cli::command::pg::{DatabaseArgs, POSTGRES};
use crate::cli::download::to_new_file;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, megabytes, pairs, ruled, shown_app};
use crate::wire::api::{
    Attachment, BackupSchedule, CopyDatabase, DataTransfer, HourText, PublicUrl, RestoreBackup,
    SetBackupSchedule,
};

/// Between two looks at a transfer that goes on.
const WAIT_PAUSE: Duration = Duration::from_millis(500);
/// What a downloaded backup is called.
const DOWNLOAD: &str = "latest.dump";

/// Show the backups of an app, and what was made from them
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

/// Take a backup of a database, and return when it is whole
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CaptureArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Try it out too: restore it into a container made for it
    #[arg(long)]
    verify: bool,
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

/// Show an address under which a backup can be read for an hour
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UrlArgs {
    #[command(flatten)]
    backup: BackupArgs,
}

/// Copy a backup into a file here
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DownloadArgs {
    #[command(flatten)]
    backup: BackupArgs,
    /// File to write, which must not be there
    #[arg(short, long, value_name = "FILE", default_value = DOWNLOAD)]
    output: PathBuf,
}

/// Try a backup out: restore it into a container made for it
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct VerifyArgs {
    #[command(flatten)]
    backup: BackupArgs,
}

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

/// End a backup, a restore or a copy that goes on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CancelArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Its name [default: all that go on]
    #[arg(value_name = "BACKUP")]
    backup: Option<String>,
}

/// Have a backup of a database taken every day
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ScheduleArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The hour, and the time zone after a space: '02:00 Europe/Berlin'; UTC without one
    #[arg(long, value_name = "HOUR")]
    at: String,
}

/// Have no more backups of a database taken by themselves
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UnscheduleArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Show when backups of an app's databases are taken
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SchedulesArgs {
    #[command(flatten)]
    app: AppArgs,
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

impl BackupArgs {
    /// The app and the backup.
    async fn find(&self, context: &Context) -> Result<(String, DataTransfer), Failure> {
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

impl UrlArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, found) = self.backup.find(context).await?;
        output::data(&format!("{}\n", url(context, &app, &found).await?.url))
    }
}

impl DownloadArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, found) = self.backup.find(context).await?;
        let url = url(context, &app, &found).await?.url;
        let text = format!("Getting {} into {}", found.name, self.output.display());
        let got = to_new_file(context, &url, &self.output, found.digest.as_deref());
        output::action(&text, got, |bytes| Some(megabytes(*bytes))).await.map(drop)
    }
}

impl VerifyArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, found) = self.backup.find(context).await?;
        let tried = verify(context, &app, &found).await?;
        if context.node.json { output::json(&tried) } else { Ok(()) }
    }
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
        data_service::confirmed(&app, self.confirm, &warning)?;
        let text = format!("Restoring {backup} to {}", found.name);
        let body = RestoreBackup { backup: Some(backup), backup_url: None };
        let path = database_path(&found, "restores");
        let begun: DataTransfer = context.client.send_json(Method::POST, &path, &body).await?;
        let done = finish(context, (&found.addon.app.name, &text), begun).await?;
        if context.node.json { output::json(&done) } else { Ok(()) }
    }
}

impl DeleteArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let found: DataTransfer = context.client.get(&transfer_path(&app, &self.backup, "")).await?;
        data_service::confirmed(&app, self.confirm, &format!("This will delete {}.", found.name))?;
        let text = format!("Deleting backup {} on {}", found.name, shown_app(&app));
        let path = transfer_path(&app, &found.name, "");
        let gone = context.client.call::<DataTransfer>(Method::DELETE, &path);
        output::action(&text, gone, |_| None).await.map(drop)
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

impl ScheduleArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found = self.database.find(context).await?;
        let (hour, zone) = time(&self.at)?;
        let text = format!("Scheduling automatic daily backups of {} at {hour:02}:00 {zone}", found.name);
        let body = SetBackupSchedule {
            hour: HourText::Number(hour),
            schedule_name: Some(format!("{}_URL", found.name)),
            timezone: Some(zone),
        };
        let path = database_path(&found, "transfer-schedules");
        let set = context.client.send_json::<BackupSchedule>(Method::POST, &path, &body);
        output::action(&text, set, |_| None).await.map(drop)
    }
}

impl UnscheduleArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found = self.database.find(context).await?;
        let path = database_path(&found, "transfer-schedules");
        let all: Vec<BackupSchedule> = context.client.get(&path).await?;
        if all.is_empty() {
            return Err(Failure::Nothing(format!("No backups of {} are taken by themselves.", found.name)));
        }
        for schedule in all {
            let path = format!("{path}/{}", schedule.uuid);
            let gone = context.client.call::<BackupSchedule>(Method::DELETE, &path);
            let text = format!("Unscheduling {} daily backups", found.name);
            output::action(&text, gone, |_| None).await?;
        }
        Ok(())
    }
}

impl SchedulesArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let mut all: Vec<BackupSchedule> = Vec::new();
        for found in data_service::all(context, &app, POSTGRES).await? {
            let of: Vec<BackupSchedule> =
                context.client.get(&database_path(&found, "transfer-schedules")).await?;
            all.extend(
                of.into_iter().filter(|new| all.iter().all(|old| old.uuid != new.uuid)).collect::<Vec<_>>(),
            );
        }
        if context.node.json {
            return output::json(&all);
        }
        if all.is_empty() {
            return output::data(&format!("No backup schedules found on {}.\n", shown_app(&app)));
        }
        let line =
            |one: &BackupSchedule| format!("{}: daily at {:02}:00 {}\n", one.name, one.hour, one.timezone);
        output::data(&(heading("Backup Schedules") + &all.iter().map(line).collect::<String>()))
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
        data_service::confirmed(&app, self.confirm, &warning)?;
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

fn database_path(of: &Attachment, below: &str) -> String {
    format!("/client/v11/databases/{}/{below}", of.addon.id)
}

fn transfer_path(app: &str, key: &str, below: &str) -> String {
    format!("/client/v11/apps/{app}/transfers/{}{below}", encoded(key))
}

async fn all(context: &Context, app: &str) -> Result<Vec<DataTransfer>, Failure> {
    context.client.get(&format!("/client/v11/apps/{app}/transfers")).await
}

/// The newest backup that is whole.
async fn newest(context: &Context, app: &str) -> Result<DataTransfer, Failure> {
    let all = all(context, app).await?;
    let found = all.into_iter().find(|one| is_backup(one) && one.succeeded == Some(true));
    found.ok_or_else(|| {
        Failure::Nothing(format!("{} has no backups: take one with dyno pg:backups:capture.", shown_app(app)))
    })
}

async fn url(context: &Context, app: &str, of: &DataTransfer) -> Result<PublicUrl, Failure> {
    context.client.call(Method::POST, &transfer_path(app, &of.name, "/actions/public-url")).await
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

/// Waits for the end of a transfer.
async fn finish(
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

fn is_backup(one: &DataTransfer) -> bool {
    one.to_type == "gof3r"
}

/// Hour and time zone of `02:00 Europe/Berlin`.
fn time(text: &str) -> Result<(u8, String), Failure> {
    let (hour, zone) = text.trim().split_once(' ').unwrap_or((text.trim(), "UTC"));
    let parsed = hour.strip_suffix(":00").unwrap_or(hour).parse::<u8>().ok().filter(|hour| *hour < 24);
    let refused =
        || Failure::Usage(format!("{text:?} is no time of a backup: write --at '02:00 Europe/Berlin'."));
    Ok((parsed.ok_or_else(refused)?, zone.trim().to_owned()))
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

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_time_of_day_has_an_hour_and_may_have_a_zone() {
        assert_eq!(time("02:00 Europe/Berlin").unwrap(), (2, "Europe/Berlin".to_owned()));
        assert_eq!(time("4").unwrap(), (4, "UTC".to_owned()));
        for bad in ["", "24:00", "2:30 UTC", "noon"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
