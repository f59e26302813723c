//! Public keys of users (RFC 4253 section 6.6, and the one-line form of sshd(8)).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;
use uuid::Uuid;

use crate::domain::Email;

/// Kinds of keys; DSA is broken, and no certificate is a key.
const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Bytes of the length before a text in a key (RFC 4251 section 5).
const LENGTH_BYTES: usize = 4;

/// A key as it was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    /// Its identity.
    pub id: Uuid,
    /// Whose it is.
    pub user: Email,
    /// The key.
    pub key: PublicKey,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
}

impl SshKey {
    /// The most one user has.
    pub const PER_USER_MAX: usize = 100;
}

/// A public key and what its owner calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: &'static str,
    /// The key's bytes in base64.
    blob: String,
    comment: String,
}

/// Why a text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PublicKeyError {
    /// It looks like a private key, which nobody should send.
    #[error(
        "this is a private key: add the file that ends with .pub, and make a new key, since this one was sent"
    )]
    Private,
    /// Not a line of kind, key and comment, or of a kind that is not taken.
    #[error("a key is one line as in an ssh .pub file, of the kind ed25519, ecdsa or rsa")]
    Malformed,
}

impl PublicKey {
    const LENGTH_MAX: usize = 16 * 1024;

    /// `ssh-ed25519`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.kind
    }

    /// The key's bytes in base64.
    #[must_use]
    pub fn blob(&self) -> &str {
        &self.blob
    }

    /// What its owner calls it; may be empty.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.blob, self.comment)
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        if text.contains("PRIVATE KEY") {
            return Err(PublicKeyError::Private);
        }
        let line = text.trim();
        if line.len() > Self::LENGTH_MAX || line.contains(['\n', '\r', '\0']) {
            return Err(PublicKeyError::Malformed);
        }
        let mut words = line.splitn(3, ' ');
        let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let kind = KINDS.into_iter().find(|known| *known == kind).ok_or(PublicKeyError::Malformed)?;
        let bytes = BASE64_STANDARD.decode(blob).map_err(|_| PublicKeyError::Malformed)?;
        // Every key names its kind once more, at its beginning: its length in four bytes, and its text.
        let named = bytes.get(LENGTH_BYTES..LENGTH_BYTES + kind.len());
        if named != Some(kind.as_bytes()) || bytes.len() <= LENGTH_BYTES + kind.len() {
            return Err(PublicKeyError::Malformed);
        }
        let comment = words.next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
        Ok(Self { kind, blob: blob.to_owned(), comment })
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIPwC2tkzVv6Ch38rCQ9e8oTZ+q+x568q8LOvD/lzF5CX";

    #[test]
    fn a_line_of_a_pub_file_is_read() {
        let key: PublicKey = format!("ssh-ed25519 {KEY} me at home\n").parse().unwrap();
        assert_eq!((key.kind(), key.blob(), key.comment()), ("ssh-ed25519", KEY, "me at home"));
        assert_eq!(key.to_string().parse::<PublicKey>(), Ok(key));
        assert_eq!(format!("ssh-ed25519 {KEY}").parse::<PublicKey>().unwrap().comment(), "");
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUA\n";
        assert_eq!(private.parse::<PublicKey>(), Err(PublicKeyError::Private));
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-dss AAAA me",
            &format!("command=\"x\" ssh-ed25519 {KEY}"),
            &format!("ssh-ed25519 {KEY}\nssh-ed25519 {KEY}"),
            "ssh-ed25519 AAAA!AAAAAAAAAAAAAA me",
        ] {
            assert_eq!(bad.parse::<PublicKey>(), Err(PublicKeyError::Malformed), "{bad}");
        }
    }
}
