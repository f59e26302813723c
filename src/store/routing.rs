//! How apps have their requests led.

use rusqlite::params;

use crate::domain::{AppId, Routing, RoutingSetting};
use crate::store::Store;
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::all;

// === impl Store ===

impl Store {
    /// What an app has chosen.
    ///
    /// # Errors
    /// The database fails.
    pub async fn routing(&self, app: AppId) -> Result<Routing, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM routing WHERE app_id = ?1";
            let chosen = all(connection, "routing", (sql, &[&app.to_string()]), |record| record.routing())?;
            let mut routing = Routing::default();
            for (setting, value) in chosen {
                // The value has been read as one of the setting's.
                let _set = routing.set(setting, &value);
            }
            Ok(routing)
        })
        .await
    }

    /// Keeps what an app has chosen in place of what it had.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn set_routing(&self, app: AppId, routing: Routing) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to change how requests are led")?;
            require(&transaction, app)?;
            transaction
                .execute("DELETE FROM routing WHERE app_id = ?1", params![app.to_string()])
                .attempt("forget how requests were led")?;
            for row in RoutingSetting::TABLE {
                let Some(value) = routing.chosen(row.setting) else { continue };
                let sql = "INSERT INTO routing (app_id, name, value) VALUES (?1, ?2, ?3)";
                transaction
                    .execute(sql, params![app.to_string(), row.name, value])
                    .attempt("keep how requests are led")?;
            }
            transaction.commit().attempt("keep how requests are led")
        })
        .await
    }
}
