//! The sizes of dynos as the configuration file changes and adds them.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use serde::Deserialize;

use crate::daemon::config::ConfigError;
use crate::domain::{Bytes, DynoSize, ONE_OFFS_MAX, SizeLimits, Sizes};

/// The greatest weight that the kernel takes for a share of the CPU.
const CPU_WEIGHT_MAX: u64 = 10_000;

/// What the file says of one size.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SizeSection {
    /// The memory quota, in MiB.
    memory_mib: Option<NonZeroU64>,
    /// The memory at which a dyno is killed, in MiB.
    memory_max_mib: Option<NonZeroU64>,
    /// The share of a contended CPU, 1 to 10000.
    cpu_weight: Option<NonZeroU64>,
    /// The most processes and threads.
    tasks: Option<NonZeroU64>,
    /// The most dynos of one process type.
    per_type_max: Option<u32>,
    /// The most one-off dynos of one app at once.
    one_offs_max: Option<usize>,
}

/// The platform's sizes with what the file changes and adds.
pub(super) fn sizes(sections: &BTreeMap<String, SizeSection>) -> Result<Sizes, ConfigError> {
    let mut sizes = Sizes::default();
    for (name, section) in sections {
        let wrong = |reason| ConfigError::Size { name: name.clone(), reason };
        let size: DynoSize = name.parse().map_err(|_| {
            wrong("a size is named by up to 24 letters, digits and dashes, the first one a letter")
        })?;
        let limits = section.limits(sizes.limits(size));
        if limits.memory_max < limits.memory {
            return Err(wrong("memory_max_mib is less than memory_mib"));
        }
        if limits.cpu_weight > CPU_WEIGHT_MAX {
            return Err(wrong("cpu_weight is 1 to 10000"));
        }
        if limits.one_offs_max > ONE_OFFS_MAX {
            return Err(wrong("one_offs_max is 50 at most"));
        }
        sizes.set(size, limits);
    }
    Ok(sizes)
}

impl SizeSection {
    /// The limits, from what the size has without it. The killing point moves with the quota unless it is named.
    fn limits(&self, usual: SizeLimits) -> SizeLimits {
        let memory = self.memory_mib.map_or(usual.memory, |mib| Bytes::mib(mib.get()));
        let max_percent = usual.memory_max.0.saturating_mul(100) / usual.memory.0.max(1);
        let moved = Bytes(memory.0.saturating_mul(max_percent) / 100);
        let usual_max = if self.memory_mib.is_some() { moved } else { usual.memory_max };
        SizeLimits {
            memory,
            memory_max: self.memory_max_mib.map_or(usual_max, |mib| Bytes::mib(mib.get())),
            cpu_weight: self.cpu_weight.map_or(usual.cpu_weight, NonZeroU64::get),
            tasks_max: self.tasks.map_or(usual.tasks_max, NonZeroU64::get),
            per_type_max: self.per_type_max.or(usual.per_type_max),
            one_offs_max: self.one_offs_max.unwrap_or(usual.one_offs_max),
        }
    }
}
