//! Raw system calls for the probes: an attacker does not use a library.
#![allow(unsafe_code, reason = "attacks are made of raw system calls; the library's own are all in src/sys")]

use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};

/// Makes a system call. Arguments not given are 0.
///
/// For the process of one probe only, which ends right after.
pub(crate) fn call(number: libc::c_long, arguments: &[usize]) -> Result<usize, i32> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: every pointer among the arguments is to a buffer that the caller holds during the call and that is as large as the
    // call's own definition or the length beside it says; no call given here frees or keeps memory of this process.
    let result = unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) };
    usize::try_from(result).map_err(|_| std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

/// A call that makes a descriptor; the descriptor.
pub(crate) fn open(number: libc::c_long, arguments: &[usize]) -> Result<OwnedFd, i32> {
    let fd = call(number, arguments)?;
    let fd = i32::try_from(fd).map_err(|_| libc::EBADF)?;
    // SAFETY: the kernel has just made it, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A buffer's or a structure's address, as an argument.
pub(crate) fn at<T>(value: &T) -> usize {
    std::ptr::from_ref(value).expose_provenance()
}

/// A slice's address, as an argument.
pub(crate) fn start<T>(values: &[T]) -> usize {
    values.as_ptr().expose_provenance()
}

/// The address of room that the kernel writes to, as an argument.
pub(crate) fn room<T>(values: &mut [T]) -> usize {
    values.as_mut_ptr().expose_provenance()
}

/// A negative number, as an argument.
pub(crate) fn negative(number: isize) -> usize {
    number.cast_unsigned()
}

/// A flag or constant of the C headers, as an argument.
pub(crate) fn flag(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// Text, as C has it.
pub(crate) fn text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// Its address, as an argument.
pub(crate) fn address(text: &CString) -> usize {
    text.as_ptr().expose_provenance()
}

/// Copies the process. `Ok(0)` is said in the child, which must end by [`end`].
pub(crate) fn fork() -> Result<i32, i32> {
    // SAFETY: the C library's own fork, which leaves its allocator usable in the child; no other thread of ours holds a lock, for
    // the harness only waits for this one.
    let pid = unsafe { libc::fork() };
    if pid < 0 { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)) } else { Ok(pid) }
}

/// Ends the process at once.
pub(crate) fn end(code: i32) -> ! {
    // SAFETY: ends the process without running anything of its parent's.
    unsafe { libc::_exit(code) }
}

/// Waits for a child; how it ended, as wait(2) has it. `None` if it has not.
pub(crate) fn ended(pid: i32, flags: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: `status` is ours and lives during the call.
    let found = unsafe { libc::waitpid(pid, &raw mut status, flags) };
    (found == pid).then_some(status)
}

/// Calls getpid by the gate for 32-bit programs, with the number they have it under.
#[cfg(target_arch = "x86_64")]
pub(crate) fn call_by_the_old_gate(number: u32) -> i32 {
    let mut result = number.cast_signed();
    // SAFETY: getpid takes no argument and writes no memory; rbx is saved, since the compiler keeps it for itself.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("eax") result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

/// Makes a child that waits, to be ended with its session's container or by its parent's death.
pub(crate) fn fork_waiting() -> Result<(), i32> {
    if fork()? == 0 {
        // Ends with its parent, so that nothing is left where no container ends it.
        let _ = call(libc::SYS_prctl, &[1, flag(libc::SIGKILL)]);
        std::thread::sleep(std::time::Duration::from_secs(20));
        end(0);
    }
    Ok(())
}

/// Makes a child that ends at once and is not waited for.
pub(crate) fn fork_dead() -> Result<(), i32> {
    if fork()? == 0 {
        end(0);
    }
    Ok(())
}

/// Writes to every page of memory that the kernel has just attached.
pub(crate) fn touch(address: usize, bytes: usize) -> super::probe::Verdict {
    for at in (address..address + bytes).step_by(4096) {
        let page: *mut u8 = std::ptr::with_exposed_provenance_mut(at);
        // SAFETY: the kernel has attached `bytes` writable bytes at `address`, which nothing else uses.
        unsafe { page.write_volatile(1) };
    }
    super::probe::Verdict::Got(format!("{bytes} bytes"))
}
