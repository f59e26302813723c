//! `dyno metrics`

use http_body_util::BodyExt as _;

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::output;

/// Print what the router has counted, in Prometheus' text format
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let answer = context.client.stream("/metrics").await?;
        let text = answer.collect().await.map_err(Failure::connection("reading the metrics"))?;
        output::bytes(&text.to_bytes())
    }
}
