//! From a list of dynos to a connection to one: pick, connect, and on refusal leave that one alone and pick another.

use std::io;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::domain::{Backend, DynoId};
use crate::router::pick::pick;
use crate::router::pool::DynoConnection;
use crate::router::serve::Shared;

/// Whether a connection that was used before will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It will.
    Welcome,
    /// One has just proved stale: a new one is wanted.
    Unwanted,
}

/// A connection to a dyno.
pub(super) struct Reached<'a> {
    /// To whom.
    pub(super) backend: &'a Backend,
    /// How.
    pub(super) connection: DynoConnection,
    /// How long it took; zero for one that was kept.
    pub(super) connect: Duration,
}

/// Why no dyno could be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreached {
    /// Tried, and refused.
    Refused,
    /// Tried, and none took the connection in time.
    TimedOut,
    /// All are left alone for having failed lately; none was tried.
    AllQuarantined,
}

/// Connects to one of `backends`, to the `wanted` one if it can be reached (platform reference 4.3, steps 2 to 4).
pub(super) async fn reach<'a>(
    shared: &Shared,
    backends: &'a [Backend],
    wanted: Option<DynoId>,
    kept: Kept,
) -> Result<Reached<'a>, Unreached> {
    let mut tried: Vec<DynoId> = Vec::new();
    let mut outcome = Unreached::AllQuarantined;
    while tried.len() < backends.len().min(shared.config.limits.attempts) {
        let now = Instant::now();
        let is_left_out = |dyno: &DynoId| tried.contains(dyno) || shared.quarantine.holds(dyno, now);
        let Some(backend) = pick(backends, wanted, is_left_out, rand::random()) else { break };
        if kept == Kept::Welcome
            && let Some(connection) = shared.pool.take(&backend.id)
        {
            return Ok(Reached { backend, connection, connect: Duration::ZERO });
        }
        match connect(shared, backend).await {
            Ok(connection) => return Ok(Reached { backend, connection, connect: now.elapsed() }),
            Err(error) => {
                tracing::debug!(dyno = %backend.dyno, %error, "cannot reach a dyno");
                shared.quarantine.put(backend.id, Instant::now(), shared.config.timers.quarantine);
                tried.push(backend.id);
                outcome = match (outcome, error.kind()) {
                    (Unreached::AllQuarantined | Unreached::TimedOut, io::ErrorKind::TimedOut) => {
                        Unreached::TimedOut
                    }
                    _ => Unreached::Refused,
                };
            }
        }
    }
    Err(outcome)
}

async fn connect(shared: &Shared, backend: &Backend) -> io::Result<DynoConnection> {
    let limit = shared.config.timers.connect;
    let stream =
        timeout(limit, shared.connector.connect(backend)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    DynoConnection::open(stream, backend.id, &shared.config.limits).await.map_err(io::Error::other)
}
