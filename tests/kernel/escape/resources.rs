//! Exhaustion: taking so much that others have too little. Each probe wants more than a container may have, and little enough to be
//! shown on any machine.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use super::probe::Refusal::{Errno, Killed};
use super::probe::{Aims, Probe, Refusal, Verdict};
use super::raw::{self, call, flag, open};

const TOO_MANY_TASKS: &[Refusal] = &[Errno(libc::EAGAIN)];
const TOO_MANY_FILES: &[Refusal] = &[Errno(libc::EMFILE)];
const NO_SPACE: &[Refusal] = &[Errno(libc::ENOSPC), Errno(libc::EDQUOT)];
/// The kernel ends who takes more memory than there is for the container.
const OUT_OF_MEMORY: &[Refusal] = &[Killed(libc::SIGKILL)];
/// The same, or an answer that there is none.
const NO_MEMORY: &[Refusal] =
    &[Killed(libc::SIGKILL), Errno(libc::ENOMEM), Errno(libc::ENOSPC), Errno(libc::ENOBUFS)];

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("processes", "fork without end", TOO_MANY_TASKS, |aims| {
        many(aims.appetite.tasks, raw::fork_waiting)
    }),
    Probe::new("threads", "start threads without end", TOO_MANY_TASKS, |aims| {
        many(aims.appetite.tasks, || {
            let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(std::thread::park);
            thread.map(|_| ()).map_err(|error| error.raw_os_error().unwrap_or(libc::EAGAIN))
        })
    }),
    Probe::new("dead_children", "leave dead children behind without end", TOO_MANY_TASKS, |aims| {
        many(aims.appetite.tasks, raw::fork_dead)
    }),
    Probe::new("descriptors", "open files without end", TOO_MANY_FILES, |aims| {
        let mut held = Vec::new();
        many(aims.appetite.descriptors, || {
            held.push(File::open("/dev/null").map_err(|error| error.raw_os_error().unwrap_or(libc::EMFILE))?);
            Ok(())
        })
    }),
    Probe::new("memory", "take memory without end", OUT_OF_MEMORY, |aims| {
        let taken = vec![1u8; aims.appetite.memory_bytes];
        Verdict::Got(format!("{} bytes", std::hint::black_box(taken).len()))
    })
    .alone(),
    Probe::new("memory_of_the_page_cache", "fill memory with files of /dev/shm", NO_MEMORY, |aims| {
        fill(Path::new(if aims.loose { "/tmp/fill" } else { "/dev/shm/fill" }), aims.appetite.disk_bytes)
    })
    .alone(),
    Probe::new("nameless_memory", "fill memory with files that have no name", OUT_OF_MEMORY, |aims| {
        let name = raw::text("fill");
        match open(libc::SYS_memfd_create, &[raw::address(&name), 0]) {
            Ok(file) => write_out(&mut File::from(file), aims.appetite.memory_bytes as u64),
            Err(errno) => Verdict::Errno(errno),
        }
    })
    .alone(),
    Probe::new("memory_of_pipes", "fill the kernel's memory with what is in pipes", NO_MEMORY, |aims| {
        pipes(aims)
    })
    .alone(),
    Probe::new("shared_segments", "fill memory with System V segments", NO_MEMORY, |aims| {
        let size = aims.appetite.memory_bytes;
        match call(libc::SYS_shmget, &[0, size, flag(libc::IPC_CREAT | 0o600)]) {
            Ok(segment) => {
                let at = call(libc::SYS_shmat, &[segment, 0, 0]);
                let _ = call(libc::SYS_shmctl, &[segment, 0, 0]);
                at.map_or_else(Verdict::Errno, |at| raw::touch(at, size))
            }
            Err(errno) => Verdict::Errno(errno),
        }
    })
    .alone(),
    Probe::new("disk_by_tmp", "fill the disk through /tmp", NO_SPACE, |aims| {
        fill(Path::new("/tmp/fill"), aims.appetite.disk_bytes)
    }),
    Probe::new("disk_by_app", "fill the disk through the writable layer", NO_SPACE, |aims| {
        fill(Path::new("/app/fill"), aims.appetite.disk_bytes)
    }),
    Probe::new(
        "disk_by_a_hole",
        "fill the disk through a file that claims its room without writing",
        NO_SPACE,
        |aims| {
            let file = File::create("/app/claimed");
            let bytes = usize::try_from(aims.appetite.disk_bytes).unwrap_or(0);
            let fd = file.as_ref().map_or(0, |file| flag(std::os::fd::AsRawFd::as_raw_fd(file)));
            let claimed = call(libc::SYS_fallocate, &[fd, 0, 0, bytes]);
            let _ = fs::remove_file("/app/claimed");
            claimed.map_or_else(Verdict::Errno, |_| Verdict::Got(format!("{bytes} bytes")))
        },
    ),
    Probe::new("files", "make files without end", NO_SPACE, |aims| {
        let dir = Path::new("/app/many");
        let _ = fs::create_dir(dir);
        let mut number = 0;
        let verdict = many(aims.appetite.files, || {
            number += 1;
            let made = File::create(dir.join(number.to_string()));
            made.map(|_| ()).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
        });
        let _ = fs::remove_dir_all(dir);
        verdict
    }),
];

/// Does something again and again; a success only if it works every time.
fn many(times: usize, mut thing: impl FnMut() -> Result<(), i32>) -> Verdict {
    for _ in 0..times {
        if let Err(errno) = thing() {
            return Verdict::Errno(errno);
        }
    }
    Verdict::Got(format!("{times} of them"))
}

/// Writes a file of that size, and removes it.
fn fill(path: &Path, bytes: u64) -> Verdict {
    let verdict = match File::create(path) {
        Ok(mut file) => write_out(&mut file, bytes),
        Err(error) => Verdict::Errno(error.raw_os_error().unwrap_or(libc::EIO)),
    };
    let _ = fs::remove_file(path);
    verdict
}

fn write_out(file: &mut File, bytes: u64) -> Verdict {
    let block = vec![1u8; 1 << 20];
    for _ in 0..bytes >> 20 {
        if let Err(error) = file.write_all(&block) {
            return Verdict::Errno(error.raw_os_error().unwrap_or(libc::EIO));
        }
    }
    Verdict::Got(format!("{bytes} bytes"))
}

/// Full pipes, below what an ordinary user may have in all of them together (pipe(7): 64 MiB).
fn pipes(aims: &Aims) -> Verdict {
    const EACH: usize = 256 << 10;
    const ALL: usize = 60 << 20;
    let mut held = Vec::new();
    let block = vec![1u8; EACH];
    for _ in 0..aims.appetite.memory_bytes.min(ALL) / EACH {
        let Ok((reader, mut writer)) = std::io::pipe() else { return Verdict::Errno(libc::EMFILE) };
        let fd = flag(std::os::fd::AsRawFd::as_raw_fd(&writer));
        if let Err(errno) = call(libc::SYS_fcntl, &[fd, flag(libc::F_SETPIPE_SZ), EACH]) {
            return Verdict::Errno(errno);
        }
        if let Err(error) = writer.write_all(&block) {
            return Verdict::Errno(error.raw_os_error().unwrap_or(libc::EIO));
        }
        held.push((reader, writer));
    }
    Verdict::Got(format!("{} pipes of {EACH} bytes", held.len()))
}
