//! `dyno config:get`

use crate::cli::app::AppArgs;
use crate::cli::command::config::Vars;
use crate::cli::failure::Failure;
use crate::cli::{Context, output};

/// Show the value of config vars; an empty line for one that is not set
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
        let vars: Vars = context.client.get(&format!("/apps/{app}/config-vars")).await?;
        if context.node.json {
            let wanted: Vars = vars.into_iter().filter(|(name, _)| self.names.contains(name)).collect();
            return output::json(&wanted);
        }
        let value = |name: &String| vars.get(name).cloned().unwrap_or_default() + "\n";
        output::data(&self.names.iter().map(value).collect::<String>())
    }
}
