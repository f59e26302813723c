//! Users, the digests of their passwords, and their tokens' digests. Neither a password nor a token is kept.

use rusqlite::{Connection, ErrorCode, params};
use uuid::Uuid;

use crate::domain::{Authorization, Email, Scopes, User};
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, first};
use crate::store::{Store, now_s};

/// A token to be kept.
#[derive(Clone, Debug)]
pub struct NewAuthorization {
    /// Whose it is.
    pub user: Email,
    /// What it is for.
    pub description: String,
    /// What it is good for.
    pub scopes: Scopes,
    /// Digest of the token, unique.
    pub digest: String,
    /// The token's first characters.
    pub hint: String,
    /// Seconds from now after which it is worth nothing.
    pub expires_in_s: Option<u32>,
}

// === impl Store ===

impl Store {
    /// Makes a user.
    ///
    /// # Errors
    /// [`StoreError::UserExists`], or the database fails.
    pub async fn create_user(&self, email: Email, password_digest: String) -> Result<User, StoreError> {
        self.call(move |connection| {
            let user = User { email, created_at_s: now_s() };
            let sql = "INSERT INTO users (email, password, created_at_s) VALUES (?1, ?2, ?3)";
            let values = params![user.email.as_str(), password_digest, user.created_at_s];
            match connection.execute(sql, values) {
                Err(failed) if failed.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    Err(StoreError::UserExists(user.email))
                }
                result => result.attempt("make a user").map(|_| user),
            }
        })
        .await
    }

    /// Every user, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        self.call(|connection| {
            all(connection, "users", ("SELECT * FROM users ORDER BY email", &[]), |record| record.user())
        })
        .await
    }

    /// The user of that name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn user(&self, email: &Email) -> Result<Option<User>, StoreError> {
        let email = email.clone();
        self.call(move |connection| {
            let query = "SELECT * FROM users WHERE email = ?1";
            first(connection, "users", (query, &[&email.as_str()]), |record| record.user())
        })
        .await
    }

    /// The digest of a user's password.
    ///
    /// # Errors
    /// The database fails.
    pub async fn password_digest(&self, email: &Email) -> Result<Option<String>, StoreError> {
        let email = email.clone();
        self.call(move |connection| {
            let query = "SELECT * FROM users WHERE email = ?1";
            first(connection, "users", (query, &[&email.as_str()]), |record| record.text("password"))
        })
        .await
    }

    /// Gives a user another password, and takes back every token: whoever knew the old one is out.
    ///
    /// # Errors
    /// [`StoreError::NoSuchUser`], or the database fails.
    pub async fn set_password(&self, email: Email, password_digest: String) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to change a password")?;
            let sql = "UPDATE users SET password = ?2 WHERE email = ?1";
            let changed =
                transaction.execute(sql, [email.as_str(), &password_digest]).attempt("change a password")?;
            if changed == 0 {
                return Err(StoreError::NoSuchUser(email));
            }
            let sql = "DELETE FROM authorizations WHERE user = ?1";
            transaction.execute(sql, [email.as_str()]).attempt("take tokens back")?;
            transaction.commit().attempt("keep a changed password")
        })
        .await
    }

    /// Removes a user with their tokens and shares.
    ///
    /// # Errors
    /// [`StoreError::NoSuchUser`], [`StoreError::OwnsApps`], or the database fails.
    pub async fn remove_user(&self, email: Email) -> Result<User, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to remove a user")?;
            let query = "SELECT * FROM users WHERE email = ?1";
            let user = first(&transaction, "users", (query, &[&email.as_str()]), |record| record.user())?;
            let user = user.ok_or_else(|| StoreError::NoSuchUser(email.clone()))?;
            let query = "SELECT * FROM apps WHERE owner = ?1 ORDER BY name";
            if let Some(app) =
                first(&transaction, "apps", (query, &[&email.as_str()]), |record| record.app())?
            {
                return Err(StoreError::OwnsApps { user: email, app: app.name });
            }
            // Their pipelines hold others' apps as well: they become the administrator's.
            let sql = "UPDATE pipelines SET owner = NULL WHERE owner = ?1";
            transaction.execute(sql, [email.as_str()]).attempt("take over the pipelines of a user")?;
            for (table, column) in [
                ("authorizations", "user"),
                ("collaborators", "user"),
                ("ssh_keys", "user"),
                ("users", "email"),
            ] {
                let sql = format!("DELETE FROM {table} WHERE {column} = ?1");
                transaction.execute(&sql, [email.as_str()]).attempt("remove a user")?;
            }
            transaction.commit().attempt("remove a user for good")?;
            Ok(user)
        })
        .await
    }

    /// Keeps a token. Those of the user that are worth nothing any more are forgotten.
    ///
    /// # Errors
    /// [`StoreError::TooManyAuthorizations`], or the database fails.
    pub async fn add_authorization(&self, new: NewAuthorization) -> Result<Authorization, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to keep a token")?;
            let user = new.user.as_str();
            let sql = "DELETE FROM authorizations WHERE user = ?1 AND expires_at_s <= ?2";
            transaction.execute(sql, params![user, now_s()]).attempt("forget expired tokens")?;
            if authorizations(&transaction, &new.user)?.len() >= Authorization::PER_USER_MAX {
                return Err(StoreError::TooManyAuthorizations);
            }
            let created_at_s = now_s();
            let kept = Authorization {
                id: Uuid::new_v4(),
                user: new.user.clone(),
                description: new.description,
                scopes: new.scopes,
                hint: new.hint,
                created_at_s,
                expires_at_s: new.expires_in_s.map(|span| created_at_s.saturating_add(span.into())),
            };
            let sql = "INSERT INTO authorizations (id, user, description, scopes, digest, hint, created_at_s, \
                       expires_at_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let values = params![
                kept.id.to_string(),
                user,
                kept.description,
                kept.scopes.to_string(),
                new.digest,
                kept.hint,
                kept.created_at_s,
                kept.expires_at_s
            ];
            transaction.execute(sql, values).attempt("keep a token")?;
            transaction.commit().attempt("keep a new token")?;
            Ok(kept)
        })
        .await
    }

    /// The token of that digest, expired or not.
    ///
    /// # Errors
    /// The database fails.
    pub async fn authorization_by_digest(&self, digest: String) -> Result<Option<Authorization>, StoreError> {
        self.call(move |connection| {
            let query = "SELECT * FROM authorizations WHERE digest = ?1";
            first(connection, "authorizations", (query, &[&digest]), |record| record.authorization())
        })
        .await
    }

    /// The tokens of a user, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn authorizations(&self, user: &Email) -> Result<Vec<Authorization>, StoreError> {
        let user = user.clone();
        self.call(move |connection| authorizations(connection, &user)).await
    }

    /// Puts another token in the place of one, which is worth nothing from then on; its end stays when it was. None, when
    /// it is gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rotate_authorization(
        &self,
        id: Uuid,
        digest: String,
        hint: String,
    ) -> Result<Option<Authorization>, StoreError> {
        let sql = "UPDATE authorizations SET digest = ?2, hint = ?3 WHERE id = ?1";
        self.call(move |connection| {
            let id = id.to_string();
            connection.execute(sql, [&id, &digest, &hint]).attempt("change a token")?;
            authorization(connection, &id)
        })
        .await
    }

    /// Changes what a token is said to be for. None, when it is gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn describe_authorization(
        &self,
        id: Uuid,
        description: String,
    ) -> Result<Option<Authorization>, StoreError> {
        let sql = "UPDATE authorizations SET description = ?2 WHERE id = ?1";
        self.call(move |connection| {
            let id = id.to_string();
            connection.execute(sql, [&id, &description]).attempt("describe a token")?;
            authorization(connection, &id)
        })
        .await
    }

    /// Takes a token back; one that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_authorization(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM authorizations WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("take a token back").map(drop)
        })
        .await
    }
}

fn authorization(connection: &Connection, id: &str) -> Result<Option<Authorization>, StoreError> {
    let query = "SELECT * FROM authorizations WHERE id = ?1";
    first(connection, "authorizations", (query, &[&id]), |record| record.authorization())
}

fn authorizations(connection: &Connection, user: &Email) -> Result<Vec<Authorization>, StoreError> {
    let query = "SELECT * FROM authorizations WHERE user = ?1 ORDER BY created_at_s, rowid";
    all(connection, "authorizations", (query, &[&user.as_str()]), |record| record.authorization())
}
