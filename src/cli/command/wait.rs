//! `dyno wait`

use std::time::Duration;

use serde::de::IgnoredAny;
use tokio::time::{Instant, sleep};

use crate::cli::Context;
use crate::cli::failure::Failure;

/// Pause between two looks whether the node answers.
const PAUSE: Duration = Duration::from_millis(50);

/// Wait until the node answers
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// How long to wait at most, seconds; 0 looks once
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u32,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_secs(self.timeout.into());
        loop {
            match context.client.get::<IgnoredAny>("/stacks").await {
                Ok(_) => return Ok(()),
                // The socket appears before the node answers, and a node that ends may cut an answer off.
                Err(Failure::NodeDown(_) | Failure::Connection { .. }) if Instant::now() < until => {
                    sleep(PAUSE).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}
