//! `/apps/:app/webhooks`, `webhook-events` and `webhook-deliveries`.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::Secret;
use crate::flows::{self, WebhookRequest};
use crate::wire::api::{SECRET_HEADER, SetWebhook, Webhook, WebhookDelivery, WebhookEvent};
use crate::wire::api_errors::Refusal;

/// How clients ask for deliveries of one status.
#[derive(Deserialize)]
pub(super) struct Search {
    #[serde(rename = "eq[status]")]
    status: Option<String>,
}

pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<Webhook>>, ApiError> {
    let app = api.app(&key).await?;
    let all = flows::webhooks(&api.node, &app).await?;
    Ok(Json(all.iter().map(|webhook| view::webhook(&app, webhook)).collect()))
}

/// The secret is told in a header of this one answer, and never again.
pub(super) async fn create(
    State(api): State<Api>,
    Path(key): Path<String>,
    Input(body): Input<SetWebhook>,
) -> Result<Response, ApiError> {
    let app = api.app(&key).await?;
    let added = flows::add_webhook(&api.node, &app, request(body)?).await?;
    let mut headers = HeaderMap::new();
    if let Ok(mut secret) = HeaderValue::from_str(added.secret.reveal()) {
        secret.set_sensitive(true);
        headers.insert(SECRET_HEADER, secret);
    }
    Ok((StatusCode::CREATED, headers, Json(view::webhook(&app, &added))).into_response())
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((key, id)): Path<(String, String)>,
) -> Result<Json<Webhook>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::webhook(&app, &flows::webhook(&api.node, &app, &id).await?)))
}

pub(super) async fn update(
    State(api): State<Api>,
    Path((key, id)): Path<(String, String)>,
    Input(body): Input<SetWebhook>,
) -> Result<Json<Webhook>, ApiError> {
    let app = api.app(&key).await?;
    let changed = flows::change_webhook(&api.node, &app, &id, request(body)?).await?;
    Ok(Json(view::webhook(&app, &changed)))
}

pub(super) async fn destroy(
    State(api): State<Api>,
    Path((key, id)): Path<(String, String)>,
) -> Result<Json<Webhook>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::webhook(&app, &flows::remove_webhook(&api.node, &app, &id).await?)))
}

fn request(body: SetWebhook) -> Result<WebhookRequest, Refusal> {
    let SetWebhook { authorization, include, level, secret, url } = body;
    let read = |text: Option<String>| -> Result<Option<Secret>, Refusal> {
        text.map(|text| text.parse().map_err(Refusal::WebhookSecret)).transpose()
    };
    Ok(WebhookRequest { url, include, level, secret: read(secret)?, authorization: read(authorization)? })
}

/// Newest first, as many as are kept.
pub(super) async fn list_events(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<WebhookEvent>>, ApiError> {
    let app = api.app(&key).await?;
    let all = flows::webhook_events(&api.node, &app).await?;
    Ok(Json(all.iter().map(view::webhook_event).collect()))
}

pub(super) async fn show_event(
    State(api): State<Api>,
    Path((key, id)): Path<(String, String)>,
) -> Result<Json<WebhookEvent>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::webhook_event(&flows::webhook_event(&api.node, &app, &id).await?)))
}

/// Newest first; the platform's client asks for a thousand at most.
pub(super) async fn list_deliveries(
    State(api): State<Api>,
    Path(key): Path<String>,
    Query(Search { status }): Query<Search>,
) -> Result<Json<Vec<WebhookDelivery>>, ApiError> {
    let app = api.app(&key).await?;
    let all = flows::deliveries(&api.node, &app, status.as_deref()).await?;
    Ok(Json(all.iter().take(DELIVERIES_MAX).map(view::delivery).collect()))
}

pub(super) async fn show_delivery(
    State(api): State<Api>,
    Path((key, id)): Path<(String, String)>,
) -> Result<Json<WebhookDelivery>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(view::delivery(&flows::delivery(&api.node, &app, &id).await?)))
}

/// Deliveries of one answer.
const DELIVERIES_MAX: usize = 1000;
