//! Trees of mounts for containers that say themselves what they want mounted: copies of whole trees, propagation, attributes set or
//! cleared over a tree, and places that are made where they are missing. All by descriptor, as in `mount`.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use crate::sys::mount::{open_in_root, resolve};

/// Whether only the top of a tree is meant, or all that is mounted below it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The top.
    Top,
    /// The whole tree.
    Tree,
}

/// What a mount shares with the mounts it was copied from, or that are copied from it (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Both ways.
    Shared,
    /// It sees, and is not seen.
    Slave,
    /// Nothing.
    Private,
    /// Nothing, and it cannot be copied.
    Unbindable,
}

/// A change of a mount's attributes: bits of `MOUNT_ATTR_*` (mount_setattr(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// Set after clearing.
    pub set: u64,
    /// Cleared.
    pub clear: u64,
}

/// `MOUNT_ATTR_*` by name, for tables of mount options.
pub mod attribute {
    /// No writing.
    pub const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
    /// Set-user-id counts for nothing.
    pub const NO_SETUID: u64 = libc::MOUNT_ATTR_NOSUID;
    /// Device files lead nowhere.
    pub const NO_DEVICES: u64 = libc::MOUNT_ATTR_NODEV;
    /// No programs.
    pub const NO_EXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
    /// All bits about access times: to be cleared before one is set.
    pub const TIMES: u64 = libc::MOUNT_ATTR__ATIME;
    /// Access times are not written.
    pub const NO_ACCESS_TIME: u64 = libc::MOUNT_ATTR_NOATIME;
    /// Access times are always written.
    pub const STRICT_ACCESS_TIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
    /// Access times of directories are not written.
    pub const NO_DIRECTORY_TIME: u64 = libc::MOUNT_ATTR_NODIRATIME;
    /// Symbolic links are not followed.
    pub const NO_LINKS: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;
}

/// A detached copy of what is mounted at `path`.
///
/// # Errors
/// The kernel's errno: `ENOENT`, `EPERM`, `EINVAL` for an unbindable mount.
pub fn copy(path: &Path, extent: Extent) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if extent == Extent::Tree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(CWD, path, flags)?)
}

/// Changes attributes, propagation and the mapping of ids; of the mount alone, or of everything below it too.
///
/// # Errors
/// The kernel's errno: `EINVAL` where the file system cannot be id-mapped, `EPERM`.
pub fn change(
    mount: &impl AsFd,
    extent: Extent,
    change: Change,
    propagation: Option<Propagation>,
    ids: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mapping = ids.map_or(0, |_| libc::MOUNT_ATTR_IDMAP);
    let request = libc::mount_attr {
        attr_set: change.set | mapping,
        attr_clr: change.clear,
        propagation: propagation.map_or(0, propagation_flag),
        userns_fd: ids.map_or(0, |fd| u64::try_from(fd.as_raw_fd()).unwrap_or(u64::MAX)),
    };
    let mut flags = libc::AT_EMPTY_PATH;
    if extent == Extent::Tree {
        flags |= libc::AT_RECURSIVE;
    }
    set_attributes(mount.as_fd().as_raw_fd(), c"", flags, &request)
}

/// Sets the propagation of everything the process sees mounted, in its own mount namespace.
///
/// # Errors
/// `EPERM`.
pub fn propagate_all(propagation: Propagation) -> io::Result<()> {
    let request = libc::mount_attr {
        attr_set: 0,
        attr_clr: 0,
        propagation: propagation_flag(propagation),
        userns_fd: 0,
    };
    set_attributes(libc::AT_FDCWD, c"/", libc::AT_RECURSIVE, &request)
}

fn propagation_flag(propagation: Propagation) -> u64 {
    match propagation {
        Propagation::Shared => libc::MS_SHARED,
        Propagation::Slave => libc::MS_SLAVE,
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::Unbindable => libc::MS_UNBINDABLE,
    }
}

