//! Who may do what: users, their rights on apps, and the scopes of their tokens.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::AppId;

/// The name of a user, in the form of an e-mail address: what logs and releases show, and what one logs in with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

/// The text is no user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a user is named by an e-mail address of at most 254 printable characters")]
pub struct EmailError;

impl Email {
    const LENGTH_MAX: usize = 254;

    /// The name as text, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        // A colon would end the name in basic credentials, a slash the segment of a path.
        let is_plain = |b: u8| b.is_ascii_graphic() && !b":/\\\"'<>,;()[]".contains(&b);
        match text.split_once('@') {
            Some((local, domain))
                if !local.is_empty()
                    && !domain.is_empty()
                    && !domain.contains('@')
                    && text.len() <= Self::LENGTH_MAX
                    && text.bytes().all(is_plain) =>
            {
                Ok(Self(text.to_ascii_lowercase()))
            }
            Some(_) | None => Err(EmailError),
        }
    }
}

/// Someone who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Unique on the node.
    pub email: Email,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
}

/// What a user may do with an app; each right holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AppRight {
    /// Look: state, releases, logs.
    View,
    /// Also change what code runs: push, roll back, promote.
    Deploy,
    /// Also read and set config, scale, restart, run commands, and change how the app is reached.
    Operate,
    /// Also share, rename and destroy.
    Manage,
}

/// The text is no right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no permission: there are view, deploy, operate and manage")]
pub struct UnknownRight(String);

impl AppRight {
    /// Every right, the least first.
    pub const ALL: [Self; 4] = [Self::View, Self::Deploy, Self::Operate, Self::Manage];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Deploy => "deploy",
            Self::Operate => "operate",
            Self::Manage => "manage",
        }
    }

    /// What it holds, itself included.
    pub fn held(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |right| *right <= self)
    }
}

impl FromStr for AppRight {
    type Err = UnknownRight;

    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        let found = Self::ALL.into_iter().find(|right| right.as_str() == text);
        found.ok_or_else(|| UnknownRight(text.chars().take(30).collect()))
    }
}

/// A user with whom an app is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collaborator {
    /// Its identity.
    pub id: Uuid,
    /// The app.
    pub app: AppId,
    /// With whom.
    pub user: Email,
    /// What the user may do.
    pub right: AppRight,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
}

/// What a token is good for (platform reference 7.2, OAuth scopes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything its user may do.
    Global,
    /// Telling who the user is.
    Identity,
    /// Reading all but config vars.
    Read,
    /// Changing all but config vars.
    Write,
    /// Reading, config vars included.
    ReadProtected,
    /// Changing, config vars included.
    WriteProtected,
}

/// The text is no scope.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no scope: there are global, identity, read, write, read-protected and write-protected")]
pub struct UnknownScope(String);

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] =
        [Self::Global, Self::Identity, Self::Read, Self::Write, Self::ReadProtected, Self::WriteProtected];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Identity => "identity",
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadProtected => "read-protected",
            Self::WriteProtected => "write-protected",
        }
    }

    /// Whether a token of this scope does what asks for `wanted`.
    #[must_use]
    pub fn covers(self, wanted: Self) -> bool {
        match self {
            Self::Global => true,
            Self::Identity => wanted == Self::Identity,
            Self::Read => matches!(wanted, Self::Identity | Self::Read),
            Self::Write => matches!(wanted, Self::Identity | Self::Read | Self::Write),
            Self::ReadProtected => matches!(wanted, Self::Identity | Self::Read | Self::ReadProtected),
            Self::WriteProtected => wanted != Self::Global,
        }
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| UnknownScope(text.chars().take(30).collect()))
    }
}

/// The scopes of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// These scopes; none at all is everything, as the platform has it.
    #[must_use]
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let scopes: BTreeSet<_> = scopes.into_iter().collect();
        if scopes.is_empty() { Self::global() } else { Self(scopes) }
    }

    /// Everything.
    #[must_use]
    pub fn global() -> Self {
        Self([Scope::Global].into())
    }

    /// Whether one of them covers `wanted`.
    #[must_use]
    pub fn cover(&self, wanted: Scope) -> bool {
        self.0.iter().any(|scope| scope.covers(wanted))
    }

    /// Whether whoever has these may give a token of `others`.
    #[must_use]
    pub fn hold(&self, others: &Self) -> bool {
        others.0.iter().all(|wanted| self.cover(*wanted))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Ok(Self::new(text.split_whitespace().map(str::parse).collect::<Result<Vec<_>, _>>()?))
    }
}

/// A token of a user, without the token itself: of that only a digest is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Its identity.
    pub id: Uuid,
    /// Whose it is.
    pub user: Email,
    /// What it is for, in the user's words.
    pub description: String,
    /// What it is good for.
    pub scopes: Scopes,
    /// The first characters of the token, by which a person tells it from others.
    pub hint: String,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
    /// Unix time from which it is worth nothing, seconds; never, when there is none.
    pub expires_at_s: Option<i64>,
}

impl Authorization {
    /// The most one user has; logging in again and again must not fill the disk.
    pub const PER_USER_MAX: usize = 1000;

    /// Whether it is worth nothing any more at `now_s`.
    #[must_use]
    pub fn is_expired(&self, now_s: i64) -> bool {
        self.expires_at_s.is_some_and(|end| end <= now_s)
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn users_are_named_by_addresses() {
        assert_eq!("Me@Example.com".parse::<Email>().unwrap().as_str(), "me@example.com");
        for bad in ["", "me", "@x", "me@", "a@b@c", "a b@c", "a:b@c", "a/b@c", "a@b\n", "\u{e9}@x"] {
            assert_eq!(bad.parse::<Email>(), Err(EmailError), "{bad:?}");
        }
        assert!(format!("{}@x", "a".repeat(252)).parse::<Email>().is_ok());
        assert!(format!("{}@x", "a".repeat(253)).parse::<Email>().is_err());
    }

    #[test]
    fn a_right_holds_those_below_it() {
        assert_eq!(AppRight::Operate.held().collect::<Vec<_>>(), AppRight::ALL[..3]);
        for right in AppRight::ALL {
            assert_eq!(right.as_str().parse(), Ok(right));
        }
        assert!("root".parse::<AppRight>().is_err());
    }

    #[test]
    fn scopes_cover_what_they_say() {
        let scopes = |text: &str| text.parse::<Scopes>().unwrap();
        assert!(Scope::ALL.into_iter().all(|wanted| Scopes::global().cover(wanted)));
        assert!(Scope::ALL.into_iter().all(|scope| scope.covers(scope)));
        assert!(!scopes("read").cover(Scope::ReadProtected) && !scopes("read").cover(Scope::Write));
        assert!(!scopes("write").cover(Scope::WriteProtected) && scopes("write").cover(Scope::Read));
        assert!(!scopes("write-protected").cover(Scope::Global));
        assert!(!scopes("identity").cover(Scope::Read));
        assert_eq!(scopes(""), Scopes::global());
        assert!(scopes("write").hold(&scopes("read")) && !scopes("read identity").hold(&scopes("global")));
        assert!("all".parse::<Scopes>().is_err());
        assert_eq!(scopes("write read").to_string(), "read write");
    }
}
