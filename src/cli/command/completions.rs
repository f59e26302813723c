//! `dyno completions`

use crate::cli::failure::Failure;
use crate::cli::output;

/// Print completions for a shell; for bash: source <(dyno completions bash)
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

impl Args {
    pub(in crate::cli) fn run(self, mut grammar: clap::Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut grammar, "dyno", &mut script);
        output::bytes(&script)
    }
}
