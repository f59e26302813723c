//! The one place that makes a failed answer.

use std::error::Error;
use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::flows::FlowError;
use crate::wire::api_errors::{ErrorId, Missing, Refusal, fault_body};

/// Why a request was not answered with what it asked for.
#[derive(Debug)]
pub(super) struct ApiError(FlowError);

/// A fault on its way out: [`told`] where the request's identity is known.
#[derive(Clone)]
struct Fault {
    attempt: &'static str,
    source: Arc<dyn Error + Send + Sync>,
}

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
                let mut response = status(ErrorId::InternalServerError).into_response();
                response.extensions_mut().insert(Fault { attempt, source: source.into() });
                response
            }
        }
    }
}

/// Tells a fault under `request`, to the client and with its cause to the node's log; other answers pass unchanged.
pub(super) fn told(mut response: Response, request: &str) -> Response {
    let Some(Fault { attempt, source }) = response.extensions_mut().remove() else {
        return response;
    };
    tracing::error!(attempt, request, error = &*source as &(dyn Error + 'static), "a request failed");
    let body = fault_body(&format!("it cannot {attempt}"), request);
    (status(ErrorId::InternalServerError), Json(body)).into_response()
}

/// The answer to a refused request.
pub(super) fn refused(refusal: &Refusal) -> Response {
    (status(refusal.id()), Json(refusal.body())).into_response()
}

fn status(id: ErrorId) -> StatusCode {
    StatusCode::from_u16(id.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What a client of another machine is sent that speaks without TLS, whole: what it asked is not read.
pub(super) fn tls_only() -> Vec<u8> {
    let refusal = Refusal::TlsOnly;
    let body = serde_json::to_string(&refusal.body()).unwrap_or_default();
    let (status, length) = (refusal.id().status(), body.len());
    format!(
        "HTTP/1.1 {status} Bad Request\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Answers every path and method that [`crate::api::routes`] does not list.
pub(super) async fn no_route() -> Response {
    refused(&Refusal::NotFound(Missing::Route))
}

#[cfg(test)]
mod test {
    use super::*;

    #[tokio::test]
    async fn a_fault_names_the_attempt_and_the_request_but_not_its_cause() {
        let cause = std::io::Error::other("/a/secret/place");
        let response = told(ApiError::fault("use the database")(cause).into_response(), "some-request");
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("use the database") && text.contains("some-request"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn every_refusal_has_the_status_of_its_kind() {
        for id in ErrorId::ALL {
            assert_eq!(status(id).as_u16(), id.status());
        }
    }
}
