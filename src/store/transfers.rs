//! Transfers of what is in add-ons, and when backups are taken.

use rusqlite::params;
use uuid::Uuid;

use crate::domain::{AppId, BackupSchedule, Transfer, TransferCause, TransferKind, TransferState};
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, signed};
use crate::store::{Store, now_s};

/// A transfer that begins; the store adds its number and time.
#[derive(Clone, Debug)]
pub struct NewTransfer {
    /// Its identity.
    pub id: Uuid,
    /// The app in whose list it stands.
    pub app: AppId,
    /// The add-on.
    pub add_on: Uuid,
    /// What it does.
    pub kind: TransferKind,
    /// Whose doing it is.
    pub cause: TransferCause,
    /// What is read.
    pub from: String,
    /// What is written.
    pub to: String,
}

/// How a transfer ended.
#[derive(Clone, Debug)]
pub struct TransferEnd {
    /// How.
    pub state: TransferState,
    /// Bytes of its dump.
    pub bytes: u64,
    /// SHA-256 of its dump.
    pub digest: Option<String>,
    /// Why it failed.
    pub message: Option<String>,
}

// === impl Store ===

impl Store {
    /// Records that a transfer begins.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], [`StoreError::TooManyTransfers`], or the database fails.
    pub async fn add_transfer(&self, new: NewTransfer) -> Result<Transfer, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to add a transfer")?;
            require(&transaction, new.app)?;
            let app = new.app.to_string();
            let sql = "SELECT count(*) FROM transfers WHERE app_id = ?1";
            let count: usize =
                transaction.query_row(sql, [&app], |row| row.get(0)).attempt("count transfers")?;
            if count >= Transfer::PER_APP_MAX {
                return Err(StoreError::TooManyTransfers);
            }
            let sql = "INSERT INTO transfer_numbers (app_id, last) VALUES (?1, 1) \
                       ON CONFLICT (app_id) DO UPDATE SET last = last + 1 RETURNING last";
            let number: u32 =
                transaction.query_row(sql, [&app], |row| row.get(0)).attempt("number a transfer")?;
            let NewTransfer { id, app: app_id, add_on, kind, cause, from, to } = new;
            let (state, created_at_s) = (TransferState::Running, now_s());
            let sql = "INSERT INTO transfers (id, app_id, add_on_id, number, kind, is_scheduled, from_name, to_name, \
                       state, bytes, created_at_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10)";
            let is_scheduled = cause == TransferCause::Schedule;
            let (key, add_on_key) = (id.to_string(), add_on.to_string());
            let values = params![
                key,
                app,
                add_on_key,
                number,
                kind.as_str(),
                is_scheduled,
                from,
                to,
                state.as_str(),
                created_at_s
            ];
            transaction.execute(sql, values).attempt("keep a transfer")?;
            transaction.commit().attempt("keep a transfer")?;
            let (bytes, digest, message, verified, finished_at_s) = (0, None, None, None, None);
            Ok(Transfer {
                id,
                app: app_id,
                add_on,
                number,
                kind,
                cause,
                from,
                to,
                state,
                bytes,
                digest,
                message,
                verified,
                created_at_s,
                finished_at_s,
            })
        })
        .await
    }

    /// Records how a transfer ended.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end_transfer(&self, id: Uuid, end: TransferEnd) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE transfers SET state = ?2, bytes = ?3, digest = ?4, message = ?5, finished_at_s = ?6 \
                       WHERE id = ?1";
            let TransferEnd { state, bytes, digest, message } = end;
            let values = params![id.to_string(), state.as_str(), signed(bytes), digest, message, now_s()];
            connection.execute(sql, values).attempt("end a transfer").map(drop)
        })
        .await
    }

    /// Records that transfers which the last process has begun have failed; how many those were.
    ///
    /// # Errors
    /// The database fails.
    pub async fn fail_unfinished_transfers(&self, message: &str) -> Result<usize, StoreError> {
        let message = message.to_owned();
        self.call(move |connection| {
            let sql = "UPDATE transfers SET state = ?1, message = ?2, finished_at_s = ?3 WHERE state = ?4";
            let (failed, running) = (TransferState::Failed.as_str(), TransferState::Running.as_str());
            connection.execute(sql, params![failed, message, now_s(), running]).attempt("end transfers")
        })
        .await
    }

    /// Records whether a backup can be restored from; `fault` says why not.
    ///
    /// # Errors
    /// The database fails.
    pub async fn note_verified(&self, id: Uuid, fault: Option<String>) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE transfers SET verified_at_s = ?2, verify_fault = ?3 WHERE id = ?1";
            connection
                .execute(sql, params![id.to_string(), now_s(), fault])
                .attempt("note that a backup was tried")
                .map(drop)
        })
        .await
    }

    /// The transfers of an app, newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn transfers_of_app(&self, app: AppId) -> Result<Vec<Transfer>, StoreError> {
        let sql = "SELECT * FROM transfers WHERE app_id = ?1 ORDER BY created_at_s DESC, number DESC";
        self.listed(sql, app.to_string()).await
    }

    /// The backups that were taken of an add-on, newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn backups_of(&self, add_on: Uuid) -> Result<Vec<Transfer>, StoreError> {
        let sql = "SELECT * FROM transfers WHERE add_on_id = ?1 AND kind = 'backup' \
                   ORDER BY created_at_s DESC, number DESC";
        self.listed(sql, add_on.to_string()).await
    }

    /// The transfer of that identity.
    ///
    /// # Errors
    /// The database fails.
    pub async fn transfer(&self, id: Uuid) -> Result<Option<Transfer>, StoreError> {
        let found = self.listed("SELECT * FROM transfers WHERE id = ?1", id.to_string()).await?;
        Ok(found.into_iter().next())
    }

    async fn listed(&self, sql: &'static str, key: String) -> Result<Vec<Transfer>, StoreError> {
        self.call(move |connection| all(connection, "transfers", (sql, &[&key]), |record| record.transfer()))
            .await
    }

    /// The add-ons that backups were taken of, those that are no more among them.
    ///
    /// # Errors
    /// The database fails.
    pub async fn backed_up(&self) -> Result<Vec<Uuid>, StoreError> {
        self.call(|connection| {
            let sql = "SELECT DISTINCT add_on_id AS id FROM transfers WHERE kind = 'backup'";
            all(connection, "transfers", (sql, &[]), |record| record.id())
        })
        .await
    }

    /// Forgets restores and copies that have ended and began before `then_s`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_records_before(&self, then_s: i64) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM transfers WHERE kind <> 'backup' AND state <> ?1 AND created_at_s < ?2";
            let running = TransferState::Running.as_str();
            connection.execute(sql, params![running, then_s]).attempt("remove records of transfers").map(drop)
        })
        .await
    }

    /// Forgets a transfer; one that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_transfer(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM transfers WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("remove a transfer").map(drop)
        })
        .await
    }

    /// Keeps when backups of an add-on are taken, in the place of what was said before.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_backup_schedule(&self, schedule: BackupSchedule) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "INSERT INTO backup_schedules (id, add_on_id, name, hour, zone, looked_at_s) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (add_on_id) DO UPDATE SET \
                       id = ?1, name = ?3, hour = ?4, zone = ?5, looked_at_s = ?6";
            let BackupSchedule { id, add_on, name, hour, zone, looked_at_s } = schedule;
            let values = params![id.to_string(), add_on.to_string(), name, hour, zone, looked_at_s];
            connection.execute(sql, values).attempt("keep when backups are taken").map(drop)
        })
        .await
    }

    /// Notes up to when a schedule has been looked at; one that is gone, or that another has taken the place of, stays as it is.
    ///
    /// # Errors
    /// The database fails.
    pub async fn note_backup_looked_at(&self, id: Uuid, at_s: i64) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE backup_schedules SET looked_at_s = ?2 WHERE id = ?1";
            connection
                .execute(sql, params![id.to_string(), at_s])
                .attempt("note a look at a schedule")
                .map(drop)
        })
        .await
    }

    /// When backups are taken, of all add-ons.
    ///
    /// # Errors
    /// The database fails.
    pub async fn backup_schedules(&self) -> Result<Vec<BackupSchedule>, StoreError> {
        self.call(|connection| {
            let sql = "SELECT * FROM backup_schedules ORDER BY name, id";
            all(connection, "backup_schedules", (sql, &[]), |record| record.backup_schedule())
        })
        .await
    }

    /// Has no more backups of an add-on taken by themselves.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_backup_schedule(&self, add_on: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM backup_schedules WHERE add_on_id = ?1";
            connection.execute(sql, [add_on.to_string()]).attempt("end a schedule of backups").map(drop)
        })
        .await
    }
}
