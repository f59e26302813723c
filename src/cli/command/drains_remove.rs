//! `dyno drains:remove`

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::wire::api::LogDrain;

/// Send the log of an app to a place no more
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// The drain's URL, or its token
    #[arg(value_name = "URL|TOKEN")]
    drain: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let drain = utf8_percent_encode(&self.drain, NON_ALPHANUMERIC);
        let path = format!("/apps/{}/log-drains/{drain}", self.app.name()?);
        let removed: LogDrain = context.client.call(Method::DELETE, &path).await?;
        if context.node.json {
            output::json(&removed)
        } else {
            output::data(&format!("Successfully removed drain {}\n", removed.url))
        }
    }
}
