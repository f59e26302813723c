//! Orders for certificates that the node gets by itself, and its accounts with authorities, with their keys.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use crate::domain::{
    App, AppId, Certificate, CertificateOrder, OrderEvent, OrderStage, SniEndpoint, Standing, Switch,
};
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, first};
use crate::store::sni_endpoints::{chain_text, key_text};
use crate::store::{Store, now_s};

/// How long it counts that an order was placed, seconds.
const STARTS_KEPT_S: i64 = 3600;
/// Orders with the names that they are for.
const ORDERS: &str = "SELECT certificate_orders.*, domains.hostname FROM certificate_orders \
                      JOIN domains ON domains.id = certificate_orders.domain_id";

/// An account with an authority.
#[derive(Clone, PartialEq, Eq)]
pub struct AcmeAccount {
    /// Whom the authority may write to.
    pub contact: Option<String>,
    /// What the client of the protocol keeps, the account's key among it.
    pub credentials: String,
}

/// A certificate that an order has led to.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    /// The order, as it is from now on.
    pub order: CertificateOrder,
    /// The certificate.
    pub certificate: Certificate,
    /// Who vouches for it.
    pub standing: Standing,
    /// Its name, where the domain has none of this kind yet.
    pub name: String,
}

/// What keeping a certificate came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// It is the domain's first.
    Added(Uuid),
    /// It took the place of one.
    Renewed(Uuid),
    /// Nobody wants it any more: the domain is gone, or has another one.
    Unwanted,
}

/// Whether an order is a new one with the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It is, and counts.
    Anew,
    /// It was there before.
    Before,
}

// === impl Store ===

