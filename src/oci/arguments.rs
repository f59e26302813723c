//! Arguments of the OCI commands. By hand: they are few and fixed by what callers send, and a parser's set-up would cost a good part of
//! a container's start.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::error::OciError;

/// An option that a command knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Its long name.
    pub(super) name: &'static str,
    /// Its letter.
    pub(super) letter: Option<char>,
    /// Whether a value follows.
    pub(super) takes: Takes,
}

/// Whether a value follows an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// No.
    Nothing,
    /// Yes.
    Value,
}

/// An option without value.
pub(super) const fn flag(name: &'static str) -> Known {
    Known { name, letter: None, takes: Takes::Nothing }
}

/// An option with a value.
pub(super) const fn value(name: &'static str) -> Known {
    Known { name, letter: None, takes: Takes::Value }
}

impl Known {
    /// The same with a letter.
    pub(super) const fn or(self, letter: char) -> Known {
        Known { letter: Some(letter), ..self }
    }
}

/// Where options end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// At the first word that is none: what follows is another command's.
    FirstWord,
    /// At the end.
    End,
}

/// What was given.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    options: BTreeMap<&'static str, Vec<String>>,
    /// Words that are no options.
    pub(super) words: Vec<String>,
}

impl Arguments {
    /// Sorts the arguments of `command`.
    pub(super) fn parse(
        command: &str,
        known: &[Known],
        until: Until,
        given: &[String],
    ) -> Result<Arguments, OciError> {
        let mut arguments = Arguments::default();
        let mut rest = given.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                arguments.words.extend(rest.cloned());
                break;
            }
            let Some((option, attached)) = option_of(word, known) else {
                if word.starts_with('-') && word.len() > 1 {
                    return Err(OciError::Usage(format!(
                        "'{command}' knows no option {word}: see 'dyno oci {command} --help'"
                    )));
                }
                arguments.words.push(word.clone());
                if until == Until::FirstWord {
                    arguments.words.extend(rest.cloned());
                    break;
                }
                continue;
            };
            let value = match (option.takes, attached) {
                (Takes::Nothing, attached) => attached.unwrap_or_else(|| "true".to_owned()),
                (Takes::Value, Some(attached)) => attached,
                (Takes::Value, None) => rest.next().cloned().ok_or_else(|| {
                    OciError::Usage(format!("the option --{} of '{command}' needs a value", option.name))
                })?,
            };
            arguments.options.entry(option.name).or_default().push(value);
        }
        Ok(arguments)
    }

    /// Whether a flag was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// The last value of an option.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.options.get(name)?.last().map(String::as_str)
    }

    /// All values of an option.
    pub(super) fn values(&self, name: &str) -> &[String] {
        self.options.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The value of an option as a number, or whatever else it must be.
    pub(super) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, OciError> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| OciError::Usage(format!("the option --{name} does not take the value {text:?}")))
        };
        self.value(name).map(parse).transpose()
    }
}

fn option_of<'a>(word: &str, known: &'a [Known]) -> Option<(&'a Known, Option<String>)> {
    let (name, attached) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    if let Some(long) = name.strip_prefix("--") {
        return known.iter().find(|option| option.name == long).map(|option| (option, attached));
    }
    let mut letters = name.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    let option = known.iter().find(|option| option.letter == Some(letter))?;
    let value = letters.as_str();
    match (value.is_empty(), option.takes) {
        (true, _) => Some((option, attached)),
        // "-pfile".
        (false, Takes::Value) => Some((option, Some(value.to_owned()))),
        (false, Takes::Nothing) => None,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const KNOWN: &[Known] = &[value("bundle").or('b'), flag("detach").or('d'), value("env").or('e')];

    fn parse(until: Until, words: &[&str]) -> Result<Arguments, OciError> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        Arguments::parse("run", KNOWN, until, &words)
    }

    #[test]
    fn options_are_known_by_name_and_letter_with_values_attached_or_not() {
        let given = parse(Until::End, &["--bundle=/a", "-d", "id", "-e", "A=1", "--env", "B=2"]).unwrap();
        assert_eq!((given.value("bundle"), given.has("detach")), (Some("/a"), true));
        assert_eq!(
            (given.words.as_slice(), given.values("env")),
            (&["id".to_owned()][..], &["A=1".to_owned(), "B=2".to_owned()][..])
        );
        assert!(!parse(Until::End, &["--detach=false", "id"]).unwrap().has("detach"));
    }

    #[test]
    fn a_command_inside_keeps_its_own_options() {
        let given = parse(Until::FirstWord, &["-d", "id", "ls", "-d", "--bundle"]).unwrap();
        assert_eq!(given.words, ["id", "ls", "-d", "--bundle"]);
    }

    #[test]
    fn what_is_unknown_or_incomplete_is_refused() {
        assert!(parse(Until::End, &["--nonsense"]).is_err());
        assert!(parse(Until::End, &["--bundle"]).is_err());
        assert!(parse(Until::End, &["-x"]).is_err());
    }
}
