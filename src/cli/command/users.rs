//! `dyno users`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, columns};
use crate::wire::api::User;

/// Show who may log in to the node
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let users: Vec<User> = context.client.get("/node/users").await?;
        if context.node.json {
            return output::json(&users);
        }
        if users.is_empty() {
            return output::data("There are no users: dyno users:create EMAIL makes one.\n");
        }
        let now = Now::here();
        let row = |user: &User| vec![user.email.clone(), now.ago(&user.created_at)];
        output::data(&columns(&users.iter().map(row).collect::<Vec<_>>()))
    }
}
