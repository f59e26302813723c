//! Installing system call filters (seccomp(2)).

use std::io;

/// One instruction of classic BPF, laid out as the kernel's `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if a test holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// Puts the calling thread, and what it starts from here on, under the program for good.
///
/// Async-signal-safe: no allocation, no lock; fit for a child between clone and exec. The thread must have set
/// `no_new_privs`, or hold `CAP_SYS_ADMIN`. Of several programs all are asked at each call, the newest first.
///
/// # Errors
/// The kernel's errno: `EACCES` without `no_new_privs`, `EINVAL` for a malformed, empty or too long program.
pub fn install(program: &[Instruction]) -> io::Result<()> {
    install_with(program, Flags::default())
}

/// How a program is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(libc::c_ulong);

impl Flags {
    /// Log all its answers but "allow".
    pub const LOG: Flags = Flags(libc::SECCOMP_FILTER_FLAG_LOG);
    /// Leave the processor's speculation as it is.
    pub const SPECULATE: Flags = Flags(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW);

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// As `install`, with flags.
///
/// # Errors
/// As `install`.
pub fn install_with(program: &[Instruction], flags: Flags) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `filter` points to `length` instructions laid out as sock_filter (repr(C), same fields), alive for the
    // call; the kernel copies them and writes nothing back.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags.0, &raw const filter)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets `no_new_privs` on the calling thread: from here on no exec gains rights (prctl(2)). Async-signal-safe.
///
/// # Errors
/// The kernel's errno; none is known to occur.
pub fn set_no_new_privs() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true).map_err(io::Error::from)
}
