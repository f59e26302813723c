//! Mounts by descriptor: made detached, given their attributes in one step, then moved to where they belong. Nothing is looked up
//! twice, so nobody can exchange a path in between.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};
use rustix::thread::UnshareFlags;

/// Attributes of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(u32);

impl Attributes {
    /// Nothing set.
    pub const NONE: Attributes = Attributes(0);
    /// No writing.
    pub const READ_ONLY: Attributes = Attributes(MountAttrFlags::MOUNT_ATTR_RDONLY.bits());
    /// Device files lead nowhere.
    pub const NO_DEVICES: Attributes = Attributes(MountAttrFlags::MOUNT_ATTR_NODEV.bits());
    /// Set-user-id and file capabilities count for nothing.
    pub const NO_SETUID: Attributes = Attributes(MountAttrFlags::MOUNT_ATTR_NOSUID.bits());
    /// No programs.
    pub const NO_EXEC: Attributes = Attributes(MountAttrFlags::MOUNT_ATTR_NOEXEC.bits());

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Attributes) -> Attributes {
        Attributes(self.0 | other.0)
    }
}

/// Moves the process into a mount namespace of its own that still sees what the host mounts and unmounts, but shows the host nothing.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn enter_private_namespace() -> io::Result<()> {
    // SAFETY: only the mount namespace changes; no descriptor table is unshared, which is what makes this call unsafe.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
    let propagation = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", propagation)?)
}

/// Makes a file system of `kind` with these options, mounted nowhere yet. An option without value is a flag.
///
/// # Errors
/// The kernel's errno: `ENODEV` for a kind it does not know, `EINVAL` for an option, `EPERM`.
pub fn filesystem(kind: &str, options: &[(&str, &str)], attributes: Attributes) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(context.as_fd(), *name)?;
        } else {
            rustix::mount::fsconfig_set_string(context.as_fd(), *name, *value)?;
        }
    }
    finish(&context, attributes)
}

/// Layers of an overlay.
#[derive(Debug)]
pub enum Layers<'a> {
    /// Detached mounts, lowest first (Linux 6.15 and later take them; see `overlay_takes_descriptors`). Whoever lists the mounts is
    /// not told where they come from.
    Descriptors(&'a [OwnedFd]),
    /// Directories open on mounts that are attached in the caller's namespace, lowest first (any kernel). `/proc` must be mounted: the
    /// kernel is told the descriptors' names there, and that is what the list of mounts tells.
    Attached(&'a [OwnedFd]),
}

/// Name of the writable layer in the directory that holds it.
pub const UPPER: &str = "upper";
/// Name of the directory beside it in which the kernel prepares what goes there.
pub const WORK: &str = "work";

/// An overlay over `layers`; with a writable layer in the directory `scratch`, in which `UPPER` and `WORK` exist, or read-only.
///
/// The writable layer is volatile: it dies with its container, so nothing is synced for its sake.
///
/// # Errors
/// The kernel's errno.
pub fn overlay(layers: &Layers<'_>, scratch: Option<&Path>, attributes: Attributes) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    rustix::mount::fsconfig_set_string(context, "source", "overlay")?;
    match layers {
        Layers::Descriptors(layers) => {
            // The kernel stacks each further one below those before.
            for layer in layers.iter().rev() {
                rustix::mount::fsconfig_set_fd(context, "lowerdir+", layer.as_fd())?;
            }
        }
        Layers::Attached(layers) => {
            let highest_first: Vec<_> = layers.iter().rev().map(descriptor_path).collect();
            rustix::mount::fsconfig_set_string(context, "lowerdir", highest_first.join(":"))?;
        }
    }
    // A detached mount, and the name of a descriptor, end with the descriptor: held until the overlay has them.
    let mut held = Vec::new();
    if let Some(scratch) = scratch {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = match layers {
            Layers::Descriptors(_) => copy(scratch)?,
            Layers::Attached(_) => rustix::fs::open(scratch, flags, Mode::empty())?,
        };
        for (option, name) in [("upperdir", UPPER), ("workdir", WORK)] {
            let dir = rustix::fs::openat(&place, name, flags, Mode::empty())?;
            match layers {
                Layers::Descriptors(_) => rustix::mount::fsconfig_set_fd(context, option, dir.as_fd())?,
                Layers::Attached(_) => {
                    rustix::mount::fsconfig_set_string(context, option, descriptor_path(&dir))?
                }
            }
            held.push(dir);
        }
        held.push(place);
        rustix::mount::fsconfig_set_flag(context, "volatile")?;
    }
    let made = finish(&context, attributes);
    drop(held);
    made
}

/// A name of an open file that holds while it is open (proc(5)).
fn descriptor_path(file: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

/// Whether this kernel takes detached mounts as layers of an overlay, found by trying.
#[must_use]
pub fn overlay_takes_descriptors() -> bool {
    let layer = || filesystem("tmpfs", &[], Attributes::READ_ONLY);
    let attempt = || overlay(&Layers::Descriptors(&[layer()?, layer()?]), None, Attributes::READ_ONLY);
    attempt().is_ok()
}

fn finish(context: &impl AsFd, attributes: Attributes) -> io::Result<OwnedFd> {
    rustix::mount::fsconfig_create(context.as_fd())?;
    let flags = MountAttrFlags::from_bits_retain(attributes.0);
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

/// A detached copy of the mount at `path`, showing that directory or file and what is mounted directly there, nothing below.
///
/// # Errors
/// The kernel's errno: `ENOENT`, `EPERM`.
pub fn copy(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(rustix::mount::open_tree(CWD, path, flags)?)
}

/// As `copy`, of a path relative to a descriptor; an empty path is the descriptor's own file.
///
/// # Errors
/// As `copy`.
pub fn copy_at(dir: &impl AsFd, path: &str) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    Ok(rustix::mount::open_tree(dir.as_fd(), path, flags)?)
}

/// Adds attributes to a mount, and maps the ids on its disk through a user namespace if one is given.
///
/// # Errors
/// `EINVAL` if the file system cannot be id-mapped, or is already; `EPERM`.
pub fn set_attributes(
    mount: &impl AsFd,
    attributes: Attributes,
    ids: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mapping = ids.map_or(0, |_| libc::MOUNT_ATTR_IDMAP);
    let request = libc::mount_attr {
        attr_set: u64::from(attributes.0) | mapping,
        attr_clr: 0,
        propagation: 0,
        userns_fd: ids.map_or(0, |fd| u64::try_from(fd.as_raw_fd()).unwrap_or(u64::MAX)),
    };
    // SAFETY: `request` is a complete mount_attr of the size given, the empty path a valid C string; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const request,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Opens what is at `path` below `root` without following anything out of it; fit for `attach` only.
///
/// # Errors
/// The kernel's errno; `ENOENT` where there is nothing.
pub fn resolve(root: &impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    open_in_root(root, path, OFlags::PATH | OFlags::CLOEXEC)
}

/// Opens what is at `path` below `root` without following anything out of it, the kernel's links in `/proc` included.
///
/// # Errors
/// The kernel's errno; `ENOENT` where there is nothing; `EAGAIN` where the host's mounts change faster than paths are walked.
pub(super) fn open_in_root(root: &impl AsFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    /// How often a walk is tried. The kernel gives up on a `..` whenever anything is mounted or renamed anywhere on the host meanwhile
    /// (`EAGAIN`, openat2(2)), for it could not tell that the walk stayed inside.
    const TRIES_MAX: u32 = 128;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let walk = || rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), resolve);
    let mut found = walk();
    for _ in 1..TRIES_MAX {
        if found.as_ref().err() != Some(&rustix::io::Errno::AGAIN) {
            break;
        }
        rustix::thread::sched_yield();
        found = walk();
    }
    Ok(found?)
}

/// The contents of the file at `path` below `root`, without following anything out of it.
///
/// # Errors
/// The kernel's errno; `ENOENT` where there is nothing.
pub fn read_in_root(root: &Path, path: &Path) -> io::Result<Vec<u8>> {
    let root = std::fs::File::open(root)?;
    let mut file = std::fs::File::from(open_in_root(&root, path, OFlags::RDONLY | OFlags::CLOEXEC)?);
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut file, &mut bytes)?;
    Ok(bytes)
}

