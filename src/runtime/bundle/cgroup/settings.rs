//! Resources of a configuration as values for the kernel's files, in both versions of control groups: rules only.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

/// A value for a file of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// Whose file it is.
    pub(super) controller: &'static str,
    /// The file.
    pub(super) file: String,
    /// The value.
    pub(super) value: String,
}

fn set(controller: &'static str, file: &str, value: impl ToString) -> Setting {
    Setting { controller, file: file.to_owned(), value: value.to_string() }
}

/// For version 1.
pub(super) fn legacy(resources: &LinuxResources) -> Vec<Setting> {
    let mut all = Vec::new();
    if let Some(memory) = resources.memory() {
        all.extend(legacy_memory(memory));
    }
    if let Some(cpu) = resources.cpu() {
        all.extend(legacy_cpu(cpu));
    }
    if let Some(pids) = resources.pids() {
        all.push(set("pids", "pids.max", bounded(pids.limit())));
    }
    if let Some(io) = resources.block_io() {
        all.extend(legacy_io(io));
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        all.push(set("hugetlb", &format!("hugetlb.{}.limit_in_bytes", limit.page_size()), limit.limit()));
    }
    if let Some(network) = resources.network() {
        all.extend(network.class_id().map(|id| set("net_cls", "net_cls.classid", id)));
        for priority in network.priorities().iter().flatten() {
            let value = format!("{} {}", priority.name(), priority.priority());
            all.push(set("net_prio", "net_prio.ifpriomap", value));
        }
    }
    all.extend(rdma(resources));
    all
}

fn legacy_memory(memory: &LinuxMemory) -> Vec<Setting> {
    let mut all = Vec::new();
    all.extend(memory.limit().map(|bytes| set("memory", "memory.limit_in_bytes", bytes)));
    all.extend(memory.swap().map(|bytes| set("memory", "memory.memsw.limit_in_bytes", bytes)));
    all.extend(memory.reservation().map(|bytes| set("memory", "memory.soft_limit_in_bytes", bytes)));
    all.extend(memory.kernel_tcp().map(|bytes| set("memory", "memory.kmem.tcp.limit_in_bytes", bytes)));
    all.extend(memory.swappiness().map(|value| set("memory", "memory.swappiness", value)));
    if memory.disable_oom_killer() == Some(true) {
        all.push(set("memory", "memory.oom_control", 1));
    }
    all
}

fn legacy_cpu(cpu: &LinuxCpu) -> Vec<Setting> {
    let mut all = Vec::new();
    all.extend(cpu.shares().filter(|shares| *shares != 0).map(|shares| set("cpu", "cpu.shares", shares)));
    // The period first: the kernel checks the quota against the period that is set.
    all.extend(cpu.period().filter(|us| *us != 0).map(|us| set("cpu", "cpu.cfs_period_us", us)));
    all.extend(cpu.quota().filter(|us| *us != 0).map(|us| set("cpu", "cpu.cfs_quota_us", us)));
    all.extend(cpu.burst().map(|us| set("cpu", "cpu.cfs_burst_us", us)));
    all.extend(cpu.realtime_period().filter(|us| *us != 0).map(|us| set("cpu", "cpu.rt_period_us", us)));
    all.extend(cpu.realtime_runtime().filter(|us| *us != 0).map(|us| set("cpu", "cpu.rt_runtime_us", us)));
    all.extend(cpu.idle().map(|value| set("cpu", "cpu.idle", value)));
    all.extend(named(cpu.cpus()).map(|list| set("cpuset", "cpuset.cpus", list)));
    all.extend(named(cpu.mems()).map(|list| set("cpuset", "cpuset.mems", list)));
    all
}

fn legacy_io(io: &LinuxBlockIo) -> Vec<Setting> {
    let mut all = Vec::new();
    all.extend(weight(io).map(|value| set("blkio", "blkio.weight", value)));
    let throttles = [
        ("blkio.throttle.read_bps_device", io.throttle_read_bps_device()),
        ("blkio.throttle.write_bps_device", io.throttle_write_bps_device()),
        ("blkio.throttle.read_iops_device", io.throttle_read_iops_device()),
        ("blkio.throttle.write_iops_device", io.throttle_write_iops_device()),
    ];
    for (file, list) in throttles {
        for device in list.iter().flatten() {
            all.push(set("blkio", file, format!("{}:{} {}", device.major(), device.minor(), device.rate())));
        }
    }
    for device in io.weight_device().iter().flatten() {
        let weight = device.weight().unwrap_or(0);
        let value = format!("{}:{} {weight}", device.major(), device.minor());
        all.push(set("blkio", "blkio.weight_device", value));
    }
    all
}

/// For version 2.
pub(super) fn unified(resources: &LinuxResources) -> Vec<Setting> {
    let mut all = Vec::new();
    if let Some(memory) = resources.memory() {
        all.extend(memory.limit().map(|bytes| set("memory", "memory.max", bounded(bytes))));
        all.extend(memory.reservation().map(|bytes| set("memory", "memory.low", bounded(bytes))));
        all.extend(swap_alone(memory).map(|value| set("memory", "memory.swap.max", value)));
    }
    if let Some(cpu) = resources.cpu() {
        all.extend(unified_cpu(cpu));
    }
    if let Some(pids) = resources.pids() {
        all.push(set("pids", "pids.max", bounded(pids.limit())));
    }
    if let Some(io) = resources.block_io() {
        // 10 to 1000 there, 1 to 10000 here.
        let scaled = |weight: u16| 1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990;
        all.extend(weight(io).map(|weight| set("io", "io.weight", scaled(weight))));
        let throttles = [
            ("rbps", io.throttle_read_bps_device()),
            ("wbps", io.throttle_write_bps_device()),
            ("riops", io.throttle_read_iops_device()),
            ("wiops", io.throttle_write_iops_device()),
        ];
        for (key, list) in throttles {
            let line = |device: &LinuxThrottleDevice| {
                format!("{}:{} {key}={}", device.major(), device.minor(), device.rate())
            };
            all.extend(list.iter().flatten().map(|device| set("io", "io.max", line(device))));
        }
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        all.push(set("hugetlb", &format!("hugetlb.{}.max", limit.page_size()), bounded(limit.limit())));
    }
    all.extend(rdma(resources));
    all
}

