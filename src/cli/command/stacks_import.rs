//! `dyno stacks:import`: like `stacks:build` it works on the node's disk itself.

use crate::cli::command::stacks_build::Shown;
use crate::cli::failure::Failure;
use crate::cli::{Context, output};
use crate::domain::StackName;
use crate::stack::{self, Import, Outcome};

/// Make a stack of a root file system or an image; as root
///
/// SOURCE is a tar archive of a root file system, a directory with an OCI image layout, or the name of an image in a registry
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the stack
    #[arg(value_name = "STACK")]
    stack: StackName,
    /// What dynos are to run on
    source: String,
    /// What builds are to see, with compilers and headers; without it they see what dynos do
    #[arg(long, value_name = "SOURCE")]
    build: Option<String>,
    /// Name that buildpacks see in $STACK; without it the stack's own
    #[arg(long, value_name = "NAME")]
    compat: Option<String>,
}

impl Args {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<(), Failure> {
        context.node.must_be_here("stacks:import")?;
        let mut shown = Shown::new();
        let order = Import { name: self.stack, compat: self.compat, run: self.source, build: self.build };
        let imported = stack::import(&order, &context.node.lib_dir(), &mut shown);
        shown.bar.finish_and_clear();
        let (imported, outcome) = imported.map_err(Failure::Stack)?;
        if context.node.json {
            return output::json(&serde_json::json!({
                "name": imported.name.as_str(),
                "version": imported.version,
                "imported": outcome == Outcome::Built,
            }));
        }
        let told = match outcome {
            Outcome::AlreadyBuilt => "is imported already",
            Outcome::Built => "is imported",
        };
        output::data(&format!("Stack {} {told} (version {})\n", imported.name, imported.version))
    }
}
