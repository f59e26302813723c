//! Names of their own that apps answer to.

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{AppId, CertificateOrder, HostPattern};

/// The names below this one are the apps' given ones.
const GIVEN: &str = "localhost";

/// A host name, or all below one, that lead to an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomDomain {
    /// Its identity.
    pub id: Uuid,
    /// The app.
    pub app: AppId,
    /// The name, or the pattern of them, unique on the node.
    pub hostname: HostPattern,
    /// The certificate that is shown for it, if the app has brought one.
    pub endpoint: Option<EndpointRef>,
    /// The order for a certificate, where the node gets one by itself.
    pub order: Option<CertificateOrder>,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
}

/// A certificate of an app, as its domains name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRef {
    /// Its identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// Why a text is no name for an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CustomDomainError {
    /// No host name at all.
    #[error(
        "a domain is labels of letters, digits and dashes, joined by dots, at most 253 characters; the first may be a star"
    )]
    Hostname,
    /// One label, or an address.
    #[error("a domain has at least two labels, a star not counted, and the last is no number")]
    NotPublic,
    /// A name that apps are given.
    #[error("names that end with .localhost are the node's own")]
    Given,
}

impl CustomDomain {
    /// The most an app has; routes of all apps are kept in memory.
    pub const PER_APP_MAX: usize = 1000;

    /// Reads what a user wants an app to answer to.
    ///
    /// # Errors
    /// The text is no host name, or not one that can be given to an app.
    pub fn parse(text: &str) -> Result<HostPattern, CustomDomainError> {
        let pattern: HostPattern = text.parse().map_err(|_| CustomDomainError::Hostname)?;
        let name = pattern.name().as_str();
        let last = name.rsplit_once('.').map(|(_, last)| last);
        if last == Some(GIVEN) || (name == GIVEN && matches!(pattern, HostPattern::Wildcard(_))) {
            return Err(CustomDomainError::Given);
        }
        match last {
            Some(last) if !last.bytes().all(|b| b.is_ascii_digit()) => Ok(pattern),
            Some(_) | None => Err(CustomDomainError::NotPublic),
        }
    }
}

/// Whether a name, in lower case and without a final dot, is one that apps are given.
#[must_use]
pub fn is_given(name: &str) -> bool {
    name.rsplit_once('.').map_or(name, |(_, last)| last) == GIVEN
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_domain_is_a_name_that_nobody_is_given() {
        assert_eq!(CustomDomain::parse("WWW.Example.com.").unwrap().to_string(), "www.example.com");
        assert_eq!(CustomDomain::parse("*.Example.com").unwrap().to_string(), "*.example.com");
        for (text, error) in [
            ("example", CustomDomainError::NotPublic),
            ("127.0.0.1", CustomDomainError::NotPublic),
            ("other.localhost", CustomDomainError::Given),
            ("a b.example", CustomDomainError::Hostname),
            ("*.localhost", CustomDomainError::Given),
            ("*.other.localhost", CustomDomainError::Given),
            ("*.com", CustomDomainError::NotPublic),
            ("*.0.0.1", CustomDomainError::NotPublic),
            ("*.*.example.com", CustomDomainError::Hostname),
            ("www.*.com", CustomDomainError::Hostname),
            ("", CustomDomainError::Hostname),
        ] {
            assert_eq!(CustomDomain::parse(text), Err(error), "{text}");
        }
    }
}
