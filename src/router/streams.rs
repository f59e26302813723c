//! The streams of a client's HTTP/2 connection: how many are open, and a watch over those whose client does not take its answer.
//!
//! The server asks an answer's body for more only when the client's window has room. A client that never makes room would hold
//! its dyno for as long as it likes, and nothing under TLS would show it: other streams of the connection may well go on.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::router::client::Client;
use crate::router::serve::Shared;

tokio::task_local! {
    static CURRENT: Arc<Stream>;
}

/// One stream, as its answer's body and its watch see it.
#[derive(Debug)]
pub(super) struct Stream {
    began: Instant,
    /// Milliseconds since then, and one: when the body gave something that the client has not taken yet. Zero where it has.
    given: AtomicU64,
    is_stalled: AtomicBool,
}

/// The streams of one connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: AtomicUsize,
    changed: Notify,
}

/// Runs what the server does for each stream.
#[derive(Clone)]
pub(super) struct StreamTasks {
    /// What they are tracked by.
    pub(super) shared: Arc<Shared>,
    /// Whose they are.
    pub(super) client: Arc<Client>,
    /// Where they are counted.
    pub(super) streams: Arc<Streams>,
}

/// One open stream; over when dropped.
struct Open(Arc<Streams>);

// === impl Stream ===

impl Stream {
    fn new() -> Self {
        Self { began: Instant::now(), given: AtomicU64::new(0), is_stalled: AtomicBool::new(false) }
    }

    /// The stream that is being served, where the client speaks HTTP/2.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// The body gives something.
    pub(super) fn gives(&self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.given.store(ms + 1, Ordering::Relaxed);
    }

    /// The body is asked for more: what it gave has been taken.
    pub(super) fn is_asked(&self) {
        self.given.store(0, Ordering::Relaxed);
    }

    /// Whether its client has taken nothing for too long.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled.load(Ordering::Relaxed)
    }

    /// Waits until the client has taken nothing for as long as it may.
    async fn stalls(&self, client: &Client) {
        loop {
            let patience = client.patience();
            let given = self.given.load(Ordering::Relaxed);
            if given == 0 {
                sleep(patience).await;
                continue;
            }
            let deadline = self.began + Duration::from_millis(given - 1) + patience;
            if deadline <= Instant::now() {
                self.is_stalled.store(true, Ordering::Relaxed);
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

// === impl Streams ===

impl Streams {
    /// Waits until no stream has been open for this long.
    pub(super) async fn rests(&self, limit: Duration) {
        loop {
            let changed = self.changed.notified();
            if self.open.load(Ordering::Relaxed) > 0 {
                changed.await;
                continue;
            }
            tokio::select! {
                () = changed => {}
                () = sleep(limit) => return,
            }
        }
    }

    fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
        Open(Arc::clone(self))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}

// === impl StreamTasks ===

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for StreamTasks {
    fn execute(&self, served: F) {
        let (client, open, force) =
            (Arc::clone(&self.client), self.streams.open(), self.shared.force.clone());
        self.shared.tasks.spawn(async move {
            let _open = open;
            let stream = Arc::new(Stream::new());
            let served = pin!(CURRENT.scope(Arc::clone(&stream), served));
            tokio::select! {
                biased;
                _ = served => {}
                () = stream.stalls(&client) => {}
                () = force.cancelled() => {}
            }
        });
    }
}
