//! The processors of the machine, and since when it runs.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity};

/// Numbers of the processors that the calling thread may run on, in order; what it starts may run on the same.
///
/// # Errors
/// The kernel's errno: `EINVAL` on a machine with more processors than are known here.
pub fn allowed() -> io::Result<Vec<u32>> {
    let set = sched_getaffinity(None)?;
    let numbers = (0..CpuSet::MAX_CPU).filter(|number| set.is_set(*number));
    Ok(numbers.filter_map(|number| u32::try_from(number).ok()).collect())
}

/// When the machine was started, in seconds of Unix time, as /proc/stat tells it.
///
/// # Errors
/// The kernel's errno; `InvalidData` if the file is not as known.
pub fn booted_at_s() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let told = text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    told.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/stat does not tell of the start"))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_kernels_own_list_says_the_same() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
        let spans = list.split(',').map(|span| span.split_once('-').unwrap_or((span, span)));
        let spans = spans.map(|(from, to)| from.parse::<u32>().unwrap()..=to.parse::<u32>().unwrap());
        assert_eq!(allowed().unwrap(), spans.flatten().collect::<Vec<_>>());
    }

    #[test]
    fn the_machine_was_started_in_the_past() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert!((1..=now.as_secs()).contains(&booted_at_s().unwrap()));
    }
}