/// What the configuration writes to files of version 2 itself.
pub(super) fn as_written(resources: &LinuxResources) -> Vec<(String, String)> {
    let mut all: Vec<_> = resources.unified().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    all.sort();
    all
}

fn unified_cpu(cpu: &LinuxCpu) -> Vec<Setting> {
    let mut all = Vec::new();
    // 2 to 262144 there, 1 to 10000 here (runtime-spec gives this line between the two).
    let scaled = |shares: u64| 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
    all.extend(cpu.shares().filter(|n| *n != 0).map(|shares| set("cpu", "cpu.weight", scaled(shares))));
    let (quota, period) = (cpu.quota().filter(|us| *us != 0), cpu.period().filter(|us| *us != 0));
    match (quota, period) {
        (None, None) => {}
        (quota, period) => {
            let quota = quota.filter(|us| *us > 0).map_or_else(|| "max".to_owned(), |us| us.to_string());
            all.push(set("cpu", "cpu.max", format!("{quota} {}", period.unwrap_or(100_000))));
        }
    }
    all.extend(cpu.burst().map(|us| set("cpu", "cpu.max.burst", us)));
    all.extend(cpu.idle().map(|value| set("cpu", "cpu.idle", value)));
    all.extend(named(cpu.cpus()).map(|list| set("cpuset", "cpuset.cpus", list)));
    all.extend(named(cpu.mems()).map(|list| set("cpuset", "cpuset.mems", list)));
    all
}

/// The specification counts memory and swap together, version 2 swap alone.
fn swap_alone(memory: &LinuxMemory) -> Option<String> {
    let swap = memory.swap().filter(|bytes| *bytes != 0)?;
    Some(match memory.limit() {
        _ if swap < 0 => "max".to_owned(),
        Some(limit) if limit > 0 => (swap - limit).max(0).to_string(),
        _ => "max".to_owned(),
    })
}

fn rdma(resources: &LinuxResources) -> Vec<Setting> {
    let entry = |(device, limits): (&String, &oci_spec::runtime::LinuxRdma)| {
        let handles = limits.hca_handles().map(|n| format!(" hca_handle={n}")).unwrap_or_default();
        let objects = limits.hca_objects().map(|n| format!(" hca_object={n}")).unwrap_or_default();
        set("rdma", "rdma.max", format!("{device}{handles}{objects}"))
    };
    resources.rdma().iter().flatten().map(entry).collect()
}

fn weight(io: &LinuxBlockIo) -> Option<u16> {
    io.weight().filter(|weight| *weight != 0)
}

fn named(list: &Option<String>) -> Option<&String> {
    list.as_ref().filter(|list| !list.is_empty())
}

/// Nothing above zero is no bound.
fn bounded(value: i64) -> String {
    if value > 0 { value.to_string() } else { "max".to_owned() }
}

#[cfg(test)]
mod test {
    use super::*;

    fn resources() -> LinuxResources {
        serde_json::from_str(
            r#"{"memory": {"limit": 67108864, "swap": 100663296, "reservation": -1},
                "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0"},
                "pids": {"limit": 32},
                "blockIO": {"weight": 1000, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 7}]},
                "unified": {"memory.high": "5"}}"#,
        )
        .unwrap()
    }

    fn lines(settings: &[Setting]) -> Vec<String> {
        settings.iter().map(|s| format!("{} {}={}", s.controller, s.file, s.value)).collect()
    }

    #[test]
    fn version_1_gets_its_own_files() {
        assert_eq!(
            lines(&legacy(&resources())),
            [
                "memory memory.limit_in_bytes=67108864",
                "memory memory.memsw.limit_in_bytes=100663296",
                "memory memory.soft_limit_in_bytes=-1",
                "cpu cpu.shares=1024",
                "cpu cpu.cfs_period_us=100000",
                "cpu cpu.cfs_quota_us=50000",
                "cpuset cpuset.cpus=0",
                "pids pids.max=32",
                "blkio blkio.weight=1000",
                "blkio blkio.throttle.read_bps_device=8:0 7",
            ]
        );
    }

    #[test]
    fn version_2_gets_the_same_in_its_own_words() {
        assert_eq!(
            lines(&unified(&resources())),
            [
                "memory memory.max=67108864",
                "memory memory.low=max",
                "memory memory.swap.max=33554432",
                "cpu cpu.weight=39",
                "cpu cpu.max=50000 100000",
                "cpuset cpuset.cpus=0",
                "pids pids.max=32",
                "io io.weight=10000",
                "io io.max=8:0 rbps=7",
            ]
        );
        assert_eq!(as_written(&resources()), [("memory.high".to_owned(), "5".to_owned())]);
    }
}
