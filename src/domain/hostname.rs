//! A host name a request can be for, and patterns of such.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A DNS host name in lower case, without port and trailing dot (RFC 1123 section 2.1, RFC 1035 section 2.3.4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(String);

/// The host names that lead to an app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This one.
    Exact(Hostname),
    /// Those with one label in front of this one, where nobody has them exactly; written `*.example.com`.
    Wildcard(Hostname),
}

/// The text is no host name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a host name: labels of letters, digits and dashes, joined by dots, at most 253 characters")]
pub struct HostnameError;

impl Hostname {
    const LENGTH_MAX: usize = 253;
    const LABEL_LENGTH_MAX: usize = 63;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tables keyed by host names can be asked with a text that is one already. Hash and order are those of the text.
impl Borrow<str> for Hostname {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, HostnameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let label_holds = |label: &str| {
            (1..=Self::LABEL_LENGTH_MAX).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() <= Self::LENGTH_MAX && name.split('.').all(label_holds) {
            Ok(Self(name.to_ascii_lowercase()))
        } else {
            Err(HostnameError)
        }
    }
}

// === impl HostPattern ===

impl HostPattern {
    /// What stands before the name in a wildcard.
    const STAR: &str = "*.";

    /// The name itself, or what follows the star.
    #[must_use]
    pub fn name(&self) -> &Hostname {
        match self {
            Self::Exact(name) | Self::Wildcard(name) => name,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Wildcard(name) => write!(f, "{}{name}", Self::STAR),
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, HostnameError> {
        let Some(name) = text.strip_prefix(Self::STAR) else { return text.parse().map(Self::Exact) };
        let name: Hostname = name.parse()?;
        // What it stands for is a name too, of one letter more at least.
        if name.as_str().len() + Self::STAR.len() > Hostname::LENGTH_MAX {
            return Err(HostnameError);
        }
        Ok(Self::Wildcard(name))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_star_stands_for_the_first_label_alone() {
        let wildcard: HostPattern = "*.Example.com.".parse().unwrap();
        assert_eq!(wildcard, HostPattern::Wildcard("example.com".parse().unwrap()));
        assert_eq!(wildcard.to_string(), "*.example.com");
        assert_eq!("a.b".parse(), Ok(HostPattern::Exact("a.b".parse().unwrap())));
        let longest = format!("*.{}aa", "a.".repeat(125));
        for bad in ["*", "*.", "*.*.com", "a.*.com", "a*.com", "**.com", &longest] {
            assert_eq!(bad.parse::<HostPattern>(), Err(HostnameError), "{bad}");
        }
        assert!(format!("*.{}a", "a.".repeat(125)).parse::<HostPattern>().is_ok());
    }

    #[test]
    fn names_are_lowered_and_lose_their_dot() {
        assert_eq!("Example.LOCALHOST.".parse::<Hostname>().unwrap().as_str(), "example.localhost");
    }

    #[test]
    fn what_dns_refuses_is_refused() {
        let (long_label, long_name) = ("a".repeat(64), "a.".repeat(127) + "a");
        for bad in ["", ".", "a..b", "-a.b", "a-.b", "a_b", "a b", &long_label, &long_name] {
            assert_eq!(bad.parse::<Hostname>(), Err(HostnameError), "{bad}");
        }
        assert!("a.".repeat(127).parse::<Hostname>().is_ok(), "253 characters and a final dot");
    }
}
