//! Attacks that need a hand outside: hostile roots, archives and wishes. What they come to is seen from the host.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};

use dyno::runtime::ExitStatus;
use dyno::runtime::spec::{Access, Exec, IdMapped, Sandbox, SandboxMount};
use dyno::sys::ring::RING_BYTES;

use super::probe::Refusal::{Errno, Nothing};
use super::probe::{Refusal, Verdict, got};
use crate::support::container::{Node, USER, full, said, wait};

type Attempt<'a> = Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// An attack with a hand outside. Each shows for itself that it could succeed: what it leads to is there.
pub(crate) struct Staged {
    /// Name, unique in the suite.
    pub(crate) name: &'static str,
    /// What it reaches for.
    pub(crate) attacks: &'static str,
    /// The answers that count as a refusal.
    pub(crate) refusals: &'static [Refusal],
    /// The attack.
    pub(crate) attempt: for<'a> fn(&'a Node) -> Attempt<'a>,
}

/// The errno of a start that is refused.
const REFUSED: i32 = libc::EPERM;
/// Descriptors a naive runtime could have left open.
const DESCRIPTORS: std::ops::Range<u32> = 3..24;
/// Lines of the log flood; all of them are 40 times what a ring holds.
const FLOOD: &str =
    "i=0; while [ $i -lt 40 ]; do dd if=/dev/zero bs=1048576 count=1 2>/dev/null; echo; i=$((i+1)); done";

pub(crate) const PROBES: &[Staged] = &[
    Staged {
        name: "work_in_a_descriptor",
        attacks: "begin in a directory of the host that the runtime has open (CVE-2024-21626)",
        refusals: &[Errno(REFUSED)],
        attempt: |node| Box::pin(work_in_a_descriptor(node)),
    },
    Staged {
        name: "run_the_runtime",
        attacks: "run the runtime's own program (CVE-2019-5736)",
        refusals: &[Errno(REFUSED)],
        attempt: |node| Box::pin(run_the_runtime(node)),
    },
    Staged {
        name: "interpret_by_the_runtime",
        attacks: "have the runtime's own program interpret a script, and write to it",
        refusals: &[Errno(libc::EROFS)],
        attempt: |node| Box::pin(interpret_by_the_runtime(node)),
    },
    Staged {
        name: "absolute_link_as_target",
        attacks: "have a mount land outside by an absolute link in the root (CVE-2021-30465)",
        refusals: &[Errno(REFUSED)],
        attempt: |node| Box::pin(link_as_target(node, node.dir.path().join("outside"))),
    },
    Staged {
        name: "climbing_link_as_target",
        attacks: "have a mount land outside by a link that climbs",
        refusals: &[Errno(REFUSED)],
        attempt: |node| {
            let outside = node.dir.path().join("outside");
            let outside = outside.strip_prefix("/").expect("an absolute path");
            Box::pin(link_as_target(node, Path::new("../../../../../../../../../..").join(outside)))
        },
    },
    Staged {
        name: "archive",
        attacks: "leave its directory by what is in an archive: climbing and absolute names, links, devices, rights",
        refusals: &[Nothing],
        attempt: |node| Box::pin(archive(node)),
    },
    Staged {
        name: "log_flood",
        attacks: "fill the disk by its log",
        refusals: &[Nothing],
        attempt: |node| Box::pin(log_flood(node)),
    },
    Staged {
        name: "stopped_for_ever",
        attacks: "outlive its end by having stopped",
        refusals: &[Nothing],
        attempt: |node| Box::pin(stopped_for_ever(node)),
    },
    Staged {
        name: "queues_of_all",
        attacks: "take the message queues that all users of the host share, so that its neighbours have none",
        refusals: &[Nothing],
        attempt: |node| Box::pin(queues_of_all(node)),
    },
];

/// Whether a start is refused.
async fn start(node: &Node, sandbox: Sandbox, why: &str) -> Verdict {
    match node.runtime.start(sandbox).await {
        Ok(started) => {
            let exit = wait(&started.container).await;
            started.container.remove().await.expect("it is removed");
            Verdict::Got(format!("it ran: {exit:?}"))
        }
        Err(error) if full(&error).contains(why) => Verdict::Errno(REFUSED),
        Err(error) => Verdict::Absent(full(&error)),
    }
}

