//! The transcript of a build: whole lines out of bytes as they come, within limits.

use crate::build::Sink;
use crate::domain::Bytes;
use crate::wire::push_text;

/// The most a build's scripts may write; the rest is not shown.
pub(super) const OUTPUT_MAX: Bytes = Bytes::mib(32);

/// What a line counts for beside its bytes: it costs that much wherever it waits, and a build may print empty ones.
const LINE_COST_BYTES: u64 = 128;

/// Longest line, in bytes; a longer one is broken.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Lines to a sink.
pub(super) struct Transcript<'a> {
    sink: &'a mut dyn Sink,
    partial: Vec<u8>,
    written: u64,
}

impl<'a> Transcript<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink) -> Transcript<'a> {
        Transcript { sink, partial: Vec::new(), written: 0 }
    }

    /// A line of our own; not counted.
    pub(super) fn say(&mut self, line: &str) {
        self.end_line();
        self.sink.line(line);
    }

    pub(super) fn say_all(&mut self, lines: Vec<String>) {
        for line in lines {
            self.say(&line);
        }
    }

    /// What comes now is said by the tests.
    pub(super) fn tests_begin(&mut self) {
        self.end_line();
        self.sink.tests_begin();
    }

    /// Bytes of a script's output.
    pub(super) fn bytes(&mut self, mut bytes: &[u8]) {
        let before = self.written;
        let ends = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.written = before.saturating_add(bytes.len() as u64 + ends * LINE_COST_BYTES);
        if before > OUTPUT_MAX.0 {
            return;
        }
        if self.written > OUTPUT_MAX.0 {
            self.say(&push_text::output_cut(OUTPUT_MAX));
            return;
        }
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.partial.len();
            let window = &bytes[..bytes.len().min(room)];
            match window.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.partial.extend_from_slice(&window[..end]);
                    self.flush();
                    bytes = &bytes[end + 1..];
                }
                None => {
                    self.partial.extend_from_slice(window);
                    bytes = &bytes[window.len()..];
                    if self.partial.len() == LINE_BYTES_MAX {
                        self.flush();
                    }
                }
            }
        }
    }

    /// Ends a line that a script has left open.
    pub(super) fn end_line(&mut self) {
        if !self.partial.is_empty() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let line = String::from_utf8_lossy(&self.partial);
        self.sink.line(line.trim_end_matches('\r'));
        self.partial.clear();
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[derive(Default)]
    struct Kept(Vec<String>);

    impl Sink for Kept {
        fn line(&mut self, line: &str) {
            self.0.push(line.to_owned());
        }
    }

    #[test]
    fn bytes_become_lines_wherever_they_are_cut() {
        let mut kept = Kept::default();
        let mut transcript = Transcript::new(&mut kept);
        for piece in ["on", "e\r\ntw", "o\n\nthr", "ee"] {
            transcript.bytes(piece.as_bytes());
        }
        transcript.say("end");
        assert_eq!(kept.0, ["one", "two", "", "three", "end"]);
    }

    #[test]
    fn an_endless_line_is_broken() {
        let mut kept = Kept::default();
        Transcript::new(&mut kept).bytes(&vec![b'x'; 2 * LINE_BYTES_MAX]);
        assert_eq!(kept.0.iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES_MAX; 2]);
    }

    #[test]
    fn too_much_is_cut_and_told_once() {
        let mut kept = Kept::default();
        let mut transcript = Transcript::new(&mut kept);
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..40 * 1024 {
            transcript.bytes(line.as_bytes());
        }
        transcript.say("end");
        let told = kept.0.iter().filter(|line| line.contains("the rest is not shown")).count();
        assert_eq!((told, kept.0.len() as u64), (1, OUTPUT_MAX.0 / (1024 + LINE_COST_BYTES) + 2));
    }

    #[test]
    fn empty_lines_count_too() {
        let mut kept = Kept::default();
        let mut transcript = Transcript::new(&mut kept);
        for _ in 0..1024 {
            transcript.bytes(&[b'\n'; 1024]);
        }
        assert!((kept.0.len() as u64) < OUTPUT_MAX.0 / LINE_COST_BYTES, "{} lines", kept.0.len());
    }
}
