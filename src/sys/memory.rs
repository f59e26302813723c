//! The memory of the machine.

/// Bytes of memory that the machine has; swap is not counted.
#[must_use]
pub fn total() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(info.mem_unit.into())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_machine_has_memory() {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap();
        let line = text.lines().find(|line| line.starts_with("MemTotal:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert_eq!(total() / 1024, kib);
    }
}
