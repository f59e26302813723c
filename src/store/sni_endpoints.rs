//! Certificates of apps' own, with their keys: the database is its owner's alone, as it is for config vars.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::domain::{AppId, Certificate, CertificateSource, SniEndpoint, Standing};
use crate::store::apps::require;
use crate::store::certificate_orders::settle_orders;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::all;
use crate::store::{Store, now_s};

// === impl Store ===

impl Store {
    /// Adds a certificate to an app's.
    ///
    /// # Errors
    /// [`StoreError::TooManySniEndpoints`], [`StoreError::NoSuchApp`], or the database fails.
    pub async fn add_sni_endpoint(
        &self,
        app: AppId,
        name: String,
        (certificate, standing): (Certificate, Standing),
    ) -> Result<SniEndpoint, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to add a certificate")?;
            require(&transaction, app)?;
            if sni_endpoints(&transaction, app)?.len() >= SniEndpoint::PER_APP_MAX {
                return Err(StoreError::TooManySniEndpoints);
            }
            let (id, now) = (Uuid::new_v4(), now_s());
            let sql = "INSERT INTO sni_endpoints (id, app_id, name, chain, private_key, trusted, created_at_s, \
                       updated_at_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)";
            let (chain, key) = (chain_text(&certificate), key_text(&certificate));
            let is_trusted = standing == Standing::Trusted;
            let values = params![id.to_string(), app.to_string(), name, chain, key, is_trusted, now];
            transaction.execute(sql, values).attempt("keep a certificate")?;
            transaction.commit().attempt("keep a new certificate")?;
            let certificate = Arc::new(certificate);
            Ok(SniEndpoint {
                id,
                app,
                name,
                certificate,
                standing,
                source: CertificateSource::User,
                created_at_s: now,
                updated_at_s: now,
            })
        })
        .await
    }

    /// The certificates of an app, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn sni_endpoints(&self, app: AppId) -> Result<Vec<SniEndpoint>, StoreError> {
        self.call(move |connection| sni_endpoints(connection, app)).await
    }

    /// Puts another certificate in the place of one.
    ///
    /// # Errors
    /// The database fails.
    pub async fn change_sni_endpoint(
        &self,
        id: Uuid,
        (certificate, standing): (Certificate, Standing),
    ) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE sni_endpoints SET chain = ?2, private_key = ?3, trusted = ?4, updated_at_s = ?5 WHERE id = ?1";
            let (chain, key) = (chain_text(&certificate), key_text(&certificate));
            let is_trusted = standing == Standing::Trusted;
            let values = params![id.to_string(), chain, key, is_trusted, now_s()];
            connection.execute(sql, values).attempt("change a certificate").map(drop)
        })
        .await
    }

    /// Removes a certificate, from domains too; one that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_sni_endpoint(&self, app: AppId, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to remove a certificate")?;
            let sql = "DELETE FROM sni_endpoints WHERE id = ?1";
            transaction.execute(sql, [id.to_string()]).attempt("remove a certificate")?;
            settle_orders(&transaction, app)?;
            transaction.commit().attempt("remove a certificate for good")
        })
        .await
    }
}

fn sni_endpoints(connection: &Connection, app: AppId) -> Result<Vec<SniEndpoint>, StoreError> {
    let sql = "SELECT * FROM sni_endpoints WHERE app_id = ?1 ORDER BY created_at_s, name";
    all(connection, "certificates", (sql, &[&app.to_string()]), |record| record.sni_endpoint())
}

/// Base64 of each certificate's DER, one a line.
pub(super) fn chain_text(certificate: &Certificate) -> String {
    let lines: Vec<_> = certificate.chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
    lines.join("\n")
}

/// Base64 of the key's DER.
pub(super) fn key_text(certificate: &Certificate) -> String {
    BASE64_STANDARD.encode(certificate.key.reveal())
}
