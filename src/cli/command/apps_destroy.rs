//! `dyno apps:destroy`

use std::io::BufRead as _;

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::{self, AppArgs};
use crate::cli::command::git_remote;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::sys::tty;
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
        let typed = match self.confirm {
            Some(confirm) => confirm,
            None => ask(&name)?,
        };
        if typed != name {
            return Err(Failure::NotConfirmed { typed, app: name });
        }
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

fn ask(app: &str) -> Result<String, Failure> {
    if !tty::stdin_is_terminal() {
        return Err(Failure::Usage(format!("Nobody can be asked here: confirm with --confirm {app}.")));
    }
    output::note(&format!(
        " \u{203a}   Warning: This will delete {}, its releases, its config vars and its log.\n \
         \u{203a}   To proceed, type {app} or re-run this command with --confirm {app}\n\n> ",
        shown_app(app)
    ));
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed).map_err(Failure::local("read what you type"))?;
    Ok(typed.trim().to_owned())
}
