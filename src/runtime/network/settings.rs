//! The one setting of the host that is changed, `forwarding` of its uplinks: recorded before, restored after.
//!
//! Forwarding is switched on per link and never globally. Several nodes may share an uplink: each one's table tells in its
//! comment what the value was before any of them came, and the last to go restores it. A name in the abstract socket
//! namespace serves as the lock between them: it is per network namespace, as the settings are, and leaves nothing behind.

use std::collections::BTreeMap;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{NetworkError, io_error};
use crate::sys::fs::write_atomically;

/// How long another node is waited for, in milliseconds, and how often it is asked.
const LOCK_WAIT_MS: u64 = 15_000;
const LOCK_PAUSE_MS: u64 = 20;
/// The lock's name.
const LOCK: &str = "dyno-network-settings";

/// What is kept on disk while a node has changed settings.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// `forwarding` of each uplink before any node changed it.
    pub(super) former: BTreeMap<String, String>,
}

impl Record {
    /// The record of an earlier run, if there is one.
    pub(super) fn load(path: &Path) -> Result<Option<Record>, NetworkError> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| NetworkError::Record { path: path.to_owned(), source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read the record of changed settings", path)(error)),
        }
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), NetworkError> {
        let bytes = serde_json::to_vec(self)
            .map_err(|source| NetworkError::Record { path: path.to_owned(), source })?;
        write_atomically(path, &bytes).map_err(io_error("write the record of changed settings", path))
    }

    pub(super) fn remove(path: &Path) -> Result<(), NetworkError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove the record of changed settings", path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Sets the recorded values; a link that is gone has nothing to restore.
    pub(super) fn restore(&self) -> Result<(), NetworkError> {
        for (link, value) in &self.former {
            match write(4, link, "forwarding", value) {
                Err(NetworkError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }
}

/// Held while settings are looked at and changed; given back when dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "held for its effect")] UnixListener);

/// Waits for the lock.
pub(super) async fn lock() -> Result<Lock, NetworkError> {
    let address = SocketAddr::from_abstract_name(LOCK).map_err(io_error("name the lock", Path::new(LOCK)))?;
    for _ in 0..LOCK_WAIT_MS / LOCK_PAUSE_MS {
        match UnixListener::bind_addr(&address) {
            Ok(listener) => return Ok(Lock(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tokio::time::sleep(Duration::from_millis(LOCK_PAUSE_MS)).await;
            }
            Err(error) => return Err(io_error("take the lock", Path::new(LOCK))(error)),
        }
    }
    Err(NetworkError::Locked { waited_s: LOCK_WAIT_MS / 1000 })
}

/// Reads a setting of a link in the calling thread's network namespace.
pub(super) fn read(version: u8, link: &str, name: &str) -> Result<String, NetworkError> {
    let path = path(version, link, name);
    let value = std::fs::read_to_string(&path).map_err(io_error("read the setting", Path::new(&path)))?;
    Ok(value.trim().to_owned())
}

/// Writes a setting of a link in the calling thread's network namespace.
pub(super) fn write(version: u8, link: &str, name: &str, value: &str) -> Result<(), NetworkError> {
    let path = path(version, link, name);
    std::fs::write(&path, value).map_err(io_error(&format!("write {value} to the setting"), Path::new(&path)))
}

/// Gives a link no IPv6 address at all; a host without IPv6 has no such setting.
pub(super) fn refuse_ipv6(link: &str) -> Result<(), NetworkError> {
    match write(6, link, "disable_ipv6", "1") {
        Err(NetworkError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn path(version: u8, link: &str, name: &str) -> String {
    format!("/proc/sys/net/ipv{version}/conf/{link}/{name}")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("network.json");
        assert_eq!(Record::load(&path).unwrap(), None);
        let record = Record { former: [("eth0".to_owned(), "0".to_owned())].into() };
        record.save(&path).unwrap();
        assert_eq!(Record::load(&path).unwrap(), Some(record));
        Record::remove(&path).unwrap();
        Record::remove(&path).unwrap();
        assert_eq!(Record::load(&path).unwrap(), None);
    }

    #[test]
    fn a_damaged_record_is_an_error_and_not_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("network.json");
        std::fs::write(&path, b"{").unwrap();
        assert!(matches!(Record::load(&path), Err(NetworkError::Record { .. })));
    }
}
