//! Waiting for changes anywhere below a directory, through one inotify(7) instance.
//!
//! The kernel watches directories one by one, so those that appear are covered afterwards ([`TreeWatcher::cover`]): what happened in
//! them before is seen by whoever then reads them.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

/// What is a change: of contents, of names and of modes. Reading is none.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_ATTRIB);

/// How a directory is watched: as itself, and not what a link leads to.
const DIRECTORY: AddWatchFlags = AddWatchFlags::IN_ONLYDIR.union(AddWatchFlags::IN_DONT_FOLLOW);

/// Watches a tree for changes.
#[derive(Debug)]
pub struct TreeWatcher(AsyncFd<Handle>);

#[derive(Debug)]
struct Handle(Inotify);

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Which directories of a tree are watched.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The tree.
    pub root: &'a Path,
    /// Directories of this name are left out, and what is below them.
    pub but: &'a OsStr,
    /// The most directories.
    pub directories_max: usize,
}

// === impl TreeWatcher ===

impl TreeWatcher {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The kernel's errno: too many instances.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        // SAFETY: the handle owns its descriptor, gives it to nobody, and closes it after it was deregistered.
        let registered = unsafe { AsyncFd::register(Handle(inotify)) };
        Ok(Self(registered?))
    }

    /// Watches every directory there is now, those that are watched already among them.
    ///
    /// # Errors
    /// The tree has more directories than allowed ([`io::ErrorKind::QuotaExceeded`]), its root is not to be read, or the kernel
    /// has no watches left (`ENOSPC`).
    pub fn cover(&self, scope: Scope<'_>) -> io::Result<()> {
        let mut left: Vec<PathBuf> = vec![scope.root.to_owned()];
        let mut covered = 0;
        while let Some(dir) = left.pop() {
            let is_root = covered == 0;
            covered += 1;
            if covered > scope.directories_max {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            let inotify = &self.0.get_ref().0;
            let watched = inotify.add_watch(&dir, CHANGES | DIRECTORY).map_err(io::Error::from);
            // First watched, then read: what appears in between is told.
            match watched.and_then(|_| std::fs::read_dir(&dir)) {
                Ok(entries) => {
                    let dirs = entries.flatten().filter(|entry| {
                        entry.file_name() != scope.but && entry.file_type().is_ok_and(|kind| kind.is_dir())
                    });
                    left.extend(dirs.map(|entry| entry.path()));
                }
                Err(error) if is_root || error.raw_os_error() == Some(Errno::ENOSPC as i32) => {
                    return Err(error);
                }
                // It has gone, or is not for us to read.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Waits for a change; those that have come together are one.
    ///
    /// # Errors
    /// The kernel's errno.
    pub async fn changed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            // A watch that ends is told too (IN_IGNORED); that the queue ran over means that something has changed.
            match ready.try_io(|handle| handle.get_ref().0.read_events().map_err(io::Error::from)) {
                Ok(Ok(events)) => {
                    let is_change =
                        |mask: AddWatchFlags| mask.intersects(CHANGES | AddWatchFlags::IN_Q_OVERFLOW);
                    if events.iter().any(|event| is_change(event.mask)) {
                        return Ok(());
                    }
                }
                Ok(Err(error)) => return Err(error),
                Err(_not_ready) => {}
            }
        }
    }
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use super::*;

    async fn is_told(watcher: &TreeWatcher) -> bool {
        tokio::time::timeout(Duration::from_millis(200), watcher.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn changes_are_told_wherever_they_are_but_where_nobody_looks() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir_all(dir.path().join(".git/refs")).unwrap();
        let watcher = TreeWatcher::new().unwrap();
        let scope = Scope { root: dir.path(), but: OsStr::new(".git"), directories_max: 10 };
        watcher.cover(scope).unwrap();
        assert!(!is_told(&watcher).await);
        std::fs::write(dir.path().join(".git/refs/main"), "x").unwrap();
        assert!(!is_told(&watcher).await, "what git does is no change of the files");
        std::fs::write(deep.join("file"), "x").unwrap();
        watcher.changed().await.unwrap();
        let _one_or_several = is_told(&watcher).await;
        std::fs::read(deep.join("file")).unwrap();
        assert!(!is_told(&watcher).await, "reading is no change");
        std::fs::create_dir(deep.join("new")).unwrap();
        watcher.changed().await.unwrap();
        watcher.cover(scope).unwrap();
        let _of_the_directory = is_told(&watcher).await;
        std::fs::write(deep.join("new/file"), "x").unwrap();
        watcher.changed().await.unwrap();
    }

    #[tokio::test]
    async fn a_tree_too_large_and_one_that_is_not_there_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let watcher = TreeWatcher::new().unwrap();
        let scope = Scope { root: dir.path(), but: OsStr::new(".git"), directories_max: 3 };
        let refused = watcher.cover(scope).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
        let missing = dir.path().join("missing");
        let refused = watcher.cover(Scope { root: &missing, ..scope }).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
    }
}
