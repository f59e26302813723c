//! Tunnels: after a dyno has agreed to another protocol, bytes go through as they come, both ways.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{Instant, sleep_until};

use crate::router::config::Timers;
use crate::router::observe::Observation;
use crate::router::pool::DynoConnection;
use crate::wire::codes::Code;

/// Bytes that are under way in each direction of a tunnel.
const BUFFER_BYTES: usize = 16 * 1024;

/// The two ends of a tunnel, once both have switched.
pub(super) struct TunnelEnds {
    /// The client's.
    pub(super) client: OnUpgrade,
    /// The dyno's.
    pub(super) dyno: OnUpgrade,
    /// Holds the dyno's connection until it has switched.
    pub(super) connection: DynoConnection,
}

enum Ended {
    Closed,
    Idle,
}

/// Relays until both sides have closed, one breaks off, or neither has said anything for the idle time.
pub(super) async fn tunnel(ends: TunnelEnds, timers: Timers, mut observation: Observation) {
    let (Ok(client), Ok(dyno)) = tokio::join!(ends.client, ends.dyno) else {
        // The client went away before it had the answer: the observation says so as it is dropped.
        return;
    };
    drop(ends.connection);
    let counter = AtomicU64::new(0);
    let ended = relay(client, dyno, timers, &counter).await;
    observation.sends(usize::try_from(counter.load(Ordering::Relaxed)).unwrap_or(usize::MAX));
    match ended {
        Ended::Closed => observation.completes(),
        Ended::Idle => observation.fails(Code::H15.into(), Code::H15.status()),
    }
}

async fn relay(client: Upgraded, dyno: Upgraded, timers: Timers, down_bytes: &AtomicU64) -> Ended {
    let (client_reader, client_writer) = split(TokioIo::new(client));
    let (dyno_reader, dyno_writer) = split(TokioIo::new(dyno));
    let start = Instant::now();
    let activity = AtomicU64::new(0);
    let noted = |counter: Option<&AtomicU64>, bytes: usize| {
        activity.store(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(counter) = counter {
            counter.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    };
    let both = async {
        tokio::try_join!(
            pump(client_reader, dyno_writer, |bytes| noted(None, bytes)),
            pump(dyno_reader, client_writer, |bytes| noted(Some(down_bytes), bytes)),
        )
    };
    let silence = async {
        loop {
            let last = start + std::time::Duration::from_millis(activity.load(Ordering::Relaxed));
            if last + timers.idle <= Instant::now() {
                return;
            }
            sleep_until(last + timers.idle).await;
        }
    };
    tokio::select! {
        _ = both => Ended::Closed,
        () = silence => Ended::Idle,
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    note: impl Fn(usize),
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        note(count);
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
    }
}
