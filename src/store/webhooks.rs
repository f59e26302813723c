//! Webhooks, what they are told, and what became of that.

use rusqlite::{Connection, Transaction, params};
use uuid::Uuid;

use crate::domain::{AppId, Attempt, Delivery, DeliveryStatus, Secret, Webhook, WebhookEvent};
use crate::store::apps::require;
use crate::store::error::{Attempt as _, StoreError};
use crate::store::record::{all, first, signed};
use crate::store::{Store, now_s};

/// A delivery with what it takes to try it.
#[derive(Clone, Debug)]
pub struct DueDelivery {
    /// The delivery.
    pub delivery: Delivery,
    /// Where to.
    pub webhook: Webhook,
    /// What.
    pub event: WebhookEvent,
}

/// Deliveries with what their webhook and event say.
const DELIVERIES: &str = "SELECT d.*, e.entity AS entity, w.level AS level FROM webhook_deliveries d \
                          JOIN webhook_events e ON e.id = d.event_id JOIN webhooks w ON w.id = d.webhook_id";

/// Why an event is not told of: what the last attempt's error says.
const QUEUE_FULL: &str = "QueueFull";

// === impl Store ===

impl Store {
    /// Adds a webhook as it is, but for its times.
    ///
    /// # Errors
    /// [`StoreError::TooManyWebhooks`], [`StoreError::NoSuchApp`], or the database fails.
    pub async fn add_webhook(&self, new: Webhook) -> Result<Webhook, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to add a webhook")?;
            require(&transaction, new.app)?;
            if webhooks(&transaction, new.app)?.len() >= Webhook::PER_APP_MAX {
                return Err(StoreError::TooManyWebhooks);
            }
            let now = now_s();
            let added = Webhook { created_at_s: now, updated_at_s: now, ..new };
            let sql = "INSERT INTO webhooks (id, app_id, url, include, level, secret, authorization, created_at_s, \
                       updated_at_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)";
            let values = params![
                added.id.to_string(),
                added.app.to_string(),
                added.url.reveal(),
                include_text(&added),
                added.level.as_str(),
                added.secret.reveal(),
                added.authorization.as_ref().map(Secret::reveal),
                now
            ];
            transaction.execute(sql, values).attempt("keep a webhook")?;
            transaction.commit().attempt("keep a new webhook")?;
            Ok(added)
        })
        .await
    }

    /// The webhooks of an app, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn webhooks(&self, app: AppId) -> Result<Vec<Webhook>, StoreError> {
        self.call(move |connection| webhooks(connection, app)).await
    }

    /// Changes a webhook to what `changed` says; one that is gone stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn change_webhook(&self, changed: Webhook) -> Result<Webhook, StoreError> {
        self.call(move |connection| {
            let changed = Webhook { updated_at_s: now_s(), ..changed };
            let sql = "UPDATE webhooks SET url = ?2, include = ?3, level = ?4, secret = ?5, authorization = ?6, \
                       updated_at_s = ?7 WHERE id = ?1";
            let values = params![
                changed.id.to_string(),
                changed.url.reveal(),
                include_text(&changed),
                changed.level.as_str(),
                changed.secret.reveal(),
                changed.authorization.as_ref().map(Secret::reveal),
                changed.updated_at_s
            ];
            connection.execute(sql, values).attempt("change a webhook")?;
            Ok(changed)
        })
        .await
    }

    /// Removes a webhook with its deliveries; one that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_webhook(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM webhooks WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("remove a webhook").map(drop)
        })
        .await
    }

    /// Keeps an event with one delivery to each webhook of the app that wants to be told. Where too many wait already,
    /// the delivery has failed. The oldest events beyond [`WebhookEvent::KEPT_MAX`] are forgotten. Tells how many
    /// deliveries wait now that did not before.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn keep_event(&self, event: WebhookEvent) -> Result<usize, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to keep an event")?;
            require(&transaction, event.app)?;
            let sql = "INSERT INTO webhook_events (id, app_id, entity, payload, created_at_s) VALUES (?1, ?2, ?3, ?4, ?5)";
            let app = event.app.to_string();
            let values =
                params![event.id.to_string(), app, event.entity.as_str(), event.payload, event.created_at_s];
            transaction.execute(sql, values).attempt("keep an event")?;
            let mut waiting = 0;
            for webhook in webhooks(&transaction, event.app)? {
                if webhook.include.contains(&event.entity) {
                    waiting += usize::from(deliver(&transaction, &event, &webhook)?);
                }
            }
            let sql = "DELETE FROM webhook_events WHERE app_id = ?1 AND sequence NOT IN (SELECT sequence \
                       FROM webhook_events WHERE app_id = ?1 ORDER BY sequence DESC LIMIT ?2)";
            let kept = signed(u64::try_from(WebhookEvent::KEPT_MAX).unwrap_or(u64::MAX));
            transaction.execute(sql, params![app, kept]).attempt("forget old events")?;
            transaction.commit().attempt("keep an event for good")?;
            Ok(waiting)
        })
        .await
    }

    /// The events of an app, newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn webhook_events(&self, app: AppId) -> Result<Vec<WebhookEvent>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM webhook_events WHERE app_id = ?1 ORDER BY sequence DESC";
            all(connection, "webhook_events", (sql, &[&app.to_string()]), |record| record.webhook_event())
        })
        .await
    }

    /// The deliveries of an app's events, newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn deliveries(&self, app: AppId) -> Result<Vec<Delivery>, StoreError> {
        self.call(move |connection| {
            let sql = format!("{DELIVERIES} WHERE d.app_id = ?1 ORDER BY d.sequence DESC");
            all(connection, "webhook_deliveries", (&sql, &[&app.to_string()]), |record| record.delivery())
        })
        .await
    }

    /// The oldest delivery of each webhook that is to be tried by `now_s`, `count` at most, of one app no more than `per_app`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due_deliveries(
        &self,
        now_s: i64,
        (count, per_app): (usize, usize),
    ) -> Result<Vec<DueDelivery>, StoreError> {
        self.call(move |connection| {
            let sql = format!(
                "WITH oldest AS (SELECT MIN(sequence) AS sequence FROM webhook_deliveries \
                 WHERE next_attempt_at_s <= ?1 GROUP BY webhook_id), \
                 ranked AS (SELECT sequence, ROW_NUMBER() OVER \
                 (PARTITION BY app_id ORDER BY next_attempt_at_s, sequence) AS place \
                 FROM webhook_deliveries WHERE sequence IN (SELECT sequence FROM oldest)) \
                 {DELIVERIES} WHERE d.sequence IN (SELECT sequence FROM ranked WHERE place <= ?3) \
                 ORDER BY d.next_attempt_at_s, d.sequence LIMIT ?2"
            );
            let number = |count: usize| signed(u64::try_from(count).unwrap_or(u64::MAX));
            let (count, per_app) = (number(count), number(per_app));
            let due: Vec<Delivery> =
                all(connection, "webhook_deliveries", (&sql, &[&now_s, &count, &per_app]), |record| {
                    record.delivery()
                })?;
            let mut found = Vec::with_capacity(due.len());
            for delivery in due {
                let sql = "SELECT * FROM webhooks WHERE id = ?1";
                let id = delivery.webhook.to_string();
                let webhook = first(connection, "webhooks", (sql, &[&id]), |record| record.webhook())?;
                let sql = "SELECT * FROM webhook_events WHERE id = ?1";
                let id = delivery.event.to_string();
                let event =
                    first(connection, "webhook_events", (sql, &[&id]), |record| record.webhook_event())?;
                if let (Some(webhook), Some(event)) = (webhook, event) {
                    found.push(DueDelivery { delivery, webhook, event });
                }
            }
            Ok(found)
        })
        .await
    }

    /// When the next delivery is to be tried, Unix time in seconds.
    ///
    /// # Errors
    /// The database fails.
    pub async fn next_delivery_s(&self) -> Result<Option<i64>, StoreError> {
        self.call(|connection| {
            let sql =
                "SELECT MIN(next_attempt_at_s) FROM webhook_deliveries WHERE next_attempt_at_s IS NOT NULL";
            connection.query_row(sql, [], |row| row.get(0)).attempt("look for the next delivery")
        })
        .await
    }

    /// Records an attempt at a delivery, and when the next one is due, if there is to be one.
    ///
    /// # Errors
    /// The database fails.
    pub async fn record_attempt(
        &self,
        delivery: Uuid,
        attempt: Attempt,
        next_s: Option<i64>,
    ) -> Result<(), StoreError> {
        self.call(move |connection| {
            let status = match (attempt.is_taken(), next_s) {
                (true, _) => DeliveryStatus::Succeeded,
                (false, Some(_)) => DeliveryStatus::Retrying,
                (false, None) => DeliveryStatus::Failed,
            };
            let sql = "UPDATE webhook_deliveries SET status = ?2, attempts = attempts + 1, next_attempt_at_s = ?3, \
                       attempt_id = ?4, attempt_code = ?5, attempt_error = ?6, attempt_created_at_s = ?7, \
                       attempt_updated_at_s = ?8, updated_at_s = ?8 WHERE id = ?1";
            let values = params![
                delivery.to_string(),
                status.as_str(),
                next_s.filter(|_| !attempt.is_taken()),
                attempt.id.to_string(),
                attempt.code,
                attempt.error,
                attempt.created_at_s,
                attempt.updated_at_s
            ];
            connection.execute(sql, values).attempt("record an attempt at a delivery").map(drop)
        })
        .await
    }
}

