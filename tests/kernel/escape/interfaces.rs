//! Files through which the kernel tells about the host or takes settings, control groups, and devices.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::probe::Refusal::{Errno, Nothing};
use super::probe::{Probe, Refusal, Verdict, gate, got};
use super::raw::{address, call, flag, negative, open, text};

const DENIED: &[Refusal] = &[Errno(libc::EPERM)];
/// No right to, or a read-only mount: the kernel asks in either order.
const LOCKED: &[Refusal] =
    &[Errno(libc::EACCES), Errno(libc::EROFS), Errno(libc::EPERM), Errno(libc::ENOENT)];
/// Covered by an empty file or directory, or not there, or not readable.
const COVERED: &[Refusal] = &[Nothing, Errno(libc::EACCES), Errno(libc::EPERM), Errno(libc::ENOENT)];

/// A probe of a setting: opening for writing is success, nothing is written.
macro_rules! setting {
    ($name:literal, $attacks:literal, $path:literal) => {
        Probe::new($name, $attacks, LOCKED, |_| writable($path))
    };
}

/// A probe of information: reading anything but zeros is success.
macro_rules! knowledge {
    ($name:literal, $attacks:literal, $path:literal) => {
        Probe::new($name, $attacks, COVERED, |_| readable($path))
    };
}

