//! Lines gathered for one sending, and the count of those that never will be sent.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::domain::AppId;
use crate::logs::LogError;
use crate::logs::segments::{Item, Reader};
use crate::sys::clock;
use crate::wire::logline::{DroppedLine, LogLine};

/// Messages of one batch, bytes; one more line may reach beyond (platform reference 5.4).
const BATCH_BYTES_MAX: usize = 102_400;
/// How long lines gather before the first of them is sent, milliseconds: a burst becomes one batch.
const GATHER_MS: u64 = 50;
/// The pause after files that could not be read, seconds.
const READ_PAUSE_S: u64 = 5;

/// Lines that are sent together.
#[derive(Debug)]
pub(super) struct Batch {
    /// The lines, and before them a notice if some were lost.
    pub(super) lines: Vec<LogLine>,
    /// How many lines of the app are gone if this batch is.
    pub(super) count: u64,
    /// Lines that were found lost while it was gathered.
    pub(super) lost: u64,
    /// The number after the last line in it.
    pub(super) end: u64,
}

/// An app's lines from a position on.
pub(super) struct Source {
    /// Taken away while a thread reads.
    reader: Option<Reader>,
    next: u64,
    written: watch::Receiver<u64>,
    lost: Option<Lost>,
}

/// Lines that the receiver has not been told of.
#[derive(Clone, Copy, Debug)]
struct Lost {
    count: u64,
    since: SystemTime,
}

// === impl Source ===

impl Source {
    pub(super) fn new(dir: &Path, app: AppId, next: u64, written: watch::Receiver<u64>) -> Self {
        Self { reader: Some(Reader::new(dir, app, next)), next, written, lost: None }
    }

    /// Waits for lines. None when there will be none: the app is gone, or the process ends.
    pub(super) async fn gather(&mut self) -> Option<Batch> {
        loop {
            if *self.written.borrow() <= self.next {
                let next = self.next;
                self.written.wait_for(|written| *written > next).await.ok()?;
                tokio::time::sleep(Duration::from_millis(GATHER_MS)).await;
            }
            let end = *self.written.borrow();
            let mut reader = self.reader.take()?;
            let read = tokio::task::spawn_blocking(move || (read(&mut reader, end), reader)).await;
            let (read, reader) = read.ok()?;
            self.next = reader.next();
            self.reader = Some(reader);
            match read {
                Ok(read) => return Some(self.batch(read)),
                Err(failed) => {
                    tracing::warn!(%failed, "a drain waits for its lines");
                    tokio::time::sleep(Duration::from_secs(READ_PAUSE_S)).await;
                }
            }
        }
    }

    /// The receiver has taken the last batch, and knows of every loss.
    pub(super) fn taken(&mut self) {
        self.lost = None;
    }

    /// `count` lines will never be sent.
    pub(super) fn lose(&mut self, count: u64) {
        if count > 0 {
            self.lost.get_or_insert_with(|| Lost { count: 0, since: clock::now() }).count += count;
        }
    }

    fn batch(&mut self, Read { mut lines, lost }: Read) -> Batch {
        self.lose(lost);
        let count = lines.len() as u64;
        if let Some(Lost { count, since }) = self.lost {
            lines.insert(0, LogLine::dropped(clock::now(), &DroppedLine::Buffer { count, since }));
        }
        Batch { lines, count, lost, end: self.next }
    }
}

struct Read {
    lines: Vec<LogLine>,
    lost: u64,
}

fn read(reader: &mut Reader, end: u64) -> Result<Read, LogError> {
    let mut read = Read { lines: Vec::new(), lost: 0 };
    let mut bytes = 0;
    while bytes < BATCH_BYTES_MAX
        && let Some(item) = reader.read(end)?
    {
        match item {
            Item::Line(line) => {
                bytes += line.message.len() + LINE_OVERHEAD_BYTES;
                read.lines.push(line);
            }
            Item::Lost(lost) => read.lost += lost,
        }
    }
    Ok(read)
}

/// What a frame has besides its message, bytes: length, priority, time, token, origin.
const LINE_OVERHEAD_BYTES: usize = 100;
