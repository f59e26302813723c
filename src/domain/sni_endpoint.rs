//! Certificates for apps' own names, as users bring them or the node gets them.

use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{AppId, Certificate, HostPattern};

/// A certificate of an app, under the name by which it is spoken of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SniEndpoint {
    /// Its identity.
    pub id: Uuid,
    /// The app.
    pub app: AppId,
    /// Its name, unique in the app.
    pub name: String,
    /// The certificate and its key.
    pub certificate: Arc<Certificate>,
    /// Who vouched for it when it was brought.
    pub standing: Standing,
    /// Where it is from.
    pub source: CertificateSource,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
    /// Unix time of the last change, seconds.
    pub updated_at_s: i64,
}

impl SniEndpoint {
    /// The most an app has; those of all apps are kept in memory.
    pub const PER_APP_MAX: usize = 100;
}

/// Where a certificate is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// A user has brought it.
    User,
    /// The node has got it, and renews it.
    Node,
}

/// Who vouches for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An authority that this machine trusts.
    Trusted,
    /// Nobody whom this machine knows.
    Unknown,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whose it is, as `/C=.../CN=...`.
    pub subject: String,
    /// Who signed it, in the same form.
    pub issuer: String,
    /// The host names it is good for, wildcards among them, in lower case.
    pub names: Vec<String>,
    /// Unix time from which on it holds, seconds.
    pub starts_at_s: i64,
    /// Unix time until which it holds, seconds.
    pub expires_at_s: i64,
}

impl CertificateFacts {
    /// Whether it is good for a name, or for all of a pattern.
    #[must_use]
    pub fn covers(&self, pattern: &HostPattern) -> bool {
        let whole = pattern.to_string();
        let above = match pattern {
            HostPattern::Exact(name) => name.as_str().split_once('.').map(|(_, above)| format!("*.{above}")),
            HostPattern::Wildcard(_) => None,
        };
        self.names.iter().any(|name| *name == whole || Some(name) == above.as_ref())
    }
}

/// Why texts are no certificate that can be shown. None of them tells anything of a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// No PEM, or none of a certificate.
    #[error("the certificate is no PEM file with `BEGIN CERTIFICATE` lines")]
    Chain,
    /// More than any chain has.
    #[error("a chain has at most {max} certificates", max = CertificateError::CHAIN_MAX)]
    Long,
    /// No PEM, or none of a key.
    #[error("the key is no PEM file with one private key that is not encrypted")]
    Key,
    /// Of a kind that is not spoken.
    #[error(
        "the key is of a kind that TLS here does not use: RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519"
    )]
    Kind,
    /// The key is for none of the certificates.
    #[error("the key is for none of the certificates")]
    Mismatch,
    /// No host name in it.
    #[error("the certificate names no host (subjectAltName)")]
    Nameless,
    /// Its time is over.
    #[error("the certificate has expired on {0}")]
    Expired(String),
}

impl CertificateError {
    /// The most certificates in a chain.
    pub const CHAIN_MAX: usize = 10;
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_wildcard_covers_one_label() {
        let facts = CertificateFacts {
            subject: String::new(),
            issuer: String::new(),
            names: vec!["example.com".to_owned(), "*.example.com".to_owned(), "www.other.com".to_owned()],
            starts_at_s: 0,
            expires_at_s: 0,
        };
        for (pattern, is_covered) in [
            ("example.com", true),
            ("www.example.com", true),
            ("*.example.com", true),
            ("a.b.example.com", false),
            ("www.other.com", true),
            ("*.other.com", false),
            ("other.com", false),
        ] {
            assert_eq!(facts.covers(&pattern.parse().unwrap()), is_covered, "{pattern}");
        }
    }
}
