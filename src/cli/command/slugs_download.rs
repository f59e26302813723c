//! `dyno slugs:download`

use std::path::PathBuf;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::releases::named_or_newest;
use crate::cli::download::to_new_file;
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
        output::action(&text, to_new_file(context, &slug.blob.url, &self.output, None), |_| None).await?;
        if context.node.json { output::json(&slug) } else { Ok(()) }
    }
}
