//! Connections to dynos, kept for the next request by the dyno's identity, and closed when the dyno leaves the table.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::sync::Mutex;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::domain::DynoId;
use crate::router::config::Limits;
use crate::router::counters::lock;
use crate::router::upload::RequestBody;

/// One connection to a dyno. Dropping it closes it, in whatever state the exchange is.
#[derive(Debug)]
pub(super) struct DynoConnection {
    /// Where requests are sent.
    pub(super) sender: SendRequest<RequestBody>,
    /// Which dyno it leads to.
    pub(super) dyno: DynoId,
    task: AbortHandle,
}

impl DynoConnection {
    /// Speaks HTTP/1.1 over `stream`.
    ///
    /// # Errors
    /// The handshake fails; HTTP/1 has none, so it does not.
    pub(super) async fn open(stream: TcpStream, dyno: DynoId, limits: &Limits) -> hyper::Result<Self> {
        let (sender, connection) = Builder::new()
            // Apps see the names as Go's router writes them.
            .title_case_headers(true)
            .max_headers(limits.headers)
            .max_buf_size(limits.answer_header_line_bytes + limits.answer_header_line_bytes / 2)
            .handshake(TokioIo::new(stream))
            .await?;
        // Ends with the connection; its errors reach whoever waits for the answer.
        let task = tokio::spawn(async move { drop(connection.with_upgrades().await) });
        Ok(Self { sender, dyno, task: task.abort_handle() })
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
    /// The connection to `dyno` that was used last, if one is usable.
    pub(super) fn take(&self, dyno: &DynoId) -> Option<DynoConnection> {
        let mut dynos = lock(&self.dynos);
        let kept = dynos.get_mut(dyno)?;
        kept.retain(|kept| !kept.connection.sender.is_closed());
        // One that was only just given back may still be busy with the end of its answer.
        let place = kept.iter().rposition(|kept| kept.connection.sender.is_ready())?;
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
