//! Installing system call filters (seccomp(2)).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

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
    /// Once an agent has taken a call, only a deadly signal takes its caller out of it; for `install_and_hand_over` alone.
    pub const WAIT_KILLABLE: Flags = Flags(libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);

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
    set_filter(program, flags.0).map(drop)
}

/// As `install_with`, for a program that passes calls on to an agent (`SECCOMP_RET_USER_NOTIF`): sends the descriptor where it takes them
/// over the socket, as one message with these bytes. Between the two nothing but sendmsg(2) is called, which the program must let pass: until
/// somebody has the descriptor, a call that it passes on waits for ever.
///
/// # Errors
/// As `install`; `EBUSY` where an agent is engaged already; what sending fails with.
pub fn install_and_hand_over(
    program: &[Instruction],
    flags: Flags,
    socket: &impl AsFd,
    bytes: &[u8],
) -> io::Result<()> {
    let raw = set_filter(program, flags.0 | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: with this flag the kernel answers with a fresh descriptor, owned by nobody else.
    let agents = unsafe { OwnedFd::from_raw_fd(raw) };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let given = [agents.as_fd()];
    // There is room for one, see above.
    control.push(SendAncillaryMessage::ScmRights(&given));
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn set_filter(program: &[Instruction], flags: libc::c_ulong) -> io::Result<RawFd> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `filter` points to `length` instructions laid out as sock_filter (repr(C), same fields), alive for the
    // call; the kernel copies them and writes nothing back.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    match RawFd::try_from(result) {
        Ok(answer) if answer >= 0 => Ok(answer),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Sets `no_new_privs` on the calling thread: from here on no exec gains rights (prctl(2)). Async-signal-safe.
///
/// # Errors
/// The kernel's errno; none is known to occur.
pub fn set_no_new_privs() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true).map_err(io::Error::from)
}
