//! A client's connection: who it is, and a watch over clients that send what is no plain HTTP.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::router::intake::{Intake, Refused, Switch};
use crate::router::socket::Transport;
use crate::wire::router_line::Encryption;

/// Bytes that are kept of what a client sends before its wish for another protocol is settled; more wait in the kernel.
const HELD_BYTES_MAX: usize = 4096;
/// No head that has this byte is HTTP: the parser answers for it, in its turn.
const POISON: u8 = 0;

/// What is known of a client for as long as its connection lasts.
#[derive(Debug)]
pub(super) struct Client {
    /// Its address.
    pub(super) address: IpAddr,
    /// Its address as requests tell it on, and the port that it came in by: the same for all requests of its connection.
    pub(super) told_address: HeaderValue,
    pub(super) told_port: HeaderValue,
    /// How long it may take nothing, milliseconds.
    patience_ms: AtomicU64,
    is_stalled: AtomicBool,
    is_switched: AtomicBool,
    declined: AtomicUsize,
    secured: OnceLock<Secured>,
}

/// What both sides of a TLS connection have agreed to.
#[derive(Debug)]
pub(super) struct Secured {
    /// The version.
    pub(super) encryption: Encryption,
    /// The name that the client asked for, in lower case.
    pub(super) server_name: Option<String>,
}

impl Client {
    /// A client that has just connected.
    pub(super) fn new(address: IpAddr, port: u16, patience: Duration) -> Self {
        let address = address.to_canonical();
        let told_address = HeaderValue::from_str(&address.to_string());
        Self {
            address,
            told_address: told_address.unwrap_or_else(|_| HeaderValue::from_static("")),
            told_port: HeaderValue::from(port),
            patience_ms: AtomicU64::new(millis(patience)),
            is_stalled: AtomicBool::new(false),
            is_switched: AtomicBool::new(false),
            declined: AtomicUsize::new(0),
            secured: OnceLock::new(),
        }
    }

    /// Notes that its connection is encrypted from here on.
    pub(super) fn secures(&self, secured: Secured) {
        // There is one handshake a connection.
        let _first = self.secured.set(secured);
    }

    /// How its connection is encrypted.
    pub(super) fn encryption(&self) -> Encryption {
        self.secured.get().map_or(Encryption::Plain, |secured| secured.encryption)
    }

    /// The name that it asked for when its connection was encrypted.
    pub(super) fn server_name(&self) -> Option<&str> {
        self.secured.get()?.server_name.as_deref()
    }

    /// What its addresses begin with.
    pub(super) fn scheme(&self) -> &'static str {
        if self.encryption() == Encryption::Plain { "http" } else { "https" }
    }

    /// Has it take nothing for as long as the app allows whose request is under way.
    pub(super) fn may_stall(&self, patience: Duration) {
        self.patience_ms.store(millis(patience), Ordering::Relaxed);
    }

    /// How long it may take nothing.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.load(Ordering::Relaxed))
    }

    /// Whether its connection was given up because it took nothing for too long.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled.load(Ordering::Relaxed)
    }

    /// Notes that it was silent for too long.
    pub(super) fn stalls(&self) {
        self.is_stalled.store(true, Ordering::Relaxed);
    }

    /// Its connection becomes a tunnel.
    pub(super) fn switches(&self) {
        self.is_switched.store(true, Ordering::Release);
    }

    /// Its wish for another protocol is answered with HTTP.
    pub(super) fn stays(&self) {
        self.declined.fetch_add(1, Ordering::Release);
    }
}

/// The connection itself. What is read has gone through [`Intake`].
pub(super) struct ClientIo {
    transport: Transport,
    client: Arc<Client>,
    intake: Intake,
    /// Sent before a wish for another protocol was settled.
    held: Vec<u8>,
    /// Wishes for another protocol that were declined.
    declined: usize,
}

impl ClientIo {
    /// Watches what comes through `transport`.
    pub(super) fn new(transport: Transport, client: Arc<Client>) -> Self {
        Self { transport, client, intake: Intake::new(), held: Vec::new(), declined: 0 }
    }

    /// Whether reading may go on, as far as wishes for another protocol go.
    fn settle(&mut self) -> bool {
        if !self.intake.is_undecided() {
            return true;
        }
        if self.client.is_switched.load(Ordering::Acquire) {
            self.intake.settle(Switch::Made);
        } else if self.client.declined.load(Ordering::Acquire) > self.declined {
            self.declined += 1;
            self.intake.settle(Switch::Declined);
        } else {
            return false;
        }
        true
    }

    /// Takes what comes before the answer aside. Its end is an end at once: the client has gone.
    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = [0; HELD_BYTES_MAX];
        while self.held.len() < HELD_BYTES_MAX {
            let mut part = ReadBuf::new(&mut buffer[self.held.len()..]);
            ready!(Pin::new(&mut self.transport).poll_read(cx, &mut part))?;
            if part.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.held.extend_from_slice(part.filled());
        }
        // Nobody wakes us: the one who settles the wish reads again.
        Poll::Pending
    }

    /// Lets go on what may of the bytes after the first `before` of `buf`, and holds the others.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        match self.intake.inspect(&buf.filled()[before..]) {
            Ok(count) => {
                drop(self.held.splice(0..0, buf.filled()[before + count..].iter().copied()));
                buf.set_filled(before + count);
            }
            Err(Refused { at }) => {
                buf.set_filled(before + at);
                buf.put_slice(&[POISON]);
            }
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.settle() {
            return self.poll_hold(cx);
        }
        let before = buf.filled().len();
        if self.held.is_empty() {
            ready!(Pin::new(&mut self.transport).poll_read(cx, buf))?;
        } else {
            let count = self.held.len().min(buf.remaining());
            buf.put_slice(&self.held[..count]);
            self.held.drain(..count);
        }
        self.inspect(buf, before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientIo {
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
        // HTTP's server shuts down what it closes next, and closing tells the client as much. A tunnel may still have to hear.
        if matches!(self.transport, Transport::Plain(_)) && !self.client.is_switched.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
