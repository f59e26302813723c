//! The place where a filter's calls arrive that it passes on (seccomp_unotify(2)), for who refuses them all: a caller waits until it is
//! answered, and nothing here can let a call happen.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Calls that wait to be answered.
#[derive(Debug)]
pub struct CallListener {
    descriptor: OwnedFd,
    /// Room for what this kernel tells of a call; words, so that it is aligned.
    request: Vec<u64>,
    /// Room for what it wants to be answered.
    answer: Vec<u64>,
}

/// What there was to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// This call was refused, by its number.
    Refused(u32),
    /// One was there whose caller is gone, or has been called away and will ask again.
    Withdrawn,
    /// No call waits.
    Nothing,
    /// No process is under the filter any more.
    Over,
}

impl CallListener {
    /// Of a descriptor that installing a filter gave (`seccomp::install_and_hand_over`).
    ///
    /// # Errors
    /// The kernel does not say how much room it needs.
    pub fn new(descriptor: OwnedFd) -> io::Result<CallListener> {
        let mut sizes =
            libc::seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
        // SAFETY: the kernel writes one structure of this layout, which lives during the call.
        let result =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0_u32, &raw mut sizes) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        let request = usize::from(sizes.seccomp_notif).max(size_of::<libc::seccomp_notif>());
        let answer = usize::from(sizes.seccomp_notif_resp).max(size_of::<libc::seccomp_notif_resp>());
        let words = |bytes: usize| vec![0; bytes.div_ceil(size_of::<u64>())];
        Ok(CallListener { descriptor, request: words(request), answer: words(answer) })
    }

    /// Refuses the call that has waited longest, with this errno. Does not wait.
    ///
    /// # Errors
    /// The kernel's errno; `InvalidInput` for what is no errno.
    pub fn refuse(&mut self, errno: i32) -> io::Result<Heard> {
        if errno <= 0 {
            // An answer without an error is the result of a call that was done.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut polled = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO)?;
        let events = polled[0].revents().unwrap_or(PollFlags::empty());
        if !events.contains(PollFlags::POLLIN) {
            return Ok(if events.is_empty() { Heard::Nothing } else { Heard::Over });
        }
        let Some((id, number)) = self.receive()? else { return Ok(Heard::Withdrawn) };
        Ok(if self.send(id, errno)? { Heard::Refused(number) } else { Heard::Withdrawn })
    }

    /// A call's identity and number; `None` where its caller has meanwhile gone.
    fn receive(&mut self) -> io::Result<Option<(u64, u32)>> {
        // The kernel takes only room that is empty.
        self.request.fill(0);
        let room = self.request.as_mut_ptr();
        // SAFETY: the room is as large as this kernel's structure, and nobody else has it.
        let result =
            unsafe { libc::ioctl(self.descriptor.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, room) };
        if result != 0 {
            return gone(io::Error::last_os_error()).map(|()| None);
        }
        // SAFETY: at least as large as this structure, aligned for it, and of plain numbers.
        let request: libc::seccomp_notif = unsafe { room.cast::<libc::seccomp_notif>().read() };
        Ok(Some((request.id, request.data.nr.cast_unsigned())))
    }

    /// Whether the caller was there to be told.
    fn send(&mut self, id: u64, errno: i32) -> io::Result<bool> {
        // Without flags: one of them would let the call happen.
        let answer = libc::seccomp_notif_resp { id, val: 0, error: -errno, flags: 0 };
        self.answer.fill(0);
        let room = self.answer.as_mut_ptr();
        // SAFETY: at least as large as this structure, and aligned for it.
        unsafe { room.cast::<libc::seccomp_notif_resp>().write(answer) };
        // SAFETY: the kernel reads a structure of its own size, for which there is room.
        let result =
            unsafe { libc::ioctl(self.descriptor.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, room) };
        if result == 0 { Ok(true) } else { gone(io::Error::last_os_error()).map(|()| false) }
    }
}

/// A caller that has gone, or was called away by a signal, is no failure.
fn gone(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EINTR | libc::EINPROGRESS) => Ok(()),
        Some(_) | None => Err(error),
    }
}

impl AsFd for CallListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use super::*;
    use crate::sys::message::Channel;
    use crate::sys::process;
    use crate::sys::seccomp::{self, Flags, Instruction};

    /// Of the kernel's classic BPF: load the word at an offset, jump if equal, return.
    fn statement(code: u16, k: u32) -> Instruction {
        Instruction { code, jt: 0, jf: 0, k }
    }

    /// Passes `mbind` on, which nothing here uses, and nothing else.
    fn passes_mbind_on() -> Vec<Instruction> {
        let number = u32::try_from(libc::SYS_mbind).unwrap();
        vec![
            statement(0x20, 0),
            Instruction { code: 0x15, jt: 0, jf: 1, k: number },
            statement(0x06, libc::SECCOMP_RET_USER_NOTIF),
            statement(0x06, libc::SECCOMP_RET_ALLOW),
        ]
    }

    fn call() -> Option<i32> {
        // SAFETY: moves no memory: it names none.
        let result = unsafe { libc::syscall(libc::SYS_mbind, 0, 0, 0, 0, 0, 0) };
        (result != 0).then(|| io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    #[test]
    fn a_call_that_is_passed_on_is_refused_as_asked_and_told_by_number() {
        let (ours, theirs) = Channel::pair().unwrap();
        // A filter is its thread's own.
        let caller = std::thread::spawn(move || {
            seccomp::set_no_new_privs().unwrap();
            seccomp::install_and_hand_over(&passes_mbind_on(), Flags::default(), &theirs, b"x").unwrap();
            (call(), call())
        });
        let minute = Duration::from_secs(60);
        let given = ours.receive(minute).unwrap().unwrap().descriptors.remove(0);
        let mut listener = CallListener::new(given).unwrap();
        let mut heard = Vec::new();
        while heard.len() < 2 {
            process::wait_readable(&[listener.as_fd()], Some(minute)).unwrap();
            let errno = if heard.is_empty() { libc::EPERM } else { libc::EXDEV };
            if let Heard::Refused(number) = listener.refuse(errno).unwrap() {
                heard.push(i64::from(number));
            }
        }
        assert_eq!(heard, [libc::SYS_mbind, libc::SYS_mbind]);
        assert_eq!(caller.join().unwrap(), (Some(libc::EPERM), Some(libc::EXDEV)));
        process::wait_readable(&[listener.as_fd()], Some(minute)).unwrap();
        assert_eq!(listener.refuse(libc::EPERM).unwrap(), Heard::Over);
        assert_eq!(listener.refuse(0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
