//! `dyno builds`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, columns, heading, shown_app};
use crate::wire::api::Build;

/// Show the builds of an app, newest first
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Number of builds to show
    #[arg(short, long, default_value_t = 15, value_name = "COUNT")]
    num: usize,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let mut builds: Vec<Build> = context.client.get(&format!("/apps/{app}/builds")).await?;
        builds.sort_by(|a, b| b.created_at.cmp(&a.created_at));
        builds.truncate(self.num);
        if context.node.json {
            output::json(&builds)
        } else {
            output::data(&rendered(&app, &builds, &Now::here()))
        }
    }
}

/// Which build of which app.
#[derive(Debug, clap::Args)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Identity of the build, or its beginning; the newest when left out
    #[arg(value_name = "BUILD")]
    build: Option<String>,
}

impl BuildArgs {
    /// The app, and the build whose identity begins so, or the newest.
    pub(super) async fn find(self, context: &Context) -> Result<(String, Build), Failure> {
        let app = self.app.name()?;
        let builds: Vec<Build> = context.client.get(&format!("/apps/{app}/builds")).await?;
        let Some(named) = self.build else {
            let none = || Failure::Nothing(format!("{} has no builds.", shown_app(&app)));
            let newest = builds.into_iter().next().ok_or_else(none)?;
            return Ok((app, newest));
        };
        let mut found = builds.into_iter().filter(|build| build.id.to_string().starts_with(&named));
        match (found.next(), found.next()) {
            (Some(build), None) => Ok((app, build)),
            (Some(_), Some(_)) => Err(Failure::Usage(format!(
                "Several builds begin with {named}: name one by more of its identity."
            ))),
            (None, _) => {
                Err(Failure::Nothing(format!("Couldn't find the build {named}: see `dyno builds`.")))
            }
        }
    }
}

fn rendered(app: &str, builds: &[Build], now: &Now) -> String {
    if builds.is_empty() {
        return format!("{} has no builds.\n", shown_app(app));
    }
    let row = |build: &Build| {
        let commit: String = build.source_blob.version.iter().flat_map(|v| v.chars().take(8)).collect();
        let id: String = build.id.to_string().chars().take(8).collect();
        vec![id, build.status.clone(), commit, build.user.email.clone(), now.ago(&build.created_at)]
    };
    heading(&format!("{} Builds", shown_app(app))) + &columns(&builds.iter().map(row).collect::<Vec<_>>())
}