async fn work_in_a_descriptor(node: &Node) -> Verdict {
    let mut last = Verdict::Absent("no descriptor was tried".to_owned());
    for descriptor in DESCRIPTORS {
        let mut sandbox = node.shell("true");
        sandbox.process.cwd = format!("/proc/self/fd/{descriptor}").into();
        last = start(node, sandbox, "ChangeDirectory").await;
        if last != Verdict::Errno(REFUSED) {
            return last;
        }
    }
    last
}

async fn run_the_runtime(node: &Node) -> Verdict {
    assert!(fs::metadata("/proc/self/exe").is_ok_and(|own| own.is_file()), "such a link leads somewhere");
    let mut sandbox = node.shell("");
    sandbox.process.argv = vec!["/proc/self/exe".into(), "--version".into()];
    start(node, sandbox, "FindProgram").await
}

async fn interpret_by_the_runtime(node: &Node) -> Verdict {
    let script = node.root().join("bin/script");
    fs::write(&script, "#!/proc/self/exe\n").expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it may be run");
    let mut sandbox = node.shell("");
    sandbox.process.argv = vec!["/bin/script".into()];
    // It runs, for the kernel finds the interpreter by itself; what it is must then be beyond any change, even by the host's root.
    let (_, _) = node.outcome(sandbox).await;
    let container = node.run(node.shell("echo up; sleep 100")).await.container;
    said(&container, "up").await;
    // The file itself is busy while it runs, which is no promise; that not even its rights can be set anew shows the mount.
    let set_anew =
        |path: &str| fs::metadata(path).and_then(|data| fs::set_permissions(path, data.permissions()));
    assert!(set_anew("/proc/self/exe").is_ok(), "a program that is not sealed can be changed");
    let opened =
        got(set_anew(&format!("/proc/{}/exe", container.init_pid())), |()| "it can be changed".to_owned());
    container.kill().expect("it is killed");
    wait(&container).await;
    opened
}

/// The root has a link that leads to a directory of the host, and something is to be laid over a file in it.
async fn link_as_target(node: &Node, link: PathBuf) -> Verdict {
    let outside = node.dir.path().join("outside");
    fs::create_dir_all(&outside).expect("a directory");
    fs::write(outside.join("file"), "the host's").expect("a file");
    let evil = node.root().join("evil");
    let _ = fs::remove_file(&evil);
    symlink(link, &evil).expect("a link");
    assert_eq!(fs::canonicalize(evil.join("file")).ok(), Some(outside.join("file")), "it leads there");
    let mut sandbox = node.shell("true");
    let contents = b"covered".to_vec();
    sandbox.mounts.push(SandboxMount::File { target: "/evil/file".into(), contents, mode: 0o644 });
    start(node, sandbox, "No such file").await
}

/// Makes an archive in which everything is wrong, and unpacks it as a build does: inside, as an ordinary user, into a directory of the
/// host's.
async fn archive(node: &Node) -> Verdict {
    let (outside, target) = (node.dir.path().join("beside"), node.dir.path().join("target"));
    for dir in [&outside, &target] {
        fs::create_dir_all(dir).expect("a directory");
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).expect("open to all");
    }
    let hostile = node.dir.path().join("hostile");
    let out = outside.display();
    // A name each, then a link out and a file through it, a link to a file of the root, a device, rights of root.
    let script = format!(
        "set -e; mkdir {0}; cd {0}; echo x >f; cp f s; chmod 4755 s; ln -s {out} link; mknod device c 1 5; ln f hard
         tar -P -c -f ../hostile.tar --transform 's|^f$|../../../../../../../../../..{out}/climbed|' f
         tar -P -r -f ../hostile.tar --transform 's|^f$|{out}/absolute|' f
         tar -P -r -f ../hostile.tar link s
         tar -P -r -f ../hostile.tar --transform 's|^f$|link/through|' f
         tar -P -r -f ../hostile.tar device",
        hostile.display()
    );
    let made = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let naive = node.dir.path().join("naive");
    fs::create_dir_all(&naive).expect("a directory");
    let unpacked = Command::new("tar").args(["-P", "-xf", "../hostile.tar"]).current_dir(&naive).status();
    let leaves = |dir: &Path| fs::read_dir(dir).map_or(0, |entries| entries.count());
    assert!(unpacked.is_ok() && leaves(&outside) > 0, "the archive does harm where nothing keeps it");
    fs::remove_dir_all(&outside).expect("it is cleared");
    fs::create_dir_all(&outside).expect("a directory");
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o777)).expect("open to all");

    fs::copy(node.dir.path().join("hostile.tar"), node.root().join("hostile.tar")).expect("it is put in");
    let mut sandbox = node.shell("cd /data && busybox tar -x -f /hostile.tar; ls -lR /data");
    sandbox.mounts.push(SandboxMount::Bind {
        source: IdMapped { path: target.clone(), disk: Some((0, USER)) },
        target: "/data".into(),
        access: Access::ReadWrite,
        exec: Exec::Allowed,
    });
    let (_, said) = node.outcome(sandbox).await;
    let left: Vec<_> =
        fs::read_dir(&target).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    if leaves(&outside) > 0 {
        return Verdict::Got(format!("files beside its directory: {said}"));
    }
    for path in &left {
        let data = fs::symlink_metadata(path).expect("it is there");
        if data.file_type().is_char_device() {
            return Verdict::Got("a device".to_owned());
        }
    }
    assert!(target.join("s").exists(), "what is harmless is unpacked: {said}");
    assert_eq!(
        fs::metadata(target.join("s")).map(|data| data.uid()).ok(),
        Some(0),
        "as the store's own on disk"
    );
    Verdict::Nothing(format!("{} files in its directory", left.len()))
}

