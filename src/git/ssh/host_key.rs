//! The key by which clients know the node again: made once, and kept.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rand::RngCore as _;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use russh::keys::{HashAlg, PrivateKey};
use thiserror::Error;

use crate::sys::fs::write_atomically;

/// The file of the key, in OpenSSH's form; the public one stands beside it.
const FILE: &str = "ssh_host_ed25519_key";

/// The key.
#[derive(Clone)]
pub struct HostKey {
    pub(super) key: PrivateKey,
}

/// There is no key, or it cannot be used.
#[derive(Debug, Error)]
pub enum HostKeyError {
    /// A file of it.
    #[error("the file {} of the node's SSH host key", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is none, or cannot be made.
    #[error(
        "the node's SSH host key in {} cannot be used: move it away, and a new one is made, of which clients will warn",
        path.display()
    )]
    Key {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: russh::keys::ssh_key::Error,
    },
}

impl HostKey {
    /// The key in `dir`, made when there is none.
    ///
    /// # Errors
    /// Its file cannot be read or made, or holds something else.
    pub fn load(dir: &Path) -> Result<Self, HostKeyError> {
        let path = dir.join(FILE);
        let file = |source| HostKeyError::File { path: path.clone(), source };
        let broken = |source| HostKeyError::Key { path: path.clone(), source };
        let key = match std::fs::read_to_string(&path) {
            Ok(text) => PrivateKey::from_openssh(&text).map_err(broken)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = fresh().map_err(broken)?;
                let text = key.to_openssh(LineEnding::LF).map_err(broken)?;
                // What is written atomically is its owner's alone.
                write_atomically(&path, text.as_bytes()).map_err(file)?;
                key
            }
            Err(error) => return Err(file(error)),
        };
        let public = key.public_key().to_openssh().map_err(broken)?;
        let path = path.with_extension("pub");
        write_atomically(&path, format!("{public}\n").as_bytes())
            .map_err(|source| HostKeyError::File { path, source })?;
        Ok(Self { key })
    }

    /// What `ssh` shows of it when it meets the node first.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.public_key().fingerprint(HashAlg::Sha256).to_string()
    }
}

/// Never the key itself: it ends up in messages of panics and logs.
impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostKey").field(&self.fingerprint()).finish()
    }
}

fn fresh() -> Result<PrivateKey, russh::keys::ssh_key::Error> {
    let mut seed = [0; Ed25519PrivateKey::BYTE_SIZE];
    rand::rng().fill_bytes(&mut seed);
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)), "dyno")
}

#[cfg(test)]
mod test {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let first = HostKey::load(dir.path()).unwrap();
        let again = HostKey::load(dir.path()).unwrap();
        assert_eq!(first.fingerprint(), again.fingerprint());
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others may read the key");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(HostKey::load(other.path()).unwrap().fingerprint(), first.fingerprint());
        assert!(!format!("{first:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_damaged_key_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "no key").unwrap();
        assert!(matches!(HostKey::load(dir.path()), Err(HostKeyError::Key { .. })));
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE)).unwrap(), "no key");
    }
}
