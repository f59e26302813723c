//! System calls that reach the kernel as a whole, or parts of it that no application needs.

use super::probe::Refusal::{Errno, Killed};
use super::probe::{Probe, Refusal, Verdict, gate};
use super::raw::{address, at, call, flag, negative, open, room, start, text};

const DENIED: &[Refusal] = &[Errno(libc::EPERM)];

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("bpf", "load programs into the kernel", DENIED, |_| {
        // An array of one word.
        let map = [2u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        got_fd(open(libc::SYS_bpf, &[0, start(&map), 72]))
    }),
    Probe::new("perf_event_open", "watch the processor's counters", DENIED, |_| {
        let mut attributes = [0u32; 32];
        // A software event: the clock of this task.
        (attributes[0], attributes[1], attributes[2]) = (1, 128, 1);
        got_fd(open(libc::SYS_perf_event_open, &[start(&attributes), 0, negative(-1), negative(-1), 0]))
    }),
    Probe::new("io_uring", "queue calls past the filter", DENIED, |_| {
        let mut parameters = [0u64; 16];
        got_fd(open(libc::SYS_io_uring_setup, &[1, room(&mut parameters)]))
    }),
    Probe::new("userfaultfd", "hold the kernel up in the middle of a copy", DENIED, |_| {
        got_fd(open(libc::SYS_userfaultfd, &[0]))
    }),
    Probe::new("fanotify", "watch all files of a mount", DENIED, |_| {
        got_fd(open(libc::SYS_fanotify_init, &[0, 0]))
    }),
    Probe::new("memfd_secret", "hold memory that the host cannot look at", DENIED, |_| {
        got_fd(open(libc::SYS_memfd_secret, &[0]))
    }),
    Probe::new("vmsplice", "give its pages to a pipe (a step of past escapes)", DENIED, |_| {
        gate(call(libc::SYS_vmsplice, &[negative(-1), 0, 0, 0]), &[libc::EBADF])
    }),
    Probe::new("keyctl", "reach the key ring of its user", DENIED, |_| {
        // KEYCTL_GET_KEYRING_ID of KEY_SPEC_USER_KEYRING.
        gate(call(libc::SYS_keyctl, &[0, negative(-4), 1]), &[])
    }),
    Probe::new("add_key", "fill the kernel's memory with keys", DENIED, |_| {
        let (kind, name) = (text("user"), text("dyno-escape"));
        // Into the ring of this process, which ends with it.
        gate(call(libc::SYS_add_key, &[address(&kind), address(&name), address(&name), 4, negative(-2)]), &[])
    }),
    Probe::new("request_key", "have the host's root fetch a key", DENIED, |_| {
        let (kind, name) = (text("user"), text("dyno-escape-none"));
        gate(call(libc::SYS_request_key, &[address(&kind), address(&name), 0, 0]), &[libc::ENOKEY])
    }),
    Probe::new("init_module", "load a kernel module", DENIED, |_| {
        let nothing = text("");
        let beyond = [libc::ENOEXEC, libc::EINVAL, libc::EFAULT];
        gate(call(libc::SYS_init_module, &[address(&nothing), 0, address(&nothing)]), &beyond)
    }),
    Probe::new("finit_module", "load a kernel module from a file", DENIED, |_| {
        let nothing = text("");
        gate(call(libc::SYS_finit_module, &[negative(-1), address(&nothing), 0]), &[libc::EBADF])
    }),
    Probe::new("delete_module", "remove a kernel module", DENIED, |_| {
        let name = text("dyno_escape_none");
        gate(call(libc::SYS_delete_module, &[address(&name), 0]), &[libc::ENOENT])
    }),
    Probe::new("kexec", "replace the running kernel", DENIED, |_| {
        // Unknown flags, refused after the rights are checked.
        gate(call(libc::SYS_kexec_load, &[0, 0, 0, 0xff00]), &[libc::EINVAL])
    }),
    Probe::new("reboot", "stop the machine", DENIED, |_| {
        // Without the magic numbers, which are checked after the rights.
        gate(call(libc::SYS_reboot, &[0, 0, 0, 0]), &[libc::EINVAL])
    }),
    Probe::new("swapon", "have the host swap to its file", DENIED, |_| {
        let path = text("/dyno-escape/none");
        gate(call(libc::SYS_swapon, &[address(&path), 0]), &[libc::ENOENT])
    }),
    Probe::new("acct", "have the kernel write accounts to its file", DENIED, |_| {
        let path = text("/dyno-escape/none");
        gate(call(libc::SYS_acct, &[address(&path)]), &[libc::ENOENT])
    }),
    Probe::new("quotactl", "change the quotas of a file system", DENIED, |_| {
        let path = text("/dyno-escape/none");
        // Q_GETINFO of user quotas.
        gate(call(libc::SYS_quotactl, &[0x8000_0500, address(&path), 0, 0]), &[libc::ENOENT, libc::ENOTBLK])
    }),
    Probe::new("io_ports", "reach the machine's ports", DENIED, |_| {
        gate(call(libc::SYS_ioperm, &[0x80, 1, 1]), &[])
    }),
    Probe::new("io_privilege", "raise its privilege on the processor", DENIED, |_| {
        gate(call(libc::SYS_iopl, &[3]), &[])
    }),
    Probe::new("segments", "edit the processor's descriptor table", DENIED, |_| {
        let mut table = [0u8; 64];
        gate(call(libc::SYS_modify_ldt, &[0, room(&mut table), 64]), &[])
    }),
    Probe::new("set_the_time", "set the host's clock", DENIED, |_| {
        // With neither a time nor a zone nothing is set.
        gate(call(libc::SYS_settimeofday, &[0, 0]), &[])
    }),
    Probe::new("slew_the_clock", "slow the host's clock down", DENIED, |_| {
        // An impossible tick, refused after the rights are checked.
        let mut request = [0u64; 26];
        request[0] = 0x4000;
        gate(call(libc::SYS_adjtimex, &[room(&mut request)]), &[libc::EINVAL])
    }),
    Probe::new("kernel_log_by_call", "read the kernel's log", DENIED, |_| {
        let mut buffer = [0u8; 256];
        gate(call(libc::SYS_syslog, &[3, room(&mut buffer), 256]), &[])
    }),
    Probe::new("hang_up", "hang its terminal up under others", DENIED, |_| {
        gate(call(libc::SYS_vhangup, &[]), &[])
    }),
    Probe::new("host_name", "rename the host", DENIED, |_| {
        let name = text("dyno-escape");
        gate(call(libc::SYS_sethostname, &[address(&name), 11]), &[])
    }),
    Probe::new("domain_name", "rename the host's domain", DENIED, |_| {
        let name = text("dyno-escape");
        gate(call(libc::SYS_setdomainname, &[address(&name), 11]), &[])
    }),
    Probe::new("place_memory", "choose the node of its memory", DENIED, |_| {
        gate(call(libc::SYS_set_mempolicy, &[0, 0, 0]), &[])
    }),
    Probe::new("move_inits_pages", "move the memory of process 1", DENIED, |_| {
        gate(call(libc::SYS_move_pages, &[1, 0, 0, 0, 0, 0]), &[])
    }),
    Probe::new("no_randomness", "turn off the randomness of addresses", DENIED, |_| {
        gate(call(libc::SYS_personality, &[0x0004_0000]), &[])
    }),
    Probe::new("answer_calls", "answer system calls in the kernel's place", DENIED, |_| {
        // A filter that lets every call pass, with a listener of its own.
        let program = [0x7fff_0000_0000_0006u64];
        let described = [1, start(&program)];
        got_fd(open(libc::SYS_seccomp, &[1, 1 << 3, start(&described)]))
    }),
    Probe::new("calls_of_x32", "use the numbers of the x32 interface", &[Errno(libc::ENOSYS)], |_| {
        gate(call(0x4000_0000 + libc::SYS_getpid, &[]), &[])
    }),
    #[cfg(target_arch = "x86_64")]
    Probe::new("calls_of_32_bits", "use the gate for 32-bit programs", &[Killed(libc::SIGSYS)], |_| {
        match super::raw::call_by_the_old_gate(20) {
            pid if pid > 0 => Verdict::Got(format!("process {pid}")),
            errno => Verdict::Errno(-errno),
        }
    }),
    Probe::new("type_into_a_terminal", "type into a terminal (TIOCSTI)", DENIED, |_| {
        let terminal = match own_terminal() {
            Ok(terminal) => terminal,
            Err(verdict) => return verdict,
        };
        let character = [b'x'];
        gate(call(libc::SYS_ioctl, &[terminal, 0x5412, start(&character)]), &[])
    }),
    Probe::new("type_upwards_in_flags", "the same, with bits set that the kernel ignores", DENIED, |_| {
        let terminal = match own_terminal() {
            Ok(terminal) => terminal,
            Err(verdict) => return verdict,
        };
        let character = [b'x'];
        gate(call(libc::SYS_ioctl, &[terminal, 0x1_0000_5412, start(&character)]), &[])
    }),
    Probe::new("paste_from_the_console", "use the console's selection (TIOCLINUX)", DENIED, |_| {
        let terminal = match own_terminal() {
            Ok(terminal) => terminal,
            Err(verdict) => return verdict,
        };
        let request = [6u8; 8];
        gate(call(libc::SYS_ioctl, &[terminal, 0x541c, start(&request)]), &[libc::ENOTTY])
    }),
    Probe::new("realtime", "run before everybody else (SCHED_FIFO)", DENIED, |_| {
        let parameter = [1i32];
        gate(call(libc::SYS_sched_setscheduler, &[0, 1, at(&parameter)]), &[])
    }),
    Probe::new("priority", "raise its priority", &[Errno(libc::EACCES)], |_| {
        gate(call(libc::SYS_setpriority, &[0, 0, negative(-20)]), &[])
    }),
    Probe::new("realtime_disk", "take the disk before everybody else", DENIED, |_| {
        gate(call(libc::SYS_ioprio_set, &[1, 0, 1 << 13]), &[])
    }),
    Probe::new("raise_limits", "raise a hard limit", DENIED, |aims| {
        let mut current = [0u64; 2];
        let _ = call(libc::SYS_prlimit64, &[0, flag(7), 0, room(&mut current)]);
        let raised = [current[1], current[1].saturating_add(1)];
        match gate(call(libc::SYS_prlimit64, &[0, flag(7), at(&raised), 0]), &[]) {
            Verdict::Errno(libc::EPERM) if aims.loose => {
                Verdict::Absent("root of this machine lacks CAP_SYS_RESOURCE".to_owned())
            }
            verdict => verdict,
        }
    }),
];

fn got_fd(opened: Result<std::os::fd::OwnedFd, i32>) -> Verdict {
    gate(opened.map(|_| 0), &[])
}

/// A new terminal as the controlling one of this session: the number of its end for programs.
fn own_terminal() -> Result<usize, Verdict> {
    use std::os::fd::IntoRawFd;
    let refused = |error: std::io::Error| Verdict::Absent(format!("there are no terminals: {error}"));
    // Left open until the process ends: a terminal that is closed hangs up those it controls, this one.
    let open = |path: &str| {
        let file = std::fs::File::options().read(true).write(true).open(path).map_err(refused);
        file.map(|file| flag(file.into_raw_fd()))
    };
    let master = open("/dev/ptmx")?;
    let (unlock, mut number) = ([0i32], [0i32]);
    let _ = call(libc::SYS_ioctl, &[master, 0x4004_5431, at(&unlock)]);
    let _ = call(libc::SYS_ioctl, &[master, 0x8004_5430, room(&mut number)]);
    let terminal = open(&format!("/dev/pts/{}", number[0]))?;
    let _ = call(libc::SYS_ioctl, &[terminal, 0x540e, 0]);
    Ok(terminal)
}
