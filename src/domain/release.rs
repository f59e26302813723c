//! A release: a slug and its config vars under an increasing version. Nothing in it is ever edited.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{AppId, ConfigVars, DynoId, DynoName, ProcessType, StackName};

/// A release's number within its app, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// The text is no version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a release is named by its version, such as v3")]
pub struct VersionError;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Takes `v3` and `3`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        match digits.parse() {
            Ok(n) if n > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(Self(n)),
            Ok(_) | Err(_) => Err(VersionError),
        }
    }
}

/// A slug's address: the SHA-256 of its canonical archive, 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlugDigest(String);

/// The text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a slug digest is 64 lower-case hexadecimal digits")]
pub struct SlugDigestError;

impl SlugDigest {
    /// The address of no slug: no archive is known that has it.
    #[must_use]
    pub fn none() -> Self {
        Self("0".repeat(64))
    }

    /// The digest as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SlugDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SlugDigest {
    type Err = SlugDigestError;

    fn from_str(text: &str) -> Result<Self, SlugDigestError> {
        let holds_well = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() == 64 && holds_well { Ok(Self(text.to_owned())) } else { Err(SlugDigestError) }
    }
}

/// How a release fares (platform reference 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseStatus {
    /// Its release command has not ended yet.
    Pending,
    /// It may run.
    Succeeded,
    /// Its release command failed; it never runs.
    Failed,
    /// Its slug was removed by retention.
    Expired,
}

impl ReleaseStatus {
    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// One release of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its identity.
    pub id: Uuid,
    /// Its number within the app.
    pub version: Version,
    /// Why it exists: `Deploy 1a2b3c4d`, `Set FOO config vars`.
    pub description: String,
    /// Who made it.
    pub user: String,
    /// How it fares.
    pub status: ReleaseStatus,
    /// The slug it runs; none before the first deploy.
    pub slug: Option<SlugDigest>,
    /// The source commit of the slug, as the pusher named it.
    pub commit: Option<String>,
    /// The stack it was built on, and keeps.
    pub stack: StackName,
    /// The content version of that stack; none before the first deploy.
    pub stack_version: Option<String>,
    /// The commands of its process types.
    pub process_types: BTreeMap<ProcessType, String>,
    /// Its config vars, whole.
    pub config: ConfigVars,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
}

impl Release {
    /// The command that must succeed before the release runs; none without a slug to run it with.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.slug.as_ref()?;
        self.process_types.get(&ProcessType::release()).map(String::as_str)
    }

    /// Whether it may be rolled back to.
    #[must_use]
    pub fn is_eligible_for_rollback(&self) -> bool {
        self.status == ReleaseStatus::Succeeded && self.slug.is_some()
    }
}

/// The release phase of a release that is pending: which dyno runs its command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasePhase {
    /// The app.
    pub app: AppId,
    /// The release.
    pub version: Version,
    /// The identity of the dyno.
    pub dyno: DynoId,
    /// Its name: `release.1234`.
    pub name: DynoName,
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn versions_are_read_with_and_without_their_letter() {
        assert_eq!("v12".parse(), Ok(Version(12)));
        assert_eq!("12".parse(), Ok(Version(12)));
        for bad in ["", "v", "v0", "0", "+1", "vv1", "1.0", "99999999999999999999"] {
            assert_eq!(bad.parse::<Version>(), Err(VersionError), "{bad}");
        }
    }

    #[test]
    fn digests_are_canonical() {
        assert!("0123456789abcdef".repeat(4).parse::<SlugDigest>().is_ok());
        assert!("0123456789ABCDEF".repeat(4).parse::<SlugDigest>().is_err());
        assert!("../etc".parse::<SlugDigest>().is_err());
    }
}