impl Store {
    /// Has the node get certificates for an app's domains, or not any more: those that it has got go then.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn set_acm(&self, app: AppId, to: Switch) -> Result<App, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to switch certificates")?;
            require(&transaction, app)?;
            let values = params![app.to_string(), to == Switch::On];
            let switched = transaction.execute("UPDATE apps SET acm = ?2 WHERE id = ?1", values);
            switched.attempt("switch certificates")?;
            settle_orders(&transaction, app)?;
            let sql = "SELECT * FROM apps WHERE id = ?1";
            let found = first(&transaction, "apps", (sql, &[&app.to_string()]), |record| record.app())?;
            transaction.commit().attempt("keep switched certificates")?;
            found.ok_or(StoreError::NoSuchApp(app))
        })
        .await
    }

    /// The orders that are due at `at_s`, Unix time in seconds, the longest due first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due_certificate_orders(&self, at_s: i64) -> Result<Vec<CertificateOrder>, StoreError> {
        self.call(move |connection| {
            let sql = format!("{ORDERS} WHERE due_at_s <= ?1 AND stage <> 'given-up' ORDER BY due_at_s");
            all(connection, "certificate_orders", (&sql, &[&at_s]), |record| record.certificate_order())
        })
        .await
    }

    /// When the next order is due after `at_s`, Unix time in seconds.
    ///
    /// # Errors
    /// The database fails.
    pub async fn next_certificate_order_s(&self, at_s: i64) -> Result<Option<i64>, StoreError> {
        self.call(move |connection| {
            let sql =
                "SELECT min(due_at_s) FROM certificate_orders WHERE due_at_s > ?1 AND stage <> 'given-up'";
            connection.query_row(sql, [at_s], |row| row.get(0)).attempt("look for the next order")
        })
        .await
    }

    /// The order for a domain, as long as one is wanted.
    ///
    /// # Errors
    /// The database fails.
    pub async fn certificate_order(&self, domain: Uuid) -> Result<Option<CertificateOrder>, StoreError> {
        self.call(move |connection| order(connection, domain)).await
    }

    /// Whether a certificate for a domain has a place: that of the domain's own, or one that the app may still have.
    ///
    /// # Errors
    /// The database fails.
    pub async fn has_room_for_certificate(&self, domain: Uuid) -> Result<bool, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT sni_endpoint_id IS NOT NULL OR (SELECT count(*) FROM sni_endpoints \
                       WHERE sni_endpoints.app_id = domains.app_id) < ?2 FROM domains WHERE id = ?1";
            let values = params![domain.to_string(), SniEndpoint::PER_APP_MAX];
            let found = connection.query_row(sql, values, |row| row.get(0)).optional();
            // A domain that is gone needs none; whoever pursues its order sees so.
            Ok(found.attempt("count an app's certificates")?.unwrap_or(true))
        })
        .await
    }

    /// Keeps what an order has become, with a count of it where it was placed anew; `false` where nobody wants it any more.
    ///
    /// # Errors
    /// The database fails.
    pub async fn keep_certificate_order(
        &self,
        order: CertificateOrder,
        started: Started,
    ) -> Result<bool, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to keep an order")?;
            let is_wanted = write(&transaction, &order)?;
            if started == Started::Anew {
                let now = now_s();
                let old = "DELETE FROM certificate_order_starts WHERE at_s <= ?1";
                transaction.execute(old, [now - STARTS_KEPT_S]).attempt("forget orders of before")?;
                let sql = "INSERT INTO certificate_order_starts (app_id, at_s) VALUES (?1, ?2)";
                transaction.execute(sql, params![order.app.to_string(), now]).attempt("count an order")?;
            }
            transaction.commit().attempt("keep an order")?;
            Ok(is_wanted)
        })
        .await
    }

    /// How many orders were placed for each app within the last hour.
    ///
    /// # Errors
    /// The database fails.
    pub async fn certificate_order_starts(&self) -> Result<BTreeMap<AppId, usize>, StoreError> {
        self.call(|connection| {
            let sql = "SELECT app_id FROM certificate_order_starts WHERE at_s > ?1";
            let since = now_s() - STARTS_KEPT_S;
            let apps = all(connection, "certificate_order_starts", (sql, &[&since]), |record| {
                record.app_id("app_id")
            })?;
            let mut counts = BTreeMap::new();
            for app in apps {
                *counts.entry(app).or_default() += 1;
            }
            Ok(counts)
        })
        .await
    }

    /// Has the orders of an app tried again that wait or were given up.
    ///
    /// # Errors
    /// The database fails.
    pub async fn refresh_certificate_orders(&self, app: AppId) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to refresh orders")?;
            settle_orders(&transaction, app)?;
            let sql = format!("{ORDERS} WHERE certificate_orders.app_id = ?1");
            let id = app.to_string();
            let orders =
                all(&transaction, "certificate_orders", (&sql, &[&id]), |record| record.certificate_order())?;
            for order in orders {
                write(&transaction, &order.after(OrderEvent::Refreshed, now_s()))?;
            }
            transaction.commit().attempt("refresh orders")
        })
        .await
    }

    /// Keeps a certificate that an order has led to, and has it shown for its domain.
    ///
    /// # Errors
    /// [`StoreError::TooManySniEndpoints`], or the database fails.
    pub async fn issue_certificate(&self, issued: IssuedCertificate) -> Result<Issued, StoreError> {
        self.call(move |connection| {
            let IssuedCertificate { order, certificate, standing, name } = issued;
            let transaction = connection.transaction().attempt("begin to keep a certificate")?;
            if !write(&transaction, &order)? {
                return Ok(Issued::Unwanted);
            }
            let (domain, app, now) = (order.domain.to_string(), order.app.to_string(), now_s());
            let sql = "SELECT sni_endpoint_id FROM domains WHERE id = ?1";
            let shown: Option<String> =
                transaction.query_row(sql, [&domain], |row| row.get(0)).attempt("look at a domain")?;
            let (chain, key) = (chain_text(&certificate), key_text(&certificate));
            let is_trusted = standing == Standing::Trusted;
            let kept = match shown.map(|id| id.parse()) {
                Some(Ok(id)) => {
                    let sql = "UPDATE sni_endpoints SET chain = ?2, private_key = ?3, trusted = ?4, \
                               updated_at_s = ?5 WHERE id = ?1";
                    let id: Uuid = id;
                    let values = params![id.to_string(), chain, key, is_trusted, now];
                    transaction.execute(sql, values).attempt("renew a certificate")?;
                    Issued::Renewed(id)
                }
                Some(Err(_)) | None => {
                    let sql = "SELECT count(*) FROM sni_endpoints WHERE app_id = ?1";
                    let count: i64 = transaction
                        .query_row(sql, [&app], |row| row.get(0))
                        .attempt("count an app's certificates")?;
                    if usize::try_from(count).unwrap_or(usize::MAX) >= SniEndpoint::PER_APP_MAX {
                        return Err(StoreError::TooManySniEndpoints);
                    }
                    let id = Uuid::new_v4();
                    let sql = "INSERT INTO sni_endpoints (id, app_id, name, chain, private_key, trusted, \
                               created_at_s, updated_at_s, automatic) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 1)";
                    let values = params![id.to_string(), app, name, chain, key, is_trusted, now];
                    transaction.execute(sql, values).attempt("keep a certificate")?;
                    let sql = "UPDATE domains SET sni_endpoint_id = ?2 WHERE id = ?1";
                    let shown = transaction.execute(sql, params![domain, id.to_string()]);
                    shown.attempt("give a domain a certificate")?;
                    Issued::Added(id)
                }
            };
            transaction.commit().attempt("keep a certificate that was issued")?;
            Ok(kept)
        })
        .await
    }

    /// The node's account with the authority of that directory.
    ///
    /// # Errors
    /// The database fails.
    pub async fn acme_account(&self, directory: String) -> Result<Option<AcmeAccount>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT contact, credentials FROM acme_accounts WHERE directory = ?1";
            let found = connection.query_row(sql, [directory], |row| {
                Ok(AcmeAccount { contact: row.get(0)?, credentials: row.get(1)? })
            });
            found.optional().attempt("look for an account with an authority")
        })
        .await
    }

    /// Keeps the node's account with the authority of that directory, or forgets it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn keep_acme_account(
        &self,
        directory: String,
        account: Option<AcmeAccount>,
    ) -> Result<(), StoreError> {
        self.call(move |connection| {
            let kept = match account {
                Some(AcmeAccount { contact, credentials }) => {
                    let sql = "INSERT OR REPLACE INTO acme_accounts (directory, contact, credentials) \
                               VALUES (?1, ?2, ?3)";
                    connection.execute(sql, params![directory, contact, credentials])
                }
                None => connection.execute("DELETE FROM acme_accounts WHERE directory = ?1", [directory]),
            };
            kept.attempt("keep an account with an authority").map(drop)
        })
        .await
    }
}

