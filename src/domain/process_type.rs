//! The name of a process type: the word before the colon in a Procfile.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A process type: `^[-\w]{1,128}$` (platform reference 1.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessType(String);

/// The text is no process type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a process type has 1 to 128 letters, digits, dashes or underscores")]
pub struct ProcessTypeError;

impl ProcessType {
    /// The most characters of a process type.
    pub const LENGTH_MAX: usize = 128;

    /// The only type that receives requests.
    #[must_use]
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// The default type of a one-off dyno.
    #[must_use]
    pub fn run() -> Self {
        Self("run".to_owned())
    }

    /// The type whose command prepares a release.
    #[must_use]
    pub fn release() -> Self {
        Self("release".to_owned())
    }

    /// The type of the dynos that run timed jobs.
    #[must_use]
    pub fn scheduler() -> Self {
        Self("scheduler".to_owned())
    }

    /// Whether the router sends requests to dynos of this type.
    #[must_use]
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }

    /// Whether the platform keeps this name for itself: such a type is never part of a formation.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        matches!(self.0.as_str(), "release" | "run" | "scheduler")
    }

    /// The type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProcessType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProcessType {
    type Err = ProcessTypeError;

    fn from_str(text: &str) -> Result<Self, ProcessTypeError> {
        let holds_well = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if holds_well && (1..=Self::LENGTH_MAX).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ProcessTypeError)
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn types_are_words_of_bounded_length() {
        assert!("web".parse::<ProcessType>().unwrap().is_web());
        assert!("release".parse::<ProcessType>().unwrap().is_reserved());
        assert!("night_job-2".parse::<ProcessType>().is_ok());
        assert!("w".repeat(128).parse::<ProcessType>().is_ok());
        for bad in [String::new(), "a b".into(), "a.b".into(), "w".repeat(129)] {
            assert_eq!(bad.parse::<ProcessType>(), Err(ProcessTypeError));
        }
    }
}
