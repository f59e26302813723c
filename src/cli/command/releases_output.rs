//! `dyno releases:output`, and following the command of a release just made.

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::client::next_chunk;
use crate::cli::command::releases::named_or_newest;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::wire::api::Release;

/// Show what the command of a release prints, or has printed
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Version of the release (v3); the newest when left out
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let release = named_or_newest(context, &app, self.release.as_deref()).await?;
        match &release.output_stream_url {
            Some(url) => show(context, url, output::bytes).await,
            None => {
                let version = release.version;
                output::note(&format!(
                    " \u{203a}   Warning: Release v{version} has no release output available.\n"
                ));
                Ok(())
            }
        }
    }
}

/// Shows the output of the command of a release that this call has made, and fails if the command does. Data of `--json`
/// has standard output for itself.
pub(super) async fn follow(context: &Context, app: &str, made: &Release) -> Result<(), Failure> {
    let Some(url) = &made.output_stream_url else { return Ok(()) };
    output::note("Running release command...\n");
    if context.node.json {
        show(context, url, |bytes| {
            output::note_bytes(bytes);
            Ok(())
        })
        .await?;
    } else {
        show(context, url, output::bytes).await?;
    }
    let settled: Release = context.client.get(&format!("/apps/{app}/releases/{}", made.version)).await?;
    match settled.status.as_str() {
        "failed" => Err(Failure::ReleaseCommand { version: settled.version }),
        _ => Ok(()),
    }
}

async fn show(
    context: &Context,
    url: &str,
    write: impl Fn(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut stream = context.client.stream(url).await?;
    while let Some(piece) = next_chunk(&mut stream).await? {
        write(&piece)?;
    }
    Ok(())
}
