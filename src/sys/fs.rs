//! Files that are whole or absent, whatever happens in between.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// Permission bits of files written here: the owner's alone.
const PRIVATE_FILE: u32 = 0o600;

/// Replaces the file at `path` by one with these bytes: a reader, or the next start after a crash, finds the old or the new
/// contents, never a part. The file is the owner's alone (0600).
///
/// # Errors
/// The kernel's errno; the old file is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = parent(path)?;
    let temporary = temporary_beside(path);
    let written = write_new(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = written {
        // What matters is reported already; a leftover bears a name that no reader looks for.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    sync_dir(dir)
}

/// As `write_atomically`, without waiting for the disk: a reader never finds a part, also if the writer is killed, but after a
/// crash of the machine anything may be there. For what means nothing after a reboot.
///
/// # Errors
/// The kernel's errno; the old file is then untouched.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let written = open_new(&temporary).and_then(|mut file| file.write_all(bytes));
    if let Err(error) = written.and_then(|()| std::fs::rename(&temporary, path)) {
        // What matters is reported already; a leftover bears a name that no reader looks for.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(())
}

/// Makes the directory's entries durable (fsync(2) on the directory).
///
/// # Errors
/// The kernel's errno.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// How deep a removal descends before it moves what is deeper up; each level holds two descriptors.
const DESCENT_MAX: u32 = 32;

/// Removes a directory tree of whatever depth; fine if there is none. Does not follow symbolic links.
///
/// The standard library's own recurses as deep as the tree, so that whoever may make directories could overflow the stack.
///
/// # Errors
/// The kernel's errno for the first entry that would not go.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let root = match rustix::fs::open(path, DIRECTORY, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::LOOP | Errno::NOTDIR) => return std::fs::remove_file(path),
        Err(error) => return Err(error.into()),
    };
    let mut removal = Removal { root: &root, moved: 0, progress: 0 };
    loop {
        let before = removal.progress;
        removal.empty(&root, 0)?;
        match rustix::fs::rmdir(path) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // What was moved up is left to the next pass.
            Err(Errno::NOTEMPTY) if removal.progress > before => {}
            Err(error) => return Err(error.into()),
        }
    }
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

struct Removal<'a> {
    root: &'a OwnedFd,
    moved: u64,
    progress: u64,
}

impl Removal<'_> {
    /// Removes what is in a directory, or moves it to the root where it lies too deep.
    fn empty(&mut self, dir: &OwnedFd, depth: u32) -> Result<(), Errno> {
        for entry in rustix::fs::Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." || self.unlink(dir, name, AtFlags::empty(), Errno::ISDIR)? {
                continue;
            }
            if self.unlink(dir, name, AtFlags::REMOVEDIR, Errno::NOTEMPTY)? {
                continue;
            }
            if depth == DESCENT_MAX {
                self.move_up(dir, name)?;
                continue;
            }
            self.empty(&rustix::fs::openat(dir, name, DIRECTORY, Mode::empty())?, depth + 1)?;
            self.unlink(dir, name, AtFlags::REMOVEDIR, Errno::NOTEMPTY)?;
        }
        Ok(())
    }

    /// Whether the entry is gone; `unless` is the errno that says it needs more.
    fn unlink(&mut self, dir: &OwnedFd, name: &CStr, flags: AtFlags, unless: Errno) -> Result<bool, Errno> {
        match rustix::fs::unlinkat(dir, name, flags) {
            Ok(()) | Err(Errno::NOENT) => {
                self.progress += 1;
                Ok(true)
            }
            Err(error) if error == unless => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn move_up(&mut self, dir: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        loop {
            self.moved += 1;
            let free = format!(".deep-{}", self.moved);
            match rustix::fs::renameat_with(dir, name, self.root, &free, RenameFlags::NOREPLACE) {
                // The tree may hold such a name itself.
                Err(Errno::EXIST) => {}
                moved => {
                    self.progress += 1;
                    return moved;
                }
            }
        }
    }
}

/// Bytes that a directory tree takes up on its disk. Does not follow symbolic links; what lies deeper than
/// [`remove_tree`] descends, and what goes while it is counted, is left out.
///
/// # Errors
/// The kernel's errno for the directory itself.
pub fn used_bytes(path: &Path) -> io::Result<u64> {
    let root = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
    Ok(used_below(&root, 0))
}

fn used_below(dir: &OwnedFd, depth: u32) -> u64 {
    /// What `st_blocks` counts in (stat(2)).
    const BLOCK_BYTES: u64 = 512;
    let Ok(entries) = rustix::fs::Dir::read_from(dir) else { return 0 };
    let mut used = 0_u64;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let Ok(found) = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        used = used.saturating_add(u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES));
        let is_dir = rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir();
        if is_dir
            && depth < DESCENT_MAX
            && let Ok(below) = rustix::fs::openat(dir, name, DIRECTORY, Mode::empty())
        {
            used = used.saturating_add(used_below(&below, depth + 1));
        }
    }
    used
}

/// Bytes that may still be written, reserves left aside, to the file system that holds `path`.
///
/// # Errors
/// The kernel's errno.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let space = rustix::fs::statvfs(path)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

fn parent(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(dir) => Ok(dir),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "a file needs a name")),
    }
}

/// A name no other writer uses: of this process, and of this call in it.
fn temporary_beside(path: &Path) -> PathBuf {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{call}.tmp", std::process::id()));
    PathBuf::from(name)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = open_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE_FILE).open(path)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_tree_of_any_depth_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = dir.path().join("0");
        std::fs::create_dir(&tree).unwrap();
        // From the bottom up, because no path reaches that deep.
        for level in 1..=10_000 {
            let above = dir.path().join(level.to_string());
            std::fs::create_dir(&above).unwrap();
            std::fs::rename(&tree, above.join("d")).unwrap();
            tree = above;
        }
        std::fs::create_dir(tree.join(".deep-1")).unwrap();
        std::fs::write(tree.join(".deep-1/file"), "").unwrap();
        std::os::unix::fs::symlink(dir.path(), tree.join("link")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && dir.path().exists());
        remove_tree(&tree).unwrap();
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        std::fs::create_dir_all(path.join("by-a-directory")).unwrap();
        write_atomically(&path, b"new").unwrap_err();
        assert!(path.join("by-a-directory").exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
