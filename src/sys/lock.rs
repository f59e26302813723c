//! Locks between processes (flock(2)): held as long as the value lives, given up by the kernel if the holder dies.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

/// Pause between two tries of `wait_lock`.
const WAIT_PAUSE: Duration = Duration::from_millis(2);

/// Tries to lock a file that its holders keep removing.
const TRIES: u32 = 16;

/// A held lock.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Removes the lock's file and gives the lock up. Whoever has opened the file by then notices and makes a new one.
    ///
    /// # Errors
    /// The kernel's errno; the lock is given up all the same.
    pub fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    /// Whether the locked file is still the one that others would open.
    fn is_current(&self) -> io::Result<bool> {
        let held = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Takes the lock at `path`, creating the file if need be; `None` if another process holds it. Does not wait.
///
/// # Errors
/// The kernel's errno (no such directory, no right to write there).
pub fn try_lock(path: &Path) -> io::Result<Option<Lock>> {
    for _ in 0..TRIES {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let lock = Lock { file, path: path.to_owned() };
        if lock.is_current()? {
            return Ok(Some(lock));
        }
    }
    Ok(None)
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

    #[test]
    fn a_removed_lock_leaves_no_file_and_does_not_serve_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        // As if somebody had opened the file just before its holder removed it.
        let stale = try_lock(&path).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!stale.is_current().unwrap());
        let held = try_lock(&path).unwrap().unwrap();
        assert!(try_lock(&path).unwrap().is_none());
        held.remove().unwrap();
        assert!(!path.exists());
    }
}
