//! What the user sees: lines of processes on standard output, notes on standard error, colours only where a person looks.

use std::io::{self, Write};

use jiff::Zoned;

use crate::domain::DynoName;
use crate::local::Process;
use crate::sys::tty;
use crate::wire::local_text::{self, Colours, Note};

/// Where lines and notes go.
#[derive(Clone, Debug)]
pub struct Screen {
    lines: Colours,
    notes: Colours,
}

impl Screen {
    /// This process's own streams.
    #[must_use]
    pub fn here() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colours = |is_terminal| if wanted && is_terminal { Colours::On } else { Colours::Off };
        Self { lines: colours(tty::stdout_is_terminal()), notes: colours(tty::stderr_is_terminal()) }
    }

    /// A note. Where nobody reads notes none are needed.
    pub fn note(&self, kind: Note, text: &str) {
        self.plain(&local_text::note(kind, text, self.notes));
    }

    /// A line of a build, as it stands.
    pub fn transcript(&self, line: &str) {
        self.plain(&format!("{line}\n"));
    }

    fn plain(&self, text: &str) {
        let _closed = io::stderr().lock().write_all(text.as_bytes());
    }

    /// A line of the process at `place` among all.
    ///
    /// # Errors
    /// Whoever reads has gone.
    pub(super) fn line(&self, all: &[Process], place: usize, text: &[u8]) -> io::Result<()> {
        let Some(process) = all.get(place) else { return Ok(()) };
        let width = all.iter().map(|process| width(&process.name)).max().unwrap_or(0);
        let time = Zoned::now().strftime("%H:%M:%S").to_string();
        let mut line = local_text::prefix(&time, (&process.name, width), place, self.lines).into_bytes();
        line.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        line.push(b'\n');
        let mut stdout = io::stdout().lock();
        stdout.write_all(&line).and_then(|()| stdout.flush())
    }
}

fn width(name: &DynoName) -> usize {
    name.to_string().chars().count()
}
