//! Copies of directory trees that share their blocks with what they were made of, where the file system can do that
//! (`FICLONE`, `ioctl_ficlone(2)`): they cost next to no room, and little time however much they hold.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

/// How deep a tree is copied; each level holds four descriptors.
const DESCENT_MAX: u32 = 32;
/// What a copy keeps of the permissions: nobody becomes somebody else by it.
const MODE_KEPT: u32 = 0o777;
/// Permission bits of a file that is not whole yet.
const PRIVATE_FILE: u32 = 0o600;
/// The name of the pair of files by which it is tried whether blocks can be shared.
const TRIAL: &str = ".reflink-trial";

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// What is no file any more when it is opened is not waited for.
const SOURCE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const TARGET: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How much of a tree may be copied.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Entries, directories among them.
    pub entries: u64,
    /// How long it may take.
    pub time: Duration,
}

/// Whether files in this directory can share their blocks with one another.
///
/// # Errors
/// The kernel's errno for the files by which it is tried.
pub fn is_possible(dir: &Path) -> io::Result<bool> {
    let (from, to) = (dir.join(TRIAL), dir.join(format!("{TRIAL}.copy")));
    let tried = trial(&from, &to);
    for path in [from, to] {
        // A leftover is used again by the next trial.
        let _gone = std::fs::remove_file(path);
    }
    match tried {
        Ok(()) => Ok(true),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn trial(from: &Path, to: &Path) -> io::Result<()> {
    let open = |path: &Path| -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(PRIVATE_FILE).open(path)
    };
    let (source, target) = (open(from)?, open(to)?);
    Ok(rustix::fs::ioctl_ficlone(&target, &source)?)
}

/// Whether the file system does not share blocks, or not between these two.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::OPNOTSUPP, Errno::XDEV, Errno::NOTTY, Errno::INVAL, Errno::NOSYS];
    error.raw_os_error().is_some_and(|code| refusals.iter().any(|errno| errno.raw_os_error() == code))
}

/// Copies the tree `from` to `to`, where there must be nothing: directories, files and symbolic links, with owners and permissions.
/// Links are not followed; sockets, pipes and devices are left out. It is as consistent as the tree is at rest meanwhile, and on
/// the disk once that is synced. What is copied when it fails stays behind.
///
/// # Errors
/// The kernel's errno; `TimedOut` and `QuotaExceeded` beyond the bounds.
pub fn copy_tree(from: &Path, to: &Path, bounds: Bounds) -> io::Result<()> {
    let source = rustix::fs::open(from, DIRECTORY, Mode::empty())?;
    rustix::fs::mkdir(to, Mode::RWXU)?;
    let target = rustix::fs::open(to, DIRECTORY, Mode::empty())?;
    let mut copy = Copy { left: bounds.entries, until: Instant::now() + bounds.time };
    copy.fill(&source, &target, 0)?;
    own(&target, &rustix::fs::fstat(&source)?)
}

struct Copy {
    left: u64,
    until: Instant,
}

impl Copy {
    fn fill(&mut self, from: &OwnedFd, to: &OwnedFd, depth: u32) -> io::Result<()> {
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.count()?;
            let found = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory if depth == DESCENT_MAX => {
                    return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "a directory lies too deep"));
                }
                FileType::Directory => {
                    let source = rustix::fs::openat(from, name, DIRECTORY, Mode::empty())?;
                    rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                    let target = rustix::fs::openat(to, name, DIRECTORY, Mode::empty())?;
                    self.fill(&source, &target, depth + 1)?;
                    own(&target, &found)?;
                }
                FileType::RegularFile => file(from, to, name)?,
                FileType::Symlink => link(from, to, name, &found)?,
                FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => {}
            }
        }
        Ok(())
    }

    fn count(&mut self) -> io::Result<()> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "there are too many files"));
        };
        self.left = left;
        if Instant::now() > self.until { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

fn file(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> io::Result<()> {
    let source = rustix::fs::openat(from, name, SOURCE, Mode::empty())?;
    let found = rustix::fs::fstat(&source)?;
    let target = rustix::fs::openat(to, name, TARGET, Mode::from_raw_mode(PRIVATE_FILE))?;
    rustix::fs::ioctl_ficlone(&target, &source)?;
    own(&target, &found)
}

fn link(from: &OwnedFd, to: &OwnedFd, name: &CStr, found: &Stat) -> io::Result<()> {
    let target = rustix::fs::readlinkat(from, name, Vec::new())?;
    rustix::fs::symlinkat(&target, to, name)?;
    let (uid, gid) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
    Ok(rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn own(target: &OwnedFd, found: &Stat) -> io::Result<()> {
    rustix::fs::fchown(target, Some(Uid::from_raw(found.st_uid)), Some(Gid::from_raw(found.st_gid)))?;
    Ok(rustix::fs::fchmod(target, Mode::from_raw_mode(found.st_mode & MODE_KEPT))?)
}

/// Has all that was written to the file system of a directory on its disk.
///
/// # Errors
/// The kernel's errno.
pub fn sync_all(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}

#[cfg(test)]
mod test {
    use super::*;

    const WIDE: Bounds = Bounds { entries: 100, time: Duration::from_secs(60) };

    #[test]
    fn whether_blocks_are_shared_is_tried_without_a_trace() {
        let dir = tempfile::tempdir().unwrap();
        is_possible(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(!is_possible(Path::new("/dev/shm")).unwrap(), "tmpfs shares nothing");
    }

    /// Everything but the sharing itself, which needs a file system that can.
    #[test]
    fn a_tree_is_copied_as_it_is_and_within_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(from.join("a/b")).unwrap();
        std::os::unix::fs::symlink("/nowhere", from.join("a/link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
        copy_tree(&from, &to, WIDE).unwrap();
        assert!(to.join("a/b").is_dir() && !to.join("socket").exists());
        assert_eq!(std::fs::read_link(to.join("a/link")).unwrap(), Path::new("/nowhere"));
        let again = copy_tree(&from, &to, WIDE).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let few = copy_tree(&from, &dir.path().join("few"), Bounds { entries: 2, ..WIDE }).unwrap_err();
        assert_eq!(few.kind(), io::ErrorKind::QuotaExceeded);
        let late = copy_tree(&from, &dir.path().join("late"), Bounds { time: Duration::ZERO, ..WIDE });
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
