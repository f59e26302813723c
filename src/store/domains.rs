//! Domains of apps.

use rusqlite::{Connection, ErrorCode, params};
use uuid::Uuid;

use crate::domain::{AppId, CustomDomain, EndpointRef, HostPattern};
use crate::store::apps::require;
use crate::store::certificate_orders::settle_orders;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, first};
use crate::store::{Store, now_s};

// === impl Store ===

impl Store {
    /// Adds a domain.
    ///
    /// # Errors
    /// [`StoreError::DomainTaken`], [`StoreError::DomainOverlaps`], [`StoreError::DomainThere`], [`StoreError::TooManyDomains`],
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn add_domain(
        &self,
        app: AppId,
        hostname: HostPattern,
        endpoint: Option<EndpointRef>,
    ) -> Result<CustomDomain, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to add a domain")?;
            require(&transaction, app)?;
            if domains(&transaction, app)?.len() >= CustomDomain::PER_APP_MAX {
                return Err(StoreError::TooManyDomains);
            }
            let (id, created_at_s) = (Uuid::new_v4(), now_s());
            let added = CustomDomain { id, app, hostname, endpoint, order: None, created_at_s };
            let sql = "INSERT INTO domains (id, app_id, hostname, created_at_s, sni_endpoint_id) \
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            let (id, hostname) = (added.id.to_string(), added.hostname.to_string());
            let endpoint = added.endpoint.as_ref().map(|endpoint| endpoint.id.to_string());
            let values = params![id, app.to_string(), hostname, added.created_at_s, endpoint];
            if domains(&transaction, app)?.iter().any(|own| own.hostname == added.hostname) {
                return Err(StoreError::DomainThere(added.hostname));
            }
            if let Some(other) = overlapping(&transaction, app, &added.hostname)? {
                return Err(StoreError::DomainOverlaps { hostname: added.hostname, other });
            }
            match transaction.execute(sql, values) {
                Err(failed) if failed.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    return Err(StoreError::DomainTaken(added.hostname));
                }
                result => result.attempt("keep a domain")?,
            };
            settle_orders(&transaction, app)?;
            let order = domains(&transaction, app)?.into_iter().find(|kept| kept.id == added.id);
            transaction.commit().attempt("keep a new domain")?;
            Ok(CustomDomain { order: order.and_then(|kept| kept.order), ..added })
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

    /// Has a certificate shown for a domain, or none.
    ///
    /// # Errors
    /// The database fails, or there is no such certificate.
    pub async fn secure_domain(
        &self,
        (app, id): (AppId, Uuid),
        endpoint: Option<Uuid>,
    ) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE domains SET sni_endpoint_id = ?2 WHERE id = ?1";
            let values = params![id.to_string(), endpoint.map(|endpoint| endpoint.to_string())];
            let transaction = connection.transaction().attempt("begin to give a domain a certificate")?;
            transaction.execute(sql, values).attempt("give a domain a certificate")?;
            settle_orders(&transaction, app)?;
            transaction.commit().attempt("give a domain a certificate for good")
        })
        .await
    }

    /// Removes a domain; one that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_domain(&self, app: AppId, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to remove a domain")?;
            let sql = "DELETE FROM domains WHERE id = ?1";
            transaction.execute(sql, [id.to_string()]).attempt("remove a domain")?;
            settle_orders(&transaction, app)?;
            transaction.commit().attempt("remove a domain for good")
        })
        .await
    }
}

/// A domain of another owner's app that a wildcard has in common with `hostname`. Whoever has `*.example.com` shows one certificate for
/// all below it, and its apps' cookies are good for all of them, so a stranger's app must not stand among those.
fn overlapping(
    connection: &Connection,
    app: AppId,
    hostname: &HostPattern,
) -> Result<Option<HostPattern>, StoreError> {
    let (sql, name) = match hostname {
        HostPattern::Exact(name) => {
            let Some((_, rest)) = name.as_str().split_once('.') else { return Ok(None) };
            ("hostname = '*.' || ?2", rest)
        }
        HostPattern::Wildcard(name) => {
            ("hostname NOT LIKE '*.%' AND substr(hostname, instr(hostname, '.') + 1) = ?2", name.as_str())
        }
    };
    let sql = format!(
        "SELECT hostname FROM domains JOIN apps ON apps.id = domains.app_id \
         WHERE {sql} AND apps.owner IS NOT (SELECT owner FROM apps WHERE id = ?1) LIMIT 1"
    );
    first(connection, "domains", (&sql, &[&app.to_string(), &name]), |record| record.parse("hostname"))
}

fn domains(connection: &Connection, app: AppId) -> Result<Vec<CustomDomain>, StoreError> {
    let sql = "SELECT domains.*, sni_endpoints.name AS sni_endpoint_name, certificate_orders.* FROM domains \
               LEFT JOIN sni_endpoints ON sni_endpoints.id = domains.sni_endpoint_id \
               LEFT JOIN certificate_orders ON certificate_orders.domain_id = domains.id \
               WHERE domains.app_id = ?1 ORDER BY hostname";
    all(connection, "domains", (sql, &[&app.to_string()]), |record| record.domain())
}
