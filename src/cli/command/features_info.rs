//! `dyno features:info`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::features_set::path;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, pairs};
use crate::wire::api::AppFeature;

/// Show what a feature does, and whether an app has it
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// The feature, such as preboot
    #[arg(value_name = "FEATURE")]
    feature: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let feature: AppFeature = context.client.get(&path(&self.app.name()?, &self.feature)?).await?;
        if context.node.json {
            return output::json(&feature);
        }
        let enabled = feature.enabled.to_string();
        let rows = [("Description", feature.description.as_str()), ("Enabled", &enabled)];
        output::data(&(heading(&feature.name) + &pairs(rows)))
    }
}
