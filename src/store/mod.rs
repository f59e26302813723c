//! Durable state of a node, in SQLite. Being acknowledged means being on disk.
//!
//! What it is: apps, releases, formations, slugs, builds, buildpack lists, features, drains, users and what they may
//! do, pipelines, webhooks, add-ons, backups in one database file, in WAL mode
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
mod transfers;
mod users;
mod webhooks;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;

pub use add_ons::{AddOnChange, NewAddOn};
pub use apps::{AppChange, NewApp};
pub use builds::{BuildEnd, NewBuild};
pub use error::StoreError;
pub use jobs::{NewJob, NewRun};
pub use releases::{NewRelease, PhaseEnd};
pub use transfers::{NewTransfer, TransferEnd};
pub use users::NewAuthorization;
pub use webhooks::DueDelivery;

/// How long a statement waits for another process (an administrator's `sqlite3`) to let go of the database, milliseconds.
const BUSY_TIMEOUT_MS: u64 = 5000;

/// The node's database. Clones share one connection, whose calls run one after the other off the async threads.
#[derive(Clone, Debug)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
}

impl Store {
    /// Opens the database at `path`, making it when there is none and migrating it when it is older.
    ///
    /// # Errors
    /// The file cannot be opened, is no database of ours, is damaged, or was written by a newer version; it is then left
    /// as it was.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        migrate::inspect(path)?;
        let attempt = |source| StoreError::Open { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(attempt)?;
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS)).map_err(attempt)?;
        for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("foreign_keys", "ON")] {
            connection.pragma_update(None, name, value).map_err(attempt)?;
        }
        migrate::migrate(&mut connection, migrate::MIGRATIONS)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs `call` on a thread that may block.
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = Arc::clone(&self.connection);
        let task = tokio::task::spawn_blocking(move || {
            // A panic in an earlier call dropped its transaction, which rolled it back: the connection is sound.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            call(&mut connection)
        });
        match task.await {
            Ok(result) => result,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(StoreError::ShuttingDown),
            },
        }
    }
}

/// Unix time, seconds.
fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
