//! Links that are their own credentials: whoever has one may do one thing with one object until a moment, and nobody can
//! make another. What they open is told by their path, and their query shows that the node has made them.
//!
//! The key lasts as long as the process: what links open is gone with it, or is asked for again.

use http::Method;
use rand::RngCore as _;
use ring::hmac;

/// How long a link is good, seconds (platform reference 7.3).
pub(super) const AGE_MAX_S: u64 = 3600;

/// Bytes of the key, as many as of a signature.
const KEY_BYTES: usize = 32;

/// Makes links, and knows its own.
pub(super) struct Presigner(hmac::Key);

impl Default for Presigner {
    fn default() -> Self {
        let mut key = [0; KEY_BYTES];
        rand::rng().fill_bytes(&mut key);
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }
}

// === impl Presigner ===

impl Presigner {
    /// `path` as a link with which `method` is allowed for an hour from `now_s`, Unix time in seconds.
    pub(super) fn link(&self, method: &Method, path: &str, now_s: i64) -> String {
        let expires = now_s.saturating_add(i64::try_from(AGE_MAX_S).unwrap_or(i64::MAX));
        let signature = hmac::sign(&self.0, &signed(method, path, expires));
        format!("{path}?expires={expires}&signature={}", hex::encode(signature))
    }

    /// Whether `path` with `query` is a link of ours that allows `method` at `now_s`.
    pub(super) fn allows(&self, method: &Method, (path, query): (&str, &str), now_s: i64) -> bool {
        let Some((expires, signature)) = parts(query) else { return false };
        let is_ours = hex::decode(signature)
            .is_ok_and(|told| hmac::verify(&self.0, &signed(method, path, expires), &told).is_ok());
        is_ours && now_s < expires
    }
}

/// What is signed. Neither a method nor a path holds a line end.
fn signed(method: &Method, path: &str, expires: i64) -> Vec<u8> {
    format!("{method}\n{path}\n{expires}").into_bytes()
}

/// When it ends, and the signature; a query that says anything else is nobody's.
fn parts(query: &str) -> Option<(i64, &str)> {
    let (expires, signature) = query.strip_prefix("expires=")?.split_once("&signature=")?;
    Some((expires.parse().ok()?, signature))
}

#[cfg(test)]
mod test {
    use super::*;

    const NOW_S: i64 = 1_795_000_000;

    #[test]
    fn a_link_allows_one_thing_with_one_object_for_a_while() {
        let (presigner, other) = (Presigner::default(), Presigner::default());
        let link = presigner.link(&Method::PUT, "/sources/a", NOW_S);
        let (path, query) = link.split_once('?').unwrap();
        let allows = |method, path, query: &str, now_s| presigner.allows(&method, (path, query), now_s);
        assert!(allows(Method::PUT, path, query, NOW_S));
        assert!(allows(Method::PUT, path, query, NOW_S + 3599));
        assert!(!allows(Method::PUT, path, query, NOW_S + 3600), "its time is over");
        assert!(!allows(Method::GET, path, query, NOW_S), "another verb");
        assert!(!allows(Method::PUT, "/sources/b", query, NOW_S), "another object");
        assert!(!other.allows(&Method::PUT, (path, query), NOW_S), "another node");
        let later = query.replace(&(NOW_S + 3600).to_string(), &(NOW_S + 7200).to_string());
        assert!(later != query && !allows(Method::PUT, path, &later, NOW_S), "a longer time");
        for query in ["", "expires=1", "signature=x", &query[..query.len() - 1], &format!("{query}00")] {
            assert!(!allows(Method::PUT, path, query, NOW_S), "{query}");
        }
    }
}
