//! The mirror: addresses whose files lie on this host, for builds on a machine that does not reach them, or shall not.
//!
//! ```text
//!   build's network namespace                          this process
//!     curl https://vendor.example/v1/x.tgz ─► 127.0.0.1:443 ─► TLS by a certificate of this build ─► /srv/mirror/x.tgz, or 404
//!     (/etc/hosts leads there, and the build's trust store has the authority)
//! ```
//!
//! It gives the file that lies under an address and nothing else: what is not there is 404, never another version under that
//! name. A host that is mirrored at all is not reached in the network.

mod certificate;
mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use percent_encoding::percent_decode_str;
use thiserror::Error;

pub(super) use certificate::Identity;
pub(super) use serve::{ADDRESS, Serving, serve};

/// Which files of this host builds get instead of what lies under addresses of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    /// The longest address first: it is the one that is meant.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    host: String,
    /// Ends with a slash where all below is meant.
    path: String,
    place: PathBuf,
}

/// An entry of the table is none. The text is for whoever has written it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{address}` cannot be mirrored: {reason}")]
pub struct MirrorError {
    address: String,
    reason: &'static str,
}

impl Mirror {
    /// A table from addresses to places: an address that ends with a slash stands for all below it, and its place is a
    /// directory; any other stands for itself, and its place is a file.
    ///
    /// # Errors
    /// An address is no `http://` or `https://` address of a host without a port, or a place is no absolute path.
    pub fn new(table: &BTreeMap<String, PathBuf>) -> Result<Self, MirrorError> {
        let mut entries =
            table.iter().map(|(address, place)| entry(address, place)).collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.path.len()));
        Ok(Self { entries })
    }

    /// The hosts of which something is mirrored.
    pub(super) fn hosts(&self) -> BTreeSet<&str> {
        self.entries.iter().map(|entry| entry.host.as_str()).collect()
    }

    /// Where the file of an address would be. What is asked for cannot lead out of a place.
    fn place(&self, host: &str, path: &str) -> Option<PathBuf> {
        let path = percent_decode_str(path).decode_utf8().ok()?;
        let of_host = self.entries.iter().filter(|entry| entry.host.eq_ignore_ascii_case(host));
        of_host.into_iter().find_map(|entry| {
            if !entry.path.ends_with('/') {
                return (path == entry.path).then(|| entry.place.clone());
            }
            let below = Path::new(path.strip_prefix(&entry.path)?);
            let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
            (is_plain && !path.contains('\0')).then(|| entry.place.join(below))
        })
    }
}

fn entry(address: &str, place: &Path) -> Result<Entry, MirrorError> {
    let refused = |reason| MirrorError { address: address.to_owned(), reason };
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| refused("it begins with neither https:// nor http://"))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_host = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(refused("it names no host, or a port, which cannot be mirrored"));
    }
    if path.contains(['?', '#']) {
        return Err(refused("what stands after ? or # is no part of a file"));
    }
    if !place.is_absolute() {
        return Err(refused("its place is no absolute path"));
    }
    let path = if path.is_empty() { "/" } else { path };
    Ok(Entry { host: host.to_ascii_lowercase(), path: path.to_owned(), place: place.to_owned() })
}

#[cfg(test)]
mod test {
    use super::*;

    pub(super) fn mirror(table: &[(&str, &str)]) -> Result<Mirror, MirrorError> {
        Mirror::new(
            &table.iter().map(|(address, place)| ((*address).to_owned(), PathBuf::from(place))).collect(),
        )
    }

    #[test]
    fn the_longest_address_is_the_one_that_is_meant() {
        let mirror = mirror(&[
            ("https://files.example/", "/srv/all"),
            ("https://files.example/v1/", "/srv/one"),
            ("https://files.example/v1/special.tgz", "/srv/special"),
        ])
        .unwrap();
        let place = |path: &str| mirror.place("FILES.example", path).map(|path| path.display().to_string());
        assert_eq!(place("/a/b.tgz").as_deref(), Some("/srv/all/a/b.tgz"));
        assert_eq!(place("/v1/x%2Dy.tgz").as_deref(), Some("/srv/one/x-y.tgz"));
        assert_eq!(place("/v1/special.tgz").as_deref(), Some("/srv/special"));
        assert_eq!(place("/v1/special.tgz.sha256").as_deref(), Some("/srv/one/special.tgz.sha256"));
        assert_eq!(mirror.place("other.example", "/a"), None);
        assert_eq!(mirror.hosts().into_iter().collect::<Vec<_>>(), ["files.example"]);
    }

    #[test]
    fn nothing_outside_of_a_place_is_given() {
        let mirror =
            mirror(&[("https://files.example/a/", "/srv/a"), ("http://one.example/x", "/srv/x")]).unwrap();
        for path in ["/a/../../etc/passwd", "/a/%2e%2e/b", "/a//etc/passwd", "/a/..", "/b", "/a/%00", "/ab"] {
            assert_eq!(mirror.place("files.example", path), None, "{path}");
        }
        assert_eq!(mirror.place("one.example", "/x/y"), None);
    }

    #[test]
    fn what_is_no_address_of_a_host_is_refused() {
        for (address, place) in [
            ("ftp://a.example/", "/srv"),
            ("https:///x", "/srv"),
            ("https://a.example:8443/", "/srv"),
            ("https://me@a.example/", "/srv"),
            ("https://a.example/x?y", "/srv"),
            ("https://a.example/", "srv"),
        ] {
            assert!(mirror(&[(address, place)]).unwrap_err().to_string().contains(address), "{address}");
        }
        assert!(Mirror::new(&BTreeMap::new()).unwrap().hosts().is_empty());
    }
}
