//! Certificates that servers show, with their keys, and the snapshot of those that the router shows.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::domain::{HostPattern, Hostname};

/// A private key in DER, as PKCS#8, PKCS#1 or SEC 1 have it. It is never printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretKey(Arc<[u8]>);

/// A certificate and the key that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// The chain in DER (RFC 5280): the server's own first, each signed by the next.
    pub chain: Vec<Vec<u8>>,
    /// The key of the first.
    pub key: SecretKey,
}

/// Which certificate is shown to a client that asks for which name, published as immutable snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// By exact host name.
    pub names: HashMap<Hostname, Arc<Certificate>>,
    /// By what follows `*.` in a wildcard. It stands for one label, and only where no exact name does.
    pub wildcards: HashMap<Hostname, Arc<Certificate>>,
    /// The node's own, where there is no other.
    pub own: Option<Arc<Certificate>>,
    /// What authorities are answered that ask whether a name leads here (RFC 8555, section 8), while they may ask.
    pub answers: HashMap<Hostname, ChallengeAnswer>,
}

/// The answer to an authority's challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChallengeAnswer {
    /// In plain HTTP, at the path of the token (RFC 8555, section 8.3).
    Http {
        /// The token.
        token: String,
        /// What is there.
        text: String,
    },
    /// A certificate that is shown to who speaks the protocol for that alone (RFC 8737).
    Tls(Arc<Certificate>),
}

// === impl SecretKey ===

impl SecretKey {
    /// Keeps a key.
    #[must_use]
    pub fn new(der: impl Into<Arc<[u8]>>) -> Self {
        Self(der.into())
    }

    /// The key, for who signs with it.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

// === impl Certificates ===

impl Certificates {
    /// Has `certificate` shown for a name, or for all of a pattern.
    pub fn insert(&mut self, pattern: &HostPattern, certificate: Arc<Certificate>) {
        let (names, name) = match pattern {
            HostPattern::Exact(name) => (&mut self.names, name),
            HostPattern::Wildcard(name) => (&mut self.wildcards, name),
        };
        names.insert(name.clone(), certificate);
    }

    /// What is shown for a name in lower case, without a final dot; for none, what is shown where there is no other.
    #[must_use]
    pub fn shown(&self, name: Option<&str>) -> Option<&Arc<Certificate>> {
        let wildcard =
            |name: &str| self.wildcards.get(name.split_once('.').filter(|(one, _)| !one.is_empty())?.1);
        let named = name.and_then(|name| self.names.get(name).or_else(|| wildcard(name)));
        named.or(self.own.as_ref())
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn certificate(text: &str) -> Arc<Certificate> {
        Arc::new(Certificate { chain: vec![text.into()], key: SecretKey::new(*b"secret") })
    }

    #[test]
    fn a_name_has_its_own_certificate_or_a_wildcards_or_the_nodes() {
        let mut all = Certificates::default();
        assert_eq!(all.shown(Some("www.example.com")), None);
        let (own, one, any) = (certificate("own"), certificate("one"), certificate("any"));
        all.own = Some(Arc::clone(&own));
        all.insert(&"www.example.com".parse().unwrap(), Arc::clone(&one));
        all.insert(&"*.example.com".parse().unwrap(), Arc::clone(&any));
        for (name, shown) in [
            (Some("www.example.com"), &one),
            (Some("api.example.com"), &any),
            (Some("a.b.example.com"), &own),
            (Some("example.com"), &own),
            (Some(".example.com"), &own),
            (Some(""), &own),
            (None, &own),
        ] {
            assert_eq!(all.shown(name), Some(shown), "{name:?}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        assert!(!format!("{:?}", certificate("one")).contains("115"), "the first byte of the key");
        assert_eq!(format!("{:?}", SecretKey::new(*b"s")), "SecretKey(..)");
    }
}
