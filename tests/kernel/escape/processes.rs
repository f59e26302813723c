//! Other processes: those of the host, of neighbours, and the container's own init.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use super::canary::{KEY, SECRET};
use super::probe::Refusal::{Errno, Nothing};
use super::probe::{Probe, Refusal, Verdict, gate, got};
use super::raw::{self, at, call, flag, open, room, start};

const DENIED: &[Refusal] = &[Errno(libc::EPERM)];
const NO_SUCH_PROCESS: &[Refusal] = &[Errno(libc::ESRCH)];
const HIDDEN: &[Refusal] = &[Errno(libc::ENOENT), Errno(libc::EACCES), Errno(libc::EPERM)];

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("foreign_processes", "see processes of others", &[Nothing], |_| {
        search("cmdline", "a command line")
    }),
    Probe::new("foreign_environment", "read the settings of others", &[Nothing], |_| {
        search("environ", "an environment")
    }),
    Probe::new("see_init", "see process 1", HIDDEN, |_| {
        got(fs::read_to_string("/proc/1/status"), |_| "its state".to_owned())
    }),
    Probe::new("read_init", "read the memory of process 1", HIDDEN, |_| {
        got(fs::File::open("/proc/1/mem"), |_| "open".to_owned())
    }),
    Probe::new("descriptors_of_init", "open what process 1 has open", HIDDEN, |_| {
        got(fs::read_dir("/proc/1/fd"), |_| "listed".to_owned())
    }),
    Probe::new("overwrite_the_runtime", "write to the program of process 1 (CVE-2019-5736)", HIDDEN, |_| {
        // Without isolation the kernel says that the program is running, which is only asked of those who may write.
        match fs::File::options().write(true).open("/proc/1/exe") {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => {
                Verdict::Got("it is in use".to_owned())
            }
            opened => got(opened, |_| "open for writing".to_owned()),
        }
    }),
    Probe::new("signal_init", "signal process 1", DENIED, |_| gate(call(libc::SYS_kill, &[1, 0]), &[])),
    Probe::new("signal_others", "signal a process of the host", NO_SUCH_PROCESS, |aims| {
        gate(call(libc::SYS_kill, &[flag(aims.canary_pid), 0]), &[])
    }),
    Probe::new("descriptor_of_others", "hold a process of the host by descriptor", NO_SUCH_PROCESS, |aims| {
        gate(open(libc::SYS_pidfd_open, &[flag(aims.canary_pid), 0]).map(|_| 0), &[])
    }),
    Probe::new("queue_a_signal", "send process 1 a signal with forged sender", DENIED, |_| {
        // SI_QUEUE, signal 0.
        let mut info = [0i32; 32];
        info[2] = -1;
        gate(call(libc::SYS_rt_sigqueueinfo, &[1, 0, start(&info)]), &[])
    }),
    Probe::new("trace_a_child", "trace a process", DENIED, |_| {
        // PTRACE_SEIZE.
        with_child(|child| gate(call(libc::SYS_ptrace, &[0x4206, flag(child), 0, 0]), &[]))
    }),
    Probe::new("read_a_child", "read the memory of another process", DENIED, |_| {
        with_child(|child| {
            let mut byte = [0u8];
            let there = [1u8];
            let (local, remote) = ([room(&mut byte), 1], [start(&there), 1]);
            gate(
                call(libc::SYS_process_vm_readv, &[flag(child), start(&local), 1, start(&remote), 1, 0]),
                &[],
            )
        })
    }),
    Probe::new("write_to_a_child", "write to the memory of another process", DENIED, |_| {
        with_child(|child| {
            let (byte, mut there) = ([1u8], [0u8]);
            let (local, remote) = ([start(&byte), 1], [room(&mut there), 1]);
            gate(
                call(libc::SYS_process_vm_writev, &[flag(child), start(&local), 1, start(&remote), 1, 0]),
                &[],
            )
        })
    }),
    Probe::new("take_a_descriptor", "take a descriptor from another process", DENIED, |_| {
        with_child(|child| match open(libc::SYS_pidfd_open, &[flag(child), 0]) {
            Ok(pidfd) => {
                use std::os::fd::AsRawFd;
                gate(open(libc::SYS_pidfd_getfd, &[flag(pidfd.as_raw_fd()), 0, 0]).map(|_| 0), &[])
            }
            Err(errno) => Verdict::Errno(errno),
        })
    }),
    Probe::new("compare_processes", "learn addresses of the kernel by comparing processes", DENIED, |_| {
        with_child(|child| {
            let own = call(libc::SYS_getpid, &[]).unwrap_or(0);
            gate(call(libc::SYS_kcmp, &[own, flag(child), 1, 0, 0]), &[])
        })
    }),
    Probe::new("locks_of_init", "learn addresses of process 1 by its lock list", DENIED, |_| {
        let (mut head, mut length) = ([0usize], [0usize]);
        gate(call(libc::SYS_get_robust_list, &[1, room(&mut head), room(&mut length)]), &[])
    }),
    Probe::new("renice_init", "slow process 1 down", DENIED, |_| {
        gate(call(libc::SYS_setpriority, &[0, 1, 5]), &[])
    }),
    Probe::new("limit_init", "limit what process 1 may open", DENIED, |_| {
        let mut limit = [0u64; 2];
        let read = call(libc::SYS_prlimit64, &[1, flag(7), 0, room(&mut limit)]);
        gate(read.and_then(|_| call(libc::SYS_prlimit64, &[1, flag(7), at(&limit), 0])), &[])
    }),
    Probe::new("place_init", "choose the processor of process 1", DENIED, |_| {
        let mut processors = [0u64; 16];
        let size = call(libc::SYS_sched_getaffinity, &[1, 128, room(&mut processors)]);
        gate(size.and_then(|_| call(libc::SYS_sched_setaffinity, &[1, 128, start(&processors)])), &[])
    }),
    Probe::new("foreign_shared_memory", "attach shared memory of others", &[Errno(libc::ENOENT)], |_| {
        gate(call(libc::SYS_shmget, &[KEY, 0, 0]), &[])
    }),
    Probe::new(
        "foreign_local_socket",
        "connect to an abstract socket of others",
        &[Errno(libc::ECONNREFUSED)],
        |_| match SocketAddr::from_abstract_name(SECRET) {
            Ok(address) => got(UnixStream::connect_addr(&address), |_| "connected".to_owned()),
            Err(_) => Verdict::Absent("no abstract names".to_owned()),
        },
    ),
    Probe::new("foreign_terminals", "see the terminals of others", &[Nothing], |_| {
        let listed = fs::read_dir("/dev/pts").into_iter().flatten().flatten();
        let mut names = listed.filter_map(|entry| entry.file_name().into_string().ok());
        let terminal = names.find(|name| name.parse::<u32>().is_ok());
        terminal.map_or(Verdict::Nothing("none is there".to_owned()), |name| {
            Verdict::Got(format!("/dev/pts/{name}"))
        })
    }),
];

/// Looks for the canary in a file of every process.
fn search(file: &str, what: &str) -> Verdict {
    let own = std::process::id();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| *pid != own) else { continue };
        let text = fs::read(entry.path().join(file)).unwrap_or_default();
        if text.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()) {
            return Verdict::Got(format!("{what} of process {pid}"));
        }
    }
    Verdict::Nothing("the canary is not there".to_owned())
}

/// Runs an attack on a child that waits, and ends the child.
fn with_child(attack: impl FnOnce(i32) -> Verdict) -> Verdict {
    match raw::fork() {
        Ok(0) => {
            std::thread::sleep(std::time::Duration::from_secs(5));
            raw::end(0)
        }
        Ok(child) => {
            let verdict = attack(child);
            let _ = call(libc::SYS_kill, &[flag(child), flag(libc::SIGKILL)]);
            let _ = raw::ended(child, 0);
            verdict
        }
        Err(errno) => Verdict::Errno(errno),
    }
}
