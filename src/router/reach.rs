//! From a list of dynos to a connection to one: pick, connect, and on refusal leave that one alone and pick another.

use std::io;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::domain::{Backend, Choice, DynoId, DynoProtocol};
use crate::router::counters::InHand;
use crate::router::forward::Ask;
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
    /// Its place among what the dyno has in hand, where that is counted.
    pub(super) in_hand: Option<InHand>,
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

/// Connects to one of `backends`, to the one that is asked for if it can be reached (platform reference 4.3, steps 2 to 4).
pub(super) async fn reach<'a>(
    shared: &Shared,
    backends: &'a [Backend],
    ask: Ask,
    kept: Kept,
) -> Result<Reached<'a>, Unreached> {
    let mut tried: Vec<DynoId> = Vec::new();
    let mut outcome = Unreached::AllQuarantined;
    while tried.len() < backends.len().min(shared.config.limits.attempts) {
        let now = Instant::now();
        let Some((backend, in_hand)) = choose(shared, backends, ask, &tried) else { break };
        if kept == Kept::Welcome
            && let Some(connection) = shared.pool.take(&backend.id, ask.protocol)
        {
            return Ok(Reached { backend, connection, connect: Duration::ZERO, in_hand });
        }
        match connect(shared, backend, ask.protocol).await {
            Ok(connection) => return Ok(Reached { backend, connection, connect: now.elapsed(), in_hand }),
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

/// The next one to try, with its place among what that has in hand, where that is counted: others choose during the connect.
fn choose<'a>(
    shared: &Shared,
    backends: &'a [Backend],
    ask: Ask,
    tried: &[DynoId],
) -> Option<(&'a Backend, Option<InHand>)> {
    let now = Instant::now();
    let is_left_out = |dyno: &DynoId| tried.contains(dyno) || shared.quarantine.holds(dyno, now);
    let load = |dyno: &DynoId| shared.loads.of(dyno);
    match ask.choice {
        Choice::Random => {
            let backend = pick(backends, ask.dyno, is_left_out, None, rand::random())?;
            Some((backend, None))
        }
        Choice::LeastConnections => {
            let backend = pick(backends, ask.dyno, is_left_out, Some(&load), rand::random())?;
            Some((backend, Some(shared.loads.gives(backend.id))))
        }
    }
}

async fn connect(shared: &Shared, backend: &Backend, protocol: DynoProtocol) -> io::Result<DynoConnection> {
    let limit = shared.config.timers.connect;
    let stream =
        timeout(limit, shared.connector.connect(backend)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    DynoConnection::open(stream, backend.id, protocol, &shared.config.limits).await.map_err(io::Error::other)
}