fn set_attributes(at: i32, path: &std::ffi::CStr, flags: i32, request: &libc::mount_attr) -> io::Result<()> {
    // SAFETY: `request` is a complete mount_attr of the size given and `path` a C string; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(request),
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a file system as the kernel does for mount(2): of `kind`, from `source`, with options `name` or `name=value`; mounted nowhere
/// yet.
///
/// # Errors
/// The kernel's errno, with the option that it refused.
pub fn filesystem(kind: &str, source: &Path, options: &[String], set: u64) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let named = |option: &str| {
        let option = option.to_owned();
        move |errno: rustix::io::Errno| {
            let error = io::Error::from(errno);
            io::Error::new(error.kind(), format!("option {option:?}: {error}"))
        }
    };
    rustix::mount::fsconfig_set_string(context.as_fd(), "source", source).map_err(named("source"))?;
    for option in options {
        match option.split_once('=') {
            Some((name, value)) => rustix::mount::fsconfig_set_string(context.as_fd(), name, value),
            None => rustix::mount::fsconfig_set_flag(context.as_fd(), option.as_str()),
        }
        .map_err(named(option))?;
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::from_bits_retain(u32::try_from(set).unwrap_or(0));
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// What a place to be mounted on must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// What an open file is.
///
/// # Errors
/// The kernel's errno.
pub fn kind(file: &impl AsFd) -> io::Result<Kind> {
    let found = rustix::fs::fstat(file.as_fd())?;
    let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    Ok(if is_directory { Kind::Directory } else { Kind::File })
}

/// Opens the place at `path` below `root`, which it cannot leave whatever links lie on the way; what is missing is made.
///
/// # Errors
/// The kernel's errno; `EEXIST` for a link that leads nowhere, `ENOTDIR` where a file is in the way.
pub fn place(root: &impl AsFd, path: &Path, kind: Kind) -> io::Result<OwnedFd> {
    match resolve(root, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let names: Vec<_> = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let mut done = PathBuf::from("/");
    let mut parent = resolve(root, &done)?;
    for (index, name) in names.iter().enumerate() {
        done.push(name);
        let is_last = index + 1 == names.len();
        parent = match resolve(root, &done) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(&parent, name, if is_last { kind } else { Kind::Directory })?;
                resolve(root, &done)?
            }
            found => found?,
        };
    }
    Ok(parent)
}

fn make(parent: &OwnedFd, name: &Component<'_>, kind: Kind) -> io::Result<()> {
    match kind {
        Kind::Directory => rustix::fs::mkdirat(parent, name.as_os_str(), Mode::from_raw_mode(0o755))?,
        Kind::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            drop(rustix::fs::openat(parent, name.as_os_str(), flags, Mode::from_raw_mode(0o644))?);
        }
    }
    Ok(())
}

/// Moves a detached mount onto an open place, as part of it.
///
/// # Errors
/// The kernel's errno.
pub fn attach(mount: &impl AsFd, target: &impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount.as_fd(), "", target.as_fd(), "", flags)?)
}

/// Makes an open directory the process's root without taking the old one away (chroot(2)). Whoever may call chroot can get out.
///
/// # Errors
/// The kernel's errno.
pub fn change_root(root: &impl AsFd) -> io::Result<()> {
    rustix::process::fchdir(root.as_fd())?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

/// Makes a device file or fifo in an open directory.
///
/// # Errors
/// `EPERM` without `CAP_MKNOD`, or where the device control group forbids it.
pub fn make_node(dir: &impl AsFd, path: &Path, node: Node) -> io::Result<()> {
    let kind = match node.kind {
        NodeKind::Character => FileType::CharacterDevice,
        NodeKind::Block => FileType::BlockDevice,
        NodeKind::Fifo => FileType::Fifo,
    };
    let mode = Mode::from_raw_mode(node.mode & 0o7777);
    let device = rustix::fs::makedev(node.major, node.minor);
    rustix::fs::mknodat(dir.as_fd(), path, kind, mode, device)?;
    let (uid, gid) = (rustix::process::Uid::from_raw(node.uid), rustix::process::Gid::from_raw(node.gid));
    rustix::fs::chownat(dir.as_fd(), path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    // The file mode creation mask took bits away, and so may the new owner.
    Ok(rustix::fs::chmodat(dir.as_fd(), path, mode, AtFlags::empty())?)
}

/// A device file to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its kind.
    pub kind: NodeKind,
    /// Device numbers.
    pub major: u32,
    /// See `major`.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner, as the host numbers users.
    pub uid: u32,
    /// Group, likewise.
    pub gid: u32,
}

/// Kind of a device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A pipe with a name.
    Fifo,
}

