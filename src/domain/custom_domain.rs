//! Names of their own that apps answer to.

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{AppId, Hostname};

/// The names below this one are the apps' given ones.
const GIVEN: &str = "localhost";

/// A host name that leads to an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomDomain {
    /// Its identity.
    pub id: Uuid,
    /// The app.
    pub app: AppId,
    /// The name, unique on the node.
    pub hostname: Hostname,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
}

/// Why a text is no name for an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CustomDomainError {
    /// No host name at all.
    #[error("a domain is labels of letters, digits and dashes, joined by dots, at most 253 characters")]
    Hostname,
    /// One label, or an address.
    #[error("a domain has at least two labels, and the last is no number")]
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
    pub fn parse(text: &str) -> Result<Hostname, CustomDomainError> {
        let name: Hostname = text.parse().map_err(|_| CustomDomainError::Hostname)?;
        let (_, last) = name.as_str().rsplit_once('.').ok_or(CustomDomainError::NotPublic)?;
        if last == GIVEN {
            Err(CustomDomainError::Given)
        } else if last.bytes().all(|b| b.is_ascii_digit()) {
            Err(CustomDomainError::NotPublic)
        } else {
            Ok(name)
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_domain_is_a_name_that_nobody_is_given() {
        assert_eq!(CustomDomain::parse("WWW.Example.com.").unwrap().as_str(), "www.example.com");
        for (text, error) in [
            ("example", CustomDomainError::NotPublic),
            ("127.0.0.1", CustomDomainError::NotPublic),
            ("other.localhost", CustomDomainError::Given),
            ("a b.example", CustomDomainError::Hostname),
            ("*.example.com", CustomDomainError::Hostname),
            ("", CustomDomainError::Hostname),
        ] {
            assert_eq!(CustomDomain::parse(text), Err(error), "{text}");
        }
    }
}
