//! `dyno stack`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, shown_app};
use crate::wire::api::{App, Stack};

/// Show the stacks an app can be built on, and the one it runs on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.app.name()?;
        let app: App = context.client.get(&format!("/apps/{name}")).await?;
        let mut stacks: Vec<Stack> = context.client.get("/stacks").await?;
        stacks.sort_by(|a, b| a.name.cmp(&b.name));
        if context.node.json {
            return output::json(&serde_json::json!({
                "stack": app.stack, "build_stack": app.build_stack, "available": stacks,
            }));
        }
        let names: Vec<_> = stacks.iter().map(|stack| stack.name.as_str()).collect();
        output::data(&rendered(&name, &names, (&app.stack.name, &app.build_stack.name)))
    }
}

/// `used` is the stack the app runs on and the one its next build will use.
fn rendered(app: &str, stacks: &[&str], used: (&str, &str)) -> String {
    let (stack, next) = used;
    let line = |name: &&str| {
        let mark = if *name == stack { '*' } else { ' ' };
        let told = if *name == next && next != stack { " (active on next deploy)" } else { "" };
        format!("{mark} {name}{told}\n")
    };
    heading(&format!("{} Available Stacks", shown_app(app))) + &stacks.iter().map(line).collect::<String>()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_stack_in_use_is_marked() {
        let text = rendered("example", &["cedar-12", "cedar-13", "cedar-14"], ("cedar-13", "cedar-14"));
        insta::assert_snapshot!(text, @r"
        === ⬢ example Available Stacks

          cedar-12
        * cedar-13
          cedar-14 (active on next deploy)
        ");
    }
}
