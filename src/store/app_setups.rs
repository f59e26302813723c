//! Settings up of apps.

use rusqlite::params;
use uuid::Uuid;

use crate::domain::{AppSetup, SetupStatus};
use crate::store::error::{Attempt, StoreError};
use crate::store::record::first;
use crate::store::{Store, now_s};

/// How many settings up are remembered, the newest.
const SETUPS_MAX: i64 = 200;

// === impl Store ===

impl Store {
    /// Keeps a setting up as it is now; those that are older than the last many go, but for those that go on.
    ///
    /// # Errors
    /// The database fails.
    pub async fn keep_app_setup(&self, setup: AppSetup) -> Result<AppSetup, StoreError> {
        self.call(move |connection| {
            let setup = AppSetup { updated_at_s: now_s(), ..setup };
            let transaction = connection.transaction().attempt("begin to keep the setting up of an app")?;
            let sql = "INSERT INTO app_setups (id, app_id, app_name, user, status, failure, manifest_errors, build, \
                       output, exit_code, success_url, created_at_s, updated_at_s) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
                       ON CONFLICT (id) DO UPDATE SET status = ?5, failure = ?6, manifest_errors = ?7, build = ?8, \
                       output = ?9, exit_code = ?10, success_url = ?11, updated_at_s = ?13";
            let postdeploy = setup.postdeploy.as_ref();
            let values = params![
                setup.id.to_string(),
                setup.app.to_string(),
                setup.app_name.as_str(),
                setup.user,
                setup.status.as_str(),
                setup.failure,
                serde_json::Value::from(setup.manifest_errors.clone()).to_string(),
                setup.build.map(|id| id.to_string()),
                postdeploy.map(|ended| ended.output.as_str()),
                postdeploy.map(|ended| ended.exit_code),
                setup.success_url,
                setup.created_at_s,
                setup.updated_at_s,
            ];
            transaction.execute(sql, values).attempt("keep the setting up of an app")?;
            let sql = "DELETE FROM app_setups WHERE status <> ?1 AND id NOT IN \
                       (SELECT id FROM app_setups ORDER BY created_at_s DESC, rowid DESC LIMIT ?2)";
            let values = params![SetupStatus::Pending.as_str(), SETUPS_MAX];
            transaction.execute(sql, values).attempt("forget old settings up of apps")?;
            transaction.commit().attempt("keep the setting up of an app")?;
            Ok(setup)
        })
        .await
    }

    /// A setting up by its identity.
    ///
    /// # Errors
    /// The database fails.
    pub async fn app_setup(&self, id: Uuid) -> Result<Option<AppSetup>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM app_setups WHERE id = ?1";
            first(connection, "app_setups", (sql, &[&id.to_string()]), |record| record.app_setup())
        })
        .await
    }

    /// Marks as failed every setting up that an earlier process left unfinished, and tells how many.
    ///
    /// # Errors
    /// The database fails.
    pub async fn fail_unfinished_app_setups(&self, failure: String) -> Result<usize, StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE app_setups SET status = ?2, failure = ?3, updated_at_s = ?4 WHERE status = ?1";
            let (pending, failed) = (SetupStatus::Pending.as_str(), SetupStatus::Failed.as_str());
            let values = params![pending, failed, failure, now_s()];
            connection.execute(sql, values).attempt("end unfinished settings up of apps")
        })
        .await
    }
}
