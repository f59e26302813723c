//! Rights: those a process has, and the ways to gain some.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::inside::{ARGUMENTS, ROLE};
use super::probe::Refusal::{Errno, Nothing};
use super::probe::{Aims, Probe, Refusal, Verdict, gate, got};
use super::raw::{call, flag, room, start};

const DENIED: &[Refusal] = &[Errno(libc::EPERM)];
/// An ordinary user.
const SOMEBODY: u32 = 1000;
/// Starts the line in which `who` answers.
const WHO: &str = "WHO ";

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("capabilities", "hold a capability in any set", &[Nothing], |_| {
        // The name of a line has letters too.
        let is_empty =
            |line: &String| line.split(':').nth(1).is_none_or(|set| set.trim().bytes().all(|c| c == b'0'));
        let held = status("Cap").find(|line| !is_empty(line));
        held.map_or(Verdict::Nothing("all sets are empty".to_owned()), Verdict::Got)
    }),
    Probe::new("new_privileges", "be free to gain rights by running a program", &[Nothing], |_| {
        is_set("NoNewPrivs", "1")
    }),
    Probe::new("no_filter", "run without a filter of system calls", &[Nothing], |_| is_set("Seccomp", "2")),
    Probe::new("become_root", "become user 0", DENIED, |_| gate(call(libc::SYS_setuid, &[0]), &[])),
    Probe::new("join_groups", "join the groups of root", DENIED, |_| {
        let groups = [0u32];
        gate(call(libc::SYS_setgroups, &[1, start(&groups)]), &[])
    }),
    Probe::new("take_capabilities", "take a capability back", DENIED, |_| {
        let header = [0x2008_0522u32, 0];
        let sets = [1u32 << 21, 1 << 21, 0, 0, 0, 0];
        gate(call(libc::SYS_capset, &[start(&header), start(&sets)]), &[])
    }),
    Probe::new("unlock_root", "make user 0 mighty again (secure bits)", DENIED, |_| {
        // PR_SET_SECUREBITS.
        gate(call(libc::SYS_prctl, &[28, 0]), &[])
    }),
    Probe::new("set_user_id_program", "gain root by a set-user-id program", &[Nothing], |aims| {
        let told = as_somebody(aims, Command::new("/probe").args(ARGUMENTS).env(ROLE, "who"));
        match told.lines().find_map(|line| line.strip_prefix(WHO)) {
            Some("0") => Verdict::Got("user 0".to_owned()),
            Some(who) => Verdict::Nothing(format!("user {who}")),
            None => Verdict::Absent(format!("the program did not run: {told}")),
        }
    }),
    Probe::new("file_capabilities", "gain a capability by a program that carries one", &[Nothing], |aims| {
        let told = as_somebody(
            aims,
            Command::new("/bin/capable").arg0("busybox").args(["cat", "/proc/self/status"]),
        );
        let effective = told.lines().find_map(|line| line.strip_prefix("CapEff:"));
        match effective.map(|set| set.trim().trim_start_matches('0')) {
            Some("") => Verdict::Nothing("none".to_owned()),
            Some(set) => Verdict::Got(format!("capabilities {set}")),
            None => Verdict::Absent(format!("the program did not run: {told}")),
        }
    }),
    Probe::new("make_set_user_id_of_root", "leave a set-user-id program of root's behind", DENIED, |_| {
        let made = fs::write("/tmp/mine", b"")
            .and_then(|()| std::os::unix::fs::chown("/tmp/mine", Some(0), Some(0)));
        got(made, |()| "it is root's".to_owned())
    }),
    Probe::new("grant_file_capabilities", "put capabilities on a program of its own", DENIED, |_| {
        let _ = fs::write("/tmp/able", b"");
        let (path, name) = (super::raw::text("/tmp/able"), super::raw::text("security.capability"));
        let value = super::FILE_CAPABILITIES;
        let arguments =
            [super::raw::address(&path), super::raw::address(&name), start(&value), size_of_val(&value), 0];
        gate(call(libc::SYS_setxattr, &arguments), &[])
    }),
    Probe::new("overlay_attributes", "leave marks that an overlay would take for its own", DENIED, |_| {
        let _ = fs::write("/tmp/marked", b"");
        let (path, name) = (super::raw::text("/tmp/marked"), super::raw::text("trusted.overlay.redirect"));
        gate(
            call(
                libc::SYS_setxattr,
                &[super::raw::address(&path), super::raw::address(&name), super::raw::address(&path), 4, 0],
            ),
            &[],
        )
    }),
    Probe::new("whiteout", "make the device by which an overlay hides files", DENIED, |_| {
        let path = super::raw::text("/app/whiteout");
        gate(
            call(
                libc::SYS_mknodat,
                &[super::raw::negative(-100), super::raw::address(&path), flag(0o020_000), 0],
            ),
            &[libc::EBADF, libc::EEXIST],
        )
    }),
    Probe::new(
        "spare_itself_from_memory_kills",
        "have the kernel kill others first",
        &[Errno(libc::EACCES)],
        |aims| match got(fs::write("/proc/self/oom_score_adj", "-1000"), |()| "it is spared".to_owned()) {
            Verdict::Errno(libc::EACCES) if aims.loose => {
                Verdict::Absent("root of this machine lacks CAP_SYS_RESOURCE".to_owned())
            }
            verdict => verdict,
        },
    ),
    Probe::new(
        "dump_core",
        "write its memory, with other people's secrets, to where the host collects it",
        &[Nothing],
        |_| {
            let mut limit = [0u64; 2];
            let _ = call(libc::SYS_prlimit64, &[0, flag(4), 0, room(&mut limit)]);
            match limit {
                // At 0 the kernel still hands a program that crashed to a program of the host's, if that is what it does with cores.
                [_, 1] => Verdict::Nothing("cores are empty, and handed to nobody".to_owned()),
                [_, hard] => Verdict::Got(format!("up to {hard} bytes")),
            }
        },
    ),
];

/// Answers as which user the program runs.
pub(crate) fn who() {
    let user = call(libc::SYS_geteuid, &[]).unwrap_or(usize::MAX);
    println!("\n{WHO}{user}");
}

fn status(name: &'static str) -> impl Iterator<Item = String> {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn is_set(name: &'static str, value: &str) -> Verdict {
    let line = status(name).find(|line| line.starts_with(&format!("{name}:")));
    match line.as_deref().and_then(|line| line.split(':').nth(1)).map(str::trim) {
        Some(found) if found == value => Verdict::Nothing(format!("{name} is {value}")),
        found => Verdict::Got(format!("{name} is {found:?}")),
    }
}

/// What a command says when an ordinary user runs it; in a container the probe is one already.
fn as_somebody(aims: &Aims, command: &mut Command) -> String {
    if aims.loose {
        command.uid(SOMEBODY).gid(SOMEBODY);
    }
    match command.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => format!("could not run it: {error}"),
    }
}
