//! `dyno releases:retry`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::releases::newest;
use crate::cli::command::releases_output::follow;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::{CreateRelease, FormationEntry, Release};

/// The process type whose command runs before a release does.
const RELEASE_TYPE: &str = "release";

/// Release the newest slug once more, whose release command has failed
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let last = newest(context, &app).await?;
        let slug = last.as_ref().and_then(|last| Some((last, last.slug.as_ref()?.id)));
        let Some((last, slug)) = slug else {
            return Err(Failure::Usage(format!("Nothing has been deployed to {} yet.", shown_app(&app))));
        };
        let formation: Vec<FormationEntry> = context.client.get(&format!("/apps/{app}/formation")).await?;
        if formation.iter().all(|entry| entry.process_type != RELEASE_TYPE) {
            return Err(Failure::Usage(
                "App must have a release-phase command to use this command.".to_owned(),
            ));
        }
        let body = CreateRelease {
            slug: Some(slug.to_string()),
            description: Some(format!("Retry of v{}: {}", last.version, last.description)),
            ..CreateRelease::default()
        };
        let path = format!("/apps/{app}/releases");
        let made = context.client.send_json(Method::POST, &path, &body);
        let text = format!("Retrying v{} on {}", last.version, shown_app(&app));
        let told = |release: &Release| Some(format!("v{}", release.version));
        let made: Release = output::action(&text, made, told).await?;
        if context.node.json {
            output::json(&made)?;
        }
        follow(context, &app, &made).await
    }
}
