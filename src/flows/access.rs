//! Who may use the node, and under which name they appear in logs and releases.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::RngCore;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Who asks for something: the "user" of logs and releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(pub String);

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 24;

/// The node's token: whoever has it administers the node over TCP. Only its digest is kept in memory.
#[derive(Clone)]
pub struct Token {
    digest: [u8; 32],
}

/// The token cannot be read or made.
#[derive(Debug, Error)]
#[error("the token file {}", path.display())]
pub struct TokenError {
    path: PathBuf,
    source: io::Error,
}

impl Token {
    /// Reads the token in `path`, making one readable by its owner alone when there is none.
    ///
    /// # Errors
    /// The file cannot be read or made.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let attempt = |source| TokenError { path: path.to_owned(), source };
        match fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => return Ok(Self::new(text.trim())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(attempt(error)),
        }
        let mut bytes = [0; TOKEN_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let text = hex::encode(bytes);
        let aside = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .map_err(attempt)?;
        file.write_all(format!("{text}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(attempt)?;
        fs::rename(&aside, path).map_err(attempt)?;
        Ok(Self::new(&text))
    }

    /// The token of this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { digest: Sha256::digest(text).into() }
    }

    /// Whether `secret` is the token. Digests are compared, so time tells nothing of the token's characters.
    #[must_use]
    pub fn matches(&self, secret: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        self.digest == digest
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
