//! `dyno scheduler:run`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::scheduler::job_number;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::JobRun;

/// Run a timed job now, besides its schedule
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Number of the job
    #[arg(value_name = "JOB")]
    job: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, job) = (self.app.name()?, job_number(&self.job)?);
        let path = format!("/apps/{app}/scheduler/jobs/{job}/actions/run");
        let started = context.client.call(Method::POST, &path);
        let text = format!("Running job #{job} of {}", shown_app(&app));
        let run: JobRun = output::action(&text, started, |run: &JobRun| run.dyno.clone()).await?;
        if context.node.json {
            return output::json(&run);
        }
        if let Some(dyno) = run.dyno {
            output::note(&format!("Run dyno logs --app {app} --dyno-name {dyno} to view the output.\n"));
        }
        Ok(())
    }
}