/// Whether an open file is a directory.
///
/// # Errors
/// The kernel's errno.
pub fn is_directory(file: &impl AsFd) -> io::Result<bool> {
    let found = rustix::fs::fstat(file.as_fd())?;
    Ok(FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}

/// Moves a detached mount onto an open directory or file.
///
/// # Errors
/// The kernel's errno; `ENOTDIR` where one is a directory and the other is not.
pub fn attach(mount: &impl AsFd, target: &impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount.as_fd(), "", target.as_fd(), "", flags)?)
}

/// Moves a detached mount onto a path.
///
/// # Errors
/// As `attach`.
pub fn attach_at(mount: &impl AsFd, target: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount.as_fd(), "", CWD, target, flags)?)
}

/// Takes away what is mounted at a path; it ends when its last user does.
///
/// # Errors
/// The kernel's errno.
pub fn detach(path: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(path, UnmountFlags::DETACH)?)
}

/// Makes the attached mount `root` the root of the process's mount namespace, and drops the old root with all below it. `root` must
/// lie directly over the old root's top.
///
/// # Errors
/// The kernel's errno; any error, also if the old root can still be reached, must end the process.
pub fn pivot(root: &impl AsFd) -> io::Result<()> {
    rustix::process::fchdir(root.as_fd())?;
    // The old root comes to lie over the new one, at the same place (pivot_root(2), "." twice); no directory is needed.
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    // ".." of the top leads to whatever is mounted over it: only if that is the top itself is the old root gone.
    let (top, above) = (rustix::fs::stat("/")?, rustix::fs::stat("/..")?);
    let own = rustix::fs::fstat(root.as_fd())?;
    let is_same = |one: &Stat, other: &Stat| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
    if is_same(&top, &own) && is_same(&above, &own) {
        Ok(())
    } else {
        Err(io::Error::other("the old root is still there"))
    }
}

/// Makes a character device file in an open directory, usable by all.
///
/// # Errors
/// `EPERM` without `CAP_MKNOD`, or where the device control group forbids it.
pub fn make_device(dir: &impl AsFd, name: &str, (major, minor): (u32, u32)) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o666);
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(dir.as_fd(), name, FileType::CharacterDevice, mode, device)?;
    // The file mode creation mask took bits away.
    Ok(rustix::fs::chmodat(dir.as_fd(), name, mode, AtFlags::empty())?)
}

/// Gives a path to a host user and group.
///
/// # Errors
/// The kernel's errno.
pub fn give_to(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
}

/// Gives an open file to a host user and group.
///
/// # Errors
/// The kernel's errno.
pub fn give_fd_to(file: &impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::fchown(file.as_fd(), Some(uid), Some(gid))
}
