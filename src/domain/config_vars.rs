//! Config vars: an app's settings, handed to its dynos as environment variables.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

/// Names and values, ordered by name. Its `Debug` shows names only: values are secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConfigVars(BTreeMap<String, String>);

/// Why a set of config vars is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigVarsError {
    /// An empty name, one with `=` or a NUL byte, which no environment can carry, or one with another control character,
    /// which could write lines of its own where names are shown.
    #[error("config var name {0:?} is empty or holds '=' or a control character")]
    Name(String),
    /// A value with a NUL byte.
    #[error("the value of config var {0} holds a NUL byte")]
    Value(String),
    /// Names and values together over the limit.
    #[error("config vars may hold {limit} bytes in all, these hold {actual}")]
    TooLarge {
        /// What they hold, bytes.
        actual: usize,
        /// What they may hold, bytes.
        limit: usize,
    },
}

impl ConfigVars {
    /// The most bytes of names and values together (platform reference 1.4).
    pub const BYTES_MAX: usize = 64 * 1024;

    /// Takes a whole set.
    ///
    /// # Errors
    /// A name or value that no environment can carry, or more than [`Self::BYTES_MAX`] bytes.
    pub fn new(vars: BTreeMap<String, String>) -> Result<Self, ConfigVarsError> {
        for (name, value) in &vars {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(ConfigVarsError::Name(name.clone()));
            }
            if value.contains('\0') {
                return Err(ConfigVarsError::Value(name.clone()));
            }
        }
        let actual = vars.iter().map(|(name, value)| name.len() + value.len()).sum();
        if actual > Self::BYTES_MAX {
            return Err(ConfigVarsError::TooLarge { actual, limit: Self::BYTES_MAX });
        }
        Ok(Self(vars))
    }

    /// This set with `changes` laid over it; `None` removes a name.
    ///
    /// # Errors
    /// As [`Self::new`], or a new name holds a control character; this set stays as it is.
    pub fn changed(&self, changes: &BTreeMap<String, Option<String>>) -> Result<Self, ConfigVarsError> {
        let mut vars = self.0.clone();
        for (name, value) in changes {
            match value {
                Some(_) if name.contains(char::is_control) => {
                    return Err(ConfigVarsError::Name(name.clone()));
                }
                Some(value) => vars.insert(name.clone(), value.clone()),
                None => vars.remove(name),
            };
        }
        Self::new(vars)
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for ConfigVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn changes_set_and_remove() {
        let before = ConfigVars::new(vars(&[("A", "1"), ("B", "2")])).unwrap();
        let changes = BTreeMap::from([("A".to_owned(), None), ("C".to_owned(), Some("3".to_owned()))]);
        let after = before.changed(&changes).unwrap();
        assert_eq!(after.iter().collect::<Vec<_>>(), [("B", "2"), ("C", "3")]);
    }

    #[test]
    fn a_name_with_a_line_feed_is_not_set_but_can_be_removed() {
        let before = ConfigVars::new(vars(&[("A\nB", "1")])).unwrap();
        let change =
            |value: Option<&str>| before.changed(&[("A\nB".to_owned(), value.map(str::to_owned))].into());
        assert!(matches!(change(Some("2")), Err(ConfigVarsError::Name(_))));
        assert!(change(None).unwrap().is_empty());
    }

    #[test]
    fn what_an_environment_cannot_carry_is_refused() {
        assert!(matches!(ConfigVars::new(vars(&[("", "1")])), Err(ConfigVarsError::Name(_))));
        assert!(matches!(ConfigVars::new(vars(&[("A=B", "1")])), Err(ConfigVarsError::Name(_))));
        assert!(matches!(ConfigVars::new(vars(&[("A", "\0")])), Err(ConfigVarsError::Value(_))));
        let large = "x".repeat(ConfigVars::BYTES_MAX);
        assert!(matches!(ConfigVars::new(vars(&[("A", &large)])), Err(ConfigVarsError::TooLarge { .. })));
    }

    #[test]
    fn debug_output_never_shows_a_value() {
        let secret = ConfigVars::new(vars(&[("TOKEN", "hunter2")])).unwrap();
        assert_eq!(format!("{secret:?}"), r#"{"TOKEN"}"#);
    }
}
