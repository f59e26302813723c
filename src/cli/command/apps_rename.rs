//! `dyno apps:rename`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::git_remote;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::{App, UpdateApp};

/// Give an app another name
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// The new name
    #[arg(value_name = "NEW_NAME")]
    name: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let old = self.app.name()?;
        // Its URL of today tells which remotes are to follow.
        let before: App = context.client.get(&format!("/apps/{old}")).await?;
        let text = format!("Renaming {} to {}", shown_app(&before.name), self.name);
        let body = UpdateApp { name: Some(self.name), ..UpdateApp::default() };
        let path = format!("/apps/{old}");
        let renamed = context.client.send_json::<App>(Method::PATCH, &path, &body);
        let renamed = output::action(&text, renamed, |_| None).await?;
        for (remote, over) in git_remote::remotes_of(&before, &context.node) {
            let url = git_remote::url(&renamed, over, &context.node)?;
            git_remote::set(&remote, &url, &context.node)?;
            output::note(&format!("Git remote {remote} updated\n"));
        }
        output::note(
            " \u{203a}   Warning: Don't forget to update git remotes for all other local checkouts of the app.\n",
        );
        if context.node.json {
            return output::json(&renamed);
        }
        output::data(&format!("{} | {}\n", renamed.web_url.as_deref().unwrap_or("(no URL)"), renamed.git_url))
    }
}