fn webhooks(connection: &Connection, app: AppId) -> Result<Vec<Webhook>, StoreError> {
    let sql = "SELECT * FROM webhooks WHERE app_id = ?1 ORDER BY created_at_s, rowid";
    all(connection, "webhooks", (sql, &[&app.to_string()]), |record| record.webhook())
}

/// Adds the delivery of an event to one webhook; tells whether it waits.
fn deliver(
    transaction: &Transaction<'_>,
    event: &WebhookEvent,
    webhook: &Webhook,
) -> Result<bool, StoreError> {
    let id = webhook.id.to_string();
    let sql =
        "SELECT COUNT(*) FROM webhook_deliveries WHERE webhook_id = ?1 AND next_attempt_at_s IS NOT NULL";
    let waiting: i64 = transaction.query_row(sql, [&id], |row| row.get(0)).attempt("count deliveries")?;
    let has_room = usize::try_from(waiting).is_ok_and(|waiting| waiting < Webhook::WAITING_MAX);
    let status = if has_room { DeliveryStatus::Pending } else { DeliveryStatus::Failed };
    let now = event.created_at_s;
    let attempt = (!has_room).then(|| Uuid::new_v4().to_string());
    let sql = "INSERT INTO webhook_deliveries (id, app_id, webhook_id, event_id, status, attempts, next_attempt_at_s, \
               attempt_id, attempt_error, attempt_created_at_s, attempt_updated_at_s, created_at_s, updated_at_s) \
               VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?9, ?10, ?10)";
    let values = params![
        Uuid::new_v4().to_string(),
        event.app.to_string(),
        id,
        event.id.to_string(),
        status.as_str(),
        has_room.then_some(now),
        attempt,
        attempt.as_ref().map(|_| QUEUE_FULL),
        attempt.as_ref().map(|_| now),
        now
    ];
    transaction.execute(sql, values).attempt("keep a delivery")?;
    Ok(has_room)
}

/// What a webhook is told of, as kept on disk: words with a space between.
fn include_text(webhook: &Webhook) -> String {
    webhook.include.iter().map(|entity| entity.as_str()).collect::<Vec<_>>().join(" ")
}
