//! `dyno ps:stop`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::ps_restart::Scope;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};

/// Stop a dyno, or those of one type; dynos of the formation are started again
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    scope: Scope,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let Some(name) = self.scope.named()? else {
            return Err(Failure::Usage("Name the dyno to stop, such as run.1234: see `dyno ps`.".to_owned()));
        };
        let path = format!("/apps/{app}/dynos/{name}/actions/stop");
        let text = format!("Stopping {} on {}", self.scope.described()?, shown_app(&app));
        let stopped = context.client.call::<serde_json::Value>(Method::POST, &path);
        output::action(&text, stopped, |_| None).await.map(drop)
    }
}
