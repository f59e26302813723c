//! The reviewed data: every system call the kernel offers, in groups, each with the reason why it is allowed or refused.
//!
//! A call is in exactly one group (a test holds it), so a new kernel call cannot slip in unreviewed: until it is named here
//! it is refused. "Allowed" means the filter lets it pass; the kernel's own checks still stand behind it, and the process has no
//! capability.

use super::numbers::Architecture;

/// Calls that pass, whatever their arguments.
pub struct Group {
    /// Why they pass, as a clause a reviewer can disagree with.
    pub reason: &'static str,
    /// Names, separated by white space.
    pub names: &'static str,
}

/// A call that passes only with certain arguments.
pub struct Checked {
    /// The call.
    pub name: &'static str,
    /// What is left out, and why.
    pub reason: &'static str,
    /// Whether a refusal is worth telling.
    pub notice: Notice,
    /// The call passes when every test of one of these lists holds.
    pub any_of: &'static [&'static [Test]],
}

/// One test of one argument. Arguments the kernel declares 32 bits wide are compared as 32 bits: a caller
/// could otherwise slip past by setting the upper half, which the kernel ignores.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// Position of the argument, from 0.
    pub argument: u8,
    /// How much of it the kernel reads.
    pub width: Width,
    /// The comparison.
    pub operation: Operation,
}

/// How much of an argument counts.
#[derive(Debug, Clone, Copy)]
pub enum Width {
    /// The lower 32 bits (`int`, `unsigned int`, `umode_t`).
    Bits32,
    /// All 64 bits (`long`, pointers).
    Bits64,
}

/// A comparison of an argument with a constant.
#[derive(Debug, Clone, Copy)]
pub enum Operation {
    /// Equal to the value.
    Is(u64),
    /// Different from the value.
    IsNot(u64),
    /// The bits of the mask have this value.
    Masked(u64, u64),
}

/// Calls that are refused.
pub struct Refusal {
    /// Why they are refused.
    pub reason: &'static str,
    /// What the caller is told.
    pub answer: Answer,
    /// Whether a refusal is worth telling.
    pub notice: Notice,
    /// Names, separated by white space.
    pub names: &'static str,
}

/// What a refused call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `EPERM`: the caller may not.
    NotPermitted,
    /// `ENOSYS`: as on a kernel without the call, so that libraries take their older path.
    NoSuchCall,
}

/// Whether it is worth telling whoever asks why a program failed that a call of it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Programs seldom have another way.
    Told,
    /// Programs ask in passing and go on without, or nobody asks.
    Silent,
}

