//! What a container may use. Plain data; `runtime::cgroup` and the plan turn it into kernel settings.

use serde::{Deserialize, Serialize};

/// The smallest and largest relative share of a processor or a disk (`cpu.weight`, `io.weight` in the kernel's cgroup-v2 text).
pub const WEIGHT_RANGE: std::ops::RangeInclusive<u64> = 1..=10_000;
/// The share of a container nobody preferred or held back: the kernel's own default.
pub const WEIGHT_DEFAULT: u64 = 100;

/// Limits of one container. `None` is "no limit of its own".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of all processes of the application together, page cache and tmpfs included, in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory above which the kernel slows the application down and reclaims, in bytes (unified cgroups only).
    pub memory_high_bytes: Option<u64>,
    /// Swap the application may use beyond its memory, in bytes; `Some(0)` keeps it out of swap.
    pub memory_swap_bytes: Option<u64>,
    /// Relative share of the processor, 1 to 10000 (see `WEIGHT_RANGE`).
    pub cpu_weight: u64,
    /// Whether it has the processor only while nobody else wants it, whatever its weight: who wakes up takes it at once (`cpu.idle`
    /// in the kernel's cgroup-v2 text; kernels and hosts without it go by the weight).
    pub cpu_idle: bool,
    /// Relative share of the disks, in the same range; counts on unified hosts, where the kernel weighs the device.
    pub io_weight: u64,
    /// Ceiling on processor time.
    pub cpu_quota: Option<CpuQuota>,
    /// Processes and threads of the application at one time.
    pub pids: Option<u64>,
    /// Open files of one process (`RLIMIT_NOFILE`).
    pub nofile: u64,
    /// Size of a core dump in bytes (`RLIMIT_CORE`).
    pub core_bytes: u64,
    /// What each scratch directory of the container holds at most, in bytes: writable layers and private directories together. With
    /// such a limit they are in memory, counted against the memory limit; without one they are on the host's disk, unlimited
    /// (`docs/decisions/disk-quota.md`).
    pub disk_bytes: Option<u64>,
}

/// Processor time allowed within each period; more than the period means more than one processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuQuota {
    /// Time allowed in each period, in microseconds.
    pub quota_us: u64,
    /// Length of the period, in microseconds (the kernel takes 1000 to 1000000).
    pub period_us: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes: None,
            memory_high_bytes: None,
            memory_swap_bytes: None,
            cpu_weight: WEIGHT_DEFAULT,
            cpu_idle: false,
            io_weight: WEIGHT_DEFAULT,
            cpu_quota: None,
            pids: None,
            nofile: 10_000,
            core_bytes: 0,
            disk_bytes: None,
        }
    }
}
