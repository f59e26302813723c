//! A process that is none of a container's business, with something of everything that a container must not see.

use std::io::{BufRead, BufReader, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::inside::{ARGUMENTS, ROLE};
use super::raw;

/// In its command line, its environment and its memory.
pub(crate) const SECRET: &str = "dyno-escape-canary";
/// Key of its shared memory.
pub(crate) const KEY: usize = 0x0d1e_5ca9;
/// Said when everything is there.
const READY: &str = "the canary sings";

/// A canary, ended when dropped.
pub(crate) struct Canary {
    child: Child,
    /// Kept open: the harness in it says something at the end.
    _output: BufReader<ChildStdout>,
}

impl Canary {
    /// Starts one from this program's binary, in the caller's namespaces.
    pub(crate) fn hatch(binary: &Path) -> Canary {
        let mut command = Command::new(binary);
        command.args(ARGUMENTS).arg("--skip").arg(SECRET).env(ROLE, "canary").env("CANARY", SECRET);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a canary");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let sings = output.by_ref().lines().map_while(Result::ok).any(|line| line.contains(READY));
        assert!(sings, "the canary is ready");
        Canary { child, _output: output }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }
}

impl Drop for Canary {
    /// Its input ends, which it takes as the sign to clean up.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Plays the canary until the input ends.
pub(crate) fn sing() {
    let address = SocketAddr::from_abstract_name(SECRET).expect("an abstract name");
    // Without isolation the network is shared, and another canary may have the name.
    let listener = UnixListener::bind_addr(&address);
    let segment = raw::call(libc::SYS_shmget, &[KEY, 4096, raw::flag(libc::IPC_CREAT | 0o666)]);
    let terminal = std::fs::File::options().read(true).write(true).open("/dev/ptmx");
    println!("\n{READY}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    if let Ok(segment) = segment {
        let _ = raw::call(libc::SYS_shmctl, &[segment, raw::flag(libc::IPC_RMID), 0]);
    }
    drop((listener, terminal));
}
