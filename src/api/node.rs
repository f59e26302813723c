//! `/node` and `/metrics`: the node itself; not part of the published API.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::api::state::Api;
use crate::wire::metrics;

pub(super) async fn show(State(api): State<Api>) -> Json<Value> {
    let settings = api.node.settings();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "router_port": settings.router_port,
        "https_port": settings.https_port,
        "git_address": settings.git_address.to_string(),
        "authority": api.authority.as_ref().map(|_| settings.authority_path()),
        "default_stack": settings.default_stack.to_string(),
        "stacks": api.node.stacks().iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

pub(super) async fn metrics(State(api): State<Api>) -> ([(http::HeaderName, &'static str); 1], String) {
    let traffic = (api.figures)().await;
    ([(CONTENT_TYPE, metrics::MEDIA_TYPE)], metrics::Text(&traffic).to_string())
}

/// Stops every dyno and the node, and leaves nothing behind. The answer comes before the end; the end is the process's.
pub(super) async fn shutdown(State(api): State<Api>) -> (StatusCode, Json<Value>) {
    api.shutdown.send_replace(true);
    (StatusCode::ACCEPTED, Json(json!({ "pid": std::process::id() })))
}
