//! A client's connection under HTTP/2 (RFC 9113): each of its streams is a request like any other. What is agreed on by ALPN
//! (RFC 7301) comes here; nobody comes here without TLS.
//!
//! What one connection may cost is bounded by limits of [`Limits`]: streams at once, the head of each, the bytes of all uploads
//! that no dyno has taken yet, the bytes of each answer that the client has not taken, and frames that carry nothing.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::router::client::Client;
use crate::router::config::Limits;
use crate::router::frames::Frames;
use crate::router::serve::{Shared, serve};
use crate::router::socket::Transport;
use crate::router::streams::{StreamTasks, Streams};

/// Serves a client until it goes, has asked for nothing for as long as a connection is kept, or the router ends.
pub(super) async fn speak(shared: Arc<Shared>, client: Arc<Client>, transport: Transport) {
    let (limits, timers) = (shared.config.limits, shared.config.timers);
    let streams = Arc::new(Streams::default());
    let tasks = StreamTasks {
        shared: Arc::clone(&shared),
        client: Arc::clone(&client),
        streams: Arc::clone(&streams),
    };
    let service = service_fn(|request| serve(Arc::clone(&shared), Arc::clone(&client), request));
    let frames = Frames::new(limits.stream_resets, limits.idle_frames, Instant::now());
    let io = TokioIo::new(Watched { transport, frames });
    let mut served = pin!(server(tasks, &limits).serve_connection(io, service));
    let spoken = async {
        tokio::select! {
            outcome = served.as_mut() => return outcome,
            () = shared.finishing.cancelled() => {}
            () = shared.closing.cancelled() => {}
            () = streams.rests(timers.client_keep_alive) => {}
        }
        served.as_mut().graceful_shutdown();
        tokio::select! {
            outcome = served => outcome,
            // The client was told to ask for no more, and has had what it asked for.
            () = streams.rests(timers.linger) => Ok(()),
        }
    };
    if let Some(Err(error)) = shared.force.run_until_cancelled(spoken).await {
        tracing::trace!(%error, peer = %client.address, "a client connection ended early");
    }
}

fn server(tasks: StreamTasks, limits: &Limits) -> http2::Builder<StreamTasks> {
    let mut server = http2::Builder::new(tasks);
    server
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.stream_head_bytes)
        .initial_stream_window_size(limits.window_bytes)
        .initial_connection_window_size(limits.window_bytes)
        .max_send_buf_size(limits.stream_send_bytes)
        .max_pending_accept_reset_streams(limits.unseen_resets)
        .max_local_error_reset_streams(limits.stream_errors);
    server
}

/// What comes through here has been looked at frame by frame.
struct Watched {
    transport: Transport,
    frames: Frames,
}

// === impl Watched ===

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, buf))?;
        self.frames.inspect(&buf.filled()[before..], Instant::now()).map_err(io::Error::other)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
