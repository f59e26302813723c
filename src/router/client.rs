//! A client's connection: who it is, and a watch over clients that stop reading.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// What is known of a client for as long as its connection lasts.
#[derive(Debug)]
pub(super) struct Client {
    /// Its address.
    pub(super) address: IpAddr,
    /// The port it came in by.
    pub(super) port: u16,
    is_stalled: AtomicBool,
}

impl Client {
    /// A client that has just connected.
    pub(super) fn new(address: IpAddr, port: u16) -> Self {
        Self { address: address.to_canonical(), port, is_stalled: AtomicBool::new(false) }
    }

    /// Whether its connection was given up because it took nothing for too long.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled.load(Ordering::Relaxed)
    }

    /// Notes that it was silent for too long.
    pub(super) fn stalls(&self) {
        self.is_stalled.store(true, Ordering::Relaxed);
    }
}

/// The connection itself. A write that makes no progress for the idle time fails: a client that does not read would
/// otherwise hold its dyno's connection for as long as it likes.
pub(super) struct ClientIo {
    stream: TcpStream,
    client: Arc<Client>,
    idle: Duration,
    // Made when a write first has to wait; most connections never have one.
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl ClientIo {
    /// Watches `stream`.
    pub(super) fn new(stream: TcpStream, client: Arc<Client>, idle: Duration) -> Self {
        Self { stream, client, idle, timer: None, is_waiting: false }
    }

    fn watched<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_waiting = false;
            return written;
        }
        let deadline = Instant::now() + self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if !self.is_waiting {
            self.is_waiting = true;
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(cx));
        self.client.stalls();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watched(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.watched(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
