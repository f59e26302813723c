//! Branches of repositories elsewhere that are deployed to apps.

use rusqlite::params;
use uuid::Uuid;

use crate::domain::{AppId, Deploys, RepositoryLink};
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, first, signed};
use crate::store::{Store, now_s};

// === impl Store ===

impl Store {
    /// Ties an app to a branch, instead of the one it was tied to.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn set_repository(&self, new: RepositoryLink) -> Result<RepositoryLink, StoreError> {
        self.call(move |connection| {
            require(connection, new.app)?;
            let new = RepositoryLink { created_at_s: now_s(), ..new };
            let sql = "INSERT OR REPLACE INTO repositories (app_id, id, url, branch, secret, user, automatic, asked, \
                       done, created_at_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, ?8)";
            let values = params![
                new.app.to_string(),
                new.id.to_string(),
                new.url.source().parts().reveal(),
                new.branch.as_str(),
                new.secret.reveal(),
                new.user,
                new.deploys == Deploys::Automatic,
                new.created_at_s,
            ];
            connection.execute(sql, values).attempt("keep a repository")?;
            Ok(new)
        })
        .await
    }

    /// The branch that an app is tied to.
    ///
    /// # Errors
    /// The database fails.
    pub async fn repository(&self, app: AppId) -> Result<Option<RepositoryLink>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM repositories WHERE app_id = ?1";
            first(connection, "repositories", (sql, &[&app.to_string()]), |record| record.repository())
        })
        .await
    }

    /// The link of this identity.
    ///
    /// # Errors
    /// The database fails.
    pub async fn repository_by_id(&self, id: Uuid) -> Result<Option<RepositoryLink>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM repositories WHERE id = ?1";
            first(connection, "repositories", (sql, &[&id.to_string()]), |record| record.repository())
        })
        .await
    }

    /// The links with deploys that are not done with.
    ///
    /// # Errors
    /// The database fails.
    pub async fn waiting_repositories(&self) -> Result<Vec<RepositoryLink>, StoreError> {
        self.call(|connection| {
            let sql = "SELECT * FROM repositories WHERE asked > done";
            all(connection, "repositories", (sql, &[]), |record| record.repository())
        })
        .await
    }

    /// Unties an app; tells whether it was tied.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_repository(&self, app: AppId) -> Result<bool, StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM repositories WHERE app_id = ?1";
            Ok(connection.execute(sql, [app.to_string()]).attempt("remove a repository")? > 0)
        })
        .await
    }

    /// Says whether pushes are deployed by themselves; tells whether the app is tied to a branch.
    ///
    /// # Errors
    /// The database fails.
    pub async fn switch_repository(&self, app: AppId, deploys: Deploys) -> Result<bool, StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE repositories SET automatic = ?2 WHERE app_id = ?1";
            let values = params![app.to_string(), deploys == Deploys::Automatic];
            Ok(connection.execute(sql, values).attempt("switch deploys")? > 0)
        })
        .await
    }

    /// Asks for one more deploy.
    ///
    /// # Errors
    /// The database fails.
    pub async fn ask_deploy(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE repositories SET asked = asked + 1 WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("ask for a deploy").map(drop)
        })
        .await
    }

    /// Records that the deploys up to the one of this number are done with, and how; `commit` is the one that runs now.
    ///
    /// # Errors
    /// The database fails.
    pub async fn settle_deploy(
        &self,
        id: Uuid,
        done: u64,
        (commit, outcome): (Option<String>, String),
    ) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE repositories SET done = ?2, commit_id = coalesce(?3, commit_id), outcome = ?4 \
                       WHERE id = ?1";
            let values = params![id.to_string(), signed(done), commit, outcome];
            connection.execute(sql, values).attempt("keep what became of a deploy").map(drop)
        })
        .await
    }
}
