//! Landlock (landlock(7)): a process gives up, for itself and all it starts, the right to change files but below given places, to
//! change the layout of mounts, and to signal who is not restricted alike. A second wall, which needs no right and cannot be undone.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

// From linux/landlock.h: rights over files, by the bit, and the version that brought them.
const WRITE_FILE: u64 = 1 << 1;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
/// Version 2: moving between directories, which earlier versions refuse to every restricted process.
const REFER: u64 = 1 << 13;
/// Version 3.
const TRUNCATE: u64 = 1 << 14;
/// Version 6: abstract sockets, signals.
const SCOPES: u64 = 3;
/// Below this one ordinary programs could not move their own files.
const VERSION_MIN: libc::c_long = 2;

const CHANGES: u64 = WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_CHAR
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_BLOCK
    | MAKE_SYM
    | REFER
    | TRUNCATE;
/// What is never allowed, wherever.
const DEVICES: u64 = MAKE_CHAR | MAKE_BLOCK;
/// Those that make sense of a single file.
const OF_A_FILE: u64 = WRITE_FILE | TRUNCATE;

const CREATE_VERSION: libc::c_ulong = 1;
const RULE_PATH_BENEATH: libc::c_int = 1;

/// `struct landlock_ruleset_attr`.
#[repr(C)]
struct Ruleset {
    files: u64,
    network: u64,
    scopes: u64,
}

/// `struct landlock_path_beneath_attr`, which the kernel packs.
#[repr(C, packed)]
struct Beneath {
    allowed: u64,
    parent: i32,
}

/// Restricts the calling thread, and what it starts, to changing files below these places. A place that is not there is left out.
/// Whether it could be done: not where the kernel has no Landlock, or one without moves between directories (Linux before 5.19).
///
/// The thread must have set `no_new_privs`.
///
/// # Errors
/// The kernel's errno; the thread is then not restricted.
pub fn restrict_changes(places: &[impl AsRef<Path>]) -> io::Result<bool> {
    // SAFETY: without a structure and with this flag the call only tells the version.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<Ruleset>(), 0usize, CREATE_VERSION)
    };
    if version < VERSION_MIN {
        return Ok(false);
    }
    let changes = if version >= 3 { CHANGES } else { CHANGES & !TRUNCATE };
    let scopes = if version >= 6 { SCOPES } else { 0 };
    let asked = Ruleset { files: changes, network: 0, scopes };
    // Older kernels refuse what is behind the part they know unless it is zero, which it then is.
    let size = size_of::<Ruleset>();
    // SAFETY: `asked` is laid out as the kernel's structure of the size given, and lives through the call.
    let ruleset = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const asked, size, 0 as libc::c_ulong)
    };
    let ruleset = i32::try_from(ruleset).unwrap_or(-1);
    if ruleset < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor of the kernel's, owned by nobody else.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset) };
    for place in places {
        allow(&ruleset, place.as_ref(), changes)?;
    }
    // SAFETY: takes a descriptor and a flag word; no memory is touched.
    let done =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0 as libc::c_ulong) };
    if done == 0 { Ok(true) } else { Err(io::Error::last_os_error()) }
}

fn allow(ruleset: &OwnedFd, place: &Path, changes: u64) -> io::Result<()> {
    let parent = match rustix::fs::open(place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(parent) => parent,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&parent)?.st_mode);
    let sensible = if kind == FileType::Directory { changes & !DEVICES } else { changes & OF_A_FILE };
    let rule = Beneath { allowed: sensible, parent: parent.as_raw_fd() };
    // SAFETY: `rule` is laid out as the kernel's structure and lives through the call; both descriptors are open.
    let added = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_PATH_BENEATH,
            &raw const rule,
            0 as libc::c_ulong,
        )
    };
    if added == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
