//! `dyno drains`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, shown_app};
use crate::wire::api::LogDrain;

/// Show the places an app's log is sent to
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let drains: Vec<LogDrain> = context.client.get(&format!("/apps/{app}/log-drains")).await?;
        if context.node.json { output::json(&drains) } else { output::data(&rendered(&app, &drains)) }
    }
}

fn rendered(app: &str, drains: &[LogDrain]) -> String {
    if drains.is_empty() {
        return format!("{} has no drains.\n", shown_app(app));
    }
    let lines = drains.iter().map(|drain| format!("{} ({})\n", drain.url, drain.token));
    heading("Drains") + &lines.collect::<String>()
}
