//! `dyno man`

use std::path::PathBuf;

use crate::cli::failure::Failure;
use crate::cli::{help, output};

/// Print the manual's page of a command (dyno man ps:scale | man -l -), or write all pages into a directory
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The command; the program itself when left out
    #[arg(conflicts_with = "dir")]
    command: Option<String>,
    /// Write every page into this directory, which must be there
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Args {
    pub(in crate::cli) fn run(self, grammar: &clap::Command) -> Result<(), Failure> {
        let pages = help::pages(grammar).map_err(Failure::local("make the pages of the manual"))?;
        if let Some(dir) = self.dir {
            for (name, page) in pages {
                let path = dir.join(format!("{name}.1"));
                std::fs::write(&path, page).map_err(Failure::local(format!("write {}", path.display())))?;
            }
            return Ok(());
        }
        let name = match &self.command {
            Some(command) => format!("dyno-{}", command.replace(':', "-")),
            None => "dyno".to_owned(),
        };
        match pages.get(&name) {
            Some(page) => output::bytes(page),
            None => Err(Failure::Usage(format!(
                "There is no command {}: see dyno --help.",
                self.command.unwrap_or_default()
            ))),
        }
    }
}
