//! `dyno config:unset`

use std::collections::BTreeMap;

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::config::{Vars, newest_release};
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
        let unset = async {
            let path = format!("/apps/{app}/config-vars");
            let vars: Vars = context.client.send_json(Method::PATCH, &path, &body).await?;
            Ok((vars, newest_release(context, &app).await?))
        };
        let (left, _) = output::action(&text, unset, |(_, version)| version.clone()).await?;
        if context.node.json { output::json(&left) } else { Ok(()) }
    }
}
