//! A request's body on its way to the dyno: streamed, with an eye on who keeps whom waiting.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::router::counters::lock;
use crate::router::serve::Shared;

/// Why an upload could not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum UploadError {
    /// The client closed its connection.
    #[error("the client closed its connection in the middle of its request")]
    Closed,
    /// The client sent nothing for too long.
    #[error("the client fell silent in the middle of its request")]
    Idle,
    /// The body is not framed as HTTP asks.
    #[error("the client's chunks are malformed")]
    Malformed,
}

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// The dyno has taken all there is; the client is to send more.
    ClientOwes,
    /// The dyno has had something to take or to answer since then.
    DynoOwes(Instant),
    /// The dyno has had the whole body since then.
    Done(Instant),
    /// It broke off.
    Failed(UploadError),
}

/// Where an upload stands, for whoever waits for the answer.
#[derive(Debug)]
pub(super) struct Progress(Mutex<Stand>);

impl Progress {
    /// Where the upload stands now.
    pub(super) fn stand(&self) -> Stand {
        *lock(&self.0)
    }

    /// Why it broke off, if it did.
    pub(super) fn failure(&self) -> Option<UploadError> {
        match self.stand() {
            Stand::Failed(error) => Some(error),
            Stand::ClientOwes | Stand::DynoOwes(_) | Stand::Done(_) => None,
        }
    }

    /// Whether the dyno has had the whole body.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.stand(), Stand::Done(_))
    }

    fn set(&self, stand: Stand) {
        *lock(&self.0) = stand;
    }
}

/// The body of a request to a dyno; most have none.
pub(super) struct RequestBody(Option<Box<Upload>>);

/// A body that is streamed from the client.
struct Upload {
    body: Incoming,
    progress: Arc<Progress>,
    lingering: Lingering,
    idle: Duration,
    last: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    trailers: Trailers,
}

/// What becomes of the rest of a body that nobody takes. A connection that is closed over bytes which have come and were not read is
/// reset, and that can take the answer from a client which still sends (RFC 9112 section 9.6).
pub(super) enum Lingering {
    /// It is let go of at once: the client waits to be asked for it, or says otherwise that its stream is over.
    None,
    /// It is read for a while, and dropped.
    Read {
        /// The connections of the worker, and its end.
        shared: Arc<Shared>,
    },
}

/// What becomes of the fields after a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trailers {
    /// They are passed on.
    GoOn,
    /// They live for one hop, as `Trailer` does.
    StayBehind,
}

impl RequestBody {
    /// Wraps a client's body; `idle` is how long the client may be silent. What becomes of the rest is asked for where there is a body.
    pub(super) fn new(body: Incoming, idle: Duration, lingering: impl FnOnce() -> Lingering) -> Self {
        if body.is_end_stream() {
            return Self(None);
        }
        let now = Instant::now();
        let progress = Arc::new(Progress(Mutex::new(Stand::DynoOwes(now))));
        Self(Some(Box::new(Upload {
            body,
            progress,
            lingering: lingering(),
            idle,
            last: now,
            timer: None,
            trailers: Trailers::StayBehind,
        })))
    }

    /// How long the client may be silent, from now on.
    pub(super) fn may_idle(&mut self, idle: Duration) {
        if let Some(upload) = &mut self.0 {
            upload.idle = idle;
        }
    }

    /// Whether fields after it go on.
    pub(super) fn brings_trailers(&mut self, trailers: Trailers) {
        if let Some(upload) = &mut self.0 {
            upload.trailers = trailers;
        }
    }

    /// Where the upload stands, if there is one.
    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        self.0.as_ref().map(|upload| Arc::clone(&upload.progress))
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(upload) = self.0.take() {
            upload.leave();
        }
    }
}

impl Upload {
    /// Nobody takes any more of it.
    fn leave(self) {
        let Self { mut body, progress, lingering, .. } = self;
        let Lingering::Read { shared } = lingering else { return };
        if matches!(progress.stand(), Stand::Done(_) | Stand::Failed(_)) || body.is_end_stream() {
            return;
        }
        let (force, limit) = (shared.force.clone(), shared.config.timers.linger);
        shared.tasks.spawn(async move {
            let rest = async { while let Some(Ok(_)) = body.frame().await {} };
            let _over = force.run_until_cancelled(timeout(limit, rest)).await;
        });
    }

    fn ends(&mut self, stand: Stand) {
        self.progress.set(stand);
        self.timer = None;
    }

    fn fails(&mut self, error: UploadError) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        self.ends(Stand::Failed(error));
        Poll::Ready(Some(Err(error)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                self.last = Instant::now();
                let owed = if self.body.is_end_stream() { Stand::Done } else { Stand::DynoOwes };
                self.progress.set(owed(self.last));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Ok(frame))) if self.trailers == Trailers::GoOn => {
                self.ends(Stand::Done(Instant::now()));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Ok(_)) | None) => {
                self.ends(Stand::Done(Instant::now()));
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => self.fails(classify(&error)),
            Poll::Pending => {
                self.progress.set(Stand::ClientOwes);
                self.poll_timer(cx)
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let deadline = self.last + self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                return self.fails(UploadError::Idle);
            }
            // Bytes came since the timer was set: it is only now set on, which is cheaper than at every byte.
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match &mut self.0 {
            None => Poll::Ready(None),
            Some(upload) => upload.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|upload| upload.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |upload| upload.body.size_hint())
    }
}

fn classify(error: &hyper::Error) -> UploadError {
    let mut cause = error.source();
    while let Some(next) = cause {
        if let Some(error) = next.downcast_ref::<io::Error>() {
            let is_malformed =
                matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
            return if is_malformed { UploadError::Malformed } else { UploadError::Closed };
        }
        cause = next.source();
    }
    UploadError::Closed
}
