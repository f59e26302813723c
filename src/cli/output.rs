//! What goes to the terminal: data on standard output, progress on standard error, colours only where a person looks.

use std::fmt::Write as _;
use std::io::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::sys::tty;

/// The mark before an app's name.
const APP_MARK: char = '\u{2b22}';

/// An app as it is shown: `⬢ example`.
pub(super) fn shown_app(app: &str) -> String {
    format!("{APP_MARK} {app}")
}

/// Writes data. A reader that has gone away (`| head`) is no failure. A person at a terminal is shown no control characters, with
/// which text of others would command the terminal; a program gets what there is.
pub(super) fn data(text: &str) -> Result<(), Failure> {
    if tty::stdout_is_terminal() { bytes(shown(text).as_bytes()) } else { bytes(text.as_bytes()) }
}

/// Text without characters that command a terminal.
fn shown(text: &str) -> String {
    let seen =
        |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(seen).collect()
}

/// Writes data as it is.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(failed) if failed.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Local { attempt: "write to standard output".to_owned(), source: failed })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes data as JSON, indented.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|failed| Failure::Answer(failed.to_string()))?;
    data(&(text + "\n"))
}

/// Writes to standard error; a person at a terminal as [`data`] does.
pub(super) fn note(text: &str) {
    if tty::stderr_is_terminal() { note_bytes(shown(text).as_bytes()) } else { note_bytes(text.as_bytes()) }
}

/// Writes to standard error as it is.
pub(super) fn note_bytes(bytes: &[u8]) {
    let mut err = std::io::stderr().lock();
    // Where nobody reads notes, none are needed.
    let _ = err.write_all(bytes).and_then(|()| err.flush());
}

/// `text... ` now, and `done` or `!` when `work` has ended. `told` says what follows `done`.
pub(super) async fn action<T>(
    text: &str,
    work: impl Future<Output = Result<T, Failure>>,
    told: impl FnOnce(&T) -> Option<String>,
) -> Result<T, Failure> {
    note(&format!("{text}... "));
    let result = work.await;
    match &result {
        Ok(value) => match told(value) {
            Some(more) => note(&format!("done, {more}\n")),
            None => note("done\n"),
        },
        Err(_) => note("!\n"),
    }
    result
}

/// `=== text` and an empty line.
pub(super) fn heading(text: &str) -> String {
    format!("=== {text}\n\n")
}

/// `Key:   value` lines, keys padded to the longest.
pub(super) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|(key, _)| key.chars().count() + 1).max().unwrap_or(0);
    let mut text = String::new();
    for (key, value) in pairs {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:width$} {value}", format!("{key}:"));
    }
    text
}

/// Rows whose columns are padded to their longest cell, two spaces apart, nothing at line ends.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A header row, a rule, and rows, as the platform's tool draws tables; cells are padded, nothing at line ends.
pub(super) fn ruled(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(format!("  {}", cells.join("   ")).trim_end());
        text.push('\n');
        if number == 0 {
            let rule = (widths.iter().map(|width| width + 3).sum::<usize>()).saturating_sub(1);
            text.push_str(&format!(" {}\n", "\u{2500}".repeat(rule)));
        }
    }
    text
}

/// The present, as times are shown against it.
#[derive(Clone, Debug)]
pub(super) struct Now {
    pub(super) at: Timestamp,
    pub(super) zone: TimeZone,
}

impl Now {
    /// This moment, in the machine's zone.
    pub(super) fn here() -> Self {
        let at = Timestamp::try_from(crate::sys::clock::now()).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { at, zone: TimeZone::system() }
    }

    /// `2026/11/18 01:36:38 +0000` for a time of the API's; what is no time is shown as it is.
    pub(super) fn shown(&self, time: &str) -> String {
        match time.parse::<Timestamp>() {
            Ok(time) => time.to_zoned(self.zone.clone()).strftime("%Y/%m/%d %H:%M:%S %z").to_string(),
            Err(_) => time.to_owned(),
        }
    }

    /// `2026/11/18 01:36:38 +0000 (~ 5m ago)` for a time of the API's; what is no time is shown as it is.
    pub(super) fn ago(&self, time: &str) -> String {
        const MINUTE_S: i64 = 60;
        const HOUR_S: i64 = 60 * MINUTE_S;
        let Ok(then) = time.parse::<Timestamp>() else { return time.to_owned() };
        let shown = self.shown(time);
        let seconds = (self.at.as_second() - then.as_second()).max(0);
        match seconds {
            s if s < MINUTE_S => format!("{shown} (~ {s}s ago)"),
            s if s < HOUR_S => format!("{shown} (~ {}m ago)", s / MINUTE_S),
            s if s < 25 * HOUR_S => format!("{shown} (~ {}h ago)", s / HOUR_S),
            _ => shown,
        }
    }
}

/// Whole seconds from one time of the API's to another.
pub(super) fn seconds_between(from: &str, to: &str) -> Option<i64> {
    let second = |time: &str| time.parse::<Timestamp>().ok().map(|time| time.as_second());
    Some(second(to)? - second(from)?)
}

/// Colours, where standard output is a terminal and `NO_COLOR` is unset.
pub(super) fn has_colours() -> bool {
    tty::stdout_is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A number of bytes as `info` shows it: `48 MB`.
pub(super) fn megabytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KB", "MB", "GB"];
    let (mut amount, mut unit) = (bytes, 0);
    while amount >= 1024 && unit + 1 < UNITS.len() {
        amount = amount.div_ceil(1024);
        unit += 1;
    }
    format!("{amount} {}", UNITS[unit])
}

#[cfg(test)]
pub(super) mod test {
    use super::*;

    /// A fixed moment in UTC.
    pub(crate) fn now() -> Now {
        Now { at: "2026-11-18T02:00:00Z".parse().unwrap(), zone: TimeZone::UTC }
    }

    #[test]
    fn times_are_shown_with_their_age() {
        let now = now();
        assert_eq!(now.ago("2026-11-18T01:59:40Z"), "2026/11/18 01:59:40 +0000 (~ 20s ago)");
        assert_eq!(now.ago("2026-11-18T01:54:59Z"), "2026/11/18 01:54:59 +0000 (~ 5m ago)");
        assert_eq!(now.ago("2026-11-17T01:30:00Z"), "2026/11/17 01:30:00 +0000 (~ 24h ago)");
        assert_eq!(now.ago("2026-11-17T00:30:00Z"), "2026/11/17 00:30:00 +0000");
        assert_eq!(now.ago("2026-11-18T02:00:05Z"), "2026/11/18 02:00:05 +0000 (~ 0s ago)");
        assert_eq!(now.ago("soon"), "soon");
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let text = columns(&[row(&["v10", "a", "x"]), row(&["v9", "longer", ""])]);
        assert_eq!(text, "v10  a       x\nv9   longer\n");
        assert_eq!(pairs([("FOO", "1"), ("LONGER", "2")]), "FOO:    1\nLONGER: 2\n");
        assert_eq!(pairs([]), "");
    }

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!(megabytes(0), "0 B");
        assert_eq!(megabytes(1025), "2 KB");
        assert_eq!(megabytes(48 << 20), "48 MB");
        assert_eq!(megabytes(5 << 40), "5120 GB");
    }
}
