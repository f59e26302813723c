//! `dyno config:unset`

use std::collections::BTreeMap;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::config::{Changed, change};
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};

/// Remove config vars, which makes a release and restarts the app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Names of config vars
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let body: BTreeMap<&str, Option<String>> =
            self.names.iter().map(|name| (name.as_str(), None)).collect();
        let text = format!("Unsetting {} and restarting {}", self.names.join(", "), shown_app(&app));
        let changed = output::action(&text, change(context, &app, &body), Changed::version).await?;
        if context.node.json {
            output::json(&changed.vars)?;
        }
        changed.follow(context, &app).await
    }
}
