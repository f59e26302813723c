//! `dyno github` and its forms: deploys from a branch of a repository elsewhere.

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, pairs, shown_app};
use crate::wire::api::{Repository, SetRepository, SwitchRepository};

/// Show the branch that an app is deployed from
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let found: Repository = context.client.get(&path(&app)).await?;
        show(context, &found)
    }
}

/// Deploy a branch whenever its host tells of a push to it; prints what to tell the host, the secret this once
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ConnectArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Address of the repository, http or https
    #[arg(long, value_name = "URL")]
    repo: String,
    /// Branch to deploy
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    branch: String,
}

impl ConnectArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let body = SetRepository { url: self.repo, branch: self.branch };
        let path = path(&app);
        let made = context.client.send_json::<Repository>(Method::PUT, &path, &body);
        let made = output::action(&format!("Connecting {}", shown_app(&app)), made, |_| None).await?;
        show(context, &made)
    }
}

/// Deploy no more pushes elsewhere, and forget the branch
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DisconnectArgs {
    #[command(flatten)]
    app: AppArgs,
}

impl DisconnectArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let path = path(&app);
        let gone = context.client.call::<Repository>(Method::DELETE, &path);
        output::action(&format!("Disconnecting {}", shown_app(&app)), gone, |_| None).await.map(drop)
    }
}

/// Switch automatic deploys of the branch on or off
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DeploysArgs {
    #[command(flatten)]
    app: AppArgs,
    /// What to do with pushes from now on
    #[arg(value_enum)]
    switch: Switch,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Switch {
    /// Deploy them
    Enable,
    /// Leave them
    Disable,
}

impl DeploysArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let (text, auto_deploy) = match self.switch {
            Switch::Enable => ("Enabling automatic deploys of", true),
            Switch::Disable => ("Disabling automatic deploys of", false),
        };
        let (path, body) = (path(&app), SwitchRepository { auto_deploy });
        let switched = context.client.send_json::<Repository>(Method::PATCH, &path, &body);
        let switched = output::action(&format!("{text} {}", shown_app(&app)), switched, |_| None).await?;
        if context.node.json { output::json(&switched) } else { Ok(()) }
    }
}

fn path(app: &str) -> String {
    format!("/apps/{app}/repository")
}

fn show(context: &Context, found: &Repository) -> Result<(), Failure> {
    if context.node.json { output::json(found) } else { output::data(&rendered(found)) }
}

fn rendered(found: &Repository) -> String {
    let empty = String::new();
    let deploys = if found.auto_deploy { "enabled" } else { "disabled" };
    let now = if found.pending { "A deploy is under way." } else { "" };
    let rows = [
        ("Automatic deploys", deploys),
        ("Branch", found.branch.as_str()),
        ("Commit", found.commit.as_ref().unwrap_or(&empty)),
        ("Last deploy", found.outcome.as_ref().unwrap_or(&empty)),
        ("Now", now),
        ("Repository", &found.url),
        ("Secret", found.secret.as_ref().unwrap_or(&empty)),
        ("Webhook URL", &found.webhook_url),
    ];
    heading(&shown_app(&found.app.name)) + &pairs(rows.into_iter().filter(|(_, value)| !value.is_empty()))
}
