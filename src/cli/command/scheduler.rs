//! `dyno scheduler`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, columns, heading, shown_app};
use crate::wire::api::{Job, JobRun};

/// Show the timed jobs of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let jobs: Vec<Job> = context.client.get(&format!("/apps/{app}/scheduler/jobs")).await?;
        if context.node.json {
            output::json(&jobs)
        } else {
            output::data(&rendered(&app, &jobs, &Now::here()))
        }
    }
}

/// A job as it is named: a number, or it with a hash.
pub(super) fn job_number(text: &str) -> Result<u64, Failure> {
    let number = text.strip_prefix('#').unwrap_or(text).parse();
    number.map_err(|_| {
        Failure::Usage(format!("{text:?} is no job: name it by its number, see `dyno scheduler`."))
    })
}

fn rendered(app: &str, jobs: &[Job], now: &Now) -> String {
    if jobs.is_empty() {
        return format!("{} has no scheduled jobs.\n", shown_app(app));
    }
    let row = |job: &Job| {
        let zone = if job.time_zone == "UTC" { String::new() } else { format!(" {}", job.time_zone) };
        let overlap =
            if job.overlap == "allow" { String::new() } else { format!(" ({} overlap)", job.overlap) };
        let next = job.next_run_at.as_ref().map_or("never".to_owned(), |at| now.shown(at));
        let last = job.last_run.as_ref().map_or("never ran".to_owned(), |run| format!("last {}", fate(run)));
        vec![
            format!("#{}", job.id),
            format!("{}{zone}{overlap}", job.schedule),
            job.size.clone(),
            format!("next {next}"),
            last,
            job.command.clone(),
        ]
    };
    heading(&format!("{} Scheduled Jobs", shown_app(app)))
        + &columns(&jobs.iter().map(row).collect::<Vec<_>>())
}

/// What became of a run: `exit 0`, `stopped (143)`, `running`.
pub(super) fn fate(run: &JobRun) -> String {
    match (run.state.as_str(), run.exit_status, &run.reason) {
        ("ended", Some(status), _) => format!("exit {status}"),
        (state, Some(status), _) => format!("{state} ({status})"),
        (state, None, Some(reason)) => format!("{state}: {reason}"),
        (state, None, None) => state.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod test {
    use super::*;
    use crate::cli::output::test::now;
    use crate::wire::api::Named;

    pub(crate) fn run(id: u64, state: &str, exit_status: Option<u8>) -> JobRun {
        JobRun {
            id,
            job: 2,
            dyno: Some(format!("scheduler.{}", 1000 + id)),
            started_at: "2026-11-18T01:50:00Z".to_owned(),
            ended_at: (state != "running").then(|| "2026-11-18T01:51:05Z".to_owned()),
            state: state.to_owned(),
            exit_status,
            reason: None,
        }
    }

    fn job(id: u64, schedule: &str, last_run: Option<JobRun>) -> Job {
        Job {
            id,
            app: Named { id: uuid::Uuid::nil(), name: "example".to_owned() },
            command: "rake mails".to_owned(),
            size: "Standard-1X".to_owned(),
            schedule: schedule.to_owned(),
            time_zone: "UTC".to_owned(),
            overlap: "allow".to_owned(),
            created_at: "2026-11-18T01:00:00Z".to_owned(),
            next_run_at: Some("2026-11-18T02:10:00Z".to_owned()),
            last_run,
        }
    }

    #[test]
    fn jobs_are_listed_with_what_comes_and_what_was() {
        let cron = Job {
            time_zone: "Europe/Berlin".to_owned(),
            overlap: "forbid".to_owned(),
            ..job(10, "0 9 * * 1-5", Some(run(7, "stopped", Some(143))))
        };
        let jobs =
            [job(2, "every 10 minutes", Some(run(3, "ended", Some(0)))), job(9, "daily at 2:30", None), cron];
        insta::assert_snapshot!(rendered("example", &jobs, &now()), @r"
        === ⬢ example Scheduled Jobs

        #2   every 10 minutes                            Standard-1X  next 2026/11/18 02:10:00 +0000  last exit 0         rake mails
        #9   daily at 2:30                               Standard-1X  next 2026/11/18 02:10:00 +0000  never ran           rake mails
        #10  0 9 * * 1-5 Europe/Berlin (forbid overlap)  Standard-1X  next 2026/11/18 02:10:00 +0000  last stopped (143)  rake mails
        ");
        assert_eq!(rendered("example", &[], &now()), "⬢ example has no scheduled jobs.\n");
    }

    #[test]
    fn jobs_are_named_by_number() {
        assert_eq!((job_number("12").unwrap(), job_number("#12").unwrap()), (12, 12));
        assert!(job_number("twelve").is_err());
    }
}
