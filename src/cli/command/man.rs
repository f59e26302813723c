//! `dyno man`

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cli::failure::Failure;
use crate::cli::{help, output};
use crate::sys::tty;

/// Show the manual's page of a command, or write all pages into a directory
///
/// In a terminal the page is shown as man shows it, elsewhere printed as it is written: dyno man ps:scale | man -l -
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
            Some(page) => shown(page),
            None => Err(Failure::Usage(format!(
                "There is no command {}: see dyno --help.",
                self.command.unwrap_or_default()
            ))),
        }
    }
}

/// Shows a page with man where there is a terminal and man, and else as it is.
fn shown(page: &[u8]) -> Result<(), Failure> {
    if !tty::stdout_is_terminal() {
        return output::bytes(page);
    }
    let started = Command::new("man").args(["-l", "-"]).stdin(Stdio::piped()).spawn();
    let Ok(mut man) = started else { return output::bytes(page) };
    if let Some(mut stdin) = man.stdin.take() {
        // Whoever leaves before the end has read enough.
        let _read_enough = stdin.write_all(page);
    }
    man.wait().map_err(Failure::local("show the page")).map(drop)
}
