//! `dyno builds:cancel` and `dyno builds:cache:purge`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::builds::BuildArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::Build;

/// End a build before it has made a slug
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    build: BuildArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, build) = self.build.find(context).await?;
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