/// Makes a directory in an open one; fine if there is one.
///
/// # Errors
/// The kernel's errno.
pub fn make_directory(dir: &impl AsFd, path: &Path, owner: (u32, u32)) -> io::Result<()> {
    match rustix::fs::mkdirat(dir.as_fd(), path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let (uid, gid) = (rustix::process::Uid::from_raw(owner.0), rustix::process::Gid::from_raw(owner.1));
    Ok(rustix::fs::chownat(dir.as_fd(), path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Makes an empty file in an open directory, with these permission bits.
///
/// # Errors
/// The kernel's errno.
pub fn make_file(dir: &impl AsFd, path: &Path, mode: u32) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir.as_fd(), path, flags, Mode::from_raw_mode(mode))?;
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?)
}

/// Makes a symbolic link in an open directory; fine if something is there already.
///
/// # Errors
/// The kernel's errno.
pub fn make_link(dir: &impl AsFd, path: &Path, target: &str) -> io::Result<()> {
    match rustix::fs::symlinkat(target, dir.as_fd(), path) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// How deep a tree is copied by `copy_files`; what is deeper is refused.
const COPY_DEPTH_MAX: u32 = 64;

/// Copies the files of an open directory into another, with owners and permission bits; links as links, nothing else.
///
/// # Errors
/// The kernel's errno, `InvalidData` for a tree above 64 levels.
pub fn copy_files(from: &impl AsFd, to: &impl AsFd) -> io::Result<()> {
    // Through /proc, because the standard library knows no directory descriptors.
    let by_descriptor = |fd: BorrowedFd<'_>| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    copy_directory(&by_descriptor(from.as_fd()), &by_descriptor(to.as_fd()), COPY_DEPTH_MAX)
}

fn copy_directory(from: &Path, to: &Path, depth: u32) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the tree to be copied is too deep"));
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let found = entry.metadata()?;
        if found.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&source)?, &target)?;
        } else if found.is_dir() {
            std::fs::create_dir(&target)?;
            copy_directory(&source, &target, depth - 1)?;
        } else if found.is_file() {
            let mut bytes = Vec::new();
            std::fs::File::open(&source)?.read_to_end(&mut bytes)?;
            std::fs::File::create_new(&target)?.write_all(&bytes)?;
        } else {
            continue;
        }
        std::os::unix::fs::lchown(&target, Some(found.uid()), Some(found.gid()))?;
        if !found.is_symlink() {
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(found.mode() & 0o7777))?;
        }
    }
    Ok(())
}

/// Writes a value to a file of the kernel's process file system at `path` below `root`; anything else there is refused.
///
/// # Errors
/// The kernel's errno; `EXDEV`-like refusals as `InvalidInput`.
pub fn write_proc(root: &impl AsFd, path: &Path, value: &str) -> io::Result<()> {
    let file = open_in_root(root, path, OFlags::WRONLY | OFlags::CLOEXEC)?;
    require_type(&file, rustix::fs::PROC_SUPER_MAGIC)?;
    std::fs::File::from(file).write_all(value.as_bytes())
}

/// Opens the directory of terminals at `path` below `root`, which must be what it says.
///
/// # Errors
/// The kernel's errno; `InvalidInput` where something else lies there.
pub fn open_terminals(root: &impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    /// `DEVPTS_SUPER_MAGIC` (linux/magic.h).
    const DEVPTS: rustix::fs::FsWord = 0x1cd1;
    let found = resolve(root, path)?;
    require_type(&found, DEVPTS)?;
    Ok(found)
}

fn require_type(file: &impl AsFd, wanted: rustix::fs::FsWord) -> io::Result<()> {
    if rustix::fs::fstatfs(file.as_fd())?.f_type == wanted {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not on the kernel's own file system"))
    }
}
