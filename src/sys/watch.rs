//! Waiting for files to be written, through one inotify(7) instance for many files: instances are scarce (128 a user).
//!
//! Each watch is for one write: whoever is at work on a file anyway pays nothing for the next ones, nor does who writes them.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// Watches files for writes.
#[derive(Debug)]
pub struct Watcher {
    inotify: Inotify,
}

/// One watched file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watched(WatchDescriptor);

// === impl Watcher ===

impl Watcher {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The kernel's errno: too many instances.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        Ok(Self { inotify })
    }

    /// Watches the file at `path` for the next write(2), and no further one.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn add(&self, path: &Path) -> io::Result<Watched> {
        Ok(Watched(self.inotify.add_watch(path, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ONESHOT)?))
    }

    /// No longer watches a file; fine if it is gone, or was written to.
    pub fn remove(&self, watched: Watched) {
        // The kernel drops the watch itself in both cases, and then has nothing to remove here.
        let _ = self.inotify.rm_watch(watched.0);
    }

    /// Waits, at most `timeout_ms`, and tells which files were written to.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn wait(&self, timeout_ms: u16) -> io::Result<Vec<Watched>> {
        let mut fds = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(timeout_ms)) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(Vec::new()),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        match self.inotify.read_events() {
            // A watch that ends is told too (IN_IGNORED), which is no write.
            Ok(events) => Ok(events
                .into_iter()
                .filter(|event| event.mask.contains(AddWatchFlags::IN_MODIFY))
                .map(|event| Watched(event.wd))
                .collect()),
            Err(nix::errno::Errno::EAGAIN) => Ok(Vec::new()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod test {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_write_is_told_and_nothing_else() {
        let watcher = Watcher::new().unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let watched = watcher.add(file.path()).unwrap();
        assert_eq!(watcher.wait(0).unwrap(), []);
        file.write_all(b"x").unwrap();
        file.write_all(b"x").unwrap();
        assert_eq!(watcher.wait(1000).unwrap(), [watched]);
        watcher.remove(watched);
        file.write_all(b"x").unwrap();
        assert_eq!(watcher.wait(10).unwrap(), []);
        let again = watcher.add(file.path()).unwrap();
        assert_ne!(again, watched);
        file.write_all(b"x").unwrap();
        assert_eq!(watcher.wait(1000).unwrap(), [again]);
        watcher.remove(watcher.add(file.path()).unwrap());
        file.write_all(b"x").unwrap();
        assert_eq!(watcher.wait(10).unwrap(), []);
    }
}