pub(crate) const PROBES: &[Probe] = &[
    setting!("sysrq", "command the kernel (sysrq)", "/proc/sysrq-trigger"),
    setting!(
        "core_pattern",
        "have the host's root run its program when one crashes",
        "/proc/sys/kernel/core_pattern"
    ),
    setting!(
        "modprobe",
        "have the host's root run its program when a module is wanted",
        "/proc/sys/kernel/modprobe"
    ),
    setting!(
        "binfmt",
        "have the host run its program for files of a kind",
        "/proc/sys/fs/binfmt_misc/register"
    ),
    setting!(
        "uevent_helper",
        "have the host's root run its program when a device appears",
        "/sys/kernel/uevent_helper"
    ),
    setting!("next_process_id", "choose the id of the next process", "/proc/sys/kernel/ns_last_pid"),
    setting!("drop_caches", "slow the host down by emptying its caches", "/proc/sys/vm/drop_caches"),
    setting!("interrupt_affinity", "choose the processor of interrupts", "/proc/irq/default_smp_affinity"),
    setting!(
        "huge_pages",
        "change the host's memory management",
        "/sys/kernel/mm/transparent_hugepage/enabled"
    ),
    setting!("power", "put the machine to sleep", "/sys/power/state"),
    setting!("bus", "write to devices by their bus", "/sys/bus/pci/rescan"),
    setting!("forwarding", "make the container a router", "/proc/sys/net/ipv4/conf/all/forwarding"),
    Probe::new("disk_queue", "change how the host's disks work", LOCKED, |_| {
        match below("/sys/block", "queue/nr_requests") {
            Some(path) => writable(&path.to_string_lossy()),
            None => Verdict::Errno(libc::ENOENT),
        }
    }),
    knowledge!("kernel_memory", "read the kernel's memory", "/proc/kcore"),
    Probe::new("kernel_addresses", "learn addresses of the kernel", COVERED, |_| {
        let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let known = symbols.lines().find(|line| !line.starts_with("0000000000000000"));
        known.map_or(Verdict::Nothing("no addresses".to_owned()), |line| Verdict::Got(line.to_owned()))
    }),
    Probe::new("kernel_log", "read the kernel's log", COVERED, |_| {
        got(fs::File::open("/proc/kmsg"), |_| "open".to_owned()).or_empty("/proc/kmsg")
    }),
    knowledge!("kernel_configuration", "read the kernel's configuration", "/proc/config.gz"),
    knowledge!("boot_line", "read how the host was started", "/proc/cmdline"),
    knowledge!("interrupts", "watch the host's interrupts", "/proc/interrupts"),
    knowledge!("keys", "read the list of keys", "/proc/keys"),
    knowledge!("users_of_keys", "read whose keys there are", "/proc/key-users"),
    knowledge!("timers", "read the kernel's timers", "/proc/timer_list"),
    knowledge!("slabs", "read how the kernel's memory is used", "/proc/slabinfo"),
    knowledge!("kernel_allocations", "read where the kernel's memory is", "/proc/vmallocinfo"),
    knowledge!("page_types", "read how the host's memory is split", "/proc/pagetypeinfo"),
    knowledge!("page_flags", "read the state of every page of the host", "/proc/kpageflags"),
    Probe::new("physical_addresses", "learn where in the machine its memory lies", &[Nothing], |_| {
        physical_address()
    }),
    knowledge!("machine", "read which machine it is (DMI)", "/sys/class/dmi/id/product_name"),
    Probe::new("firmware", "read the firmware's tables", COVERED, |_| listed("/sys/firmware")),
    Probe::new("power_meter", "watch what others compute by the power they draw", COVERED, |_| {
        listed("/sys/devices/virtual/powercap")
    }),
    Probe::new("kernel_debugging", "read the kernel's debugging files", COVERED, |aims| {
        match listed("/sys/kernel/debug") {
            Verdict::Nothing(_) if aims.loose => Verdict::Absent("this host has not mounted them".to_owned()),
            verdict => verdict,
        }
    }),
    Probe::new("modules", "read the parameters of the host's modules", COVERED, |_| listed("/sys/module")),
    Probe::new("host_links", "see the network links of the host", &[Nothing], |_| {
        let listed = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
        let mut names = listed.filter_map(|entry| entry.file_name().into_string().ok());
        let foreign = names.find(|name| name != "lo" && name != "eth0");
        foreign.map_or(Verdict::Nothing("its own two".to_owned()), Verdict::Got)
    }),
    Probe::new("join_control_group", "move itself to another control group", LOCKED, |_| {
        match below("/sys/fs/cgroup", "cgroup.procs") {
            Some(path) => writable(&path.to_string_lossy()),
            None => Verdict::Errno(libc::ENOENT),
        }
    }),
    Probe::new("make_control_group", "make a control group", LOCKED, |_| {
        let Some(path) = below("/sys/fs/cgroup", "cgroup.procs") else { return Verdict::Errno(libc::ENOENT) };
        let group = path.with_file_name(format!("dyno-escape-{}", std::process::id()));
        let made = fs::create_dir(&group);
        let _ = fs::remove_dir(&group);
        got(made, |()| group.to_string_lossy().into_owned())
    }),
    Probe::new(
        "release_agent",
        "have the host's root run its program when a group empties (CVE-2022-0492)",
        LOCKED,
        |_| match below("/sys/fs/cgroup", "release_agent") {
            Some(path) => writable(&path.to_string_lossy()),
            None => Verdict::Errno(libc::ENOENT),
        },
    ),
    Probe::new("mount_control_groups", "mount the control groups for itself", DENIED, |_| {
        let (source, target, kind) = (text("none"), text("/tmp"), text("cgroup2"));
        gate(call(libc::SYS_mount, &[address(&source), address(&target), address(&kind), 0, 0]), &[])
    }),
    Probe::new("make_a_disk", "make the device file of a disk and open it", DENIED, |_| {
        // The first loop device: a disk, and nobody's.
        device(libc::S_IFBLK, (7, 0))
    }),
    Probe::new("make_memory", "make the device file of the machine's memory and open it", DENIED, |_| {
        device(libc::S_IFCHR, (1, 1))
    }),
    Probe::new("write_to_the_kernel_log", "forge lines of the kernel's log", &[Errno(libc::ENOENT)], |_| {
        got(fs::File::options().write(true).open("/dev/kmsg"), |_| "open".to_owned())
    }),
    Probe::new("devices_beyond_the_usual", "find a device file that is not everybody's", &[Nothing], |_| {
        let usual = ["null", "zero", "full", "random", "urandom", "tty"];
        let listed = fs::read_dir("/dev").into_iter().flatten().flatten();
        let is_device = |path: &Path| {
            use std::os::unix::fs::FileTypeExt;
            fs::symlink_metadata(path)
                .is_ok_and(|data| data.file_type().is_char_device() || data.file_type().is_block_device())
        };
        let mut names = listed
            .filter(|entry| is_device(&entry.path()))
            .filter_map(|entry| entry.file_name().into_string().ok());
        let foreign = names.find(|name| !usual.contains(&name.as_str()));
        foreign.map_or(Verdict::Nothing("the usual six".to_owned()), Verdict::Got)
    }),
    Probe::new("terminals_of_the_host", "open the host's multiplexer of terminals", &[Nothing], |_| {
        // An instance of its own counts from 0.
        let Ok(_master) = fs::File::options().read(true).write(true).open("/dev/ptmx") else {
            return Verdict::Absent("there are no terminals".to_owned());
        };
        let listed = fs::read_dir("/dev/pts").into_iter().flatten().flatten();
        let numbers = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
        match numbers {
            Some(0) | None => Verdict::Nothing("the first of its own".to_owned()),
            Some(number) => Verdict::Got(format!("number {number}")),
        }
    }),
];