/// Makes orders of an app those that are wanted: one for each domain that has no certificate that a user has brought, none where
/// certificates are not got automatically. Certificates that were got and are shown for no domain any more go.
pub(super) fn settle_orders(connection: &Connection, app: AppId) -> Result<(), StoreError> {
    let (app, now) = (app.to_string(), now_s());
    // What is not to be shown any more first: the rest follows from that.
    let unwanted = "DELETE FROM sni_endpoints WHERE app_id = ?1 AND automatic AND \
                    ((SELECT acm FROM apps WHERE id = ?1) = 0 OR id NOT IN \
                    (SELECT sni_endpoint_id FROM domains WHERE app_id = ?1 AND sni_endpoint_id IS NOT NULL))";
    connection.execute(unwanted, [&app]).attempt("remove certificates that nobody shows")?;
    let wanted = "SELECT domains.id FROM domains JOIN apps ON apps.id = domains.app_id \
                  LEFT JOIN sni_endpoints ON sni_endpoints.id = domains.sni_endpoint_id \
                  WHERE domains.app_id = ?1 AND apps.acm AND coalesce(sni_endpoints.automatic, 1)";
    let over = format!("DELETE FROM certificate_orders WHERE app_id = ?1 AND domain_id NOT IN ({wanted})");
    connection.execute(&over, [&app]).attempt("end orders that nobody wants")?;
    // Without its certificate an order has nothing to renew.
    let bare = "UPDATE certificate_orders SET stage = 'waiting', expires_at_s = NULL, due_at_s = ?2 \
                WHERE app_id = ?1 AND stage = 'in-force' AND domain_id IN \
                (SELECT id FROM domains WHERE app_id = ?1 AND sni_endpoint_id IS NULL)";
    connection.execute(bare, params![app, now]).attempt("have lost certificates got again")?;
    let new = format!(
        "INSERT INTO certificate_orders (domain_id, app_id, stage, failures, due_at_s, updated_at_s) \
         SELECT id, ?1, 'waiting', 0, ?2, ?2 FROM ({wanted}) WHERE true ON CONFLICT DO NOTHING"
    );
    connection.execute(&new, params![app, now]).attempt("begin orders").map(drop)
}

fn order(connection: &Connection, domain: Uuid) -> Result<Option<CertificateOrder>, StoreError> {
    let sql = format!("{ORDERS} WHERE domain_id = ?1");
    first(connection, "certificate_orders", (&sql, &[&domain.to_string()]), |record| {
        record.certificate_order()
    })
}

/// Writes an order over what it was; `false` where there is none any more.
fn write(connection: &Connection, order: &CertificateOrder) -> Result<bool, StoreError> {
    let (stage, placed) = match &order.stage {
        OrderStage::Waiting => ("waiting", None),
        OrderStage::Placed(placed) => ("placed", Some(placed)),
        OrderStage::InForce => ("in-force", None),
        OrderStage::GivenUp => ("given-up", None),
    };
    let sql = "UPDATE certificate_orders SET stage = ?2, url = ?3, private_key = ?4, failures = ?5, fault = ?6, \
               detail = ?7, expires_at_s = ?8, due_at_s = ?9, updated_at_s = ?10 WHERE domain_id = ?1";
    let values = params![
        order.domain.to_string(),
        stage,
        placed.map(|placed| placed.url.as_str()),
        placed.map(|placed| BASE64_STANDARD.encode(placed.key.reveal())),
        order.failures,
        order.fault.as_ref().map(|fault| fault.kind.as_str()),
        order.fault.as_ref().map(|fault| fault.detail.as_str()),
        order.expires_at_s,
        order.due_at_s,
        order.updated_at_s,
    ];
    Ok(connection.execute(sql, values).attempt("keep an order for a certificate")? > 0)
}

#[cfg(test)]
mod test;
