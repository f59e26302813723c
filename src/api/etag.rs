//! `ETag` and `If-None-Match` (RFC 9110 sections 8.8.3 and 13.1.2): a client that has an answer is not sent it again.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Method, StatusCode};
use hyper::body::Body as _;
use sha2::{Digest, Sha256};

use crate::api::error::ApiError;

/// Answers longer than this, bytes, are sent as they come.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Bytes of the digest in a tag.
const TAG_BYTES: usize = 16;

/// Tags what is read: bodies that are JSON and whole.
pub(super) async fn tag(request: Request, next: Next) -> Response {
    // The answer to HEAD has lost its body already.
    let is_read = request.method() == Method::GET;
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let length = response.body().size_hint().exact();
    if !is_read
        || !response.status().is_success()
        || !is_json
        || length.is_none_or(|length| length > ANSWER_BYTES_MAX)
    {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(failed) => return ApiError::fault("make the answer")(failed).into_response(),
    };
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..TAG_BYTES]));
    let is_known = known.as_ref().is_some_and(|known| names(known, &tag));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(ETAG, tag);
    }
    parts.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if is_known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(http::header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Whether a list of tags holds this one; a weak one is as good for reading.
fn names(known: &HeaderValue, tag: &str) -> bool {
    let tags = known.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.into_iter().any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list() {
        let holds = |known: &'static str| names(&HeaderValue::from_static(known), "\"a\"");
        assert!(holds("\"a\"") && holds("\"b\", W/\"a\"") && holds("*"));
        assert!(!holds("\"b\"") && !holds("a") && !holds(""));
    }
}
