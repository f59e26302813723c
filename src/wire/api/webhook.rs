//! `app-webhook`, `app-webhook-event`, `app-webhook-delivery`, and what receivers are sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::wire::api::{ById, Named, UserRef};

/// The answer's header that tells the secret of a webhook that was just made, once.
pub const SECRET_HEADER: &str = "heroku-webhook-secret";
/// The header of a delivery that holds its signature: base64 of the HMAC-SHA256 of the body.
pub const SIGNATURE_HEADER: &str = "heroku-webhook-hmac-sha256";
/// `User-Agent` of deliveries.
pub const WEBHOOK_USER_AGENT: &str = concat!("dyno-webhooks/", env!("CARGO_PKG_VERSION"));
/// How the details of an event are to be read.
pub const PAYLOAD_VERSION: &str = "application/vnd.heroku+json; version=3";

/// A place that is told of an app's events. What deliveries are signed with is never in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The app.
    pub app: Named,
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// What it is told of: `api:release` and the like.
    pub include: Vec<String>,
    /// `notify` or `sync`.
    pub level: String,
    /// ISO time.
    pub updated_at: String,
    /// Where it leads.
    pub url: String,
}

/// Body of `POST /apps/:app/webhooks`, and of `PATCH`, where what is left out stays.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetWebhook {
    /// The `Authorization` header of deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    /// What it is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
    /// How often it is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// What deliveries are signed with; made up when a new one has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Where it leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Never shown whole: it ends up in messages of panics and logs.
impl std::fmt::Debug for SetWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetWebhook").field("include", &self.include).finish_non_exhaustive()
    }
}

/// Something that has become of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEvent {
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// What it is about: `api:release` and the like.
    pub include: String,
    /// What receivers are sent of it.
    pub payload: Value,
    /// ISO time.
    pub updated_at: String,
}

/// What receivers are sent of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPayload {
    /// `create`, `update` or `destroy`.
    pub action: String,
    /// Who did it.
    pub actor: UserRef,
    /// ISO time.
    pub created_at: String,
    /// The thing, as the API shows it.
    pub data: Value,
    /// The event's identity.
    pub id: Uuid,
    /// What it was before; empty.
    pub previous_data: Value,
    /// ISO time.
    pub published_at: Option<String>,
    /// `release` and the like.
    pub resource: String,
    /// None.
    pub sequence: Option<u64>,
    /// ISO time.
    pub updated_at: String,
    /// How `data` is to be read.
    pub version: String,
}

/// An event on its way to a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryPayload {
    /// The event.
    #[serde(flatten)]
    pub event: EventPayload,
    /// Which attempt at which delivery to which webhook this is.
    pub webhook_metadata: WebhookMetadata,
}

/// What a receiver tells attempts apart by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookMetadata {
    /// The attempt.
    pub attempt: ById,
    /// The delivery; the same at every attempt.
    pub delivery: ById,
    /// The event; the same to every receiver.
    pub event: EventRef,
    /// The webhook.
    pub webhook: ById,
}

/// A reference to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRef {
    /// Its identity.
    pub id: Uuid,
    /// What it is about.
    pub include: String,
}

/// A reference to a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRef {
    /// Its identity.
    pub id: Uuid,
    /// How often it is tried.
    pub level: String,
}

/// An event on its way to a webhook, as it fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDelivery {
    /// ISO time.
    pub created_at: String,
    /// The event.
    pub event: EventRef,
    /// Its identity.
    pub id: Uuid,
    /// The last attempt.
    pub last_attempt: Option<DeliveryAttempt>,
    /// ISO time from which on it is tried next.
    pub next_attempt_at: Option<String>,
    /// How often it was tried.
    pub num_attempts: u32,
    /// `pending`, `retrying`, `succeeded` or `failed`.
    pub status: String,
    /// ISO time.
    pub updated_at: String,
    /// The webhook.
    pub webhook: WebhookRef,
}

/// One attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryAttempt {
    /// The status of the receiver's answer.
    pub code: Option<u16>,
    /// ISO time.
    pub created_at: String,
    /// Why there was no answer.
    pub error_class: Option<String>,
    /// Its identity.
    pub id: Uuid,
    /// `succeeded` or `failed`.
    pub status: String,
    /// ISO time.
    pub updated_at: String,
}
