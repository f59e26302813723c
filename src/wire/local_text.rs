//! What `dyno local` shows: the lines of all processes as one stream, and notes about what becomes of them.

use std::fmt;

use crate::domain::{Bytes, DynoName};

/// What a note tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// All is as it should be.
    Okay,
    /// Something is not as one might think.
    Warn,
    /// It goes to its end.
    Done,
}

/// Whether colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// A person looks at a terminal.
    On,
    /// Plain text.
    Off,
}

/// The colours of processes, in turn, by their codes (ECMA-48): none that is hard to read on black or on white.
const PALETTE: [u8; 6] = [36, 33, 32, 35, 34, 31];

impl Note {
    fn word(self) -> &'static str {
        match self {
            Self::Okay => "OKAY",
            Self::Warn => "WARN",
            Self::Done => "DONE",
        }
    }

    fn colour(self) -> u8 {
        match self {
            Self::Okay | Self::Done => 32,
            Self::Warn => 33,
        }
    }
}

/// `[OKAY] text`, with its line end.
#[must_use]
pub fn note(kind: Note, text: &str, colours: Colours) -> String {
    format!("{} {text}\n", painted(&format!("[{}]", kind.word()), kind.colour(), colours))
}

/// What stands before a process's lines: the time and its name, as wide as the longest name. `place` is the process's place among
/// all, which gives the colour.
#[must_use]
pub fn prefix(time: &str, (name, width): (&DynoName, usize), place: usize, colours: Colours) -> String {
    let text = format!("{time} {:width$} |", name.to_string());
    painted(&text, PALETTE[place % PALETTE.len()], colours) + " "
}

fn painted(text: &str, colour: u8, colours: Colours) -> String {
    match colours {
        Colours::On => format!("\x1b[{colour}m{text}\x1b[0m"),
        Colours::Off => text.to_owned(),
    }
}

/// How a process ended, as a line of its own.
#[must_use]
pub fn ended(status: u8, out_of_memory: Option<Bytes>) -> String {
    match out_of_memory {
        Some(limit) => {
            format!("Ended for want of memory: a dyno of this size has {} MB", limit.0 / Bytes::mib(1).0)
        }
        None => format!("Exited with status {status}"),
    }
}

/// The variables that a file sets.
#[must_use]
pub fn loaded(file: &str, count: usize) -> String {
    match count {
        1 => format!("1 variable of {file}"),
        count => format!("{count} variables of {file}"),
    }
}

/// There is no file of variables.
#[must_use]
pub fn no_file(file: &str) -> String {
    format!("There is no {file}: the processes get no variables of their own")
}

/// Lines of a file that say nothing known; what they say is nobody's business.
#[must_use]
pub fn ignored_lines(file: &str, lines: &[usize]) -> String {
    let numbers: Vec<String> = lines.iter().map(ToString::to_string).collect();
    format!("{file} sets nothing in these lines: {}", numbers.join(", "))
}

/// A process answers on its port.
#[must_use]
pub fn answers(name: &DynoName, port: u16) -> String {
    format!("{name} answers at http://localhost:{port}/")
}

/// A port of this machine is somebody else's.
#[must_use]
pub fn port_in_use(name: &DynoName, port: u16, reason: &dyn fmt::Display) -> String {
    format!("{name} cannot be reached from outside: port {port} of this machine cannot be had ({reason})")
}

/// Nothing has changed since the app was built.
#[must_use]
pub fn built_before(buildpacks: &[String]) -> String {
    format!("Nothing has changed since the last build ({})", buildpacks.join(", "))
}

/// The directory is run without a build.
pub const NO_BUILD: &str = "Without a build: what the stack and the directory have is all there is";

/// The directory's file system cannot show files as another user's.
pub const COPIED: &str = "The file system of this directory cannot be shared with a container: the processes run on a copy, and see \
                          changes after the next start";

/// All go since one has gone.
pub const STOPPING_ONE_ENDED: &str = "Stopping the others, since one has ended";

/// All go since the user wants it.
pub const STOPPING_ASKED: &str = "Stopping all processes (again to kill them)";

/// Those that do not go are made to.
pub const KILLING: &str = "Killing what is left";

#[cfg(test)]
mod test {
    use super::*;

    fn name(text: &str) -> DynoName {
        text.parse().unwrap()
    }

    #[test]
    fn lines_are_merged_in_columns() {
        let line =
            |dyno: &str, place, colours| prefix("12:00:01", (&name(dyno), 8), place, colours) + "text\n";
        let shown = [
            note(Note::Okay, &loaded(".env", 2), Colours::Off),
            note(Note::Warn, &no_file(".env"), Colours::Off),
            note(Note::Warn, &ignored_lines(".env", &[3, 7]), Colours::Off),
            line("web.1", 0, Colours::Off),
            line("worker.1", 1, Colours::Off),
            prefix("12:00:01", (&name("web.1"), 8), 0, Colours::Off) + &ended(3, None) + "\n",
            prefix("12:00:01", (&name("web.1"), 8), 0, Colours::Off)
                + &ended(137, Some(Bytes::mib(1024)))
                + "\n",
            note(Note::Okay, &answers(&name("web.1"), 5000), Colours::Off),
            note(Note::Done, STOPPING_ONE_ENDED, Colours::Off),
        ];
        insta::assert_snapshot!(shown.concat(), @r"
        [OKAY] 2 variables of .env
        [WARN] There is no .env: the processes get no variables of their own
        [WARN] .env sets nothing in these lines: 3, 7
        12:00:01 web.1    | text
        12:00:01 worker.1 | text
        12:00:01 web.1    | Exited with status 3
        12:00:01 web.1    | Ended for want of memory: a dyno of this size has 1024 MB
        [OKAY] web.1 answers at http://localhost:5000/
        [DONE] Stopping the others, since one has ended
        ");
        assert_eq!(line("web.1", 0, Colours::On), "\x1b[36m12:00:01 web.1    |\x1b[0m text\n");
        assert_eq!(line("web.1", 6, Colours::On), line("web.1", 0, Colours::On), "colours come in turn");
        assert_ne!(line("web.1", 1, Colours::On), line("web.1", 0, Colours::On));
    }
}
