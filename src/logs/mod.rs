//! The log service: ingest, buffer, store, tail, drain.
//!
//! ```text
//! push ─────────try──┐                       ┌─► segment files (compressed, bounded; reloaded at start) ─► drains
//! follow_ring ─wait──┴─► bounded queue ─► writer thread ─► last 1500 lines ─► sessions: history, then tail
//! ```
//!
//! What it is not: a place where anybody waits. A full queue drops lines and counts them; a slow tail loses lines and is
//! told so; a dyno that writes faster than is collected loses lines in its own ring. Each loss is a line in the log.
//!
//! - A line is in a file (the page cache: safe from a killed process) before any session or any ring's reader moves on.
//! - Lines of one source keep their order; those of different sources are merged by arrival.

mod drain;
mod error;
mod follow;
mod kept;
mod search;
mod segments;
mod session;
mod writer;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::domain::{AppId, Drain};
use crate::logs::drain::{Drains, Origin};
use crate::sys::clock;
use crate::wire::logline::LogLine;

pub use drain::{AddressError, DeliverError, Receivers, Tls, Trust, addresses};
pub use error::LogError;
pub use follow::{FollowHandle, Followed, FollowedFrom, LAST_LINE_BYTES_MAX, LAST_LINES_MAX};
pub use kept::{KEPT_BYTES_MAX, Keeping, KeptOutput, OutputStream, read_kept};
pub use search::SEARCH_LINES_MAX;
pub use session::{Begin, Filter, SessionLine, Tail};

/// Lines kept of each app, all sources together (platform reference 5.2).
pub const HISTORY_LINES: usize = 1500;
/// Longest message, bytes; a longer one is cut into several lines (platform reference 5.2).
pub const MESSAGE_BYTES_MAX: usize = 10_000;
/// Messages waiting for the writer; when full, pushed lines are dropped and counted.
const QUEUE_MESSAGES_MAX: usize = 8192;
/// Lines waiting for one tail session; a slower reader loses lines and is told (platform reference 5.3).
const TAIL_QUEUE_LINES: usize = 1024;

/// The log of every app on the node. Clones share it.
#[derive(Clone, Debug)]
pub struct LogService {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Message>,
    dir: PathBuf,
    /// Since when this process has the log.
    opened: SystemTime,
    doorbells: Arc<follow::Doorbells>,
    drains: Arc<Drains>,
    kept: Arc<kept::Kept>,
}

/// What is counted: lines, since the service was opened, of all apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Brought into memory, and into a file unless the disk fails.
    Written,
    /// Dropped because the queue was full.
    QueueLost,
    /// Dropped where a dyno runs.
    DynoLost,
    /// Not shown by a tail session whose reader was slow.
    TailLost,
    /// Taken by the receiver of a drain; each drain counts.
    Drained,
    /// Never to be taken by the receiver of a drain.
    DrainLost,
}

impl Counter {
    const COUNT: usize = 6;
}

/// What the writer is asked to do.
#[derive(Debug)]
enum Message {
    /// Add lines, then answer if someone waits.
    Lines { app: AppId, lines: Vec<LogLine>, written: Option<oneshot::Sender<()>> },
    /// Drop everything of an app.
    Forget { app: AppId },
    /// Answer when all before this is done.
    Flush { done: oneshot::Sender<()> },
}

/// What sessions read and the writer writes.
#[derive(Debug, Default)]
struct Shared {
    apps: Mutex<HashMap<AppId, AppLog>>,
    dropped: Mutex<HashMap<AppId, Dropped>>,
    counts: [AtomicU64; Counter::COUNT],
}

/// Lines of one app that found the queue full.
#[derive(Debug)]
struct Dropped {
    count: u64,
    since: SystemTime,
}

/// One app's memory.
#[derive(Debug)]
struct AppLog {
    lines: VecDeque<Arc<LogLine>>,
    /// The number of the next line; the lines of an app are numbered without a gap.
    next: u64,
    tail: broadcast::Sender<(u64, Arc<LogLine>)>,
    /// `next` for those who read files: every line before it is in one, or never will be.
    written: watch::Sender<u64>,
}

// === impl AppLog ===

impl AppLog {
    fn new(lines: VecDeque<Arc<LogLine>>, next: u64) -> Self {
        let tail = broadcast::Sender::new(TAIL_QUEUE_LINES);
        Self { lines, next, tail, written: watch::Sender::new(next) }
    }

