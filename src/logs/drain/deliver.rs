//! The work of one drain: gather, send, move on; and patience when that fails.

use std::time::Duration;

use rand::Rng as _;
use uuid::Uuid;

use crate::domain::{Drain, Transport};
use crate::logs::drain::Origin;
use crate::logs::drain::batch::{Batch, Source};
use crate::logs::drain::connect::Way;
use crate::logs::drain::error::DeliverError;
use crate::logs::drain::http::HttpSender;
use crate::logs::drain::position::Position;
use crate::logs::drain::syslog::SyslogSender;
use crate::logs::{Counter, Message};
use crate::sys::clock;
use crate::wire::logline::{CertificateLine, LogLine, UnreachedLine};

/// The longest first pause after a failure, milliseconds; it doubles with each failure after it.
const BACKOFF_FIRST_MS: u64 = 1000;
/// The longest pause, milliseconds.
const BACKOFF_MAX_MS: u64 = 60_000;
/// How often a batch is tried on which a receiver that answers keeps failing (platform reference 5.4). A receiver that is
/// away is tried until it is back.
const TRIES_MAX: u32 = 3;

/// One drain at work.
pub(super) struct Delivery {
    drain: Drain,
    origin: Origin,
    way: Way,
    sender: Sender,
    /// Failures since the last success.
    failures: u32,
}

enum Sender {
    Syslog(SyslogSender),
    Http(HttpSender),
}

// === impl Delivery ===

impl Delivery {
    pub(super) fn new(drain: Drain, origin: Origin, way: Way) -> Self {
        let sender = match drain.url.transport {
            Transport::Syslog | Transport::SyslogTls => Sender::Syslog(SyslogSender::new()),
            Transport::Http | Transport::Https => Sender::Http(HttpSender::new()),
        };
        Self { drain, origin, way, sender, failures: 0 }
    }

    /// Sends until the app is gone, the process ends or the task is ended.
    pub(super) async fn run(mut self, mut source: Source, mut position: Position) {
        while let Some(batch) = source.gather().await {
            self.count(Counter::DrainLost, batch.lost);
            if self.deliver(&batch).await {
                source.taken();
                self.count(Counter::Drained, batch.count);
            } else {
                source.lose(batch.count);
                self.count(Counter::DrainLost, batch.count);
            }
            if let Err(failed) = position.advance(batch.end) {
                tracing::warn!(drain = %self.drain.id, %failed, "lines of a drain may be sent again");
            }
        }
    }

    /// Whether the receiver has taken the batch in the end; otherwise it never will.
    async fn deliver(&mut self, batch: &Batch) -> bool {
        let frame_id = Uuid::new_v4().simple().to_string().to_uppercase();
        let mut tries = 0;
        loop {
            let sent = match &mut self.sender {
                Sender::Syslog(sender) => sender.send(&self.drain, &self.way, batch).await,
                Sender::Http(sender) => sender.send(&self.drain, &self.way, (batch, &frame_id)).await,
            };
            let Err(failed) = sent else {
                self.well_again();
                return true;
            };
            tries += 1;
            self.tell(&failed);
            match failed {
                DeliverError::Refused { .. } => return false,
                DeliverError::Failed { .. } if tries >= TRIES_MAX => return false,
                DeliverError::Failed { .. }
                | DeliverError::Busy { .. }
                | DeliverError::Connect { .. }
                | DeliverError::NotAllowed
                | DeliverError::Certificate { .. }
                | DeliverError::NoTrust
                | DeliverError::Broken { .. }
                | DeliverError::Slow { .. } => tokio::time::sleep(pause(self.failures)).await,
            }
        }
    }

    /// Tells the first failure of a row: to the node's own log, and to the app's what its owner can mend.
    fn tell(&mut self, failed: &DeliverError) {
        self.failures = self.failures.saturating_add(1);
        if self.failures > 1 {
            return;
        }
        let Drain { id, app, url, .. } = &self.drain;
        tracing::warn!(%app, drain = %id, destination = %url, failed = failed.told(), "a drain's receiver does not take lines");
        let line = match failed {
            DeliverError::Certificate { error } => {
                let told = CertificateLine { error: error.clone(), uri: url.to_string() };
                LogLine::certificate(clock::now(), &told)
            }
            DeliverError::NotAllowed => {
                LogLine::unreached(clock::now(), &UnreachedLine { uri: url.to_string() })
            }
            DeliverError::Refused { .. }
            | DeliverError::Failed { .. }
            | DeliverError::Busy { .. }
            | DeliverError::Connect { .. }
            | DeliverError::NoTrust
            | DeliverError::Broken { .. }
            | DeliverError::Slow { .. } => return,
        };
        if let Some(queue) = self.origin.queue.upgrade() {
            // A full queue has worse to tell.
            let _ = queue.try_send(Message::Lines { app: *app, lines: vec![line], written: None });
        }
    }

    fn well_again(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            let Drain { id, app, url, .. } = &self.drain;
            tracing::info!(%app, drain = %id, destination = %url, "a drain's receiver takes lines again");
        }
    }

    fn count(&self, counter: Counter, lines: u64) {
        if let Some(shared) = self.origin.shared.upgrade() {
            shared.count(counter, lines);
        }
    }
}

/// How long to wait after so many failures in a row: between half and all of a time that doubles, so that drains that
/// failed together do not come back together.
fn pause(failures: u32) -> Duration {
    let doubled = BACKOFF_FIRST_MS << failures.saturating_sub(1).min(16);
    let longest = doubled.min(BACKOFF_MAX_MS);
    Duration::from_millis(rand::rng().random_range(longest / 2..=longest))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_never_the_same_for_all() {
        let within = |failures, longest: u64| {
            let drawn: Vec<_> = (0..50).map(|_| pause(failures)).collect();
            let range = Duration::from_millis(longest / 2)..=Duration::from_millis(longest);
            assert!(drawn.iter().all(|pause| range.contains(pause)), "{failures}: {drawn:?}");
            assert!(drawn.iter().any(|pause| *pause != drawn[0]), "{failures}: {drawn:?}");
        };
        within(1, BACKOFF_FIRST_MS);
        within(3, 4 * BACKOFF_FIRST_MS);
        within(40, BACKOFF_MAX_MS);
        within(u32::MAX, BACKOFF_MAX_MS);
    }
}
