//! An app: its identity, its name and the rules a name obeys.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{Email, StackName, Switch};

/// The identity of an app, kept through renames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(pub Uuid);

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An app as the node keeps it; what changes with every release is in [`crate::domain::Release`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Kept through renames.
    pub id: AppId,
    /// Unique on the node.
    pub name: AppName,
    /// Whose it is; the node's administrator's when nobody is named.
    pub owner: Option<Email>,
    /// The stack the next build runs on.
    pub build_stack: StackName,
    /// Whether the router answers for the app with the maintenance page.
    pub maintenance: bool,
    /// Whether the node gets certificates for its domains by itself.
    pub acm: Switch,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
}

/// The name of an app: `^[a-z][a-z0-9-]{1,28}[a-z0-9]$`, 3 to 30 characters (platform reference 7.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppName(String);

/// Why a text is not an app's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AppNameError {
    /// Outside 3 to 30 characters.
    #[error("an app name has 3 to 30 characters, this one has {0}")]
    Length(usize),
    /// Wrong first, last or inner character.
    #[error(
        "an app name starts with a letter, ends with a letter or digit and holds only a-z, 0-9 and dashes"
    )]
    Characters,
}

impl AppName {
    /// The fewest characters of a name.
    pub const LENGTH_MIN: usize = 3;
    /// The most characters of a name.
    pub const LENGTH_MAX: usize = 30;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host name an app of this name is born with.
    #[must_use]
    pub fn default_domain(&self) -> String {
        format!("{self}.localhost")
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AppName {
    type Err = AppNameError;

    fn from_str(text: &str) -> Result<Self, AppNameError> {
        let length = text.chars().count();
        if !(Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&length) {
            return Err(AppNameError::Length(length));
        }
        let ends_well = text.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        let holds_well = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if starts_well && holds_well && ends_well {
            Ok(Self(text.to_owned()))
        } else {
            Err(AppNameError::Characters)
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn names_follow_the_published_pattern() {
        for good in ["abc", "a-b", "example-app-12345", "a1234567890123456789012345678z"] {
            assert_eq!(good.parse::<AppName>().unwrap().as_str(), good);
        }
        for bad in ["1abc", "abc-", "-abc", "aBc", "a_c", "a.c", "äbc"] {
            assert_eq!(bad.parse::<AppName>(), Err(AppNameError::Characters), "{bad}");
        }
        assert_eq!("ab".parse::<AppName>(), Err(AppNameError::Length(2)));
        assert_eq!("a".repeat(300).parse::<AppName>(), Err(AppNameError::Length(300)));
    }
}
