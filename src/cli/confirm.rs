//! Whether somebody means it: before what cannot be undone, a name is given or typed once more.

use std::io::BufRead as _;

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::sys::tty;

/// Goes on when `name`, of an app or a pipeline, was given with `--confirm`, or is typed.
pub(super) fn confirmed(name: &str, given: Option<String>, warning: &str) -> Result<(), Failure> {
    let typed = match given {
        Some(given) => given,
        None if tty::stdin_is_terminal() => {
            output::note(&format!(
                " \u{203a}   Warning: {warning}\n \u{203a}   To proceed, type {name} or re-run this command with --confirm {name}\n\n> "
            ));
            let mut typed = String::new();
            std::io::stdin().lock().read_line(&mut typed).map_err(Failure::local("read what you type"))?;
            typed.trim().to_owned()
        }
        None => {
            return Err(Failure::Usage(format!("Nobody can be asked here: confirm with --confirm {name}.")));
        }
    };
    if typed == name { Ok(()) } else { Err(Failure::NotConfirmed { typed, app: name.to_owned() }) }
}
