//! rsyslog as Debian has it, with its usual queue, a stream socket for each program, and a template that makes lines like ours.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::lines::{self, Counting};
use crate::measure::{Server, cpu_of, until};
use crate::{Load, Run};

const RSYSLOG: &str = "/usr/sbin/rsyslogd";
/// What the template puts before each line: a time of 32 characters, and ` app[web.N]: `.
const PREFIX_BYTES: u64 = 45;

pub fn run(load: Load) -> Option<Run> {
    if !Path::new(RSYSLOG).exists() {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let name = |number: u64| format!("web.{}", number + 1);
    let inputs: String = (0..load.programs)
        .map(|number| {
            let name = name(number);
            format!(
                "input(type=\"imptcp\" path=\"{}\" name=\"{name}\" ruleset=\"store\")\n",
                at(&name).display()
            )
        })
        .collect();
    let config = format!(
        r#"global(workDirectory="{dir}" maxMessageSize="64k")
module(load="imptcp")
template(name="line" type="string" string="%timegenerated:::date-rfc3339% app[%inputname%]: %rawmsg%\n")
ruleset(name="store" parser="rsyslog.rfc3164") {{ action(type="omfile" file="{out}" template="line") }}
{inputs}"#,
        dir = dir.path().display(),
        out = at("out").display(),
    );
    std::fs::write(at("rsyslog.conf"), config).unwrap();
    let mut command = Command::new(RSYSLOG);
    command.arg("-n").arg("-f").arg(at("rsyslog.conf")).arg("-i").arg(at("pid"));
    let server = Server(command.stdout(Stdio::null()).spawn().unwrap());
    let connect = |number| {
        let path = at(&name(number));
        until("rsyslog's socket", || UnixStream::connect(&path).is_ok());
        UnixStream::connect(&path).unwrap()
    };
    let sockets: Vec<_> = (0..load.programs).map(connect).collect();
    let pid = server.0.id();
    let before = cpu_of(pid);
    let began = Instant::now();
    let producers = sockets.into_iter().enumerate();
    let producers = producers.map(|(number, socket)| lines::start(number as u64, load, socket)).collect();
    lines::drain(producers);
    let expected = load.total() * (PREFIX_BYTES + u64::from(load.bytes));
    until("rsyslog's last line", || std::fs::metadata(at("out")).is_ok_and(|at| at.len() >= expected));
    let took = began.elapsed();
    let cpu = cpu_of(pid) - before;
    let mut counting = Counting::default();
    lines::count_file(&mut counting, &at("out"));
    Some(Run { took, cpu, found: counting.tally() })
}
