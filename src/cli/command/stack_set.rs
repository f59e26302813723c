//! `dyno stack:set`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::{App, UpdateApp};

/// Choose the stack of the next builds
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the stack: see `dyno stacks`
    stack: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.app.name()?;
        let body = UpdateApp { build_stack: Some(self.stack.clone()), ..UpdateApp::default() };
        let path = format!("/apps/{name}");
        let set = context.client.send_json(Method::PATCH, &path, &body);
        let app: App = output::action(&format!("Setting stack to {}", self.stack), set, |_| None).await?;
        if context.node.json {
            return output::json(&app);
        }
        if app.stack.name != app.build_stack.name {
            output::note(&format!(
                "You will need to redeploy {shown} for the change to take effect.\n\
                 Run git push heroku main to trigger a new build on {shown}.\n",
                shown = shown_app(&name)
            ));
        }
        Ok(())
    }
}
