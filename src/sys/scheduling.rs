//! When a process gets the processor and the disk: policies, priorities, and which processors.

use std::io;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// How the kernel shares processors with a process (sched(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// From -20 to 19, for policies that share.
    pub nice: i32,
    /// From 1 to 99, for real-time policies.
    pub priority: u32,
    /// Nanoseconds, for the deadline policy.
    pub runtime_ns: u64,
    /// See `runtime_ns`.
    pub deadline_ns: u64,
    /// See `runtime_ns`.
    pub period_ns: u64,
}

/// `struct sched_attr`, in its first form (linux/sched/types.h).
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Has a process scheduled so.
///
/// # Errors
/// `EINVAL` for values that no policy has, `EPERM` without `CAP_SYS_NICE`, `EBUSY` where deadlines cannot be kept.
pub fn set_scheduling(pid: u32, wanted: &Scheduling) -> io::Result<()> {
    let pid = i32::try_from(pid).unwrap_or(i32::MAX);
    let attributes = Attributes {
        size: u32::try_from(size_of::<Attributes>()).unwrap_or(0),
        policy: wanted.policy,
        flags: wanted.flags,
        nice: wanted.nice,
        priority: wanted.priority,
        runtime: wanted.runtime_ns,
        deadline: wanted.deadline_ns,
        period: wanted.period_ns,
    };
    // SAFETY: `attributes` is laid out as the kernel's structure, with its own size in it, and lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attributes, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How a process's reading and writing is ranked (ioprio_set(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_*`.
    pub class: u32,
    /// From 0, the first, to 7.
    pub level: u32,
}

/// Ranks a process's reading and writing.
///
/// # Errors
/// `EINVAL` for a level that there is not, `EPERM` for the real-time class without `CAP_SYS_ADMIN` or `CAP_SYS_NICE`.
pub fn set_io_priority(pid: u32, wanted: IoPriority) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_SHIFT: u32 = 13;
    let pid = i32::try_from(pid).unwrap_or(i32::MAX);
    // SAFETY: numbers only.
    let result = unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, pid, wanted.class << CLASS_SHIFT | wanted.level)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets a process run on these processors only; 0 is the caller.
///
/// # Errors
/// `EINVAL` where its control group leaves it none of them, or there are none of such numbers.
pub fn set_processors(pid: u32, processors: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    processors.iter().try_for_each(|number| set.set(*number))?;
    Ok(sched_setaffinity(Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX)), &set)?)
}
