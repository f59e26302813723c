//! `dyno users:destroy`

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::wire::api::User;

/// Remove a user, with tokens and shares; apps must be transferred first
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The user's name
    email: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = path(&self.email);
        let removed = context.client.call::<User>(Method::DELETE, &path);
        let removed = output::action(&format!("Removing user {}", self.email), removed, |_| None).await?;
        if context.node.json { output::json(&removed) } else { Ok(()) }
    }
}

/// The path of a user.
pub(super) fn path(email: &str) -> String {
    format!("/node/users/{}", utf8_percent_encode(email, NON_ALPHANUMERIC))
}
