//! The name of a stack.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A stack's name: `^[a-z][a-z0-9-]{0,62}$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackName(String);

/// The text is no stack's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a stack name starts with a letter and holds at most 63 of a-z, 0-9 and dashes")]
pub struct StackNameError;

/// One build of a stack on this node: the same name, other packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackVersion {
    /// Its content version, without layers over it.
    pub id: String,
    /// Unix time of that build, seconds; `None` where it was not kept.
    pub built_at_s: Option<i64>,
}

impl StackName {
    const LENGTH_MAX: usize = 63;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for StackName {
    /// The default stack.
    fn default() -> Self {
        Self("cedar-13".to_owned())
    }
}

impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StackName {
    type Err = StackNameError;

    fn from_str(text: &str) -> Result<Self, StackNameError> {
        let holds_well = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        if holds_well && starts_well && text.len() <= Self::LENGTH_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(StackNameError)
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_stack_name_is_a_plain_word() {
        assert_eq!(StackName::default().as_str().parse(), Ok(StackName::default()));
        for bad in ["", "13-cedar", "../run", "Cedar", "a/b"] {
            assert_eq!(bad.parse::<StackName>(), Err(StackNameError), "{bad}");
        }
    }
}
