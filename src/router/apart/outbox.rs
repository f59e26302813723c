//! Lines that wait for the control plane to put them into their logs.
//!
//! A line stays until the other end says that it is in its log, so a control plane that dies loses none; one that dies between
//! writing and saying so has some of them twice. When there is no more room, because nobody has come for long, the newest are lost,
//! and counted.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::domain::AppId;
use crate::router::apart::frame::LineRecord;
use crate::router::observe::RouterLog;
use crate::wire::router_line::RouterLine;

/// The most lines that wait.
const LINES_MAX: usize = 100_000;
/// The most bytes of text in them.
const BYTES_MAX: usize = 32 << 20;
/// The most lines that go at once.
const BATCH_LINES_MAX: usize = 1000;

/// The lines that wait; see the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<LineRecord>,
    bytes: usize,
    /// The number of the first line that waits.
    first: u64,
    lost: u64,
    /// Who may take lines: the one that came last.
    taker: u64,
}

/// Lines to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// The number of the first.
    pub(super) first: u64,
    /// Lines that were lost so far.
    pub(super) lost: u64,
    /// The lines; never empty.
    pub(super) lines: Vec<LineRecord>,
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
        while queue.taker == taker && (queue.first < from || queue.lines.is_empty()) {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let lines = || queue.lines.iter().take(BATCH_LINES_MAX).cloned().collect();
        (queue.taker == taker).then(|| Batch { first: queue.first, lost: queue.lost, lines: lines() })
    }

    /// All lines below `next` are in their logs.
    pub(super) fn heard(&self, next: u64) {
        let mut queue = self.lock();
        while queue.first < next {
            let Some(line) = queue.lines.pop_front() else { break };
            queue.bytes -= line.text.len();
            queue.first += 1;
        }
        self.changed.notify_all();
    }

    /// Waits until all lines are heard, at most so long.
    pub(super) fn drain(&self, limit: Duration) {
        let waits = |queue: &mut Queue| !queue.lines.is_empty();
        // Late or not, there is nothing else to wait for.
        drop(self.changed.wait_timeout_while(self.lock(), limit, waits));
    }

    fn put(&self, line: LineRecord) {
        let mut queue = self.lock();
        if queue.lines.len() >= LINES_MAX || queue.bytes + line.text.len() > BYTES_MAX {
            queue.lost += 1;
            return;
        }
        queue.bytes += line.text.len();
        queue.lines.push_back(line);
        // Whoever takes lines sleeps only while there are none.
        if queue.lines.len() == 1 {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RouterLog for Outbox {
    fn line(&self, app: &AppId, line: RouterLine) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.put(LineRecord { app: app.0, at_us, text: line.to_string() });
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn line(text: &str) -> LineRecord {
        LineRecord { app: uuid::Uuid::nil(), at_us: 1, text: text.to_owned() }
    }

    #[test]
    fn a_line_waits_until_it_was_heard() {
        let outbox = Outbox::default();
        let first = outbox.attend();
        outbox.put(line("a"));
        outbox.put(line("b"));
        let batch = outbox.batch(first, 0).unwrap();
        assert_eq!((batch.first, batch.lines), (0, vec![line("a"), line("b")]));
        let second = outbox.attend();
        assert_eq!(outbox.batch(first, 0), None, "another takes them now");
        assert_eq!(outbox.batch(second, 0).unwrap().lines.len(), 2, "nobody has said that they were heard");
        outbox.heard(1);
        let batch = outbox.batch(second, 1).unwrap();
        assert_eq!((batch.first, batch.lines), (1, vec![line("b")]));
        outbox.heard(2);
        outbox.drain(Duration::from_secs(60));
        outbox.leave(second);
        assert_eq!(outbox.batch(second, 2), None);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let outbox = Outbox::default();
        let taker = outbox.attend();
        let long = "x".repeat(BYTES_MAX / 2);
        for _ in 0..4 {
            outbox.put(line(&long));
        }
        let batch = outbox.batch(taker, 0).unwrap();
        assert_eq!((batch.lines.len(), batch.lost), (2, 2));
        outbox.heard(2);
        for _ in 0..LINES_MAX + 5 {
            outbox.put(line(""));
        }
        let batch = outbox.batch(taker, 2).unwrap();
        assert_eq!((batch.first, batch.lines.len(), batch.lost), (2, BATCH_LINES_MAX, 7));
    }
}
