//! `dyno addons:removed` and `addons:bring-back`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, ruled, shown_app};
use crate::wire::api::{AddOn, BringBack, RemovedAddOn};

/// Show the data of destroyed add-ons that is still kept
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

/// Make an add-on for an app of the data of a destroyed one
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BringBackArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The name that the add-on had, or its identity
    #[arg(value_name = "ADDON")]
    addon: String,
    /// What the app has it as; its config var is NAME_URL
    #[arg(long = "as", value_name = "NAME")]
    attachment: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let all = all(context).await?;
        if context.node.json {
            return output::json(&all);
        }
        if all.is_empty() {
            return output::data("No data of destroyed add-ons is kept.\n");
        }
        let header = ["Add-on", "Plan", "Removed at", "Kept until", "ID"].map(str::to_owned).to_vec();
        let row = |one: &RemovedAddOn| {
            let RemovedAddOn { id, kept_until, name, plan, removed_at } = one.clone();
            vec![name, plan, removed_at, kept_until, id.to_string()]
        };
        output::data(&ruled(&std::iter::once(header).chain(all.iter().map(row)).collect::<Vec<_>>()))
    }
}

impl BringBackArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let is_meant = |one: &&RemovedAddOn| one.name == self.addon || one.id.to_string() == self.addon;
        let all = all(context).await?;
        let found = all.iter().find(is_meant);
        let none =
            || Failure::Nothing(format!("No data of {} is kept: see dyno addons:removed.", self.addon));
        let found = found.ok_or_else(none)?;
        let text = format!("Bringing {} back on {}", found.name, shown_app(&app));
        let path = format!("/node/removed-addons/{}/actions/bring-back", found.id);
        let body = BringBack { app, name: self.attachment };
        let made = context.client.send_json::<AddOn>(Method::POST, &path, &body);
        let made = output::action(&text, made, |made| Some(made.name.clone())).await?;
        if context.node.json { output::json(&made) } else { Ok(()) }
    }
}

async fn all(context: &Context) -> Result<Vec<RemovedAddOn>, Failure> {
    context.client.get("/node/removed-addons").await
}
