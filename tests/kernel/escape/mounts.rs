//! Mounts, roots and namespaces: changing what the container sees.

use std::fs;
use std::io::Read;

use super::probe::Refusal::{Errno, Nothing};
use super::probe::{Probe, Verdict, gate, got};
use super::raw;
use super::raw::{address, at, call, flag, negative, open, room, start, text};

const DENIED: &[super::probe::Refusal] = &[Errno(libc::EPERM)];
/// For calls that look absent, so that a C library takes its older way.
const LOOKS_ABSENT: &[super::probe::Refusal] = &[Errno(libc::ENOSYS)];
/// Hidden, or unreadable.
const HIDDEN: &[super::probe::Refusal] = &[Errno(libc::ENOENT), Errno(libc::EACCES), Errno(libc::EPERM)];

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("mount_memory", "mount a memory file system", DENIED, |_| mount("none", "/tmp", "tmpfs", 0)),
    Probe::new("mount_proc_anew", "mount /proc again, without its masks", DENIED, |_| {
        mount("proc", "/tmp", "proc", 0)
    }),
    Probe::new("bind_over_a_mask", "bind something over a masked file", DENIED, |_| {
        mount("/proc/self/status", "/proc/keys", "", libc::MS_BIND)
    }),
    Probe::new("remount_writable", "remount the root writable", DENIED, |_| {
        mount("none", "/", "", libc::MS_REMOUNT | libc::MS_BIND)
    }),
    Probe::new("change_propagation", "let mounts travel to the host", DENIED, |_| {
        mount("none", "/", "", libc::MS_SHARED)
    }),
    Probe::new("unmount_proc", "take /proc with its masks away", DENIED, |_| {
        let target = text("/proc");
        gate(call(libc::SYS_umount2, &[address(&target), flag(libc::MNT_DETACH)]), &[])
    }),
    Probe::new("pivot_root", "exchange the root", DENIED, |_| {
        let here = text(".");
        gate(call(libc::SYS_pivot_root, &[address(&here), address(&here)]), &[libc::EINVAL, libc::EBUSY])
    }),
    Probe::new("chroot", "leave the root by changing it and climbing", DENIED, |_| {
        let below = text("/tmp");
        gate(call(libc::SYS_chroot, &[address(&below)]), &[])
    }),
    Probe::new("fsopen", "make a file system by the newer calls", DENIED, |_| {
        let kind = text("tmpfs");
        got_fd(open(libc::SYS_fsopen, &[address(&kind), 0]))
    }),
    Probe::new("fsconfig", "reach the parser of mount options (CVE-2022-0185)", DENIED, |_| {
        let key = text("source");
        gate(
            call(libc::SYS_fsconfig, &[negative(-1), 1, address(&key), address(&key), 0]),
            &[libc::EBADF, libc::EINVAL],
        )
    }),
    Probe::new("fspick", "take the root's file system up for a new configuration", DENIED, |_| {
        let root = text("/");
        got_fd(open(libc::SYS_fspick, &[at_cwd(), address(&root), 0]))
    }),
    Probe::new("open_tree", "clone the tree of mounts", DENIED, |_| {
        let root = text("/");
        got_fd(open(libc::SYS_open_tree, &[at_cwd(), address(&root), 1]))
    }),
    Probe::new("move_mount", "move a mount", DENIED, |_| {
        let empty = text("");
        let arguments = [negative(-1), address(&empty), negative(-1), address(&empty), 0x44];
        gate(call(libc::SYS_move_mount, &arguments), &[libc::EBADF, libc::EINVAL])
    }),
    Probe::new("mount_setattr", "clear the attributes of all mounts", DENIED, |_| {
        let (root, attributes) = (text("/"), [0u64, 1, 0, 0]);
        gate(call(libc::SYS_mount_setattr, &[at_cwd(), address(&root), 0, at(&attributes), 32]), &[])
    }),
    Probe::new("list_mounts", "list mounts, those of other namespaces too", LOOKS_ABSENT, |_| {
        // The size of the request, the root of all mounts, no parameter.
        let (request, mut ids) = ([24u64, u64::MAX, 0], [0u64; 64]);
        gate(call(458, &[at(&request), room(&mut ids), 64, 0]), &[])
    }),
    Probe::new("open_by_handle", "open a file outside by its number (\"shocker\")", DENIED, |_| {
        let handle = [8u32, 1, 2, 0, 0, 0];
        gate(
            call(libc::SYS_open_by_handle_at, &[at_cwd(), start(&handle), 0]),
            &[libc::ESTALE, libc::EINVAL, libc::EOPNOTSUPP],
        )
    }),
    Probe::new("name_to_handle", "learn the numbers by which files are opened", DENIED, |_| {
        let (root, mut handle, mut mount) = (text("/"), [64u32; 34], [0i32]);
        let arguments = [at_cwd(), address(&root), room(&mut handle), room(&mut mount), 0];
        gate(call(libc::SYS_name_to_handle_at, &arguments), &[])
    }),
    Probe::new("unshare_users", "become root of a new user namespace", DENIED, |_| {
        gate(call(libc::SYS_unshare, &[flag(libc::CLONE_NEWUSER)]), &[])
    }),
    Probe::new("unshare_others", "make any other namespace", DENIED, |_| {
        let kinds = [
            libc::CLONE_NEWNS,
            libc::CLONE_NEWNET,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWIPC,
            libc::CLONE_NEWUTS,
            libc::CLONE_NEWCGROUP,
            0x80,
        ];
        kinds.iter().map(|kind| gate(call(libc::SYS_unshare, &[flag(*kind)]), &[])).next_back_or_got()
    }),
    Probe::new("clone_with_users", "clone into a new user namespace", DENIED, |_| {
        child_of(call(libc::SYS_clone, &[flag(libc::CLONE_NEWUSER | libc::SIGCHLD)]))
    }),
    Probe::new("clone3_with_users", "the same where a filter cannot see the flags", LOOKS_ABSENT, |_| {
        let mut request = [0u64; 11];
        (request[0], request[4]) = (libc::CLONE_NEWUSER as u64, libc::SIGCHLD as u64);
        child_of(call(libc::SYS_clone3, &[start(&request), 88]))
    }),
    Probe::new("enter_own_namespace", "enter a namespace by its file", DENIED, |_| {
        let Ok(namespace) = fs::File::open("/proc/self/ns/uts") else {
            return Verdict::Absent("namespaces have no files here".to_owned());
        };
        gate(call(libc::SYS_setns, &[fd(&namespace), 0]), &[])
    }),
    Probe::new(
        "enter_inits_namespaces",
        "enter the namespaces of process 1 by its descriptor",
        DENIED,
        |_| match open(libc::SYS_pidfd_open, &[1, 0]) {
            Ok(init) => gate(call(libc::SYS_setns, &[fd(&init), flag(libc::CLONE_NEWNS)]), &[]),
            Err(errno) => Verdict::Errno(errno),
        },
    ),
    Probe::new("open_inits_namespaces", "open the namespaces of process 1", HIDDEN, |_| {
        got(fs::File::open("/proc/1/ns/mnt"), |_| "its mounts".to_owned())
    }),
    Probe::new(
        "host_paths",
        "learn from the list of mounts where on the host they come from",
        &[Nothing],
        |aims| {
            let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let told = text.lines().find(|line| line.contains(&aims.host_dir));
            told.map_or(Verdict::Nothing("no host path is named".to_owned()), |line| {
                Verdict::Got(line.to_owned())
            })
        },
    ),
    Probe::new(
        "leaked_descriptors",
        "use a descriptor somebody has left open",
        &[Nothing],
        |aims| match aims.inherited.first() {
            Some(first) => Verdict::Got(first.clone()),
            None => Verdict::Nothing("only the standard streams are open".to_owned()),
        },
    ),
    Probe::new(
        "climb_from_the_working_directory",
        "climb out of a working directory that lies outside",
        &[Nothing],
        |aims| {
            // Without isolation somebody has left a directory of the host's open (CVE-2024-21626).
            let _ = aims.loose.then(|| std::env::set_current_dir("/proc/self/fd/3"));
            let (here, top) = (std::env::current_dir(), fs::metadata("/"));
            let above = fs::metadata("../../../../../../../../../../../..");
            use std::os::unix::fs::MetadataExt;
            let is_inside = match (&top, &above) {
                (Ok(top), Ok(above)) => (top.dev(), top.ino()) == (above.dev(), above.ino()),
                _ => true,
            };
            if is_inside && here.as_ref().is_ok_and(|here| here.is_absolute()) {
                Verdict::Nothing("the way up ends at the root".to_owned())
            } else {
                Verdict::Got(format!("{here:?} leads out"))
            }
        },
    ),
    Probe::new("identity_map", "be the host's users under another name", &[Nothing], |_| {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let words: Vec<u64> = map.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match words.as_slice() {
            [inside, outside, _] if inside != outside && *outside > 65_535 => Verdict::Nothing(map),
            _ => Verdict::Got(map),
        }
    }),
    Probe::new("init_root", "see process 1's root, which may be another", HIDDEN, |_| {
        got(fs::read_dir("/proc/1/root/"), |_| "listed".to_owned())
    }),
    Probe::new("own_control_group", "learn the path of its control group on the host", &[Nothing], |aims| {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let shown = text.lines().find(|line| {
            let path = line.splitn(3, ':').nth(2).unwrap_or_default();
            path.contains(&aims.cgroup_root) || path.contains("..") || path.len() > 1
        });
        shown.map_or(Verdict::Nothing(text.clone()), |line| Verdict::Got(line.to_owned()))
    }),
    Probe::new("write_to_the_root", "change the root file system", &[Errno(libc::EROFS)], |_| {
        got(fs::write("/data/escape", b"x"), |()| "written".to_owned())
    }),
    Probe::new("write_to_dev", "add to /dev", &[Errno(libc::EROFS)], |_| {
        let done = fs::write("/dev/dyno-escape", b"");
        let _ = fs::remove_file("/dev/dyno-escape");
        got(done, |()| "written".to_owned())
    }),
    Probe::new(
        "device_in_the_root",
        "use a device file that came with the root",
        &[Errno(libc::EACCES)],
        |_| {
            let mut byte = [0];
            let device = fs::File::open("/data/zero");
            got(device.and_then(|mut file| file.read(&mut byte)), |_| "read".to_owned())
        },
    ),
    Probe::new("run_from_shared_memory", "run a program from /dev/shm", &[Errno(libc::EACCES)], |aims| {
        let place = if aims.loose { "/tmp/program" } else { "/dev/shm/program" };
        let copied = fs::copy("/bin/busybox", place);
        let run = copied.and_then(|_| std::process::Command::new(place).arg("true").status());
        let _ = fs::remove_file(place);
        got(run, |_| "run".to_owned())
    }),
];