/// What passes freely.
pub const ALLOWED: &[Group] = &[
    Group {
        reason: "reading and writing open files and pipes is what programs do",
        names: "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range sendfile \
                splice tee copy_file_range readahead fadvise64 sync_file_range fsync fdatasync sync syncfs fallocate \
                ftruncate truncate flock fcntl dup dup2 dup3 pipe pipe2",
    },
    Group {
        reason: "opening, naming and looking at files is ruled by their permissions",
        names: "open openat openat2 creat access faccessat faccessat2 stat lstat fstat newfstatat statx statfs fstatfs \
                getdents getdents64 readlink readlinkat getcwd chdir fchdir rename renameat renameat2 mkdir mkdirat \
                rmdir unlink unlinkat link linkat symlink symlinkat umask utime utimes utimensat futimesat cachestat",
    },
    Group {
        reason: "archivers and package tools set owners, modes and attributes; without capabilities only on own files",
        names: "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat setxattr lsetxattr fsetxattr setxattrat \
                getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat removexattr \
                lremovexattr fremovexattr removexattrat file_getattr file_setattr",
    },
    Group {
        reason: "memory of the process itself: allocators, threads, just-in-time compilers",
        names: "mmap munmap mremap mprotect madvise process_madvise brk msync mincore mlock mlock2 mlockall munlock \
                munlockall memfd_create membarrier mseal remap_file_pages pkey_alloc pkey_free pkey_mprotect \
                map_shadow_stack process_mrelease",
    },
    Group {
        reason: "threads and their locks",
        names: "futex futex_waitv futex_wake futex_wait futex_requeue set_robust_list get_robust_list rseq \
                set_tid_address gettid sched_yield restart_syscall arch_prctl",
    },
    Group {
        reason: "processes start, replace and wait for their own children",
        names: "fork vfork execve execveat exit exit_group wait4 waitid pidfd_open pidfd_send_signal getpid getppid",
    },
    Group {
        reason: "signals reach only the processes of the container",
        names: "kill tkill tgkill rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigqueueinfo \
                rt_tgsigqueueinfo rt_sigsuspend sigaltstack pause alarm signalfd signalfd4",
    },
    Group {
        reason: "identity and sessions; without capabilities nothing is gained, and servers that drop root call them",
        names: "getuid geteuid getgid getegid getgroups getresuid getresgid setuid setgid setreuid setregid setresuid \
                setresgid setgroups setfsuid setfsgid getpgid getpgrp getsid setpgid setsid capget capset",
    },
    Group {
        reason: "a process describes and narrows itself; both only ever take rights away",
        names: "prctl landlock_create_ruleset landlock_add_rule landlock_restrict_self",
    },
    Group {
        reason: "limits and priorities: raising them needs capabilities the process does not have",
        names: "getrlimit setrlimit prlimit64 getrusage getpriority setpriority ioprio_get ioprio_set \
                sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam \
                sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min \
                sched_rr_get_interval getcpu times",
    },
    Group {
        reason: "reading clocks and waiting",
        names: "time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep getitimer setitimer timer_create \
                timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime \
                timerfd_settime",
    },
    Group {
        reason: "waiting for many descriptors",
        names: "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 \
                eventfd eventfd2 inotify_init inotify_init1 inotify_add_watch inotify_rm_watch",
    },
    Group {
        reason: "sockets, once `socket` has let their family pass",
        names: "connect accept accept4 bind listen sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown \
                getsockname getpeername setsockopt getsockopt",
    },
    Group {
        reason: "System V and POSIX queues live in the container's own ipc namespace; databases and interpreters use them",
        names: "shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open mq_unlink \
                mq_timedsend mq_timedreceive mq_notify mq_getsetattr",
    },
    Group {
        reason: "asynchronous file access of the older kind: nginx and databases use it, and its surface is small",
        names: "io_setup io_destroy io_getevents io_pgetevents io_submit io_cancel",
    },
    Group { reason: "facts about the machine every library asks for", names: "uname sysinfo getrandom" },
    Group {
        reason: "entered only by a trampoline the host's own tracer planted; refusing it would kill the traced program",
        names: "uretprobe uprobe",
    },
];

const CLONE_NEWNS: u64 = 0x0002_0000;
const CLONE_NEWCGROUP: u64 = 0x0200_0000;
const CLONE_NEWUTS: u64 = 0x0400_0000;
const CLONE_NEWIPC: u64 = 0x0800_0000;
const CLONE_NEWUSER: u64 = 0x1000_0000;
const CLONE_NEWPID: u64 = 0x2000_0000;
const CLONE_NEWNET: u64 = 0x4000_0000;
/// Every bit by which `clone` makes a namespace. (The bit of time namespaces is part of the exit signal in `clone`.)
pub const CLONE_NAMESPACES: u64 =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

const AF_UNIX: u64 = 1;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const AF_NETLINK: u64 = 16;
const NETLINK_ROUTE: u64 = 0;
const SOCK_STREAM: u64 = 1;
const SOCK_DGRAM: u64 = 2;
/// Stands for the usual one of the family and type.
const PROTOCOL_USUAL: u64 = 0;
const IPPROTO_TCP: u64 = 6;
const IPPROTO_UDP: u64 = 17;
/// The bits of a socket's type; above them are the flags NONBLOCK and CLOEXEC.
const SOCK_TYPE_MASK: u64 = 0xf;

const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

const S_IFMT: u64 = 0o170_000;
const S_IFIFO: u64 = 0o010_000;
const S_IFREG: u64 = 0o100_000;
const S_IFSOCK: u64 = 0o140_000;

/// The flag by which a filter's maker gets to answer calls in the kernel's place (linux/seccomp.h).
const SECCOMP_FILTER_FLAG_NEW_LISTENER: u64 = 1 << 3;

const PER_LINUX: u64 = 0;
const PER_LINUX32: u64 = 8;
/// Asks for the present personality and changes nothing.
const PERSONALITY_QUERY: u64 = 0xffff_ffff;

