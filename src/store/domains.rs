//! Domains of apps.

use rusqlite::{Connection, ErrorCode, params};
use uuid::Uuid;

use crate::domain::{AppId, CustomDomain, HostPattern};
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::all;
use crate::store::{Store, now_s};

// === impl Store ===

impl Store {
    /// Adds a domain.
    ///
    /// # Errors
    /// [`StoreError::DomainTaken`], [`StoreError::TooManyDomains`], [`StoreError::NoSuchApp`], or the database fails.
    pub async fn add_domain(&self, app: AppId, hostname: HostPattern) -> Result<CustomDomain, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to add a domain")?;
            require(&transaction, app)?;
            if domains(&transaction, app)?.len() >= CustomDomain::PER_APP_MAX {
                return Err(StoreError::TooManyDomains);
            }
            let added = CustomDomain { id: Uuid::new_v4(), app, hostname, created_at_s: now_s() };
            let sql = "INSERT INTO domains (id, app_id, hostname, created_at_s) VALUES (?1, ?2, ?3, ?4)";
            let (id, hostname) = (added.id.to_string(), added.hostname.to_string());
            let values = params![id, app.to_string(), hostname, added.created_at_s];
            match transaction.execute(sql, values) {
                Err(failed) if failed.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    return Err(StoreError::DomainTaken(added.hostname));
                }
                result => result.attempt("keep a domain")?,
            };
            transaction.commit().attempt("keep a new domain")?;
            Ok(added)
        })
        .await
    }

    /// The domains of an app, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn domains(&self, app: AppId) -> Result<Vec<CustomDomain>, StoreError> {
        self.call(move |connection| domains(connection, app)).await
    }

    /// Removes a domain; one that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_domain(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM domains WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("remove a domain").map(drop)
        })
        .await
    }
}

fn domains(connection: &Connection, app: AppId) -> Result<Vec<CustomDomain>, StoreError> {
    let sql = "SELECT * FROM domains WHERE app_id = ?1 ORDER BY hostname";
    all(connection, "domains", (sql, &[&app.to_string()]), |record| record.domain())
}
