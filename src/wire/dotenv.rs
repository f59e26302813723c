//! The `.env` file of local development: one variable a line, as the tools that read such files agree on.
//!
//! A line is `NAME=value`, with or without `export` before it; blank lines and those that begin with `#` say nothing. A value in
//! single quotes is taken as it stands; one in double quotes may hold `\n`, `\r`, `\t`, `\"` and `\\`; both may go over several
//! lines. A bare value ends before ` #`. Nothing is ever replaced inside of a value.

use std::collections::BTreeMap;

use thiserror::Error;

/// The file's name where none is given.
pub const DOTENV_NAME: &str = ".env";

/// The most bytes such a file may have.
pub const DOTENV_BYTES_MAX: usize = 256 * 1024;

/// What a file says.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Dotenv {
    /// Names and values; a later line for a name replaces an earlier one. Values are secrets.
    pub vars: BTreeMap<String, String>,
    /// The numbers of lines, from 1, that say something else.
    pub ignored: Vec<usize>,
}

/// Why a file is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DotenvError {
    /// More than [`DOTENV_BYTES_MAX`] bytes.
    #[error("it has {0} bytes, the most is {DOTENV_BYTES_MAX}")]
    TooLarge(usize),
    /// It is no text.
    #[error("it is not UTF-8")]
    NotText,
    /// A quote that is opened in this line is not closed.
    #[error("the quote opened in line {0} is never closed")]
    Unclosed(usize),
}

/// Reads the bytes of a file.
///
/// # Errors
/// It is too large, no text, or ends within quotes. Lines that set nothing are told in the result.
pub fn parse(bytes: &[u8]) -> Result<Dotenv, DotenvError> {
    if bytes.len() > DOTENV_BYTES_MAX {
        return Err(DotenvError::TooLarge(bytes.len()));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| DotenvError::NotText)?;
    let (mut found, mut rest, mut number) = (Dotenv::default(), text, 1);
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            (rest, number) = (after, number + 1);
            continue;
        }
        let Some((name, value_at)) = name(rest) else {
            found.ignored.push(number);
            (rest, number) = (after, number + 1);
            continue;
        };
        let (value, taken) = value(&rest[value_at..]).ok_or(DotenvError::Unclosed(number))?;
        found.vars.insert(name.to_owned(), value);
        let end = value_at + taken;
        number += rest[..end].matches('\n').count() + 1;
        // What follows a closing quote in its line is a comment, or nothing that counts.
        rest = rest[end..].split_once('\n').map_or("", |(_, after)| after);
    }
    Ok(found)
}

/// The variable that a line sets, and where what is behind its `=` begins.
fn name(line: &str) -> Option<(&str, usize)> {
    let equals = line.find(['=', '\n']).filter(|at| line[*at..].starts_with('='))?;
    let name = line[..equals].trim();
    let name =
        name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(name).trim();
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let holds = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    (starts && holds).then_some((name, equals + 1))
}

/// The value at the beginning of `text` and how many bytes it takes; nothing when its quote is not closed.
fn value(text: &str) -> Option<(String, usize)> {
    let start = text.len() - text.trim_start_matches([' ', '\t']).len();
    match text[start..].chars().next() {
        Some('\'') => {
            let inner = &text[start + 1..];
            let end = inner.find('\'')?;
            Some((inner[..end].to_owned(), start + end + 2))
        }
        Some('"') => quoted(&text[start + 1..]).map(|(value, taken)| (value, start + 1 + taken)),
        Some(_) | None => {
            let line = text.split('\n').next().unwrap_or_default();
            let comment = [" #", "\t#"].iter().filter_map(|mark| line.find(mark)).min();
            Some((line[..comment.unwrap_or(line.len())].trim().to_owned(), line.len()))
        }
    }
}

/// What is in double quotes, up to the closing one, which is counted.
fn quoted(text: &str) -> Option<(String, usize)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                plain @ ('"' | '\\') => value.push(plain),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    fn vars(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes()).unwrap().vars.into_iter().collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn plain_lines_set_variables() {
        assert_eq!(
            vars("\u{feff}A=1\r\n\n# B=2\nexport C = x=y \nD=\nE=a#b # told\nA=2"),
            [pair("A", "2"), pair("C", "x=y"), pair("D", ""), pair("E", "a#b")]
        );
    }

    #[test]
    fn quotes_keep_what_is_between_them() {
        let text =
            "A='it # $HOME \\n' # more\nB=\"two\\nlines \\\"and\\\" \\\\ \\x\"\nC=\"over\nlines\"\nD=1";
        let expected = [
            pair("A", "it # $HOME \\n"),
            pair("B", "two\nlines \"and\" \\ \\x"),
            pair("C", "over\nlines"),
            pair("D", "1"),
        ];
        assert_eq!(vars(text), expected);
    }

    #[test]
    fn what_sets_nothing_is_known_by_its_line_and_not_by_what_it_holds() {
        let found = parse(b"A=\"1\n2\"\nsecret\n=x\n1A=x\nB=2\nwith space=x").unwrap();
        assert_eq!(found.ignored, [3, 4, 5, 7]);
        assert_eq!(found.vars.len(), 2);
    }

    #[test]
    fn an_open_quote_and_a_large_file_are_refused() {
        assert_eq!(parse(b"A=1\nB=\"x\ny").err(), Some(DotenvError::Unclosed(2)));
        assert_eq!(parse(b"A='").err(), Some(DotenvError::Unclosed(1)));
        assert_eq!(parse(b"\xff").err(), Some(DotenvError::NotText));
        let large = vec![b'#'; DOTENV_BYTES_MAX + 1];
        assert_eq!(parse(&large).err(), Some(DotenvError::TooLarge(DOTENV_BYTES_MAX + 1)));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_variable_that_an_environment_cannot_carry(text in "[A-C='\"\\\\ #\n]{0,60}") {
            if let Ok(found) = parse(text.as_bytes()) {
                prop_assert!(found.vars.keys().all(|name| !name.is_empty() && !name.contains(['=', '\n'])));
            }
        }

        #[test]
        fn a_quoted_value_is_read_back(value in "[ -~\n\t]{0,40}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let found = vars(&format!("A=\"{escaped}\"\nB=1\n"));
            prop_assert_eq!(found, [pair("A", &value), pair("B", "1")]);
        }
    }
}
