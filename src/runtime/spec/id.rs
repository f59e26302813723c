//! Names of containers: they become directory, cgroup and file names, so their alphabet is small.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name, in bytes.
const CONTAINER_ID_BYTES_MAX: usize = 63;

/// Name of a container on its node: `[a-z0-9][a-z0-9-]{0,62}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// The text is no container id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no container id: 1 to 63 lower-case letters, digits and dashes, no dash first")]
pub struct InvalidContainerId(pub String);

impl ContainerId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = InvalidContainerId;

    fn from_str(text: &str) -> Result<ContainerId, InvalidContainerId> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let fits = (1..=CONTAINER_ID_BYTES_MAX).contains(&text.len());
        if fits && text.bytes().all(allowed) && !text.starts_with('-') {
            Ok(ContainerId(text.to_owned()))
        } else {
            Err(InvalidContainerId(text.to_owned()))
        }
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidContainerId;

    fn try_from(text: String) -> Result<ContainerId, InvalidContainerId> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> String {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn names_that_could_walk_out_of_a_directory_are_refused() {
        for text in ["", "-a", "A", "a/b", "..", "a.b", "a b", "a\n", &"x".repeat(64)] {
            assert!(text.parse::<ContainerId>().is_err(), "{text:?}");
        }
        for text in ["a", "0", "web-1", &"x".repeat(63)] {
            assert!(text.parse::<ContainerId>().is_ok(), "{text:?}");
        }
    }
}
