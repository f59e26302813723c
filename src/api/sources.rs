//! `/sources`: a place for a source is asked for, and used by whoever has its links, without credentials.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use crate::api::asked::Asked;
use crate::api::error::ApiError;
use crate::api::source_body;
use crate::api::state::Api;
use crate::flows::{self, Caller, SourceLinks};
use crate::wire::api::{Source, SourcePlace};
use crate::wire::api_errors::{Missing, Refusal};

pub(super) async fn create(
    State(api): State<Api>,
    asked: Asked,
    caller: Caller,
) -> Result<(StatusCode, Json<Source>), ApiError> {
    let SourceLinks { get, put } = flows::new_source(&api.node, &caller.actor())?;
    let url = |link: &str| asked.url(api.node.settings(), link);
    let source_blob = SourcePlace { get_url: url(&get), put_url: url(&put) };
    Ok((StatusCode::CREATED, Json(Source { source_blob })))
}

/// Its content type means nothing: what it is shows when it is unpacked.
pub(super) async fn put(
    State(api): State<Api>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let mut body = body.into_data_stream();
    let query = query.unwrap_or_default();
    let arriving = match named(&id).and_then(|id| Ok(flows::begin_source(&api.node, id, &query)?)) {
        Ok(arriving) => arriving,
        Err(error) => {
            source_body::drain_a_little(body).await;
            return Err(error);
        }
    };
    match source_body::write(&arriving.path(), &mut body).await {
        Ok(()) => {
            arriving.is_whole();
            Ok(StatusCode::OK)
        }
        Err(error) => {
            source_body::drain(body).await;
            Err(error)
        }
    }
}

pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let path = flows::source_file(&api.node, named(&id)?, &query.unwrap_or_default())?;
    let file = tokio::fs::File::open(path).await.map_err(ApiError::fault("read a source"))?;
    let length = file.metadata().await.map_err(ApiError::fault("read a source"))?.len();
    let headers =
        [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_LENGTH, length.to_string())];
    Ok((headers, Body::from_stream(ReaderStream::new(file))).into_response())
}

fn named(id: &str) -> Result<Uuid, ApiError> {
    id.parse().map_err(|_| Refusal::NotFound(Missing::Source).into())
}