const fn is(argument: u8, value: u64) -> Test {
    Test { argument, width: Width::Bits32, operation: Operation::Is(value) }
}

const fn is_not(argument: u8, value: u64) -> Test {
    Test { argument, width: Width::Bits32, operation: Operation::IsNot(value) }
}

const fn masked(argument: u8, mask: u64, value: u64) -> Test {
    Test { argument, width: Width::Bits32, operation: Operation::Masked(mask, value) }
}

const NODE_KINDS: &str = "fifos, sockets and plain files (mkfifo needs it); devices and overlay whiteouts are not a program's to make";

/// What passes with some arguments only.
pub const CHECKED: &[Checked] = &[
    Checked {
        name: "seccomp",
        reason: "a process narrows itself; but nobody may answer calls in the kernel's place, for of two filters that pass a call on the \
                 newer one's listener is asked, and may let it happen",
        notice: Notice::Silent,
        any_of: &[&[masked(1, SECCOMP_FILTER_FLAG_NEW_LISTENER, 0)]],
    },
    Checked {
        name: "clone",
        reason: "threads and children, but no namespace: those open kernel code that expects an administrator",
        notice: Notice::Told,
        any_of: &[&[Test {
            argument: 0,
            width: Width::Bits64,
            operation: Operation::Masked(CLONE_NAMESPACES, 0),
        }]],
    },
    Checked {
        name: "socket",
        reason: "local sockets, TCP and UDP of both versions, and route netlink (getifaddrs); no raw, packet, crypto, \
                 vsock or other family, and no other protocol: asking for one has the kernel load it (SCTP and its like)",
        notice: Notice::Told,
        any_of: &[
            &[is(0, AF_UNIX)],
            &[is(0, AF_INET), masked(1, SOCK_TYPE_MASK, SOCK_STREAM), is(2, PROTOCOL_USUAL)],
            &[is(0, AF_INET), masked(1, SOCK_TYPE_MASK, SOCK_STREAM), is(2, IPPROTO_TCP)],
            &[is(0, AF_INET), masked(1, SOCK_TYPE_MASK, SOCK_DGRAM), is(2, PROTOCOL_USUAL)],
            &[is(0, AF_INET), masked(1, SOCK_TYPE_MASK, SOCK_DGRAM), is(2, IPPROTO_UDP)],
            &[is(0, AF_INET6), masked(1, SOCK_TYPE_MASK, SOCK_STREAM), is(2, PROTOCOL_USUAL)],
            &[is(0, AF_INET6), masked(1, SOCK_TYPE_MASK, SOCK_STREAM), is(2, IPPROTO_TCP)],
            &[is(0, AF_INET6), masked(1, SOCK_TYPE_MASK, SOCK_DGRAM), is(2, PROTOCOL_USUAL)],
            &[is(0, AF_INET6), masked(1, SOCK_TYPE_MASK, SOCK_DGRAM), is(2, IPPROTO_UDP)],
            &[is(0, AF_NETLINK), is(2, NETLINK_ROUTE)],
        ],
    },
    Checked {
        name: "socketpair",
        reason: "pairs exist for local sockets only; other families are refused as in socket",
        notice: Notice::Told,
        any_of: &[&[is(0, AF_UNIX)]],
    },
    Checked {
        name: "ioctl",
        reason: "everything but pushing characters into a terminal (TIOCSTI) and the console's selection (TIOCLINUX), \
                 by which a program types into the shell of whoever runs it",
        notice: Notice::Told,
        any_of: &[&[is_not(1, TIOCSTI), is_not(1, TIOCLINUX)]],
    },
    Checked {
        name: "personality",
        reason: "asking, and the ordinary ones; not those that turn address randomisation or memory protection off",
        notice: Notice::Told,
        any_of: &[&[is(0, PER_LINUX)], &[is(0, PER_LINUX32)], &[is(0, PERSONALITY_QUERY)]],
    },
    Checked {
        name: "mknod",
        reason: NODE_KINDS,
        notice: Notice::Told,
        any_of: &[
            &[masked(1, S_IFMT, S_IFIFO)],
            &[masked(1, S_IFMT, S_IFREG)],
            &[masked(1, S_IFMT, S_IFSOCK)],
            &[masked(1, S_IFMT, 0)],
        ],
    },
    Checked {
        name: "mknodat",
        reason: NODE_KINDS,
        notice: Notice::Told,
        any_of: &[
            &[masked(2, S_IFMT, S_IFIFO)],
            &[masked(2, S_IFMT, S_IFREG)],
            &[masked(2, S_IFMT, S_IFSOCK)],
            &[masked(2, S_IFMT, 0)],
        ],
    },
];

