//! JSON bodies of requests, read into the shapes of `wire::api`.

use axum::extract::{FromRequest, Request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::wire::api_errors::Refusal;

/// The longest JSON body, bytes: config vars of an app have at most 64 KiB, so this is ample.
pub(super) const JSON_BYTES_MAX: usize = 1 << 20;

/// A JSON body; an empty one is an empty object.
pub(super) struct Input<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Api> for Input<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _api: &Api) -> Result<Self, ApiError> {
        match Limited::new(request.into_body(), JSON_BYTES_MAX).collect().await {
            Ok(whole) => Ok(Self(read(&whole.to_bytes())?)),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(Refusal::BodyTooLarge { limit_kib: JSON_BYTES_MAX >> 10 }.into())
            }
            Err(error) => Err(Refusal::BadRequest(format!("The body ends too early ({error}).")).into()),
        }
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    // A struct could be read from a list of its fields as well.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::BadRequest("The body is no JSON object.".to_owned()));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::BadRequest(format!("The body cannot be read: {error}.")))
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::wire::api::{CreateApp, UpdateFormation};

    #[test]
    fn a_body_is_an_object_or_nothing() {
        assert_eq!(read::<CreateApp>(b"").unwrap(), CreateApp::default());
        assert_eq!(read::<CreateApp>(b" \n").unwrap(), CreateApp::default());
        assert_eq!(read::<CreateApp>(br#"{"name":"example"}"#).unwrap().name.as_deref(), Some("example"));
        for bad in [&b"{"[..], b"3", b"[]", b"null", br#"{"name":3}"#, b"\xff"] {
            assert!(matches!(read::<CreateApp>(bad), Err(Refusal::BadRequest(_))), "{bad:?}");
        }
        let refused = read::<UpdateFormation>(b"{}").unwrap_err();
        assert!(refused.to_string().contains("missing field `updates`"), "{refused}");
    }
}
