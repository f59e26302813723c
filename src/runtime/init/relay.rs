//! Init's life after the start: output from the pipe to the ring, orphans reaped, the application's end written down.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use crate::runtime::exit::Exit;
use crate::runtime::init::CODE_FAILED;
use crate::runtime::init::refusals::Refusals;
use crate::runtime::spawner::{ChildStreams, status};
use crate::sys::process::{self, ChildSignals, End};
use crate::sys::ring::{LINE_BYTES_MAX, Writer};
use crate::sys::{clock, terminal};

/// Read at once from the pipe, in bytes: what a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// Output still in the pipe when the application ends is relayed up to this much: its other processes could write for ever.
const DRAIN_BYTES_MAX: usize = 1 << 20;

/// Works until the application has ended; the exit code is then init's own.
pub(super) fn until_the_end(
    application: u32,
    signals: &ChildSignals,
    streams: ChildStreams,
    mut refusals: Option<Refusals>,
) -> u8 {
    let ChildStreams { exit, relay, .. } = streams;
    let mut relay = relay.and_then(|(ring, pipe)| Relay::new(ring, pipe).ok());
    loop {
        let pause = refusals.as_mut().and_then(Refusals::pause);
        let mut waited = vec![signals.as_fd()];
        waited.extend(relay.as_ref().map(|relay| relay.pipe.as_fd()));
        let refusals_at = waited.len();
        waited.extend(refusals.as_ref().filter(|_| pause.is_none()).map(AsFd::as_fd));
        let Ok(ready) = process::wait_readable(&waited, pause) else { return CODE_FAILED };
        let is_ready = |at: usize| ready.get(at) == Some(&true);
        if relay.is_some() && is_ready(1) {
            relay = relay.and_then(Relay::pass_on);
        }
        if is_ready(refusals_at) {
            refusals = refusals.and_then(Refusals::answer);
        }
        if is_ready(0) {
            signals.drain();
            if let Some(end) = reap_all(application) {
                // Before the last words: whoever has heard those reads the rest.
                refusals.iter().for_each(Refusals::write);
                if let Some(relay) = relay {
                    relay.finish();
                }
                return last_words(end, exit);
            }
        }
    }
}

/// Collects every child that ended; the application's end if it is among them.
fn reap_all(application: u32) -> Option<End> {
    while let Ok(Some(reaped)) = process::reap() {
        if reaped.pid == application {
            return Some(reaped.end);
        }
    }
    None
}

/// One write, so that a reader finds all or nothing.
fn last_words(end: End, file: Option<OwnedFd>) -> u8 {
    let exit = Exit { status: status(end), at: clock::now(), oom: false };
    let words = serde_json::to_vec(&exit).unwrap_or_default();
    if let Some(file) = file {
        // Should it fail, the spawner writes what it sees.
        let _ = File::from(file).write_all(&words);
    }
    exit.shell_status()
}

/// From the pipe to the ring, cut into lines.
struct Relay {
    pipe: OwnedFd,
    ring: Writer,
    /// The start of a line whose end has not come yet.
    partial: Vec<u8>,
    buffer: Vec<u8>,
}

impl Relay {
    fn new(ring: OwnedFd, pipe: OwnedFd) -> io::Result<Relay> {
        terminal::set_nonblocking(&pipe)?;
        Ok(Relay { pipe, ring: Writer::from_fd(ring)?, partial: Vec::new(), buffer: vec![0; READ_BYTES] })
    }

    /// Passes on what is there now; `None` when the last writer has closed its end.
    fn pass_on(mut self) -> Option<Relay> {
        match terminal::read_now(&self.pipe, &mut self.buffer) {
            Ok(Some(0)) => {
                self.end();
                None
            }
            Ok(Some(length)) => {
                self.take(length);
                Some(self)
            }
            Ok(None) => Some(self),
            // A broken pipe has nothing more to give.
            Err(_) => None,
        }
    }

    /// Passes on what the pipe still holds.
    fn finish(mut self) {
        let mut drained = 0;
        while drained < DRAIN_BYTES_MAX {
            match terminal::read_now(&self.pipe, &mut self.buffer) {
                Ok(Some(length)) if length > 0 => {
                    self.take(length);
                    drained += length;
                }
                Ok(Some(_) | None) | Err(_) => break,
            }
        }
        self.end();
    }

    fn take(&mut self, length: usize) {
        let now = clock::now();
        let (ring, partial) = (&mut self.ring, &mut self.partial);
        split(partial, self.buffer.get(..length).unwrap_or_default(), |line| {
            // A full ring counts what it drops.
            let _ = ring.push(now, line);
        });
        // Lines that could not be written are counted as dropped.
        let _ = ring.flush();
    }

    fn end(&mut self) {
        if !self.partial.is_empty() {
            let _ = self.ring.push(clock::now(), &self.partial);
            self.partial.clear();
        }
        let _ = self.ring.flush();
    }
}

/// Hands every complete line of `partial` and `bytes` together to `push`, in pieces if it is too long, and keeps the rest.
fn split(partial: &mut Vec<u8>, bytes: &[u8], mut push: impl FnMut(&[u8])) {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (text, is_complete) = match piece.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (piece, false),
        };
        partial.extend_from_slice(text);
        while partial.len() > LINE_BYTES_MAX {
            let rest = partial.split_off(LINE_BYTES_MAX);
            push(partial);
            *partial = rest;
        }
        if is_complete {
            push(partial);
            partial.clear();
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut partial, mut pushed) = (Vec::new(), Vec::new());
        for chunk in chunks {
            split(&mut partial, chunk, |line| pushed.push(line.to_vec()));
        }
        (pushed, partial)
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive() {
        let whole = lines(&[b"one\n\ntwo\nthr"]);
        let pieces = lines(&[b"on", b"e", b"\n", b"\ntwo", b"\nthr"]);
        assert_eq!(whole, pieces);
        assert_eq!(whole.0, [b"one".to_vec(), b"".to_vec(), b"two".to_vec()]);
        assert_eq!(whole.1, b"thr");
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let long = vec![b'x'; 2 * LINE_BYTES_MAX + 5];
        let (pushed, partial) = lines(&[&long, b"\n"]);
        let lengths: Vec<_> = pushed.iter().map(Vec::len).collect();
        assert_eq!(lengths, [LINE_BYTES_MAX, LINE_BYTES_MAX, 5]);
        assert!(partial.is_empty());
    }
}
