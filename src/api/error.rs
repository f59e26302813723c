//! The one place that makes a failed answer.

use std::error::Error;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::flows::FlowError;
use crate::wire::api_errors::{ErrorId, Missing, Refusal, fault_body};

/// Why a request was not answered with what it asked for.
#[derive(Debug)]
pub(super) struct ApiError(FlowError);

impl From<FlowError> for ApiError {
    fn from(error: FlowError) -> Self {
        Self(error)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.into())
    }
}

impl ApiError {
    /// A fault of the node while it tried to `attempt`.
    pub(super) fn fault<E: Error + Send + Sync + 'static>(attempt: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self(FlowError::Fault { attempt, source: Box::new(source) })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self.0 {
            FlowError::Refused(refusal) => refused(&refusal),
            FlowError::Fault { attempt, source } => {
                let reference = uuid::Uuid::new_v4().to_string();
                tracing::error!(
                    attempt,
                    request = reference,
                    error = &*source as &dyn Error,
                    "a request failed"
                );
                let body = fault_body(&format!("it cannot {attempt}"), &reference);
                (status(ErrorId::InternalServerError), Json(body)).into_response()
            }
        }
    }
}

/// The answer to a refused request.
pub(super) fn refused(refusal: &Refusal) -> Response {
    (status(refusal.id()), Json(refusal.body())).into_response()
}

fn status(id: ErrorId) -> StatusCode {
    StatusCode::from_u16(id.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Answers every path and method that [`crate::api::routes`] does not list.
pub(super) async fn no_route() -> Response {
    refused(&Refusal::NotFound(Missing::Route))
}

/// Reads a JSON body; an empty one is an empty object.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::BadRequest(format!("The body cannot be read: {error}.")))
}
