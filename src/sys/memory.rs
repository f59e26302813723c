//! The memory of the machine, and from which part of it a process gets its own.

use std::io;

/// Bytes of memory that the machine has; swap is not counted.
#[must_use]
pub fn total() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(info.mem_unit.into())
}

/// Says from which nodes the calling thread, and whatever it starts or becomes, gets memory (set_mempolicy(2)). `mode` is one of `MPOL_*`
/// with its flags, `nodes` are numbers of nodes.
///
/// # Errors
/// `EINVAL` for a mode that does not go with its flags or its nodes, or for nodes that there are not; `ENOSYS` where the kernel knows
/// nothing of nodes.
pub fn set_policy(mode: u32, nodes: &[usize]) -> io::Result<()> {
    const WORD_BITS: usize = usize::BITS as usize;
    let mut mask = vec![0_usize; nodes.iter().max().map_or(0, |last| last / WORD_BITS + 1)];
    for node in nodes {
        if let Some(word) = mask.get_mut(node / WORD_BITS) {
            *word |= 1 << (node % WORD_BITS);
        }
    }
    // The kernel looks at one bit less than it is told of.
    let (list, bits) = match mask.len() {
        0 => (std::ptr::null(), 0),
        words => (mask.as_ptr(), words * WORD_BITS + 1),
    };
    // SAFETY: the kernel reads as many bits as `mask`, which lives through the call, has words for.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, libc::c_ulong::from(mode), list, bits) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
