//! Whom apps belong to and are shared with.

use rusqlite::{ErrorCode, params};
use uuid::Uuid;

use crate::domain::{App, AppId, AppRight, Collaborator, Email};
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, first};
use crate::store::{Store, now_s};

// === impl Store ===

impl Store {
    /// Shares an app.
    ///
    /// # Errors
    /// [`StoreError::CollaboratorExists`], [`StoreError::NoSuchApp`], or the database fails.
    pub async fn add_collaborator(
        &self,
        app: AppId,
        user: Email,
        right: AppRight,
    ) -> Result<Collaborator, StoreError> {
        self.call(move |connection| {
            require(connection, app)?;
            let added = Collaborator { id: Uuid::new_v4(), app, user, right, created_at_s: now_s() };
            let sql = "INSERT INTO collaborators (app_id, user, id, permission, created_at_s) VALUES (?1, ?2, ?3, ?4, ?5)";
            let values = params![
                app.to_string(),
                added.user.as_str(),
                added.id.to_string(),
                right.as_str(),
                added.created_at_s
            ];
            match connection.execute(sql, values) {
                Err(failed) if failed.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    Err(StoreError::CollaboratorExists(added.user))
                }
                result => result.attempt("share an app").map(|_| added),
            }
        })
        .await
    }

    /// Changes what a collaborator may do.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_collaborator_right(&self, id: Uuid, right: AppRight) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE collaborators SET permission = ?2 WHERE id = ?1";
            let values = [id.to_string(), right.as_str().to_owned()];
            connection.execute(sql, values).attempt("change a share").map(drop)
        })
        .await
    }

    /// With whom an app is shared, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn collaborators(&self, app: AppId) -> Result<Vec<Collaborator>, StoreError> {
        self.call(move |connection| {
            let query = "SELECT * FROM collaborators WHERE app_id = ?1 ORDER BY user";
            all(connection, "collaborators", (query, &[&app.to_string()]), |record| record.collaborator())
        })
        .await
    }

    /// What a user with whom an app is shared may do with it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn collaborator(&self, app: AppId, user: &Email) -> Result<Option<Collaborator>, StoreError> {
        let user = user.clone();
        self.call(move |connection| {
            let query = "SELECT * FROM collaborators WHERE app_id = ?1 AND user = ?2";
            first(connection, "collaborators", (query, &[&app.to_string(), &user.as_str()]), |record| {
                record.collaborator()
            })
        })
        .await
    }

    /// Shares an app no longer; a share that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_collaborator(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM collaborators WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("end a share").map(drop)
        })
        .await
    }

    /// The apps a user owns or that are shared with the user, ordered by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn apps_of(&self, user: &Email) -> Result<Vec<App>, StoreError> {
        let user = user.clone();
        self.call(move |connection| {
            let query = "SELECT * FROM apps WHERE owner = ?1 \
                         OR id IN (SELECT app_id FROM collaborators WHERE user = ?1) ORDER BY name";
            all(connection, "apps", (query, &[&user.as_str()]), |record| record.app())
        })
        .await
    }
}
