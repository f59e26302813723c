//! `dyno stacks`

use crate::cli::failure::Failure;
use crate::cli::{Context, output};
use crate::wire::api::Stack;

/// Show the stacks of the node
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut stacks: Vec<Stack> = context.client.get("/stacks").await?;
        stacks.sort_by(|a, b| a.name.cmp(&b.name));
        if context.node.json {
            return output::json(&stacks);
        }
        if stacks.is_empty() {
            return output::data("The node has no stacks.\n");
        }
        let line =
            |stack: &Stack| format!("{}{}\n", stack.name, if stack.default { " (default)" } else { "" });
        output::data(&stacks.iter().map(line).collect::<String>())
    }
}
