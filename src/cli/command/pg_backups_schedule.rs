//! `dyno pg:backups:schedule`, `unschedule` and `schedules`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::data_service;
use crate::cli::command::pg::{DatabaseArgs, POSTGRES};
use crate::cli::command::pg_backups::database_path;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, shown_app};
use crate::wire::api::{BackupSchedule, HourText, SetBackupSchedule};

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

/// Hour and time zone of `02:00 Europe/Berlin`.
fn time(text: &str) -> Result<(u8, String), Failure> {
    let (hour, zone) = text.trim().split_once(' ').unwrap_or((text.trim(), "UTC"));
    let parsed = hour.strip_suffix(":00").unwrap_or(hour).parse::<u8>().ok().filter(|hour| *hour < 24);
    let refused =
        || Failure::Usage(format!("{text:?} is no time of a backup: write --at '02:00 Europe/Berlin'."));
    Ok((parsed.ok_or_else(refused)?, zone.trim().to_owned()))
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
