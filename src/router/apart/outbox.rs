//! Lines that wait for the control plane to put them into their logs.
//!
//! A line stays until the other end says that it is in its log, so a control plane that dies loses none; one that dies between
//! writing and saying so has some of them twice. When there is no more room, because nobody has come for long, the newest are lost,
//! and counted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes};

use crate::domain::AppId;
use crate::router::apart::lines;
use crate::router::observe::RouterLog;
use crate::wire::router_line::RouterLine;

/// The most lines that wait.
const LINES_MAX: usize = 100_000;
/// The most bytes in them.
const BYTES_MAX: usize = 32 << 20;
/// The most lines that go at once.
const BATCH_LINES_MAX: usize = 10_000;
/// Bytes of a batch beyond which no line is added to it.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// The lines that wait; see the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// What does not change any more, in the order it goes.
    sealed: VecDeque<Part>,
    /// Where lines are added, in the form of [`lines`].
    open: Vec<u8>,
    open_lines: usize,
    /// Lines and bytes of all of them.
    lines: usize,
    bytes: usize,
    /// The number of the first line that waits.
    first: u64,
    lost: u64,
    /// Who may take lines: the one that came last.
    taker: u64,
}

/// Lines that go together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    bytes: Bytes,
    lines: usize,
}

/// Lines to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// The number of the first.
    pub(super) first: u64,
    /// The number after the last one.
    pub(super) next: u64,
    /// Lines that were lost so far.
    pub(super) lost: u64,
    /// The lines, in the form of [`lines`]; never empty.
    pub(super) bytes: Bytes,
}

impl Outbox {
    /// A new taker in place of an earlier one, by its number.
    pub(super) fn attend(&self) -> u64 {
        let mut queue = self.lock();
        queue.taker += 1;
        self.changed.notify_all();
        queue.taker
    }

    /// That taker comes no more.
    pub(super) fn leave(&self, taker: u64) {
        let mut queue = self.lock();
        if queue.taker == taker {
            queue.taker += 1;
        }
        self.changed.notify_all();
    }

    /// The first lines that wait, from `from` on: waits for there to be any, and for all below `from` to be heard. `None` when there
    /// is another taker.
    pub(super) fn batch(&self, taker: u64, from: u64) -> Option<Batch> {
        let mut queue = self.lock();
        while queue.taker == taker && (queue.first < from || queue.lines == 0) {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.taker != taker {
            return None;
        }
        if queue.sealed.is_empty() {
            queue.seal();
        }
        let part = queue.sealed.front()?;
        let next = queue.first + u64::try_from(part.lines).unwrap_or(u64::MAX);
        Some(Batch { first: queue.first, next, lost: queue.lost, bytes: part.bytes.clone() })
    }

    /// All lines below `next` are in their logs.
    pub(super) fn heard(&self, next: u64) {
        let mut queue = self.lock();
        queue.drop_below(next);
        self.changed.notify_all();
    }

    /// Waits until all lines are heard, at most so long.
    pub(super) fn drain(&self, limit: Duration) {
        let waits = |queue: &mut Queue| queue.lines > 0;
        // Late or not, there is nothing else to wait for.
        drop(self.changed.wait_timeout_while(self.lock(), limit, waits));
    }

    fn put(&self, app: &AppId, at: SystemTime, text: &str) {
        let mut queue = self.lock();
        if queue.lines >= LINES_MAX || queue.bytes + text.len() > BYTES_MAX {
            queue.lost += 1;
            return;
        }
        let before = queue.open.len();
        lines::append(&mut queue.open, app, at, text);
        queue.bytes += queue.open.len() - before;
        queue.open_lines += 1;
        queue.lines += 1;
        if queue.open_lines >= BATCH_LINES_MAX || queue.open.len() >= BATCH_BYTES_MAX {
            queue.seal();
        }
        // Whoever takes lines sleeps only while there are none.
        if queue.lines == 1 {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Nothing is added any more to the lines that are there.
    fn seal(&mut self) {
        if self.open_lines > 0 {
            // The next ones are about as many.
            let room = Vec::with_capacity(self.open.len());
            let bytes = Bytes::from(std::mem::replace(&mut self.open, room));
            self.sealed.push_back(Part { bytes, lines: std::mem::take(&mut self.open_lines) });
        }
    }

    fn drop_below(&mut self, next: u64) {
        while self.first < next {
            if self.sealed.is_empty() {
                self.seal();
            }
            let Some(part) = self.sealed.front_mut() else { break };
            let heard = usize::try_from(next - self.first).unwrap_or(usize::MAX).min(part.lines);
            let bytes = lines::extent(&part.bytes, heard);
            part.bytes.advance(bytes);
            part.lines -= heard;
            if part.lines == 0 {
                self.sealed.pop_front();
            }
            self.bytes -= bytes;
            self.lines -= heard;
            self.first += u64::try_from(heard).unwrap_or(u64::MAX);
        }
    }
}

thread_local! {
    /// Where a line is written before it is known whether there is room for it, so that nobody waits for its writing.
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

impl RouterLog for Outbox {
    fn line(&self, app: &AppId, line: &RouterLine<'_>) {
        TEXT.with_borrow_mut(|text| {
            text.clear();
            // A string takes whatever is written.
            let _written = write!(text, "{line}");
            self.put(app, SystemTime::now(), text);
        });
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn put(outbox: &Outbox, text: &str) {
        outbox.put(&AppId(uuid::Uuid::nil()), SystemTime::UNIX_EPOCH, text);
    }

    fn texts(batch: &Batch) -> Vec<String> {
        lines::read(&batch.bytes).unwrap().into_iter().map(|(_, _, text)| text).collect()
    }

    #[test]
    fn a_line_waits_until_it_was_heard() {
        let outbox = Outbox::default();
        let first = outbox.attend();
        put(&outbox, "a");
        put(&outbox, "b");
        let batch = outbox.batch(first, 0).unwrap();
        assert_eq!((batch.first, batch.next, texts(&batch)), (0, 2, vec!["a".to_owned(), "b".to_owned()]));
        put(&outbox, "c");
        let second = outbox.attend();
        assert_eq!(outbox.batch(first, 0), None, "another takes them now");
        assert_eq!(outbox.batch(second, 0), Some(batch), "nobody has said that they were heard");
        outbox.heard(1);
        let batch = outbox.batch(second, 1).unwrap();
        assert_eq!((batch.first, batch.next, texts(&batch)), (1, 2, vec!["b".to_owned()]));
        outbox.heard(2);
        let batch = outbox.batch(second, 2).unwrap();
        assert_eq!((batch.first, texts(&batch)), (2, vec!["c".to_owned()]));
        outbox.heard(9);
        outbox.drain(Duration::from_secs(60));
        outbox.leave(second);
        assert_eq!(outbox.batch(second, 3), None);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let outbox = Outbox::default();
        let taker = outbox.attend();
        let long = "x".repeat(BYTES_MAX / 2 - 100);
        for _ in 0..4 {
            put(&outbox, &long);
        }
        let batch = outbox.batch(taker, 0).unwrap();
        assert_eq!((batch.first, batch.next, batch.lost), (0, 1, 2), "as large as it is, a line goes");
        outbox.heard(2);
        for _ in 0..LINES_MAX + 5 {
            put(&outbox, "");
        }
        let batch = outbox.batch(taker, 2).unwrap();
        assert_eq!((batch.first, texts(&batch).len(), batch.lost), (2, BATCH_LINES_MAX, 7));
        outbox.heard(2 + u64::try_from(LINES_MAX).unwrap());
        assert_eq!(outbox.lock().bytes, 0);
    }
}
