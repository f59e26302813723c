//! `dyno builds:cancel` and `dyno builds:cache:purge`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::builds::named_or_newest;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::Build;

/// End a build before it has made a slug
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Identity of the build, or its beginning; the newest when left out
    #[arg(value_name = "BUILD")]
    build: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let build = named_or_newest(context, &app, self.build.as_deref()).await?;
        let path = format!("/apps/{app}/builds/{}", build.id);
        let text = format!("Cancelling build {} on {}", build.id, shown_app(&app));
        let cancelled = context.client.call::<Build>(Method::DELETE, &path);
        let cancelled = output::action(&text, cancelled, |_| None).await?;
        if context.node.json { output::json(&cancelled) } else { Ok(()) }
    }
}

/// Remove what buildpacks keep from build to build of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PurgeArgs {
    #[command(flatten)]
    app: AppArgs,
}

impl PurgeArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let path = format!("/apps/{app}/build-cache");
        let purged = context.client.call::<serde_json::Value>(Method::DELETE, &path);
        let text = format!("Purging the build cache of {}", shown_app(&app));
        output::action(&text, purged, |_| None).await.map(drop)
    }
}
