//! `dyno scheduler:remove`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::scheduler::job_number;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};

/// Remove a timed job and the record of its runs; a run that goes on goes on
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
        let path = format!("/apps/{app}/scheduler/jobs/{job}");
        let removed = context.client.call::<serde_json::Value>(Method::DELETE, &path);
        let text = format!("Removing job #{job} of {}", shown_app(&app));
        let removed = output::action(&text, removed, |_| None).await?;
        if context.node.json { output::json(&removed) } else { Ok(()) }
    }
}
