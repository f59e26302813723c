//! Sending what webhooks are to be told: each delivery is tried until it is taken or given up, and every attempt is on disk
//! before the next.
//!
//! ```text
//! event kept ─▶ pending ──attempt──▶ succeeded
//!                  ▲         │
//!               retrying ◀───┴──▶ failed: `notify` after one attempt, `sync` after ten
//! ```
//!
//! Webhooks are tried side by side, a few of one app, the deliveries of one after another: slow receivers hold up no other app's. An attempt that
//! the end of the node cuts off is made again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ring::hmac;
use thiserror::Error;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::domain::{AppId, Attempt, Reach, Secret, Webhook};
use crate::flows::Node;
use crate::flows::error::FlowError;
use crate::flows::outbound::{ConnectError, connect, host};
use crate::logs::Tls;
use crate::store::DueDelivery;
use crate::sys::clock;
use crate::wire::api::{
    ById, DeliveryPayload, EventPayload, EventRef, SIGNATURE_HEADER, WEBHOOK_USER_AGENT, WebhookMetadata,
};

/// Attempts at once; each holds a connection and one payload.
const ATTEMPTS_AT_ONCE_MAX: usize = 8;
/// Attempts at once for one app.
const ATTEMPTS_PER_APP_MAX: usize = 2;
/// How long an attempt may take, from the look at the name to the end of the answer, seconds.
const ATTEMPT_TIMEOUT_S: u64 = 15;
/// More of an answer than this is not read, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Between two looks at what is due when nothing else rings, seconds; also after a failure of the database.
const LOOK_EVERY_S: u64 = 60;

/// Why an attempt got no answer. What is told of it goes to the owner of the webhook, and names no address.
#[derive(Debug, Error)]
enum AttemptError {
    #[error("{}", word(.0))]
    Connect(#[source] ConnectError),
    #[error("ConnectionBroken")]
    Broken,
    #[error("Timeout")]
    Timeout,
}

/// The word of the API for a connection that was not made.
fn word(failed: &ConnectError) -> &'static str {
    match failed {
        ConnectError::Name => "NameNotFound",
        ConnectError::NotAllowed => "AddressNotAllowed",
        ConnectError::Connect(_) => "ConnectionFailed",
        ConnectError::Tls => "CertificateNotTrusted",
    }
}

