//! `dyno apps`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading};
use crate::wire::api::App;

/// List the apps of the node
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut apps: Vec<App> = context.client.get_all("/apps").await?;
        apps.sort_by(|a, b| a.name.cmp(&b.name));
        if context.node.json { output::json(&apps) } else { output::data(&rendered(&apps)) }
    }
}

fn rendered(apps: &[App]) -> String {
    let Some(first) = apps.first() else {
        return "You have no apps.\n".to_owned();
    };
    let mut text = heading(&format!("{} Apps", first.owner.email));
    for app in apps {
        text.push_str(&app.name);
        text.push('\n');
    }
    text
}
