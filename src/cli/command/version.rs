//! `dyno version`

use crate::cli::failure::Failure;
use crate::cli::{Context, output};

/// Show the version of this program
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

impl Args {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<(), Failure> {
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        if context.node.json {
            return output::json(
                &serde_json::json!({ "name": name, "version": version, "platform": platform }),
            );
        }
        output::data(&format!("{name}/{version} {platform}\n"))
    }
}
