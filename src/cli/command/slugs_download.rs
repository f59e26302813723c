//! `dyno slugs:download`

use std::path::PathBuf;

use tokio::io::AsyncWriteExt as _;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::client::next_chunk;
use crate::cli::command::releases::named_or_newest;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::Slug;

/// Fetch the built app of a release, as an archive with all of it in ./app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Version of the release (v3); the newest when left out
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
    /// File to write, which must not be there
    #[arg(short, long, value_name = "FILE", default_value = "slug.tgz")]
    output: PathBuf,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let release = named_or_newest(context, &app, self.release.as_deref()).await?;
        let none = || Failure::Nothing(format!("v{} of {} has no slug.", release.version, shown_app(&app)));
        let slug = release.slug.as_ref().ok_or_else(none)?;
        let slug: Slug = context.client.get(&format!("/apps/{app}/slugs/{}", slug.id)).await?;
        let shown = self.output.display().to_string();
        let text = format!("Fetching the slug of v{} of {} to {shown}", release.version, shown_app(&app));
        output::action(&text, fetched(context, &slug.blob.url, &self.output), |_| None).await?;
        if context.node.json { output::json(&slug) } else { Ok(()) }
    }
}

/// Writes what is at a URL of the node's to a new file; half a slug is none.
async fn fetched(context: &Context, url: &str, to: &PathBuf) -> Result<(), Failure> {
    let attempt = || format!("write {}", to.display());
    let mut stream = context.client.stream(url).await?;
    let mut file = tokio::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(to)
        .await
        .map_err(Failure::local(attempt()))?;
    let written = async {
        while let Some(piece) = next_chunk(&mut stream).await? {
            file.write_all(&piece).await.map_err(Failure::local(attempt()))?;
        }
        file.flush().await.map_err(Failure::local(attempt()))
    };
    let written = written.await;
    if written.is_err() {
        // The failure is what is told.
        let _gone = tokio::fs::remove_file(to).await;
    }
    written
}
