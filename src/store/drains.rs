//! Drains of apps.

use rusqlite::params;
use uuid::Uuid;

use crate::domain::{AppId, Drain, DrainId, DrainUrl};
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::all;
use crate::store::{Store, now_s};

// === impl Store ===

impl Store {
    /// Adds a drain with a token of its own.
    ///
    /// # Errors
    /// [`StoreError::DrainExists`], [`StoreError::TooManyDrains`], [`StoreError::NoSuchApp`], or the database fails.
    pub async fn add_drain(&self, app: AppId, url: DrainUrl) -> Result<Drain, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to add a drain")?;
            require(&transaction, app)?;
            let existing = drains(&transaction, app)?;
            if existing.iter().any(|drain| drain.url == url) {
                return Err(StoreError::DrainExists);
            }
            if existing.len() >= Drain::PER_APP_MAX {
                return Err(StoreError::TooManyDrains);
            }
            let token = format!("d.{}", Uuid::new_v4());
            let drain = Drain { id: DrainId(Uuid::new_v4()), app, token, url, created_at_s: now_s() };
            let sql = "INSERT INTO drains (id, app_id, token, url, created_at_s) VALUES (?1, ?2, ?3, ?4, ?5)";
            let id = drain.id.to_string();
            let values = params![id, app.to_string(), drain.token, drain.url.reveal(), drain.created_at_s];
            transaction.execute(sql, values).attempt("keep a drain")?;
            transaction.commit().attempt("keep a new drain")?;
            Ok(drain)
        })
        .await
    }

    /// The drains of an app, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn drains(&self, app: AppId) -> Result<Vec<Drain>, StoreError> {
        self.call(move |connection| drains(connection, app)).await
    }

    /// Removes a drain; one that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_drain(&self, id: DrainId) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM drains WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("remove a drain").map(drop)
        })
        .await
    }
}

fn drains(connection: &rusqlite::Connection, app: AppId) -> Result<Vec<Drain>, StoreError> {
    let sql = "SELECT * FROM drains WHERE app_id = ?1 ORDER BY created_at_s, rowid";
    all(connection, "drains", (sql, &[&app.to_string()]), |record| record.drain())
}
