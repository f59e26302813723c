//! Logins in `~/.netrc`, where the stock command and curl look for them too: `machine H`, `login EMAIL`, `password TOKEN`.

use std::io;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::cli::host::no_home;
use crate::sys::fs::write_atomically;

/// The file, in the user's home directory.
const FILE: &str = ".netrc";

/// Who one is at a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    /// The token.
    pub(super) password: String,
}

/// The login that is kept for `machine`.
pub(super) fn login(machine: &str) -> Result<Option<Login>, Failure> {
    let Ok(path) = path() else { return Ok(None) };
    Ok(found(&read(&path)?, machine))
}

/// Keeps a login for `machine`, in place of the one that there was; every other entry stays as it is.
pub(super) fn keep(machine: &str, login: &Login) -> Result<(), Failure> {
    // Such a word would be another entry of the file.
    let is_word = |word: &str| !word.is_empty() && !word.chars().any(|c| c.is_whitespace() || c.is_control());
    if !is_word(&login.user) || !is_word(&login.password) {
        return Err(Failure::Answer("a name or a token that cannot be kept".to_owned()));
    }
    let path = path()?;
    write(&path, &with(&without(&read(&path)?, machine), machine, login))
}

/// Forgets the login for `machine`, and tells whether there was one.
pub(super) fn forget(machine: &str) -> Result<bool, Failure> {
    let path = path()?;
    let text = read(&path)?;
    let rest = without(&text, machine);
    if rest == text {
        return Ok(false);
    }
    write(&path, &rest)?;
    Ok(true)
}

fn path() -> Result<PathBuf, Failure> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).ok_or_else(no_home)?;
    Ok(PathBuf::from(home).join(FILE))
}

fn read(path: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(Failure::local(format!("read {}", path.display()))),
    }
}

/// The file holds tokens: it is the user's alone from its first byte.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    write_atomically(path, text.as_bytes()).map_err(Failure::local(format!("write {}", path.display())))
}

/// Where in `text` the words are, each with its bytes.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_ascii_whitespace().map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

/// From where to where the entry of `machine` goes: to the next entry, or to a macro, or to the end.
fn span(text: &str, machine: &str) -> Option<(usize, usize)> {
    let mut start = None;
    let mut words = words(text).peekable();
    while let Some((at, word)) = words.next() {
        if !matches!(word, "machine" | "default" | "macdef") {
            continue;
        }
        if let Some(start) = start {
            return Some((start, at));
        }
        if word == "machine" && words.peek().is_some_and(|(_, name)| *name == machine) {
            start = Some(at);
        }
    }
    start.map(|start| (start, text.len()))
}

fn found(text: &str, machine: &str) -> Option<Login> {
    let (start, end) = span(text, machine)?;
    let words: Vec<&str> = text[start..end].split_ascii_whitespace().collect();
    let after = |key: &str| words.windows(2).find(|pair| pair[0] == key).map(|pair| pair[1].to_owned());
    Some(Login { user: after("login").unwrap_or_default(), password: after("password")? })
}

fn without(text: &str, machine: &str) -> String {
    match span(text, machine) {
        Some((start, end)) => format!("{}{}", &text[..start], &text[end..]),
        None => text.to_owned(),
    }
}

/// `text` with a further entry, where readers come to it: before one for all other machines, at which they stop, and before a macro,
/// which goes on to an empty line, with the entry that the macro is of.
fn with(text: &str, machine: &str, login: &Login) -> String {
    let (before, after) = text.split_at(place(text));
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let Login { user, password } = login;
    format!("{before}{gap}machine {machine}\n  login {user}\n  password {password}\n{after}")
}

/// Where that is.
fn place(text: &str) -> usize {
    let (mut entry, mut comment_end) = (None, 0);
    let mut words = words(text);
    while let Some((at, word)) = words.next() {
        match word {
            _ if at < comment_end => {}
            "default" => return at,
            "macdef" => return entry.unwrap_or(at),
            "machine" => {
                entry = Some(at);
                words.next();
            }
            "login" | "password" | "account" => {
                words.next();
            }
            _ if word.starts_with('#') => {
                comment_end = text[at..].find('\n').map_or(text.len(), |length| at + length);
            }
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod test {
    use super::*;

    const OTHERS: &str = "machine api.example.com login a password b\n# a comment\nmachine localhost:5080\n  login me\n  password 1\nmacdef init\necho\n\ndefault login x password y\n";

    #[test]
    fn one_entry_is_taken_out_and_the_others_stay_to_the_byte() {
        let login = found(OTHERS, "localhost:5080").unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("me", "1"));
        assert_eq!(found(OTHERS, "localhost"), None);
        assert_eq!(
            without(OTHERS, "localhost:5080"),
            "machine api.example.com login a password b\n# a comment\nmacdef init\necho\n\ndefault login x password y\n"
        );
        assert_eq!(without(OTHERS, "example.com"), OTHERS);
        assert_eq!(found("machine h login me", "h"), None, "without a password it is no login");
    }
    #[test]
    fn an_entry_comes_before_what_would_hide_it() {
        let login = Login { user: "me".to_owned(), password: "1".to_owned() };
        let entry = "machine h\n  login me\n  password 1\n";
        let first = "machine a login default password macdef\n# not the default\n";
        for (before, after) in [
            ("", ""),
            (first, ""),
            (first, "default login x password y\n"),
            (first, "machine b login c password d\nmacdef init\necho\n\nmachine e password f\n"),
            ("", "macdef init\necho"),
        ] {
            assert_eq!(with(&format!("{before}{after}"), "h", &login), format!("{before}{entry}{after}"));
        }
        assert_eq!(with("machine a password b", "h", &login), format!("machine a password b\n{entry}"));
    }
}
