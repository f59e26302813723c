//! systemd-journald for a namespace of its own, in a mount namespace in which its directories are ours: the host's journal is not
//! involved. Limits of rates are off.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::lines::{self, Counting};
use crate::measure::{Server, cpu_of, until};
use crate::{Load, Run};

const JOURNALD: &str = "/lib/systemd/systemd-journald";
/// The namespace.
const NAME: &str = "dynobench";
/// Files are made as large as a run needs.
const CONFIG: &str = "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nRateLimitBurst=0\nSystemMaxUse=4G\n\
                      ForwardToSyslog=no\nForwardToWall=no\n";
/// Makes the directories ours, and becomes the server; the first argument is where they are.
const SCRIPT: &str = r#"set -e
mount --make-rprivate /
mount --bind "$1/etc" /etc/systemd
[ -d /var/log/journal ] || { mount -t tmpfs none /var/log; mkdir /var/log/journal; }
mount --bind "$1/store" /var/log/journal
mount --bind "$1/run" /run
exec "$2" "$3""#;

pub fn run(load: Load) -> Option<Run> {
    if !Path::new(JOURNALD).exists() || !Path::new("/etc/machine-id").exists() {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["etc", "store", "run/systemd"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    std::fs::write(at("etc").join(format!("journald@{NAME}.conf")), CONFIG).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(dir.path()).args([JOURNALD, NAME]);
    let mut server =
        Server(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let socket = at("run/systemd").join(format!("journal.{NAME}/stdout"));
    let sockets: Vec<_> = (0..load.programs).map(|number| connect(&socket, number)).collect();
    let pid = server.0.id();
    let before = cpu_of(pid);
    let began = Instant::now();
    let producers = sockets.into_iter().enumerate();
    let producers = producers.map(|(number, socket)| lines::start(number as u64, load, socket)).collect();
    // It hangs up when the last line is in its files.
    lines::drain(producers);
    let took = began.elapsed();
    let cpu = cpu_of(pid) - before;
    server.end();
    let mut counting = Counting::default();
    counting.take(&text(&at("store")));
    Some(Run { took, cpu, found: counting.tally() })
}

/// A stream as services have it: name, unit, priority, and what else is to be done with lines, which is nothing (sd_journal_stream_fd(3)).
fn connect(socket: &Path, number: u64) -> UnixStream {
    until("journald's socket", || UnixStream::connect(socket).is_ok());
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "web.{}\n\n6\n0\n0\n0\n0\n", number + 1).unwrap();
    stream
}

fn text(store: &Path) -> Vec<u8> {
    let journal: Vec<PathBuf> =
        std::fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path()).collect();
    let output = Command::new("journalctl")
        .arg("-D")
        .args(&journal)
        .args(["-o", "cat", "--no-pager"])
        .output()
        .unwrap();
    output.stdout
}