/// Sends what is due, for as long as the node serves. What it has begun is recorded step by step, so that it may end anywhere.
pub async fn deliver_webhooks(node: Node, tls: Arc<Tls>, reach: Reach) {
    let mut attempts = JoinSet::new();
    // Webhooks that an attempt is made at, with their apps.
    let mut busy: HashMap<Uuid, AppId> = HashMap::new();
    loop {
        let pause = match begin_due(&node, (&tls, reach), (&mut attempts, &mut busy)).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "webhooks are not told");
                Duration::from_secs(LOOK_EVERY_S)
            }
        };
        tokio::select! {
            Some(ended) = attempts.join_next() => {
                if let Ok(webhook) = ended {
                    busy.remove(&webhook);
                } else {
                    // Whose it was is not known any more; with nothing under way, nothing is busy.
                    if attempts.is_empty() {
                        busy.clear();
                    }
                }
            }
            () = node.deliveries_added().notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Begins attempts at what is due, as many as there is room for, and tells how long nothing else is.
async fn begin_due(
    node: &Node,
    (tls, reach): (&Arc<Tls>, Reach),
    (attempts, busy): (&mut JoinSet<Uuid>, &mut HashMap<Uuid, AppId>),
) -> Result<Duration, FlowError> {
    let now_s = clock::unix_s();
    let longest = Duration::from_secs(LOOK_EVERY_S);
    if busy.len() >= ATTEMPTS_AT_ONCE_MAX {
        return Ok(longest);
    }
    // Those of busy webhooks are due until their attempts are recorded.
    let count = ATTEMPTS_AT_ONCE_MAX + busy.len();
    for due in node.store().due_deliveries(now_s, (count, ATTEMPTS_PER_APP_MAX)).await? {
        if is_admitted(&due.webhook, busy) {
            busy.insert(due.webhook.id, due.webhook.app);
            attempts.spawn(attempt(node.clone(), (Arc::clone(tls), reach), due));
        }
    }
    // What is due already waits for an end of what is under way.
    let next_s = node.store().next_delivery_s().await?;
    let pause = next_s.map(|next_s| u64::try_from(next_s - now_s).unwrap_or_default());
    Ok(match pause {
        Some(0) | None => longest,
        Some(seconds) => Duration::from_secs(seconds).min(longest),
    })
}

/// Whether there is room for an attempt at a webhook beside those that are `busy`, of all and of its app.
fn is_admitted(webhook: &Webhook, busy: &HashMap<Uuid, AppId>) -> bool {
    let of_app = busy.values().filter(|app| **app == webhook.app).count();
    busy.len() < ATTEMPTS_AT_ONCE_MAX && of_app < ATTEMPTS_PER_APP_MAX && !busy.contains_key(&webhook.id)
}

/// Makes one attempt and records it; tells at which webhook.
async fn attempt(node: Node, (tls, reach): (Arc<Tls>, Reach), due: DueDelivery) -> Uuid {
    let DueDelivery { delivery, webhook, event } = due;
    let (id, created_at_s) = (Uuid::new_v4(), clock::unix_s());
    let metadata = WebhookMetadata {
        attempt: ById { id },
        delivery: ById { id: delivery.id },
        event: EventRef { id: event.id, include: event.entity.as_str().to_owned() },
        webhook: ById { id: webhook.id },
    };
    let answered = match body(&event.payload, metadata) {
        Some(body) => {
            let sent = send(&webhook, &tls, reach, body);
            let limit = Duration::from_secs(ATTEMPT_TIMEOUT_S);
            tokio::time::timeout(limit, sent).await.unwrap_or(Err(AttemptError::Timeout))
        }
        None => Err(AttemptError::Broken),
    };
    if let Err(AttemptError::Connect(ConnectError::Connect(source))) = &answered {
        tracing::debug!(webhook = %webhook.id, destination = %webhook.url, %source, "nobody takes a delivery");
    }
    let attempt = Attempt {
        id,
        code: answered.as_ref().ok().map(StatusCode::as_u16),
        error: answered.as_ref().err().map(ToString::to_string),
        created_at_s,
        updated_at_s: clock::unix_s(),
    };
    let pause = webhook.level.pause_after(delivery.attempts + 1);
    let next_s = pause
        .map(|pause| attempt.updated_at_s.saturating_add(i64::try_from(pause.as_secs()).unwrap_or(i64::MAX)));
    if let Err(error) = node.store().record_attempt(delivery.id, attempt, next_s).await {
        tracing::error!(
            webhook = %webhook.id, error = &error as &dyn std::error::Error,
            "an attempt at a webhook is not recorded, and will be made again"
        );
        tokio::time::sleep(Duration::from_secs(LOOK_EVERY_S)).await;
    }
    webhook.id
}

fn body(payload: &str, webhook_metadata: WebhookMetadata) -> Option<Vec<u8>> {
    let event: EventPayload = serde_json::from_str(payload).ok()?;
    serde_json::to_vec(&DeliveryPayload { event, webhook_metadata }).ok()
}

/// The signature that receivers check: base64 of the HMAC-SHA256 of the body.
fn signature(secret: &Secret, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    STANDARD.encode(hmac::sign(&key, body))
}

/// One request over a connection of its own; redirects are not followed.
async fn send(
    webhook: &Webhook,
    tls: &Arc<Tls>,
    reach: Reach,
    body: Vec<u8>,
) -> Result<StatusCode, AttemptError> {
    let url = webhook.url.parts();
    let mut request = Request::post(&url.path)
        .header(HOST, host(url))
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, WEBHOOK_USER_AGENT)
        .header(SIGNATURE_HEADER, signature(&webhook.secret, &body));
    if let Some(authorization) = &webhook.authorization {
        request = request.header(AUTHORIZATION, authorization.reveal());
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|_| AttemptError::Broken)?;
    let stream = connect(url, tls, reach).await.map_err(AttemptError::Connect)?;
    let (mut requests, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| AttemptError::Broken)?;
    // Ends with `requests`; its errors reach the answer.
    tokio::spawn(connection);
    let response = requests.send_request(request).await.map_err(|_| AttemptError::Broken)?;
    let status = response.status();
    // Read, so that the receiver is not cut off; what it says means nothing.
    Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map(drop).ok();
    Ok(status)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_signature_is_the_published_one() {
        // RFC 4231, test case 2.
        let signed = signature(&"Jefe".parse().unwrap(), b"what do ya want for nothing?");
        let expected =
            hex::decode("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843").unwrap();
        assert_eq!(signed, STANDARD.encode(expected));
    }

    #[test]
    fn a_connection_that_is_not_made_has_its_word() {
        let told = |failed| AttemptError::Connect(failed).to_string();
        assert_eq!(told(ConnectError::NotAllowed), "AddressNotAllowed");
        assert_eq!(told(ConnectError::Name), "NameNotFound");
    }
}
