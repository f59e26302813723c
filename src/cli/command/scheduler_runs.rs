//! `dyno scheduler:runs`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::scheduler::{fate, job_number};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, columns, heading, seconds_between, shown_app};
use crate::wire::api::JobRun;

/// Show the last runs of a timed job, newest first
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Number of the job
    #[arg(value_name = "JOB")]
    job: String,
    /// Number of runs to show
    #[arg(short, long, default_value_t = 15, value_name = "COUNT")]
    num: usize,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, job) = (self.app.name()?, job_number(&self.job)?);
        let path = format!("/apps/{app}/scheduler/jobs/{job}/runs");
        let mut runs: Vec<JobRun> = context.client.get(&path).await?;
        runs.truncate(self.num);
        if context.node.json {
            return output::json(&runs);
        }
        output::data(&rendered(&app, job, &runs, &Now::here()))
    }
}

fn rendered(app: &str, job: u64, runs: &[JobRun], now: &Now) -> String {
    if runs.is_empty() {
        return format!("Job #{job} of {} has not run yet.\n", shown_app(app));
    }
    let row = |run: &JobRun| {
        let took = run.ended_at.as_ref().and_then(|ended| seconds_between(&run.started_at, ended));
        vec![
            run.dyno.clone().unwrap_or_else(|| "-".to_owned()),
            fate(run),
            took.map(|seconds| format!("{seconds}s")).unwrap_or_default(),
            now.ago(&run.started_at),
        ]
    };
    heading(&format!("{} Runs of job #{job}", shown_app(app)))
        + &columns(&runs.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::cli::command::scheduler::test::run;
    use crate::cli::output::test::now;

    #[test]
    fn runs_are_listed_with_what_became_of_them() {
        let skipped = JobRun { dyno: None, ..run(3, "skipped", None) };
        let runs = [run(5, "running", None), run(4, "ended", Some(1)), skipped, run(2, "lost", None)];
        insta::assert_snapshot!(rendered("example", 2, &runs, &now()), @r"
        === ⬢ example Runs of job #2

        scheduler.1005  running       2026/11/18 01:50:00 +0000 (~ 10m ago)
        scheduler.1004  exit 1   65s  2026/11/18 01:50:00 +0000 (~ 10m ago)
        -               skipped  65s  2026/11/18 01:50:00 +0000 (~ 10m ago)
        scheduler.1002  lost     65s  2026/11/18 01:50:00 +0000 (~ 10m ago)
        ");
        assert_eq!(rendered("example", 2, &[], &now()), "Job #2 of ⬢ example has not run yet.\n");
    }
}
