//! `dyno maintenance`, `maintenance:on` and `maintenance:off`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::domain::Switch;
use crate::wire::api::{App, UpdateApp};

/// Show whether an app's visitors get the maintenance page
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

/// Show an app's visitors the maintenance page; its dynos go on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct OnArgs {
    #[command(flatten)]
    app: AppArgs,
}

/// Let an app's visitors through again
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct OffArgs {
    #[command(flatten)]
    app: AppArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app: App = context.client.get(&format!("/apps/{}", self.app.name()?)).await?;
        if context.node.json {
            return output::json(&serde_json::json!({ "maintenance": app.maintenance }));
        }
        output::data(if app.maintenance { "on\n" } else { "off\n" })
    }
}

impl OnArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        set(context, &self.app, Switch::On).await
    }
}

impl OffArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        set(context, &self.app, Switch::Off).await
    }
}

async fn set(context: &Context, app: &AppArgs, to: Switch) -> Result<(), Failure> {
    let app = app.name()?;
    let doing = match to {
        Switch::On => "Enabling",
        Switch::Off => "Disabling",
    };
    let text = format!("{doing} maintenance mode for {}", shown_app(&app));
    let body = UpdateApp { maintenance: Some(to == Switch::On), ..UpdateApp::default() };
    let path = format!("/apps/{app}");
    let changed = context.client.send_json::<App>(Method::PATCH, &path, &body);
    let changed = output::action(&text, changed, |_| None).await?;
    if context.node.json { output::json(&changed) } else { Ok(()) }
}
