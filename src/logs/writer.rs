//! The one writer: takes messages from the queue, brings lines into files, then into memory and to the tails.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::domain::AppId;
use crate::logs::segments::{self, Keeper, Segments};
use crate::logs::{Counter, LogError, Message, Shared};
use crate::sys::clock;
use crate::wire::logline::{DroppedLine, LogLine};

/// Messages taken from the queue at once, so that a burst costs one write an app.
const BATCH_MESSAGES_MAX: usize = 512;

/// Starts the writer's thread. It ends when the last handle of the service is gone and the queue is empty.
pub(super) fn start(
    dir: PathBuf,
    shared: Arc<Shared>,
    messages: mpsc::Receiver<Message>,
) -> Result<(), LogError> {
    let keeper = Keeper::start(dir.clone())?;
    let writer = Writer { dir, keeper, shared, open: HashMap::new() };
    std::thread::Builder::new()
        .name("logs".to_owned())
        .spawn(move || writer.run(messages))
        .map(drop)
        .map_err(|source| LogError::Start { part: "writer", source })
}

struct Writer {
    dir: PathBuf,
    keeper: Keeper,
    shared: Arc<Shared>,
    open: HashMap<AppId, Result<Segments, Broken>>,
}

/// An app whose files fail: told once, tried again with every batch.
struct Broken;

/// What one batch brings.
#[derive(Default)]
struct Batch {
    lines: HashMap<AppId, Vec<LogLine>>,
    waiting: Vec<oneshot::Sender<()>>,
}

// === impl Writer ===

impl Writer {
    fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut taken = Vec::with_capacity(BATCH_MESSAGES_MAX);
        while messages.blocking_recv_many(&mut taken, BATCH_MESSAGES_MAX) > 0 {
            let mut batch = Batch::default();
            for message in taken.drain(..) {
                match message {
                    Message::Lines { app, lines, written } => {
                        batch.lines.entry(app).or_default().extend(lines);
                        batch.waiting.extend(written);
                    }
                    Message::Flush { done } => batch.waiting.push(done),
                    Message::Forget { app } => {
                        // What came before goes with it, what comes after begins anew.
                        batch.lines.remove(&app);
                        self.forget(app);
                    }
                }
            }
            self.write(batch);
        }
    }

    fn write(&mut self, mut batch: Batch) {
        for (app, dropped) in self.shared.take_dropped() {
            let told = DroppedLine::Buffer { count: dropped.count, since: dropped.since };
            batch.lines.entry(app).or_default().push(LogLine::dropped(clock::now(), &told));
        }
        for (app, lines) in batch.lines {
            self.append(app, &lines);
            self.shared.count(Counter::Written, lines.len() as u64);
            self.shared.with_app(app, |log| log.add_all(lines));
        }
        for waiting in batch.waiting {
            // Whoever asked may have gone.
            let _ = waiting.send(());
        }
    }

    /// Appends to the app's files. When they fail, its lines live in memory alone, which its tails still see.
    fn append(&mut self, app: AppId, lines: &[LogLine]) {
        let bytes = LogLine::all_to_bytes(lines);
        let number = self.shared.with_app(app, |log| log.next);
        let was_broken = matches!(self.open.get(&app), Some(Err(Broken)));
        let open = match self.open.remove(&app) {
            Some(Ok(segments)) => Ok(segments),
            Some(Err(Broken)) | None => Segments::open(&self.dir, app, self.keeper.clone()),
        };
        let result =
            open.and_then(|mut segments| segments.append(number, &bytes, lines.len()).map(|()| segments));
        if let (Err(failed), false) = (&result, was_broken) {
            let cause = std::error::Error::source(failed).map(ToString::to_string).unwrap_or_default();
            tracing::error!(%app, %failed, cause, "log lines are kept in memory only");
        }
        self.open.insert(app, result.map_err(|_| Broken));
    }

    fn forget(&mut self, app: AppId) {
        self.open.remove(&app);
        self.shared.apps.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&app);
        let _nothing_is_made_meanwhile = self.keeper.pause();
        if let Err(failed) = segments::remove(&self.dir, app) {
            tracing::error!(%app, %failed, "a forgotten log stays on disk");
        }
    }
}
