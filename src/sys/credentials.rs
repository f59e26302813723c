//! Giving up rights, for good. Used by forked children that are single-threaded: each call changes the calling thread.

use std::io;

use rustix::process::{Gid, Resource, Rlimit, Uid};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

/// Highest capability number a kernel could know (the width of the kernel's sets).
const CAPABILITY_BITS: u32 = 64;

/// Becomes this user and group in the caller's user namespace, with no further groups. Capabilities stay as they are where the
/// namespace's root is the target; see capabilities(7) otherwise.
///
/// # Errors
/// `EINVAL` for an id that the namespace does not map, `EPERM`.
pub fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
}

/// From here on capabilities do not come and go with the user that the caller acts as.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn keep_rights_as_any_user() -> io::Result<()> {
    Ok(rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)?)
}

/// Acts as this user; the host's root stays who the caller really is, and can act as himself again.
///
/// # Errors
/// `EPERM` without `CAP_SETUID`.
pub(super) fn act_as(uid: u32) -> io::Result<()> {
    Ok(rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::from_raw(uid), Uid::ROOT)?)
}

/// Empties the bounding set: no program run from here on can gain a capability.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn empty_bounding_set() -> io::Result<()> {
    for number in 0..CAPABILITY_BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Beyond the last one this kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Makes user 0 an ordinary user as far as capabilities go, and locks that (the "securebits" of capabilities(7)).
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn lock_secure_bits() -> io::Result<()> {
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    Ok(rustix::thread::set_capabilities_secure_bits(bits)?)
}

/// Empties the other four sets: ambient, inheritable, permitted, effective.
///
/// # Errors
/// None is known to occur: rights may always be given up.
pub fn clear_capabilities() -> io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Joins a fresh session keyring, so that no key of the starter's is reachable (keyctl(2)).
///
/// # Errors
/// `EDQUOT` when the user's keys are used up; fine on a kernel without keyrings.
pub fn new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is touched.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    };
    let error = io::Error::last_os_error();
    if result >= 0 || error.raw_os_error() == Some(libc::ENOSYS) { Ok(()) } else { Err(error) }
}

/// Keeps others of the same user from reading this process's memory and descriptors, and it from dumping core.
///
/// # Errors
/// None is known to occur.
pub fn hide_from_debuggers() -> io::Result<()> {
    let behavior = rustix::process::DumpableBehavior::NotDumpable;
    Ok(rustix::process::set_dumpable_behavior(behavior)?)
}

/// A limit on one process's resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// Open files.
    OpenFiles,
    /// Bytes of a core dump.
    CoreBytes,
}

/// Sets the soft and the hard limit, the latter never above what it was (raising it would need a right that we do not ask for).
///
/// # Errors
/// None is known to occur.
pub fn limit(what: Limited, value: u64) -> io::Result<()> {
    let resource = resource(what);
    let ceiling = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let value = Some(value.min(ceiling));
    Ok(rustix::process::setrlimit(resource, Rlimit { current: value, maximum: value })?)
}

fn resource(what: Limited) -> Resource {
    match what {
        Limited::OpenFiles => Resource::Nofile,
        Limited::CoreBytes => Resource::Core,
    }
}

/// Sets the file mode creation mask.
pub fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}

/// Names the host, as seen in the caller's UTS namespace.
///
/// # Errors
/// `EINVAL` above 64 bytes.
pub fn set_host_name(name: &str) -> io::Result<()> {
    Ok(rustix::system::sethostname(name.as_bytes())?)
}

/// Makes the caller's control groups the roots of its view of them (cgroup_namespaces(7)).
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn enter_control_group_namespace() -> io::Result<()> {
    // SAFETY: only the control group namespace changes; no descriptor table is unshared, which is what makes this call unsafe.
    Ok(unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWCGROUP) }?)
}
