//! `dyno run:detached`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::run::{CommandArgs, DynoArgs};
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::{CreateDyno, Dyno};

/// Run a command in a one-off dyno whose output goes to the log
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    dyno: DynoArgs,
    #[command(flatten)]
    command: CommandArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, command) = self.command.resolve(self.app)?;
        let request = CreateDyno { attach: Some(false), ..self.dyno.request(command.clone())? };
        let path = format!("/apps/{app}/dynos");
        let created = context.client.send_json(Method::POST, &path, &request);
        let text = format!("Running {command} on {}", shown_app(&app));
        let dyno: Dyno = output::action(&text, created, |dyno: &Dyno| Some(dyno.name.clone())).await?;
        if context.node.json {
            return output::json(&dyno);
        }
        output::note(&format!("Run dyno logs --app {app} --dyno-name {} to view the output.\n", dyno.name));
        Ok(())
    }
}
