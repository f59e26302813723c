//! `dyno create`

use hyper::Method;

use crate::cli::command::git_remote::{self, Over};
use crate::cli::failure::Failure;
use crate::cli::node::NodeArgs;
use crate::cli::output::{self, shown_app};
use crate::cli::{Context, app};
use crate::wire::api::{App, CreateApp};

/// Create an app, and a git remote for it when run in a repository
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are what they are")]
pub(in crate::cli) struct Args {
    /// Name of the app: 3 to 30 of a-z, 0-9 and dashes; one is chosen when it is left out
    #[arg(value_name = "APP")]
    name: Option<String>,
    /// Name of the app, as a flag
    #[arg(short, long, value_name = "APP", conflicts_with = "name")]
    app: Option<String>,
    /// The stack to build it on
    #[arg(short, long)]
    stack: Option<String>,
    /// Git remote to make
    #[arg(short, long, value_name = "REMOTE", default_value = app::REMOTE, conflicts_with = "no_remote")]
    remote: String,
    /// Have the git remote push over SSH, with a key that keys:add has added
    #[arg(long, conflicts_with = "no_remote")]
    ssh_git: bool,
    /// Make no git remote
    #[arg(short, long)]
    no_remote: bool,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.name.or(self.app);
        let text = format!("Creating {}", name.as_deref().map_or_else(|| "app".to_owned(), shown_app));
        let body = CreateApp { name: name.clone(), stack: self.stack.clone(), region: None };
        let created = context.client.send_json(Method::POST, "/apps", &body);
        let told = |created: &App| {
            let named = name.is_none().then(|| shown_app(&created.name));
            let stack = self.stack.as_ref().map(|stack| format!("stack is {stack}"));
            let told: Vec<_> = named.into_iter().chain(stack).collect();
            (!told.is_empty()).then(|| told.join(", "))
        };
        let created = output::action(&text, created, told).await?;
        if !self.no_remote && app::in_repository() {
            if app::remotes().iter().any(|(name, _)| *name == self.remote) {
                let (remote, app) = (&self.remote, &created.name);
                output::note(&format!(
                    "The git remote {remote} stays as it is; dyno git:remote -a {app} -r {remote} points it here.\n"
                ));
            } else {
                let url = git_remote::url(&created, self.ssh_git.into(), &context.node)?;
                git_remote::set(&self.remote, &url, &context.node)?;
            }
        }
        if context.node.json {
            output::json(&created)
        } else {
            output::data(&rendered(&created, &context.node)?)
        }
    }
}

fn rendered(app: &App, node: &NodeArgs) -> Result<String, Failure> {
    let git_url = git_remote::url(app, Over::Http, node)?;
    Ok(format!("{} | {git_url}\n", app.web_url.as_deref().unwrap_or_default()))
}