async fn log_flood(node: &Node) -> Verdict {
    let container = node.run(node.shell(FLOOD)).await.container;
    let exit = wait(&container).await;
    let held = fs::metadata(container.log_ring()).map_or(0, |data| data.len());
    container.remove().await.expect("it is removed");
    match (exit.status, held) {
        (ExitStatus::Code(0), held) if held <= 2 * RING_BYTES => {
            Verdict::Nothing(format!("{held} bytes are kept"))
        }
        (status, held) => Verdict::Got(format!("{status:?}, and {held} bytes are kept")),
    }
}

/// It stops itself, and is frozen besides; a kill must end it all the same.
async fn stopped_for_ever(node: &Node) -> Verdict {
    let container = node.run(node.shell("trap '' TERM; echo up; kill -STOP $$; echo on")).await.container;
    said(&container, "up").await;
    let group = container.cgroup().expect("its groups are there");
    group.freeze().expect("it is frozen");
    container.kill().expect("it is killed");
    let exit = wait(&container).await;
    match exit.status {
        ExitStatus::Signal(9) => Verdict::Nothing("it ended".to_owned()),
        status => Verdict::Got(format!("{status:?}")),
    }
}

/// The kernel counts what a user takes on the account of who made his namespace too, up to the host's own users.
async fn queues_of_all(node: &Node) -> Verdict {
    let dir = node.dir.path().join("queues");
    fs::create_dir_all(&dir).expect("a directory");
    if !takes_from_others(&dir) {
        return Verdict::Absent(
            "two that were made on the same account have queues of their own here".to_owned(),
        );
    }
    let taker = node.run(node.shell(&take_queues(Path::new("/dev/mqueue")))).await.container;
    said(&taker, "taken").await;
    let (exit, told) = node.outcome(node.shell("touch /dev/mqueue/one && echo made")).await;
    taker.kill().expect("it is killed");
    wait(&taker).await;
    if exit.status == ExitStatus::Code(0) && told.contains("made") {
        Verdict::Nothing("its neighbour has queues".to_owned())
    } else {
        Verdict::Got(format!("its neighbour has none: {told}"))
    }
}

/// Makes message queues until there are no more, and stays.
fn take_queues(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "i=0; while [ $i -lt 1000 ] && touch {dir}/$i 2>/dev/null; do i=$((i+1)); done; echo taken; exec sleep 100"
    )
}

fn takes_from_others(dir: &Path) -> bool {
    let alone = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--ipc", "--mount", "sh", "-c"]);
        command.arg(format!("mount -t mqueue queues {} || exit 9; {script}", dir.display()));
        command
    };
    let mut taker = alone(&take_queues(dir)).stdout(Stdio::piped()).spawn().expect("a shell");
    let mut line = String::new();
    let told = BufReader::new(taker.stdout.take().expect("a pipe")).read_line(&mut line);
    let other = alone(&format!("touch {}/one 2>/dev/null || exit 7", dir.display())).status();
    taker.kill().expect("it is killed");
    taker.wait().expect("it has ended");
    told.is_ok() && line == "taken\n" && other.is_ok_and(|status| status.code() == Some(7))
}