fn mount(source: &str, target: &str, kind: &str, flags: libc::c_ulong) -> Verdict {
    let (source, target, kind) = (text(source), text(target), text(kind));
    let flags = usize::try_from(flags).unwrap_or(0);
    gate(call(libc::SYS_mount, &[address(&source), address(&target), address(&kind), flags, 0]), &[])
}

fn at_cwd() -> usize {
    negative(libc::AT_FDCWD as isize)
}

fn fd(file: &impl std::os::fd::AsRawFd) -> usize {
    flag(file.as_raw_fd())
}

fn got_fd(opened: Result<std::os::fd::OwnedFd, i32>) -> Verdict {
    gate(opened.map(|_| 0), &[])
}

/// A clone: the child ends at once, the parent tells.
fn child_of(cloned: Result<usize, i32>) -> Verdict {
    match cloned {
        Ok(0) => raw::end(0),
        Ok(pid) => {
            let _ = raw::ended(i32::try_from(pid).unwrap_or(-1), 0);
            Verdict::Got("a child there".to_owned())
        }
        Err(errno) => Verdict::Errno(errno),
    }
}

/// The first success of several tries, or else the last refusal.
trait BestOf {
    fn next_back_or_got(self) -> Verdict;
}

impl<I: Iterator<Item = Verdict>> BestOf for I {
    fn next_back_or_got(self) -> Verdict {
        let mut last = Verdict::Absent("nothing was tried".to_owned());
        for verdict in self {
            if matches!(verdict, Verdict::Got(_)) {
                return verdict;
            }
            last = verdict;
        }
        last
    }
}
