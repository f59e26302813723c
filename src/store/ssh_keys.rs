//! Public keys of users.

use rusqlite::{Connection, ErrorCode, params};
use uuid::Uuid;

use crate::domain::{Email, PublicKey, SshKey};
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, first};
use crate::store::{Store, now_s};

// === impl Store ===

impl Store {
    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::KeyTaken`], [`StoreError::TooManyKeys`], or the database fails.
    pub async fn add_ssh_key(&self, user: Email, key: PublicKey) -> Result<SshKey, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to add a key")?;
            if ssh_keys(&transaction, &user)?.len() >= SshKey::PER_USER_MAX {
                return Err(StoreError::TooManyKeys);
            }
            let added = SshKey { id: Uuid::new_v4(), user, key, created_at_s: now_s() };
            let sql =
                "INSERT INTO ssh_keys (id, user, blob, public_key, created_at_s) VALUES (?1, ?2, ?3, ?4, ?5)";
            let values = params![
                added.id.to_string(),
                added.user.as_str(),
                added.key.blob(),
                added.key.to_string(),
                added.created_at_s
            ];
            match transaction.execute(sql, values) {
                Err(failed) if failed.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    return Err(StoreError::KeyTaken);
                }
                result => result.attempt("keep a key")?,
            };
            transaction.commit().attempt("keep a new key")?;
            Ok(added)
        })
        .await
    }

    /// The keys of a user, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn ssh_keys(&self, user: &Email) -> Result<Vec<SshKey>, StoreError> {
        let user = user.clone();
        self.call(move |connection| ssh_keys(connection, &user)).await
    }

    /// The key of these bytes in base64, whosever it is.
    ///
    /// # Errors
    /// The database fails.
    pub async fn ssh_key_by_blob(&self, blob: String) -> Result<Option<SshKey>, StoreError> {
        self.call(move |connection| {
            let query = "SELECT * FROM ssh_keys WHERE blob = ?1";
            first(connection, "ssh_keys", (query, &[&blob]), |record| record.ssh_key())
        })
        .await
    }

    /// Removes a key; one that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_ssh_key(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM ssh_keys WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("remove a key").map(drop)
        })
        .await
    }
}

fn ssh_keys(connection: &Connection, user: &Email) -> Result<Vec<SshKey>, StoreError> {
    let query = "SELECT * FROM ssh_keys WHERE user = ?1 ORDER BY created_at_s, rowid";
    all(connection, "ssh_keys", (query, &[&user.as_str()]), |record| record.ssh_key())
}