/// What is refused, and why.
pub const REFUSED: &[Refusal] = &[
    Refusal {
        reason: "its flags are behind a pointer no filter can read; C libraries fall back to clone",
        answer: Answer::NoSuchCall,
        notice: Notice::Silent,
        names: "clone3",
    },
    Refusal {
        reason: "they tell of mounts, namespaces and security modules in newer ways; libraries fall back to older files",
        answer: Answer::NoSuchCall,
        notice: Notice::Silent,
        names: "statmount listmount listns lsm_get_self_attr lsm_set_self_attr lsm_list_modules",
    },
    Refusal {
        reason: "mounts are laid out before the program starts, and masks must stay where they are",
        answer: Answer::NotPermitted,
        notice: Notice::Told,
        names: "mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick open_tree open_tree_attr move_mount \
                mount_setattr",
    },
    Refusal {
        reason: "no namespace may be made or entered",
        answer: Answer::NotPermitted,
        notice: Notice::Told,
        names: "unshare setns",
    },
    Refusal {
        reason: "one process reads, writes or takes over another; a hole in one program must not open the next",
        answer: Answer::NotPermitted,
        notice: Notice::Told,
        names: "ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp",
    },
    Refusal {
        reason: "large and young kernel surfaces with a long list of faults; libraries have another way",
        answer: Answer::NotPermitted,
        notice: Notice::Told,
        names: "io_uring_setup io_uring_enter io_uring_register bpf userfaultfd perf_event_open vmsplice \
                fanotify_init fanotify_mark",
    },
    Refusal {
        reason: "keyrings are not wholly divided by namespaces",
        answer: Answer::NotPermitted,
        notice: Notice::Told,
        names: "add_key request_key keyctl",
    },
    Refusal {
        reason: "files are opened by name, inside the container's own tree, never by a handle that looks past it",
        answer: Answer::NotPermitted,
        notice: Notice::Told,
        names: "name_to_handle_at open_by_handle_at",
    },
    Refusal {
        reason: "they load code into, replace, stop or rename the host",
        answer: Answer::NotPermitted,
        notice: Notice::Told,
        names: "init_module finit_module delete_module create_module query_module get_kernel_syms kexec_load \
                kexec_file_load reboot swapon swapoff acct sethostname setdomainname vhangup syslog",
    },
    Refusal {
        reason: "the host's clock is not a program's to set",
        answer: Answer::NotPermitted,
        notice: Notice::Told,
        names: "settimeofday clock_settime clock_adjtime adjtimex",
    },
    Refusal {
        reason: "quotas belong to the host's file systems",
        answer: Answer::NotPermitted,
        notice: Notice::Told,
        names: "quotactl quotactl_fd",
    },
    Refusal {
        reason: "ports, descriptor tables and segments of the processor; nothing modern needs them",
        answer: Answer::NotPermitted,
        notice: Notice::Told,
        names: "iopl ioperm modify_ldt set_thread_area get_thread_area",
    },
    Refusal {
        reason: "placing memory on nodes of the machine is the host's to decide",
        answer: Answer::NotPermitted,
        notice: Notice::Silent,
        names: "mbind set_mempolicy set_mempolicy_home_node get_mempolicy migrate_pages move_pages",
    },
    Refusal {
        reason: "memory the host itself could not look at",
        answer: Answer::NotPermitted,
        notice: Notice::Told,
        names: "memfd_secret",
    },
    Refusal {
        reason: "obsolete; kept by the kernel for programs of another age, or never implemented",
        answer: Answer::NotPermitted,
        notice: Notice::Silent,
        names: "uselib ustat sysfs _sysctl nfsservctl getpmsg putpmsg afs_syscall tuxcall security vserver \
                lookup_dcookie epoll_ctl_old epoll_wait_old",
    },
];

/// The bits that decide in `clone`'s flags are in the first argument on every architecture of the table.
pub const ARCHITECTURES: &[Architecture] = &[Architecture::X86_64, Architecture::Aarch64];
