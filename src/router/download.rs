//! An answer's body on its way to the client: streamed, and watched until its last byte.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::router::observe::Observation;
use crate::router::pool::DynoConnection;
use crate::router::serve::Shared;
use crate::router::streams::Stream;
use crate::router::upload::{Progress, Trailers};
use crate::wire::codes::Code;
use crate::wire::router_line::{Socket, Trouble};

/// Why an answer ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum DownloadError {
    /// The dyno broke its connection.
    #[error("the dyno broke the connection in the middle of its answer")]
    Interrupted,
    /// The dyno fell silent.
    #[error("the dyno fell silent in the middle of its answer")]
    Idle,
}

/// An answer's body, with all that lasts as long as it does.
pub(super) struct Download {
    shared: Arc<Shared>,
    body: Incoming,
    open: Option<Open>,
    idle: Duration,
    last: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    trailers: Trailers,
    /// Where it goes, if the client speaks HTTP/2.
    stream: Option<Arc<Stream>>,
    /// What came from the dyno and has not gone there yet; without a stream all goes at once.
    rest: Bytes,
}

/// What lasts as long as an answer.
pub(super) struct Open {
    /// The connection it comes by, which is given back at the end.
    pub(super) connection: DynoConnection,
    /// Where the upload stands, if there is one.
    pub(super) progress: Option<Arc<Progress>>,
    /// The request.
    pub(super) observation: Observation,
    /// How long the dyno may be silent.
    pub(super) idle: Duration,
    /// Whether fields after the body go on.
    pub(super) trailers: Trailers,
}

impl Download {
    /// Begins to relay `body`.
    pub(super) fn begin(shared: Arc<Shared>, body: Incoming, open: Open) -> Self {
        let (idle, trailers, stream) = (open.idle, open.trailers, open.observation.stream().cloned());
        let (open, last, rest) = (Some(open), Instant::now(), Bytes::new());
        let mut download = Self { shared, body, open, idle, last, timer: None, trailers, stream, rest };
        // A server asks an empty body for nothing, so the end is seen here or not at all.
        if download.body.is_end_stream() {
            download.completes();
        }
        download
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.open.is_none() && self.rest.is_empty() && self.body.is_end_stream()
    }

    /// How much is to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        // Asked before anything has come.
        self.body.size_hint()
    }

    /// As [`Body::poll_frame`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        if let Some(stream) = &self.stream {
            stream.is_asked();
            if !self.rest.is_empty() {
                return self.gives();
            }
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.last = Instant::now();
                match (frame.into_data(), self.trailers) {
                    (Ok(data), _) => {
                        self.rest = data;
                        self.gives()
                    }
                    (Err(frame), Trailers::GoOn) => {
                        self.completes();
                        Poll::Ready(Some(Ok(frame)))
                    }
                    (Err(_), Trailers::StayBehind) => {
                        self.completes();
                        Poll::Ready(None)
                    }
                }
            }
            Poll::Ready(None) => {
                self.completes();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => {
                let trouble = Trouble { sock: Some(Socket::Backend), ..Code::H18.into() };
                self.fails(trouble, DownloadError::Interrupted)
            }
            Poll::Pending => self.poll_timer(cx),
        }
    }

    /// What is there goes on: all of it, or as much as a stream takes at once, so that little waits for a client that takes nothing.
    fn gives(&mut self) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        let data = match &self.stream {
            None => std::mem::take(&mut self.rest),
            Some(stream) => {
                stream.gives();
                self.rest.split_to(self.rest.len().min(self.shared.config.limits.stream_piece_bytes))
            }
        };
        if let Some(open) = &mut self.open {
            open.observation.sends(data.len());
        }
        if self.rest.is_empty() && self.body.is_end_stream() {
            self.completes();
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        let deadline = self.last + self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                return self.fails(Code::H15.into(), DownloadError::Idle);
            }
            // Bytes came since the timer was set: it is only now set on, which is cheaper than at every byte.
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn completes(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        open.observation.completes();
        if open.progress.as_ref().is_none_or(|progress| progress.is_done()) {
            self.shared.pool.put(open.connection, self.shared.config.limits.kept_per_dyno);
        } else {
            // The dyno has answered before it had read all. Closing at once could take the answer from a client that is
            // still sending (RFC 9112 section 9.6), so the upload goes on for a while.
            let linger = self.shared.config.timers.linger;
            self.shared.tasks.spawn(async move {
                sleep(linger).await;
                drop(open.connection);
            });
        }
    }

    fn fails(
        &mut self,
        trouble: Trouble,
        error: DownloadError,
    ) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        if let Some(mut open) = self.open.take() {
            open.observation.fails(trouble, trouble.code.status());
        }
        Poll::Ready(Some(Err(error)))
    }
}