trait OrEmpty {
    fn or_empty(self, path: &str) -> Verdict;
}

impl OrEmpty for Verdict {
    /// A mask can be opened; there is nothing in it.
    fn or_empty(self, path: &str) -> Verdict {
        let is_mask =
            fs::metadata(path).is_ok_and(|data| std::os::unix::fs::MetadataExt::dev(&data) != proc_device());
        if matches!(self, Verdict::Got(_)) && is_mask { Verdict::Nothing("a mask".to_owned()) } else { self }
    }
}

fn proc_device() -> u64 {
    fs::metadata("/proc/self").map_or(0, |data| std::os::unix::fs::MetadataExt::dev(&data))
}

fn writable(path: &str) -> Verdict {
    let path = text(path);
    gate(open(libc::SYS_openat, &[negative(-100), address(&path), flag(libc::O_WRONLY)]).map(|_| 0), &[])
}

fn readable(path: &str) -> Verdict {
    let mut bytes = vec![0; 4096];
    match fs::File::open(path).and_then(|mut file| file.read(&mut bytes)) {
        Ok(length) if bytes[..length].iter().any(|byte| *byte != 0) => {
            Verdict::Got(format!("{length} bytes"))
        }
        Ok(_) => Verdict::Nothing("it is empty".to_owned()),
        Err(error) => Verdict::Errno(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

fn listed(path: &str) -> Verdict {
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            Some(Ok(entry)) => Verdict::Got(entry.path().to_string_lossy().into_owned()),
            Some(Err(_)) | None => Verdict::Nothing("it is empty".to_owned()),
        },
        Err(error) => Verdict::Errno(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// The first file of that name in the directory or in one of those in it.
fn below(dir: &str, name: &str) -> Option<PathBuf> {
    let inner = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(PathBuf::from(dir)).chain(inner).map(|dir| dir.join(name)).find(|path| path.exists())
}

fn device(kind: libc::mode_t, (major, minor): (u32, u32)) -> Verdict {
    let path = text("/app/device");
    let number = usize::try_from(libc::makedev(major, minor)).unwrap_or(0);
    let mode = usize::try_from(kind | 0o600).unwrap_or(0);
    let made = call(libc::SYS_mknodat, &[negative(-100), address(&path), mode, number]);
    let opened = made.and_then(|_| open(libc::SYS_openat, &[negative(-100), address(&path), 0]).map(|_| 0));
    let _ = fs::remove_file("/app/device");
    gate(opened, &[])
}

/// The page frame of a page of this process, from the map of its pages.
fn physical_address() -> Verdict {
    use std::os::unix::fs::FileExt;
    let page = vec![1u8; 8192];
    let number = page.as_ptr().addr() / 4096 + 1;
    let mut entry = [0; 8];
    let read = fs::File::open("/proc/self/pagemap")
        .and_then(|map| map.read_exact_at(&mut entry, u64::try_from(number * 8).unwrap_or(0)));
    match read {
        Ok(()) => match u64::from_le_bytes(entry) & ((1 << 55) - 1) {
            0 => Verdict::Nothing("the frame is not told".to_owned()),
            frame => Verdict::Got(format!("frame {frame:#x}")),
        },
        Err(error) => Verdict::Errno(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}
