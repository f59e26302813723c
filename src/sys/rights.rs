//! Exact rights of a process: capability sets, users, groups and resource limits as a container's configuration names them.
//! `credentials` knows only how to give everything up. Used by forked children that are single-threaded.

use std::io;

use rustix::process::{Gid, Pid, Resource, Rlimit, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Names of capabilities by number (linux/capability.h), without the prefix.
pub const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The five sets of capabilities(7), each as bits by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// What can be gained at all.
    pub bounding: u64,
    /// What counts now.
    pub effective: u64,
    /// What survives an exec of a file that asks for it.
    pub inheritable: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What survives an exec of any file.
    pub ambient: u64,
}

/// Takes everything out of the bounding set but these.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn bound(keep: u64) -> io::Result<()> {
    for number in 0..u64::BITS {
        if keep & (1 << number) != 0 {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(
            1 << number,
        )) {
            Ok(()) => {}
            // Beyond the last one this kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// The capabilities that this process may have at most.
///
/// # Errors
/// None is known to occur.
pub fn permitted() -> io::Result<u64> {
    Ok(rustix::thread::capabilities(None)?.permitted.bits())
}

/// Keeps the permitted set over a change of user.
///
/// # Errors
/// `EPERM` if the secure bits forbid it.
pub fn keep_over_user_change() -> io::Result<()> {
    Ok(rustix::thread::set_keep_capabilities(true)?)
}

/// Sets all but the bounding set.
///
/// # Errors
/// `EPERM` for a capability the process may not have.
pub fn set_capabilities(sets: &Capabilities) -> io::Result<()> {
    let bits = CapabilitySet::from_bits_retain;
    rustix::thread::clear_ambient_capability_set()?;
    let wanted = CapabilitySets {
        effective: bits(sets.effective),
        permitted: bits(sets.permitted),
        inheritable: bits(sets.inheritable),
    };
    rustix::thread::set_capabilities(None, wanted)?;
    for number in (0..u64::BITS).filter(|number| sets.ambient & (1 << number) != 0) {
        rustix::thread::configure_capability_in_ambient_set(bits(1 << number), true)?;
    }
    Ok(())
}

/// Becomes this user with this group and these further groups, as the process's user namespace numbers them.
///
/// # Errors
/// `EINVAL` for an id that the namespace does not map, `EPERM`.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let groups: Vec<_> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    match rustix::thread::set_thread_groups(&groups) {
        // A user namespace in which groups may not be set has none to give up either.
        Err(rustix::io::Errno::PERM) if groups.is_empty() && !may_set_groups() => {}
        other => other?,
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
}

fn may_set_groups() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").map_or(true, |text| text.trim() != "deny")
}

/// A resource of a process that can be limited (getrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// Processor time, in seconds.
    Cpu,
    /// Size of a file, in bytes.
    FileSize,
    /// Data segment, in bytes.
    Data,
    /// Stack, in bytes.
    Stack,
    /// Core dump, in bytes.
    Core,
    /// Resident memory, in bytes.
    Resident,
    /// Processes of the user.
    Processes,
    /// Open files.
    OpenFiles,
    /// Locked memory, in bytes.
    LockedMemory,
    /// Address space, in bytes.
    AddressSpace,
    /// File locks.
    Locks,
    /// Queued signals.
    PendingSignals,
    /// Message queues, in bytes.
    MessageQueues,
    /// Niceness, as 20 minus the lowest value.
    Nice,
    /// Real time priority.
    RealTimePriority,
    /// Real time between two blocking calls, in microseconds.
    RealTime,
}

impl Limited {
    /// The kernel's word for it, in lower case and without its prefix.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Limited::Cpu => "cpu",
            Limited::FileSize => "fsize",
            Limited::Data => "data",
            Limited::Stack => "stack",
            Limited::Core => "core",
            Limited::Resident => "rss",
            Limited::Processes => "nproc",
            Limited::OpenFiles => "nofile",
            Limited::LockedMemory => "memlock",
            Limited::AddressSpace => "as",
            Limited::Locks => "locks",
            Limited::PendingSignals => "sigpending",
            Limited::MessageQueues => "msgqueue",
            Limited::Nice => "nice",
            Limited::RealTimePriority => "rtprio",
            Limited::RealTime => "rttime",
        }
    }
}

/// Sets a limit of another process, which must not have started to run what is to be limited; `u64::MAX` is "no limit".
///
/// # Errors
/// `EPERM` for a hard limit above the one there is, without `CAP_SYS_RESOURCE`.
pub fn limit(pid: u32, what: Limited, soft: u64, hard: u64) -> io::Result<()> {
    let known = |value: u64| (value != u64::MAX).then_some(value);
    let wanted = Rlimit { current: known(soft), maximum: known(hard) };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok(rustix::process::prlimit(pid, resource(what), wanted).map(|_| ())?)
}

/// The hard limit of the calling process; `None` is "no limit".
#[must_use]
pub fn hard_limit(what: Limited) -> Option<u64> {
    rustix::process::getrlimit(resource(what)).maximum
}

fn resource(what: Limited) -> Resource {
    match what {
        Limited::Cpu => Resource::Cpu,
        Limited::FileSize => Resource::Fsize,
        Limited::Data => Resource::Data,
        Limited::Stack => Resource::Stack,
        Limited::Core => Resource::Core,
        Limited::Resident => Resource::Rss,
        Limited::Processes => Resource::Nproc,
        Limited::OpenFiles => Resource::Nofile,
        Limited::LockedMemory => Resource::Memlock,
        Limited::AddressSpace => Resource::As,
        Limited::Locks => Resource::Locks,
        Limited::PendingSignals => Resource::Sigpending,
        Limited::MessageQueues => Resource::Msgqueue,
        Limited::Nice => Resource::Nice,
        Limited::RealTimePriority => Resource::Rtprio,
        Limited::RealTime => Resource::Rttime,
    }
}

/// Names the NIS domain, as seen in the caller's UTS namespace.
///
/// # Errors
/// `EINVAL` above 64 bytes.
pub fn set_domain_name(name: &str) -> io::Result<()> {
    Ok(rustix::system::setdomainname(name.as_bytes())?)
}

/// Sets the execution domain (personality(2)).
///
/// # Errors
/// `EINVAL`.
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: changes how the calling thread's later calls behave; no memory is touched.
    let before = unsafe { libc::personality(libc::c_ulong::from(domain)) };
    if before < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
