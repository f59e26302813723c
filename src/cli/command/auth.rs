//! `dyno auth:whoami` and `dyno auth:token`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::wire::api::Account;

/// Show as whom the node sees you
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WhoamiArgs {}

/// Show the node's own token, which administers it over TCP; or yours, for a node elsewhere
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TokenArgs {}

impl WhoamiArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let account: Account = context.client.get("/account").await?;
        if context.node.json { output::json(&account) } else { output::data(&format!("{}\n", account.email)) }
    }
}

impl TokenArgs {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<(), Failure> {
        let token = token(context)?;
        if context.node.json {
            output::json(&serde_json::json!({ "token": token }))
        } else {
            output::data(&format!("{token}\n"))
        }
    }
}

/// The token with which this user's programs come over TCP: the node's own on its machine, the one of the login elsewhere.
pub(super) fn token(context: &Context) -> Result<String, Failure> {
    if let Some(host) = &context.node.host {
        return host.token();
    }
    let path = context.node.lib_dir().join("token");
    let attempt = format!("read the node's token in {} (are you root?)", path.display());
    Ok(std::fs::read_to_string(path).map_err(Failure::local(attempt))?.trim().to_owned())
}
