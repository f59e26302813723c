//! Durable state of a node, in SQLite. Being acknowledged means being on disk.
//!
//! What it is: apps, releases, formations, slugs, builds, buildpack lists, features, drains, users and what they may
//! do, pipelines and their test runs, webhooks, add-ons, backups, orders for certificates in one database file, in WAL mode
//! with `synchronous=FULL`, so that a commit returns after `fsync`. What it is not: the home of files (slugs, logs, build
//! output), of which it keeps addresses only; nor of anything that can be observed, such as running dynos.
//!
//! - Every method is one transaction: done whole, or not at all.
//! - Disk shapes are in `record`, converted at this border to and from the domain's types.
//! - The shape of the database is the number in `user_version`; `migrate` brings an older one up to date and refuses a newer.

mod add_ons;
mod app_setups;
mod apps;
mod builds;
mod certificate_orders;
mod collaborators;
mod domains;
mod drains;
mod error;
mod features;
mod jobs;
mod migrate;
mod pipelines;
mod promotions;
mod record;
mod releases;
mod repositories;
mod routing;
mod sni_endpoints;
mod ssh_keys;
#[cfg(test)]
mod test;
mod test_runs;
mod transfers;
mod users;
mod webhooks;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

pub use add_ons::{AddOnChange, NewAddOn};
pub use apps::{AppChange, NewApp};
pub use builds::{BuildEnd, NewBuild};
pub use certificate_orders::{AcmeAccount, Issued, IssuedCertificate, Started};
pub use error::StoreError;
pub use jobs::{NewJob, NewRun};
pub use releases::{NewRelease, PhaseEnd};
pub use test_runs::{NewTestRun, TestProgress};
pub use transfers::{NewTransfer, TransferEnd};
pub use users::NewAuthorization;
pub use webhooks::DueDelivery;

/// How long a statement waits for another process (an administrator's `sqlite3`) to let go of the database, milliseconds.
const BUSY_TIMEOUT_MS: u64 = 5000;

/// Calls that wait for the database; who has one more waits for a place.
const CALLS_MAX: usize = 1024;

/// Something to do with the database.
type Call = Box<dyn FnOnce(&mut Connection) + Send>;

/// The node's database. Clones share one connection, whose calls run one after the other on a thread of its own: it goes from one
/// to the next without a pause, where threads that take a lock in turn would wake each other for each.
#[derive(Clone, Debug)]
pub struct Store {
    calls: mpsc::Sender<Call>,
}

impl Store {
    /// Opens the database at `path`, making it when there is none and migrating it when it is older.
    ///
    /// # Errors
    /// The file cannot be opened, is no database of ours, is damaged, or was written by a newer version; it is then left
    /// as it was. No thread can be started.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        migrate::inspect(path)?;
        let attempt = |source| StoreError::Open { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(attempt)?;
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS)).map_err(attempt)?;
        for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("foreign_keys", "ON")] {
            connection.pragma_update(None, name, value).map_err(attempt)?;
        }
        migrate::migrate(&mut connection, migrate::MIGRATIONS)?;
        let (calls, mut waiting) = mpsc::channel::<Call>(CALLS_MAX);
        let serve = move || {
            while let Some(call) = waiting.blocking_recv() {
                call(&mut connection);
            }
        };
        // Ends with the last clone.
        thread::Builder::new().name("store".to_owned()).spawn(serve).map_err(StoreError::Thread)?;
        Ok(Self { calls })
    }

    /// Runs `call` on the database's thread.
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let call: Call = Box::new(move |connection| {
            // A panic drops the call's transaction, which rolls it back: the connection is sound.
            let outcome = catch_unwind(AssertUnwindSafe(|| call(connection)));
            let _nobody_waits = answer.send(outcome);
        });
        self.calls.send(call).await.map_err(|_| StoreError::ShuttingDown)?;
        match answered.await.map_err(|_| StoreError::ShuttingDown)? {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Unix time, seconds.
fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
