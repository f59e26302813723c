//! `dyno apps:destroy`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::{self, AppArgs};
use crate::cli::command::git_remote;
use crate::cli::confirm::confirmed;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::App;

/// Destroy an app with everything that belongs to it
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the app
    #[arg(value_name = "APP", conflicts_with = "app")]
    name: Option<String>,
    /// Name of the app once more, instead of being asked for it
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let chosen = AppArgs { app: self.app.app.or(self.name), remote: self.app.remote };
        let name = chosen.name()?;
        // Asked first, so that nobody confirms an app that is not there.
        let found: App = context.client.get(&format!("/apps/{name}")).await?;
        let warning =
            format!("This will delete {}, its releases, its config vars and its log.", shown_app(&name));
        confirmed(&name, self.confirm, &warning)?;
        let path = format!("/apps/{name}");
        let destroyed = context.client.call(Method::DELETE, &path);
        let text = format!("Destroying {} (including all add-ons)", shown_app(&name));
        let destroyed: App = output::action(&text, destroyed, |_| None).await?;
        for (remote, _) in git_remote::remotes_of(&found, &context.node) {
            app::git(&["remote", "remove", &remote])?;
        }
        if context.node.json { output::json(&destroyed) } else { Ok(()) }
    }
}
