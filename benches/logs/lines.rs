//! The lines: each names its program and its number, so that one that is lost, or comes twice, is seen afterwards.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Load;

/// The role of this program that writes lines.
const ROLE: &str = "produce";
/// Lines that one byte of leave allows.
pub const BLOCK_LINES: u64 = 64;
/// What a line begins with, after whatever a contender puts before it.
const MARK: &str = "line of ";

/// What was found in files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Different lines.
    pub distinct: u64,
    /// Lines that were there before.
    pub twice: u64,
}

impl Tally {
    /// Lines that are not there once.
    pub fn lost(self, load: Load) -> u64 {
        load.total().abs_diff(self.distinct) + self.twice
    }
}

/// Whether this process is to write lines.
pub fn is_producer() -> bool {
    std::env::args().nth(1).is_some_and(|role| role == ROLE)
}

/// Arguments of a producer: its number, and where it asks for leave.
pub fn producer_args(number: u64, load: Load, leave: &str) -> Vec<String> {
    [ROLE.to_owned(), number.to_string(), load.lines.to_string(), load.bytes.to_string(), leave.to_owned()]
        .into()
}

/// Writes lines to standard output, each by a call of its own, as programs that log do; with leave, no more than it has.
pub fn produce() {
    let args: Vec<String> = std::env::args().skip(2).collect();
    let [number, lines, bytes, leave] = args.as_slice() else { panic!("a producer has four arguments") };
    let (number, lines, bytes): (u64, u64, usize) =
        (number.parse().unwrap(), lines.parse().unwrap(), bytes.parse().unwrap());
    let mut leave = (leave != "-").then(|| File::open(leave).unwrap());
    let mut stdout = File::from(std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned().unwrap());
    for at in 0..lines {
        if let Some(leave) = &mut leave
            && at.is_multiple_of(BLOCK_LINES)
        {
            leave.read_exact(&mut [0]).unwrap();
        }
        let head = format!("{MARK}{number:02} number {at:09} ");
        stdout.write_all(format!("{head:x<width$}\n", width = bytes - 1).as_bytes()).unwrap();
    }
    // What it has cost others to carry the lines is read while they live.
    if let Some(mut leave) = leave {
        leave.read_exact(&mut [0]).unwrap();
    }
}

/// A producer whose output goes to a stream socket, and our end of the same: it is read to its end when whoever takes the lines has
/// taken the last and hangs up.
pub fn start(number: u64, load: Load, to: UnixStream) -> (Child, UnixStream) {
    let ours = to.try_clone().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(producer_args(number, load, "-"))
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(to))
        .spawn()
        .unwrap();
    (child, ours)
}

/// Waits until all producers have ended and all they have said is taken.
pub fn drain(producers: Vec<(Child, UnixStream)>) {
    for (mut child, mut ours) in producers {
        assert!(child.wait().unwrap().success(), "a program failed");
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        // Whoever takes lines says nothing.
        let _hung_up = ours.read(&mut [0]);
    }
}

/// Counts the lines of a load in a text.
#[derive(Debug, Default)]
pub struct Counting {
    seen: BTreeMap<u64, Vec<bool>>,
    tally: Tally,
}

impl Counting {
    /// Takes a text of whole lines.
    pub fn take(&mut self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            let Some((_, rest)) = line.split_once(MARK) else { continue };
            let mut words = rest.split_whitespace();
            let (number, at) = (words.next().unwrap(), words.nth(1).unwrap());
            let seen = self.seen.entry(number.parse().unwrap()).or_default();
            let at: usize = at.parse().unwrap();
            if seen.len() <= at {
                seen.resize(at + 1, false);
            }
            if std::mem::replace(&mut seen[at], true) {
                self.tally.twice += 1
            } else {
                self.tally.distinct += 1
            }
        }
    }

    /// What was found so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

/// Counts the lines in a file, compressed or not.
pub fn count_file(counting: &mut Counting, path: &Path) {
    let file = File::open(path).unwrap();
    let mut text = Vec::new();
    if path.extension().is_some_and(|end| end == "zst") {
        zstd::Decoder::new(file).unwrap().read_to_end(&mut text).unwrap();
    } else {
        (&file).read_to_end(&mut text).unwrap();
    }
    counting.take(&text);
}
