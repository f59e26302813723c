//! `dyno scheduler:add`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::run::CommandArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::{CreateJob, Job};

/// Have a command run at certain times, each time in a one-off dyno of its own
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    when: When,
    /// Time zone of a cron expression, such as Europe/Berlin; UTC when left out
    #[arg(long, value_name = "ZONE", requires = "cron")]
    zone: Option<String>,
    /// While the last run goes on: allow both, forbid the new one, or replace the old one
    #[arg(long, value_name = "POLICY", value_parser = ["allow", "forbid", "replace"], default_value = "allow")]
    overlap: String,
    /// Size of its dynos
    #[arg(short, long)]
    size: Option<String>,
    #[command(flatten)]
    command: CommandArgs,
}

/// When a job runs: one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct When {
    /// At every full ten minutes
    #[arg(long)]
    every_10_minutes: bool,
    /// Once an hour, at :00, :10, :20, :30, :40 or :50
    #[arg(long, value_name = ":MINUTE")]
    hourly: Option<String>,
    /// Once a day at a full or half hour of UTC, such as 8:30
    #[arg(long, value_name = "TIME")]
    daily: Option<String>,
    /// As a cron expression of five fields says
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
}

impl When {
    fn schedule(self) -> String {
        let Self { every_10_minutes: _, hourly, daily, cron } = self;
        let hourly = hourly.map(|minute| format!("hourly at :{}", minute.trim_start_matches(':')));
        let daily = daily.map(|time| format!("daily at {time}"));
        cron.or(daily).or(hourly).unwrap_or_else(|| "every 10 minutes".to_owned())
    }
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, command) = self.command.resolve(self.app)?;
        let body = CreateJob {
            command,
            schedule: self.when.schedule(),
            time_zone: self.zone,
            overlap: Some(self.overlap),
            size: self.size,
        };
        let path = format!("/apps/{app}/scheduler/jobs");
        let added = context.client.send_json(Method::POST, &path, &body);
        let text = format!("Scheduling {} on {}", body.command, shown_app(&app));
        let told = |job: &Job| Some(format!("#{} {}", job.id, job.schedule));
        let job: Job = output::action(&text, added, told).await?;
        if context.node.json { output::json(&job) } else { Ok(()) }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_flags_say_when() {
        let when = |hourly: Option<&str>, daily: Option<&str>, cron: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            When { every_10_minutes: false, hourly: owned(hourly), daily: owned(daily), cron: owned(cron) }
                .schedule()
        };
        assert_eq!(when(None, None, None), "every 10 minutes");
        assert_eq!(when(Some(":30"), None, None), "hourly at :30");
        assert_eq!(when(Some("30"), None, None), "hourly at :30");
        assert_eq!(when(None, Some("8:30"), None), "daily at 8:30");
        assert_eq!(when(None, None, Some("0 9 * * 1-5")), "0 9 * * 1-5");
    }
}
