//! `dyno buildpacks:clear`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::config::Vars;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::{BuildpackInstallation, UpdateBuildpacks};

/// Config vars that name a buildpack where none is set.
const VARIABLES: [&str; 2] = ["BUILDPACK_URL", "LANGUAGE_PACK_URL"];

/// Remove all buildpacks of an app; the next build finds one by itself
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let path = format!("/apps/{app}/buildpack-installations");
        let none = UpdateBuildpacks::default();
        let list: Vec<BuildpackInstallation> = context.client.send_json(Method::PUT, &path, &none).await?;
        if context.node.json {
            return output::json(&list);
        }
        let vars: Vars = context.client.get(&format!("/apps/{app}/config-vars")).await?;
        let name = VARIABLES.iter().find(|name| vars.contains_key(**name));
        output::data(&match name {
            Some(name) => format!("Buildpacks cleared. The config var {name} still names one.\n"),
            None => format!(
                "Buildpacks cleared. Next release on {} will detect buildpacks normally.\n",
                shown_app(&app)
            ),
        })
    }
}
