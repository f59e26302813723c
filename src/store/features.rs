//! What apps have switched on or off.

use rusqlite::params;

use crate::domain::{AppId, Feature, Features, Switch};
use crate::store::Store;
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::all;

// === impl Store ===

impl Store {
    /// What an app has switched on or off; what it has not touched is as the table of features has it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn features(&self, app: AppId) -> Result<Features, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM features WHERE app_id = ?1";
            let chosen = all(connection, "features", (sql, &[&app.to_string()]), |record| record.feature())?;
            Ok(chosen.into_iter().collect())
        })
        .await
    }

    /// Switches a feature of an app.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn set_feature(&self, app: AppId, feature: Feature, to: Switch) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to switch a feature")?;
            require(&transaction, app)?;
            let sql = "INSERT INTO features (app_id, name, enabled) VALUES (?1, ?2, ?3)
                       ON CONFLICT (app_id, name) DO UPDATE SET enabled = excluded.enabled";
            transaction
                .execute(sql, params![app.to_string(), feature.as_str(), to == Switch::On])
                .attempt("keep a feature")?;
            transaction.commit().attempt("keep a switched feature")
        })
        .await
    }
}
