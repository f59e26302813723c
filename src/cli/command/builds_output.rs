//! `dyno builds:output`, and showing what a build prints.

use crate::cli::Context;
use crate::cli::client::next_chunk;
use crate::cli::command::builds::BuildArgs;
use crate::cli::failure::Failure;
use crate::cli::output;

/// Show what a build prints, or has printed
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    build: BuildArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (_, build) = self.build.find(context).await?;
        show(context, &build.output_stream_url).await
    }
}

/// Shows what is printed at a URL of the node's, to its end. Data of `--json` has standard output for itself.
pub(super) async fn show(context: &Context, url: &str) -> Result<(), Failure> {
    let mut stream = context.client.stream(url).await?;
    while let Some(piece) = next_chunk(&mut stream).await? {
        if context.node.json {
            output::note_bytes(&piece);
        } else {
            output::bytes(&piece)?;
        }
    }
    Ok(())
}
