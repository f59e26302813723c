//! Webhooks of apps: who is told of what.

use std::collections::BTreeSet;

use rand::RngCore as _;
use uuid::Uuid;

use crate::domain::{
    App, Delivery, DeliveryStatus, Entity, Level, Secret, Webhook, WebhookEvent, WebhookUrl,
};
use crate::flows::Node;
use crate::flows::error::FlowError;
use crate::wire::api_errors::{Missing, Refusal};

/// Bytes of randomness in a secret that nobody has chosen.
const SECRET_BYTES: usize = 32;

/// What somebody wants of a webhook; what is left out of a change stays.
#[derive(Clone, Debug, Default)]
pub struct WebhookRequest {
    /// Where it leads.
    pub url: Option<String>,
    /// What it is told of.
    pub include: Option<Vec<String>>,
    /// How often it is tried.
    pub level: Option<String>,
    /// What deliveries are signed with.
    pub secret: Option<Secret>,
    /// The `Authorization` header of deliveries.
    pub authorization: Option<Secret>,
}

/// The webhooks of an app, oldest first.
///
/// # Errors
/// The node fails.
pub async fn webhooks(node: &Node, app: &App) -> Result<Vec<Webhook>, FlowError> {
    Ok(node.store().webhooks(app.id).await?)
}

/// The webhook of that identity.
///
/// # Errors
/// There is none, or the node fails.
pub async fn webhook(node: &Node, app: &App, id: &str) -> Result<Webhook, FlowError> {
    let is_named = |found: &Webhook| found.id.to_string().eq_ignore_ascii_case(id);
    let found = webhooks(node, app).await?.into_iter().find(is_named);
    found.ok_or_else(|| Refusal::NotFound(Missing::Webhook).into())
}

/// Tells a place of the app's events from now on. Without a secret it gets one.
///
/// # Errors
/// Something of it is missing or makes no sense, the app has as many as it may, or the node fails.
pub async fn add_webhook(node: &Node, app: &App, request: WebhookRequest) -> Result<Webhook, FlowError> {
    let WebhookRequest { url: Some(url), include: Some(include), level: Some(level), secret, authorization } =
        request
    else {
        return Err(Refusal::WebhookParts.into());
    };
    let new = Webhook {
        id: Uuid::new_v4(),
        app: app.id,
        url: read_url(&url)?,
        include: read_include(&include)?,
        level: read_level(&level)?,
        secret: secret.map_or_else(made_up, Ok)?,
        authorization,
        created_at_s: 0,
        updated_at_s: 0,
    };
    Ok(node.store().add_webhook(new).await?)
}

/// Changes a webhook.
///
/// # Errors
/// There is none, something makes no sense, or the node fails.
pub async fn change_webhook(
    node: &Node,
    app: &App,
    id: &str,
    request: WebhookRequest,
) -> Result<Webhook, FlowError> {
    let mut changed = webhook(node, app, id).await?;
    if let Some(url) = &request.url {
        changed.url = read_url(url)?;
    }
    if let Some(include) = &request.include {
        changed.include = read_include(include)?;
    }
    if let Some(level) = &request.level {
        changed.level = read_level(level)?;
    }
    changed.secret = request.secret.unwrap_or(changed.secret);
    changed.authorization = request.authorization.or(changed.authorization);
    Ok(node.store().change_webhook(changed).await?)
}

/// Tells a place no more, and tells what it was.
///
/// # Errors
/// There is none, or the node fails.
pub async fn remove_webhook(node: &Node, app: &App, id: &str) -> Result<Webhook, FlowError> {
    let removed = webhook(node, app, id).await?;
    node.store().remove_webhook(removed.id).await?;
    Ok(removed)
}

/// What became of the app that webhooks were told of, newest first.
///
/// # Errors
/// The node fails.
pub async fn webhook_events(node: &Node, app: &App) -> Result<Vec<WebhookEvent>, FlowError> {
    Ok(node.store().webhook_events(app.id).await?)
}

/// The event of that identity.
///
/// # Errors
/// There is none, or the node fails.
pub async fn webhook_event(node: &Node, app: &App, id: &str) -> Result<WebhookEvent, FlowError> {
    let is_named = |found: &WebhookEvent| found.id.to_string().eq_ignore_ascii_case(id);
    let found = webhook_events(node, app).await?.into_iter().find(is_named);
    found.ok_or_else(|| Refusal::NotFound(Missing::WebhookEvent).into())
}

/// How deliveries fare, newest first; of one status when that is named.
///
/// # Errors
/// There is no such status, or the node fails.
pub async fn deliveries(node: &Node, app: &App, status: Option<&str>) -> Result<Vec<Delivery>, FlowError> {
    let wanted: Option<DeliveryStatus> =
        status.map(|text| text.parse().map_err(Refusal::DeliveryStatus)).transpose()?;
    let mut all = node.store().deliveries(app.id).await?;
    all.retain(|delivery| wanted.is_none_or(|wanted| delivery.status == wanted));
    Ok(all)
}

/// The delivery of that identity.
///
/// # Errors
/// There is none, or the node fails.
pub async fn delivery(node: &Node, app: &App, id: &str) -> Result<Delivery, FlowError> {
    let is_named = |found: &Delivery| found.id.to_string().eq_ignore_ascii_case(id);
    let found = node.store().deliveries(app.id).await?.into_iter().find(is_named);
    found.ok_or_else(|| Refusal::NotFound(Missing::Delivery).into())
}

fn read_url(text: &str) -> Result<WebhookUrl, Refusal> {
    text.parse().map_err(Refusal::WebhookUrl)
}

fn read_level(text: &str) -> Result<Level, Refusal> {
    text.parse().map_err(Refusal::WebhookLevel)
}

fn read_include(texts: &[String]) -> Result<BTreeSet<Entity>, Refusal> {
    let include: BTreeSet<Entity> =
        texts.iter().map(|text| text.parse().map_err(Refusal::WebhookInclude)).collect::<Result<_, _>>()?;
    if include.is_empty() { Err(Refusal::WebhookParts) } else { Ok(include) }
}

fn made_up() -> Result<Secret, Refusal> {
    let mut bytes = [0; SECRET_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes).parse().map_err(Refusal::WebhookSecret)
}
