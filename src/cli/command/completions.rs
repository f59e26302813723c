//! `dyno completions`

use crate::cli::failure::Failure;
use crate::cli::output;

/// Bash breaks words at colons, which stand in most of our names (bash(1), COMP_WORDBREAKS).
const WHOLE_NAMES: &[u8] = b"\nCOMP_WORDBREAKS=${COMP_WORDBREAKS//:}\n";

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
        if self.shell == clap_complete::Shell::Bash {
            script.extend_from_slice(WHOLE_NAMES);
        }
        output::bytes(&script)
    }
}
