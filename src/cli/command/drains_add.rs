//! `dyno drains:add`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::wire::api::{CreateLogDrain, LogDrain};

/// Send the log of an app to another place, from now on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Where to: syslog://HOST:PORT, syslog+tls://HOST:PORT, https://[USER:PASSWORD@]HOST/PATH or http://...; with
    /// #insecure at the end any certificate will do
    url: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = format!("/apps/{}/log-drains", self.app.name()?);
        let body = CreateLogDrain { url: self.url };
        let added: LogDrain = context.client.send_json(Method::POST, &path, &body).await?;
        if context.node.json {
            output::json(&added)
        } else {
            output::data(&format!("Successfully added drain {}\n", added.url))
        }
    }
}
