//! A child for a program of its own that until then works in its maker's memory (clone(2), `CLONE_VM` with `CLONE_VFORK`): nothing is
//! copied, neither tables of pages nor, at the first write to each, the pages. The maker stands still meanwhile.
//!
//! Descriptors, the current directory, signal handlers, credentials, namespaces and filters are the child's own. Memory is not: what it
//! allocates stays allocated in its maker, and what it changes there stays changed.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::AssertUnwindSafe;

use crate::sys::process::{self, SingleThreaded, request};

/// Room for the child's own calls, in bytes; only what is used takes memory.
const STACK_BYTES: usize = 1 << 20;
/// Below it, so that one that needs more ends at once.
const GUARD_BYTES: usize = 64 << 10;
/// Exit code of a child that panicked.
const CODE_PANIC: u8 = 125;

/// Runs `child` as a new process, in the given version 2 control group (or the caller's own); its result is the exit code, should it
/// come back instead of running a program. Returns the child's process id when it runs a program, or has ended.
///
/// # Errors
/// The kernel's errno: `EAGAIN` at the limit of processes, `ENOMEM`.
pub fn until_exec(
    single: SingleThreaded,
    group: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> u8,
) -> io::Result<u32> {
    run(single, group, child)
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn run<F: FnOnce() -> u8>(_: SingleThreaded, group: Option<BorrowedFd<'_>>, child: F) -> io::Result<u32> {
    let stack = Stack::new()?;
    let mut request = request(libc::CLONE_VM | libc::CLONE_VFORK, group.map(|fd| fd.as_raw_fd()));
    request.stack = stack.start.expose_provenance() as u64;
    request.stack_size = (GUARD_BYTES + STACK_BYTES) as u64;
    let mut child = Some(child);
    // SAFETY: the stack is ours alone and large enough, lives until the child has given the memory back (which is when this call
    // returns), and `child` outlives the call likewise; `begin` never returns. `SingleThreaded` proves that nobody else is at work in
    // this memory, so that no lock can be held.
    let result = unsafe { clone_on_stack(&raw const request, begin::<F>, &raw mut child) };
    match u32::try_from(result) {
        Ok(pid) => Ok(pid),
        Err(_) => Err(io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(libc::EINVAL))),
    }
}

/// Where no way to another stack is written down: an ordinary fork.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn run<F: FnOnce() -> u8>(
    single: SingleThreaded,
    group: Option<BorrowedFd<'_>>,
    child: F,
) -> io::Result<u32> {
    match single.clone(process::Namespaces::NONE, group)? {
        process::Cloned::Child => begin(&raw mut Some(child)),
        process::Cloned::Parent { pid, .. } => Ok(pid),
    }
}

/// The child's first function.
extern "C" fn begin<F: FnOnce() -> u8>(child: *mut Option<F>) -> ! {
    // SAFETY: the maker stands still, so this is the only reference; the value lives on its stack.
    let child = unsafe { &mut *child };
    // A panic must not unwind into nowhere: there is nothing above this on the stack.
    let run = AssertUnwindSafe(|| child.take().map_or(CODE_PANIC, |child| child()));
    process::exit_now(std::panic::catch_unwind(run).unwrap_or(CODE_PANIC))
}

/// clone3(2) for a child that begins at `begin` with `data`, on the request's stack; in the maker, the kernel's answer.
///
/// # Safety
/// `request` is complete and asks for the maker to wait; its stack is unused and large enough; `data` is what `begin` wants, and lives
/// until this returns.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_on_stack<T>(
    request: *const libc::clone_args,
    begin: extern "C" fn(*mut T) -> !,
    data: *mut T,
) -> i64 {
    let result: i64;
    // SAFETY: the caller's contract. The child comes out of the call with the registers as they are here and an empty, aligned stack,
    // and goes to `begin` for good; the call changes rax, rcx and r11 only.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") request,
            in("rsi") size_of::<libc::clone_args>(),
            in("r8") begin,
            in("r9") data,
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

/// As above.
///
/// # Safety
/// As above.
#[cfg(target_arch = "aarch64")]
unsafe fn clone_on_stack<T>(
    request: *const libc::clone_args,
    begin: extern "C" fn(*mut T) -> !,
    data: *mut T,
) -> i64 {
    let result: i64;
    // SAFETY: as above; the call changes x0 only.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x10",
            "blr x9",
            "brk 1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") request => result,
            in("x1") size_of::<libc::clone_args>(),
            in("x9") begin,
            in("x10") data,
        );
    }
    result
}

/// Memory that grows only as far as it is used, with a guard below it.
struct Stack {
    start: *mut libc::c_void,
}

impl Stack {
    fn new() -> io::Result<Stack> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping wherever the kernel likes touches nothing of ours.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), GUARD_BYTES + STACK_BYTES, access, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Stack { start };
        // SAFETY: the lowest part of the mapping just made, which nobody uses.
        let result = unsafe { libc::mprotect(stack.start, GUARD_BYTES, libc::PROT_NONE) };
        if result == 0 { Ok(stack) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and whoever ran on it has given it back.
        unsafe { libc::munmap(self.start, GUARD_BYTES + STACK_BYTES) };
    }
}

#[cfg(test)]
mod test {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    /// Tests run in threads: each of these takes place in a process of its own with one thread.
    fn alone(test: impl FnOnce(SingleThreaded) -> bool) {
        // SAFETY: the child uses nothing that a lock of the parent's could guard but the allocator, which fork(2) keeps usable.
        match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => {
                let passed = SingleThreaded::claim().is_some_and(test);
                process::exit_now(u8::from(!passed))
            }
            nix::unistd::ForkResult::Parent { child } => {
                let end = process::wait_one(child.as_raw().unsigned_abs()).unwrap();
                assert_eq!(end, process::End::Code(0));
            }
        }
    }

    #[test]
    fn the_child_runs_a_program_and_its_maker_goes_on_afterwards() {
        alone(|single| {
            let mut steps = 0;
            let pid = until_exec(single, None, || {
                steps += 1;
                let error = Command::new("/bin/sh").args(["-c", "exit 7"]).exec();
                drop(error);
                9
            });
            let end = process::wait_one(pid.unwrap());
            steps == 1 && end.unwrap() == process::End::Code(7)
        });
    }

    #[test]
    fn a_child_without_a_program_ends_with_its_result_and_one_that_panics_too() {
        alone(|single| {
            let ended = |pid: io::Result<u32>| process::wait_one(pid.unwrap()).unwrap();
            let plain = ended(until_exec(single, None, || 3));
            let deep = ended(until_exec(single, None, || {
                let room = std::hint::black_box([1u8; STACK_BYTES / 8]);
                room[room.len() - 1]
            }));
            std::panic::set_hook(Box::new(|_| {}));
            let panicked = ended(until_exec(single, None, || panic!("on purpose")));
            [plain, deep, panicked] == [3, 1, CODE_PANIC].map(process::End::Code)
        });
    }
}
