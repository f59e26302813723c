//! The Procfile: the commands an app declares, one process type a line (platform reference 2.1).
//!
//! A line is `<type>: <command>`; the first colon separates, the rest is the command. What does not look so (comments,
//! blank lines, nonsense) is ignored, and a later line for a type replaces an earlier one.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::domain::ProcessType;

/// The file's name, in the root of the built directory, in exactly this case.
pub const PROCFILE_NAME: &str = "Procfile";

/// The most bytes a Procfile may have.
pub const PROCFILE_BYTES_MAX: usize = 64 * 1024;

/// The most process types an app may declare.
pub const PROCESS_TYPES_MAX: usize = 100;

/// The most bytes of one command: well below the kernel's limit of 128 KiB for a single argument (`execve(2)`).
pub const COMMAND_BYTES_MAX: usize = 32 * 1024;

/// Why a Procfile is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProcfileError {
    /// More than [`PROCFILE_BYTES_MAX`] bytes.
    #[error("the Procfile has {0} bytes, the most is {PROCFILE_BYTES_MAX}")]
    TooLarge(usize),
    /// More than [`PROCESS_TYPES_MAX`] types.
    #[error("the Procfile declares {0} process types, the most is {PROCESS_TYPES_MAX}")]
    TooManyTypes(usize),
    /// A command of more than [`COMMAND_BYTES_MAX`] bytes.
    #[error("the Procfile's command for {0} is longer than {COMMAND_BYTES_MAX} bytes")]
    CommandTooLong(ProcessType),
}

/// Reads the bytes of a Procfile.
///
/// # Errors
/// Only a limit that is exceeded; lines that are no declarations are ignored.
pub fn parse(bytes: &[u8]) -> Result<BTreeMap<ProcessType, String>, ProcfileError> {
    if bytes.len() > PROCFILE_BYTES_MAX {
        return Err(ProcfileError::TooLarge(bytes.len()));
    }
    // Editors on Windows put a byte order mark before the first type.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let types: BTreeMap<ProcessType, String> =
        bytes.split(|byte| *byte == b'\n').filter_map(declaration).collect();
    if types.len() > PROCESS_TYPES_MAX {
        return Err(ProcfileError::TooManyTypes(types.len()));
    }
    match types.iter().find(|(_, command)| command.len() > COMMAND_BYTES_MAX) {
        Some((name, _)) => Err(ProcfileError::CommandTooLong(name.clone())),
        None => Ok(types),
    }
}

/// The types that a Procfile declares, each once, in the order of their first lines.
#[must_use]
pub fn in_order(bytes: &[u8]) -> Vec<ProcessType> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut types: Vec<ProcessType> = Vec::new();
    for (name, _) in bytes.split(|byte| *byte == b'\n').filter_map(declaration) {
        if !types.contains(&name) {
            types.push(name);
        }
    }
    types
}

/// The numbers of the lines, from 1, that [`parse`] ignored although they are neither blank nor comments.
#[must_use]
pub fn ignored(bytes: &[u8]) -> Vec<usize> {
    let says_something = |line: &[u8]| {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
        !line.is_empty() && !line.starts_with(b"#") && declaration(line).is_none()
    };
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    lines.filter(|(_, line)| says_something(line)).map(|(index, _)| index + 1).collect()
}

/// The type and command of one line, if it is a declaration. A NUL byte could never reach a program's arguments.
fn declaration(line: &[u8]) -> Option<(ProcessType, String)> {
    let line = std::str::from_utf8(line).ok().filter(|line| !line.contains('\0'))?;
    let (name, command) = line.split_once(':')?;
    let command = command.trim();
    if command.is_empty() {
        return None;
    }
    Some((name.trim().parse().ok()?, command.to_owned()))
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        let types = parse(text.as_bytes()).unwrap();
        types.into_iter().map(|(name, command)| (name.to_string(), command)).collect()
    }

    fn pair(name: &str, command: &str) -> (String, String) {
        (name.to_owned(), command.to_owned())
    }

    #[test]
    fn the_first_colon_separates() {
        assert_eq!(
            parsed("web: gunicorn -b :$PORT app:app\nworker:  python worker.py  \n"),
            [pair("web", "gunicorn -b :$PORT app:app"), pair("worker", "python worker.py")]
        );
    }

    #[test]
    fn nonsense_lines_are_ignored() {
        assert_eq!(
            parsed("# comment: yes\n\nweb\nno space here\nweb:\n: x\nwe b: x\nä: x\n web : run \nw\0: x\n"),
            [pair("web", "run")]
        );
    }

    #[test]
    fn what_was_ignored_is_known_by_its_line() {
        assert_eq!(ignored(b"\xef\xbb\xbfweb: run\r\n\r\n# comment: yes\nweb run\nworker:\n"), [4, 5]);
        assert!(ignored(b"").is_empty());
    }

    #[test]
    fn types_keep_their_order() {
        let names =
            |text: &str| in_order(text.as_bytes()).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            names("\u{feff}worker: a\n# x: y\nweb: b\nclock: c\nworker: d\n"),
            ["worker", "web", "clock"]
        );
        assert!(names("").is_empty());
    }

    #[test]
    fn windows_files_and_a_byte_order_mark_read_the_same() {
        assert_eq!(parsed("\u{feff}web: run\r\nworker: work\r\n"), parsed("web: run\nworker: work\n"));
    }

    #[test]
    fn a_later_duplicate_wins() {
        assert_eq!(parsed("web: one\nweb: two"), [pair("web", "two")]);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_ignored() {
        let types = parse(b"web: run\nbad: \xff\xfe\n").unwrap();
        assert_eq!(types.len(), 1);
    }

    #[test]
    fn sizes_are_bounded() {
        let long = vec![b'x'; PROCFILE_BYTES_MAX + 1];
        assert_eq!(parse(&long), Err(ProcfileError::TooLarge(PROCFILE_BYTES_MAX + 1)));
        let many: String = (0..=PROCESS_TYPES_MAX).map(|n| format!("t{n}: run\n")).collect();
        assert_eq!(parse(many.as_bytes()), Err(ProcfileError::TooManyTypes(PROCESS_TYPES_MAX + 1)));
        let command = format!("web: {}", "x".repeat(COMMAND_BYTES_MAX + 1));
        assert_eq!(parse(command.as_bytes()), Err(ProcfileError::CommandTooLong(ProcessType::web())));
    }

    proptest! {
        #[test]
        fn any_bytes_give_trimmed_single_line_commands_or_a_limit(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        ) {
            if let Ok(types) = parse(&bytes) {
                for command in types.values() {
                    prop_assert!(!command.is_empty() && command.trim() == command);
                    prop_assert!(!command.contains(['\n', '\0']));
                }
            }
        }

        #[test]
        fn what_is_written_is_read_back(
            types in proptest::collection::btree_map("[A-Za-z0-9_-]{1,20}", "[!-~]([ -~]{0,40}[!-~])?", 0..20),
        ) {
            let text: String = types.iter().map(|(name, command)| format!("{name}: {command}\n")).collect();
            let back: BTreeMap<String, String> = parsed(&text).into_iter().collect();
            prop_assert_eq!(back, types);
        }
    }
}
