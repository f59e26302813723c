//! Following a container's ring: its lines become the app's log, each once.
//!
//! The ring keeps how far it was read, and that is moved on only after the lines are in a file. A process killed between
//! the two would show its last lines again, so a follower first skips lines at the front of the ring that are known. Those
//! may be many more than are in memory: it looks for them in the files.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::domain::AppId;
use crate::logs::{Counter, LogError, LogService, segments};
use crate::sys::clock;
use crate::sys::ring::{Batch, Reader};
use crate::sys::watch::{Watched, Watcher};
use crate::wire::logline::{DroppedLine, LogLine};

/// How often a ring is looked at though nobody rang, milliseconds: inotify drops events when its queue is full.
const POLL_MS: u64 = 1000;
/// Lines kept of what a dyno has said last.
pub const LAST_LINES_MAX: usize = 50;
/// Bytes kept of each of these lines.
pub const LAST_LINE_BYTES_MAX: usize = 4000;
/// How long the doorbells' thread waits before it looks whether the service still lives, milliseconds.
const DOORBELLS_WAIT_MS: u16 = 1000;

/// What is followed.
pub(super) struct Target {
    pub(super) app: AppId,
    pub(super) ps: String,
    pub(super) ring: PathBuf,
}

/// A ring being drained. Dropping it stops the draining; the ring keeps the rest for a later follower.
#[derive(Debug)]
pub struct FollowHandle {
    stop: watch::Sender<Stop>,
    task: JoinHandle<Followed>,
}

/// What a dyno has said last, of all that this process has seen of its ring. The log has the lines as well, mixed with those
/// of others of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// The newest [`LAST_LINES_MAX`] lines, oldest first, each cut after [`LAST_LINE_BYTES_MAX`] bytes.
    pub last: Vec<LogLine>,
    /// From where on.
    pub from: FollowedFrom,
}

/// Where following a ring began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FollowedFrom {
    /// At the dyno's first line.
    #[default]
    First,
    /// Behind lines that an earlier process has seen.
    Later,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Wait for more lines.
    Never,
    /// Drain what there is, then end.
    WhenEmpty,
}

// === impl FollowHandle ===

impl FollowHandle {
    /// Drains what is left and ends; says what was said last. To be called when the container has exited.
    pub async fn finish(mut self) -> Followed {
        self.stop.send_replace(Stop::WhenEmpty);
        // The task neither panics nor is aborted while we hold it.
        (&mut self.task).await.unwrap_or_default()
    }
}

impl Drop for FollowHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn start(service: LogService, target: Target) -> FollowHandle {
    let (stop, stopping) = watch::channel(Stop::Never);
    let task = tokio::spawn(async move {
        let mut last = LastLines::default();
        if let Err(failed) = follow(&service, &target, stopping, &mut last).await {
            let ring = target.ring.display();
            tracing::warn!(app = %target.app, ps = target.ps, %ring, %failed, "a dyno's output is lost");
            // How many lines a damaged ring holds nobody knows; there was one at least, or nothing were amiss.
            let now = clock::now();
            let told = DroppedLine::Delivery { count: 1, since: now };
            service.push(target.app, LogLine::dropped(now, &told));
        }
        Followed { last: last.lines.into(), from: last.from }
    });
    FollowHandle { stop, task }
}

async fn follow(
    service: &LogService,
    target: &Target,
    mut stopping: watch::Receiver<Stop>,
    last: &mut LastLines,
) -> Result<(), LogError> {
    let failed = |source| LogError::File { attempt: "read", path: target.ring.clone(), source };
    let mut reader = Reader::open(&target.ring).map_err(failed)?;
    last.from = if reader.is_at_first() { FollowedFrom::First } else { FollowedFrom::Later };
    let kept = service.kept.of(target.app, &target.ps);
    let mut is_first = true;
    let (mut doorbell, mut has_asked) = (None, false);
    loop {
        // Seen before the read: what was written before the container ended is then in this read or a later one.
        let stop = *stopping.borrow_and_update();
        let batch = reader.read().map_err(failed)?;
        if batch.records.is_empty() && batch.dropped == 0 {
            if stop == Stop::WhenEmpty {
                return Ok(());
            }
            let bell = doorbell.get_or_insert_with(|| service.doorbells.hang(&target.ring));
            // In this order, and then a further read, so that no write falls between any two of them.
            if !std::mem::replace(&mut has_asked, true) {
                reader.ask_for_bell();
                continue;
            }
            has_asked = false;
            let pause = Duration::from_millis(POLL_MS);
            tokio::select! {
                // It rings once.
                () = bell.rung() => doorbell = None,
                () = tokio::time::sleep(pause) => {}
                changed = stopping.changed() => if changed.is_err() { return Ok(()) },
            }
            continue;
        }
        has_asked = false;
        service.shared.count(Counter::DynoLost, batch.dropped);
        let known = match batch.records.first() {
            // All that a reader had not committed when it ended is in the first batch of the next.
            Some(record) if std::mem::take(&mut is_first) => known_lines(service, target, record.at).await?,
            Some(_) | None => Known::new(),
        };
        last.take(&batch, target);
        let lines = lines_of(batch, target, known);
        // First, so that no line that the log knows is missing there.
        if let Some(kept) = &kept {
            kept.append(lines.iter().map(|line| line.message.as_slice()));
        }
        service.write(target.app, lines).await?;
        reader.commit();
    }
}

