//! Locks between processes (flock(2)): held as long as the value lives, given up by the kernel if the holder dies.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

/// Pause between two tries of `wait_lock`.
const WAIT_PAUSE: Duration = Duration::from_millis(2);

/// A held lock.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock at `path`, creating the file if need be; `None` if another process holds it. Does not wait.
///
/// # Errors
/// The kernel's errno (no such directory, no right to write there).
pub fn try_lock(path: &Path) -> io::Result<Option<Lock>> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes the lock at `path`, waiting for its holder at most so long; `None` if that was not enough. Blocks the thread.
///
/// # Errors
/// As `try_lock`.
pub fn wait_lock(path: &Path, timeout: Duration) -> io::Result<Option<Lock>> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(lock) = try_lock(path)? {
            return Ok(Some(lock));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(WAIT_PAUSE);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_free_again_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
    }
}
