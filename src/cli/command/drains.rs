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
        if context.node.json {
            return output::json(&drains);
        }
        if drains.is_empty() {
            // Not as data: the platform's tool has none here, which programs may go by.
            output::note(&format!("{} has no drains.\n", shown_app(&app)));
            return Ok(());
        }
        output::data(&rendered(&drains))
    }
}

fn rendered(drains: &[LogDrain]) -> String {
    let lines = drains.iter().map(|drain| format!("{} ({})\n", drain.url, drain.token));
    heading("Drains") + &lines.collect::<String>()
}
