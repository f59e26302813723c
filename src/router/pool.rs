//! Connections to dynos, kept for the next request by the dyno's identity, and closed when the dyno leaves the table.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::Mutex;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::domain::{DynoId, DynoProtocol};
use crate::router::config::Limits;
use crate::router::counters::lock;
use crate::router::upload::RequestBody;

/// One connection to a dyno. Dropping it closes it, in whatever state the exchange is.
#[derive(Debug)]
pub(super) struct DynoConnection {
    /// Where requests are sent.
    pub(super) sender: Sender,
    /// Which dyno it leads to.
    pub(super) dyno: DynoId,
    /// What is spoken.
    pub(super) protocol: DynoProtocol,
    task: AbortHandle,
}

/// Where requests to a dyno are sent, one after the other in either protocol: what is broken off is broken off with its connection.
#[derive(Debug)]
pub(super) enum Sender {
    /// HTTP/1.1.
    Http1(http1::SendRequest<RequestBody>),
    /// HTTP/2.
    Http2(http2::SendRequest<RequestBody>),
}

impl Sender {
    /// Sends a request; gives it back where no byte of it has gone.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    /// Whether the connection is over.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }
}

impl DynoConnection {
    /// Speaks `protocol` over `stream`.
    ///
    /// # Errors
    /// The handshake fails: the dyno closes. HTTP/1 has none.
    pub(super) async fn open(
        stream: TcpStream,
        dyno: DynoId,
        protocol: DynoProtocol,
        limits: &Limits,
    ) -> hyper::Result<Self> {
        let head_bytes_max = limits.answer_header_line_bytes + limits.answer_header_line_bytes / 2;
        let io = TokioIo::new(stream);
        // Either task ends with the connection; its errors reach whoever waits for the answer.
        let (sender, task) = match protocol {
            DynoProtocol::Http1 => {
                let (sender, connection) = http1::Builder::new()
                    // Apps see the names as Go's router writes them.
                    .title_case_headers(true)
                    .max_headers(limits.headers)
                    .max_buf_size(head_bytes_max)
                    .handshake(io)
                    .await?;
                let task = tokio::spawn(async move { drop(connection.with_upgrades().await) });
                (Sender::Http1(sender), task)
            }
            DynoProtocol::Http2 => {
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .max_header_list_size(u32::try_from(head_bytes_max).unwrap_or(u32::MAX))
                    .initial_stream_window_size(limits.window_bytes)
                    .initial_connection_window_size(limits.window_bytes)
                    .max_send_buf_size(limits.stream_send_bytes)
                    .handshake(io)
                    .await?;
                (Sender::Http2(sender), tokio::spawn(async move { drop(connection.await) }))
            }
        };
        Ok(Self { sender, dyno, protocol, task: task.abort_handle() })
    }
}

impl Drop for DynoConnection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Kept {
    connection: DynoConnection,
    since: Instant,
}

/// The connections that wait for a request. A dyno has a place here for as long as it is in the table.
#[derive(Debug, Default)]
pub(super) struct Pool {
    dynos: Mutex<HashMap<DynoId, Vec<Kept>>>,
}

impl Pool {
    /// The connection to `dyno` by `protocol` that was used last, if one is usable.
    pub(super) fn take(&self, dyno: &DynoId, protocol: DynoProtocol) -> Option<DynoConnection> {
        let mut dynos = lock(&self.dynos);
        let kept = dynos.get_mut(dyno)?;
        kept.retain(|kept| !kept.connection.sender.is_closed());
        // One that was only just given back may still be busy with the end of its answer.
        let is_fit = |kept: &Kept| kept.connection.protocol == protocol && kept.connection.sender.is_ready();
        let place = kept.iter().rposition(is_fit)?;
        Some(kept.swap_remove(place).connection)
    }

    /// Keeps a connection, unless it is over, its dyno has left, or enough are kept.
    pub(super) fn put(&self, connection: DynoConnection, kept_max: usize) {
        if connection.sender.is_closed() {
            return;
        }
        let mut dynos = lock(&self.dynos);
        if let Some(kept) = dynos.get_mut(&connection.dyno)
            && kept.len() < kept_max
        {
            kept.push(Kept { connection, since: Instant::now() });
        }
    }

    /// Makes room for dynos that have come, and closes the connections to those that have left.
    pub(super) fn retain(&self, live: &HashSet<DynoId>) {
        let mut dynos = lock(&self.dynos);
        dynos.retain(|dyno, _| live.contains(dyno));
        for dyno in live {
            dynos.entry(*dyno).or_default();
        }
    }

    /// Closes what was not used for `idle`.
    pub(super) fn sweep(&self, now: Instant, idle: Duration) {
        for kept in lock(&self.dynos).values_mut() {
            kept.retain(|kept| {
                now.saturating_duration_since(kept.since) < idle && !kept.connection.sender.is_closed()
            });
        }
    }
}