    fn add_all(&mut self, lines: Vec<LogLine>) {
        lines.into_iter().for_each(|line| self.add(line));
        self.written.send_replace(self.next);
    }

    fn add(&mut self, line: LogLine) {
        let line = Arc::new(line);
        if self.lines.len() == HISTORY_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Arc::clone(&line));
        // Fails when nobody tails, which is the usual case.
        let _ = self.tail.send((self.next, line));
        self.next += 1;
    }
}

// === impl Shared ===

impl Shared {
    /// Runs `read` on an app's memory, made if there is none. Held only for memory work, never for input or output.
    fn with_app<T>(&self, app: AppId, read: impl FnOnce(&mut AppLog) -> T) -> T {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        read(apps.entry(app).or_insert_with(|| AppLog::new(VecDeque::new(), segments::FIRST_LINE)))
    }

    fn count_dropped(&self, app: AppId, count: u64) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.entry(app).or_insert_with(|| Dropped { count: 0, since: clock::now() }).count += count;
        self.count(Counter::QueueLost, count);
    }

    fn count(&self, counter: Counter, lines: u64) {
        self.counts[counter as usize].fetch_add(lines, Ordering::Relaxed);
    }

    fn take_dropped(&self) -> HashMap<AppId, Dropped> {
        std::mem::take(&mut *self.dropped.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl LogService ===

impl LogService {
    /// Opens the logs under `dir`, one directory an app, and reloads the last [`HISTORY_LINES`] of each. A line torn by
    /// a crash is left out. Drains lead to the public Internet, to receivers that this host trusts.
    ///
    /// # Errors
    /// The directory cannot be made or read, or no thread can be started.
    pub fn open(dir: PathBuf) -> Result<Self, LogError> {
        Self::open_with(dir, Receivers::default())
    }

    /// As [`Self::open`]; drains lead to `receivers`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(dir: PathBuf, receivers: Receivers) -> Result<Self, LogError> {
        let mut apps = HashMap::new();
        for loaded in segments::load_all(&dir, HISTORY_LINES)? {
            let lines = loaded.lines.into_iter().map(Arc::new).collect();
            apps.insert(loaded.app, AppLog::new(lines, loaded.next));
        }
        let shared = Arc::new(Shared { apps: Mutex::new(apps), ..Shared::default() });
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let drains = Arc::new(Drains::new(dir.clone(), receivers));
        writer::start(dir.clone(), Arc::clone(&shared), messages)?;
        let (opened, doorbells) = (clock::now(), follow::Doorbells::start()?);
        Ok(Self { shared, queue, dir, opened, doorbells, drains, kept: Arc::default() })
    }

    /// Adds a line to an app's log. Never waits: a line that finds the queue full is dropped, and the log says so.
    pub fn push(&self, app: AppId, line: LogLine) {
        let message = Message::Lines { app, lines: cut(line), written: None };
        if self.queue.try_send(message).is_err() {
            self.shared.count_dropped(app, 1);
        }
    }

    /// Drains the ring at `ring` into `app`'s log as output of the dyno `ps`, from where its last reader stopped, until
    /// [`FollowHandle::finish`]. Must be called on the async runtime.
    #[must_use]
    pub fn follow_ring(&self, app: AppId, ps: String, ring: PathBuf) -> FollowHandle {
        follow::start(self.clone(), follow::Target { app, ps, ring })
    }

    /// Keeps the output of the dyno `ps` in the file at `path` as well, from its first line if this is called before the
    /// dyno is started or taken over, until what is returned is dropped.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn keep(&self, app: AppId, ps: String, path: &Path) -> Result<Keeping, LogError> {
        self.kept.keep(app, ps, path)
    }

    /// The last `lines` lines that `filter` lets through, and with [`Tail::Follow`] those that come after, without end.
    #[must_use]
    pub fn session(
        &self,
        app: AppId,
        filter: Filter,
        lines: usize,
        tail: Tail,
    ) -> BoxStream<'static, LogLine> {
        self.numbered_session(app, filter, Begin::Newest(lines), tail).map(|shown| shown.line).boxed()
    }

    /// As [`Self::session`], with the lines' numbers. A filter that searches looks through the files, too.
    #[must_use]
    pub fn numbered_session(
        &self,
        app: AppId,
        filter: Filter,
        begin: Begin,
        tail: Tail,
    ) -> BoxStream<'static, SessionLine> {
        let searched = matches!(begin, Begin::Newest(_)) && filter.is_search();
        // In one hold of the lock, so that no line falls between history and tail, and none is shown twice.
        let (history, end, follow) = self.shared.with_app(app, |log| {
            let history = if searched { Vec::new() } else { log.history(&filter, begin) };
            let follow = (tail == Tail::Follow).then(|| log.follow(filter.clone(), Arc::clone(&self.shared)));
            (history, log.next, follow)
        });
        let history = match begin {
            Begin::Newest(count) if searched => self.found((app, end), filter, count),
            Begin::Newest(_) | Begin::After(_) => session::ready(history),
        };
        match follow {
            Some(follow) => history.chain(follow).boxed(),
            None => history,
        }
    }

    /// What a search finds before the line `end`, once it is asked for.
    fn found(
        &self,
        (app, end): (AppId, u64),
        filter: Filter,
        count: usize,
    ) -> BoxStream<'static, SessionLine> {
        let dir = self.dir.clone();
        let found = async move {
            let search =
                tokio::task::spawn_blocking(move || search::search(&dir, (app, end), &filter, count));
            match search.await {
                Ok(Ok(found)) => found,
                Ok(Err(failed)) => {
                    tracing::error!(%app, %failed, "a log cannot be searched");
                    vec![SessionLine { number: None, line: LogLine::unavailable(clock::now()) }]
                }
                // The process is ending.
                Err(_) => Vec::new(),
            }
        };
        stream::once(found).flat_map(stream::iter).boxed()
    }

    /// Sends the lines of `app` to these places and no other, from now on, or from where a drain stopped that is known
    /// from an earlier process. One caller at a time for an app; must be called on the async runtime.
    ///
    /// # Errors
    /// The files that keep how far drains have come fail.
    pub async fn set_drains(&self, app: AppId, drains: Vec<Drain>) -> Result<(), LogError> {
        let origin = || Origin {
            written: self.shared.with_app(app, |log| log.written.subscribe()),
            queue: self.queue.downgrade(),
            shared: Arc::downgrade(&self.shared),
        };
        self.drains.set(app, drains, origin).await
    }

    /// The apps that have a log.
    #[must_use]
    pub fn apps(&self) -> BTreeSet<AppId> {
        self.shared.apps.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Drops an app's log, on disk and in memory, and ends its sessions and drains.
    pub fn forget(&self, app: AppId) {
        self.drains.forget(app);
        let queue = self.queue.clone();
        if let Err(mpsc::error::TrySendError::Full(message)) = queue.try_send(Message::Forget { app }) {
            // Unlike a line this must not be lost; a thread of its own waits for room.
            std::thread::spawn(move || queue.blocking_send(message));
        }
    }

    /// Waits until every line pushed so far is in its file.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.queue.send(Message::Flush { done }).await.is_ok() {
            // The writer outlives its queue, so an answer always comes.
            let _ = flushed.await;
        }
    }

    /// So many lines since the service was opened, of all apps.
    #[must_use]
    pub fn counted(&self, counter: Counter) -> u64 {
        self.shared.counts[counter as usize].load(Ordering::Relaxed)
    }

    /// Adds lines and waits until they are in their file.
    async fn write(&self, app: AppId, lines: Vec<LogLine>) -> Result<(), LogError> {
        let (written, done) = oneshot::channel();
        let message = Message::Lines { app, lines, written: Some(written) };
        self.queue.send(message).await.map_err(|_| LogError::Closed)?;
        done.await.map_err(|_| LogError::Closed)
    }
}

/// One line for each line feed, and no message over the limit. An empty message stays a line.
fn cut(line: LogLine) -> Vec<LogLine> {
    if line.message.len() <= MESSAGE_BYTES_MAX && !line.message.contains(&b'\n') {
        return vec![line];
    }
    let part = |message: &[u8]| LogLine { message: message.to_vec(), ps: line.ps.clone(), ..line };
    let mut parts = Vec::new();
    for message in line.message.split(|byte| *byte == b'\n') {
        if message.is_empty() {
            parts.push(part(message));
        }
        parts.extend(message.chunks(MESSAGE_BYTES_MAX).map(part));
    }
    parts
}

#[cfg(test)]
mod test;
