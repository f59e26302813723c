//! Drains: an app's lines on their way to receivers elsewhere (platform reference 5.4).
//!
//! ```text
//! the app's files ─► batch ─► sender (syslog or HTTP, with or without TLS) ─► receiver
//!        ▲             │ taken: the position moves on
//!    position ◄────────┘ not taken: the batch waits, longer with every try
//! ```
//!
//! The files are the spool: what a receiver does not take today is there tomorrow, until it goes for age or size. What went
//! is told in front of the next batch, as is what a receiver refused. Nobody waits for a drain, and it holds one batch in
//! memory. The position is on disk, so a line is sent at least once whatever ends the process.

mod address;
mod batch;
mod connect;
mod deliver;
mod error;
mod http;
mod position;
mod syslog;
mod tls;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::domain::{AppId, Drain, DrainId, Reach};
use crate::logs::drain::batch::Source;
use crate::logs::drain::connect::Way;
use crate::logs::drain::deliver::Delivery;
use crate::logs::drain::position::Position;
use crate::logs::{LogError, Message, Shared};

pub use address::{AddressError, addresses};
pub use error::DeliverError;
pub use tls::{Tls, Trust};

/// Which receivers of drains are connected to.
#[derive(Clone, Debug, Default)]
pub struct Receivers {
    /// Whose certificates hold.
    pub trust: Trust,
    /// Where they may be.
    pub reach: Reach,
}

/// The drains that are at work, owned by the service; those of an app are changed by one caller at a time.
#[derive(Debug)]
pub(super) struct Drains {
    dir: PathBuf,
    way: Way,
    running: Mutex<HashMap<AppId, HashMap<DrainId, Running>>>,
}

/// A drain at work. Dropping it ends the work; the position stays.
#[derive(Debug)]
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a drain needs of the service, without keeping it alive.
pub(super) struct Origin {
    /// The number after the last line that can be read.
    pub(super) written: watch::Receiver<u64>,
    /// Where notices for the app's own log go.
    pub(super) queue: mpsc::WeakSender<Message>,
    /// For counting.
    pub(super) shared: Weak<Shared>,
}

// === impl Drains ===

impl Drains {
    pub(super) fn new(dir: PathBuf, receivers: Receivers) -> Self {
        let Receivers { trust, reach } = receivers;
        Self { dir, way: Way { tls: Arc::new(Tls::new(trust)), reach }, running: Mutex::default() }
    }

    /// Ends the drains of `app` that are not among `wanted`, and starts those that are new here.
    pub(super) async fn set(
        &self,
        app: AppId,
        wanted: Vec<Drain>,
        origin: impl Fn() -> Origin,
    ) -> Result<(), LogError> {
        let fresh: Vec<Drain> = {
            let mut running = self.lock();
            let ours = running.entry(app).or_default();
            ours.retain(|id, _| wanted.iter().any(|drain| drain.id == *id));
            wanted.iter().filter(|drain| !ours.contains_key(&drain.id)).cloned().collect()
        };
        // From here on, whatever the app says goes there: a drain never replays what was before it.
        let next = *origin().written.borrow();
        let dir = self.dir.clone();
        let kept: Vec<DrainId> = wanted.iter().map(|drain| drain.id).collect();
        let open = move || {
            position::remove_others(&dir, app, &kept)?;
            let at = |drain: Drain| Position::open(&dir, &drain, next).map(|position| (drain, position));
            fresh.into_iter().map(at).collect::<Result<Vec<_>, _>>()
        };
        let opened = tokio::task::spawn_blocking(open).await.map_err(|_| LogError::Closed)??;
        let mut running = self.lock();
        let ours = running.entry(app).or_default();
        for (drain, position) in opened {
            let origin = origin();
            let id = drain.id;
            let source = Source::new(&self.dir, app, position.next(), origin.written.clone());
            let delivery = Delivery::new(drain, origin, self.way.clone());
            ours.insert(id, Running(tokio::spawn(delivery.run(source, position))));
        }
        if ours.is_empty() {
            running.remove(&app);
        }
        Ok(())
    }

    /// Ends the drains of an app that is gone; their positions go with its files.
    pub(super) fn forget(&self, app: AppId) {
        self.lock().remove(&app);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<AppId, HashMap<DrainId, Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod test;