/// The newest lines of a ring.
#[derive(Default)]
struct LastLines {
    lines: VecDeque<LogLine>,
    from: FollowedFrom,
}

impl LastLines {
    fn take(&mut self, batch: &Batch, target: &Target) {
        let older = batch.records.len().saturating_sub(LAST_LINES_MAX);
        for record in batch.records.iter().skip(older) {
            if self.lines.len() == LAST_LINES_MAX {
                self.lines.pop_front();
            }
            let kept = record.line.get(..LAST_LINE_BYTES_MAX).unwrap_or(&record.line);
            self.lines.push_back(LogLine::output(record.at, target.ps.clone(), kept.to_vec()));
        }
    }
}

/// Lines as they stand in the files, and how many there are of each: a dyno may say the same twice in one breath.
type Known = HashMap<Vec<u8>, u32>;

/// What the files already have of what this dyno has said at `since` or later, before this process had the log. They are read
/// as bytes: whoever is killed again and again must get further each time.
async fn known_lines(service: &LogService, target: &Target, since: SystemTime) -> Result<Known, LogError> {
    if since >= service.opened {
        return Ok(Known::new());
    }
    let first = LogLine::output(since, target.ps.clone(), Vec::new()).to_bytes();
    let (dir, app) = (service.dir.clone(), target.app);
    let read = move || {
        let mut known = Known::new();
        // Times are all of one length, and sort as they read.
        let (time, origin) = first.split_at(first.iter().position(|byte| *byte == b' ').unwrap_or_default());
        let origin = origin.trim_ascii_end();
        segments::each_line_since(&dir, app, since, |line| {
            if line.get(..time.len()).is_some_and(|at| at >= time)
                && line.get(time.len()..).is_some_and(|rest| rest.starts_with(origin))
            {
                *known.entry(line.to_vec()).or_default() += 1;
            }
        })
        .map(|()| known)
    };
    // The process is ending where they were not read.
    let known = tokio::task::spawn_blocking(read).await.map_err(|_| LogError::Closed)?;
    Ok(known.unwrap_or_else(|failed| {
        tracing::warn!(%app, %failed, "lines that are in the log already may be told again");
        Known::new()
    }))
}

fn lines_of(batch: Batch, target: &Target, mut known: Known) -> Vec<LogLine> {
    let mut is_known = |line: &LogLine| {
        let left = (!known.is_empty()).then(|| known.get_mut(&line.to_bytes())).flatten();
        left.is_some_and(|left| left.checked_sub(1).map(|less| *left = less).is_some())
    };
    let mut lines: Vec<_> = batch
        .records
        .into_iter()
        .map(|record| LogLine::output(record.at, target.ps.clone(), record.line))
        .skip_while(|line| is_known(line))
        .collect();
    if batch.dropped > 0 {
        let since = lines.last().map_or_else(clock::now, |line| line.at);
        let told = DroppedLine::Dyno { count: batch.dropped, since };
        lines.push(LogLine::dropped(clock::now(), &told));
    }
    lines
}

/// Wakes followers when their ring is written to: one inotify instance and one thread for all rings.
#[derive(Debug)]
pub(super) struct Doorbells {
    watcher: Watcher,
    bells: Mutex<HashMap<Watched, Arc<Notify>>>,
}

/// A follower's bell, which rings once, and is taken down when dropped.
struct Doorbell<'a> {
    doorbells: &'a Doorbells,
    hung: Option<(Watched, Arc<Notify>)>,
}

// === impl Doorbells ===

impl Doorbells {
    /// Starts the thread, which ends soon after the last handle of the service is gone.
    pub(super) fn start() -> Result<Arc<Self>, LogError> {
        let attempt = |source| LogError::Start { part: "file watcher", source };
        let watcher = Watcher::new().map_err(attempt)?;
        let doorbells = Arc::new(Self { watcher, bells: Mutex::default() });
        let weak = Arc::downgrade(&doorbells);
        let ring_them = move || {
            while let Some(doorbells) = weak.upgrade() {
                doorbells.ring_once();
            }
        };
        std::thread::Builder::new().name("log-doorbells".to_owned()).spawn(ring_them).map_err(attempt)?;
        Ok(doorbells)
    }

    fn ring_once(&self) {
        let Ok(written) = self.watcher.wait(DOORBELLS_WAIT_MS) else {
            // Followers go on with their slow polls.
            std::thread::sleep(Duration::from_millis(DOORBELLS_WAIT_MS.into()));
            return;
        };
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        for bell in written.iter().filter_map(|watched| bells.get(watched)) {
            bell.notify_one();
        }
    }

    fn hang(&self, ring: &std::path::Path) -> Doorbell<'_> {
        let bell = Arc::new(Notify::new());
        // Held while adding, so that no event of this watch is looked up before its bell hangs.
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        let hung = self.watcher.add(ring).ok().map(|watched| {
            bells.insert(watched, Arc::clone(&bell));
            (watched, bell)
        });
        Doorbell { doorbells: self, hung }
    }
}

// === impl Doorbell ===

impl Doorbell<'_> {
    /// Waits for a ring; without a watch, for ever.
    async fn rung(&self) {
        match &self.hung {
            Some((_, bell)) => bell.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Doorbell<'_> {
    fn drop(&mut self) {
        if let Some((watched, _)) = &self.hung {
            self.doorbells.bells.lock().unwrap_or_else(PoisonError::into_inner).remove(watched);
            self.doorbells.watcher.remove(*watched);
        }
    }
}
