//! Changes outlive the client that asks for them.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::error::ApiError;

/// Goes on with a change when its client goes away in the middle: what is recorded must also be made to run. The server
/// drops what it works on with its connection, so a change gets a task of its own.
pub(super) async fn to_its_end(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let change = tokio::spawn(next.run(request));
    change.await.unwrap_or_else(|failed| ApiError::fault("carry the request out")(failed).into_response())
}
