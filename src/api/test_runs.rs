//! `POST /apps/:app/test-runs`, a route of our own: a source archive in; out what its tests print, and the verdict
//! (`wire::api::TestVerdict`).

use std::collections::BTreeMap;

use axum::body::{Body, BodyDataStream};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::task::AbortOnDropHandle;

use crate::api::error::ApiError;
use crate::api::pushes::{encoded, receive};
use crate::api::source_body;
use crate::api::state::Api;
use crate::domain::ArchiveRoot;
use crate::flows::{self, BuildPermit, Caller, TestSource, Transcript};
use crate::wire::api::TestVerdict;
use crate::wire::api_errors::Refusal;

/// The most characters of a version.
const VERSION_CHARS_MAX: usize = 1000;
/// The status of tests that nobody saw the end of.
const LOST: u8 = 1;

/// What is told of the source.
#[derive(Deserialize)]
pub(super) struct TestQuery {
    /// Which version it is.
    #[serde(default)]
    version: String,
}

/// The tests end when their client goes away.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    query: Result<Query<TestQuery>, QueryRejection>,
    body: Body,
) -> Result<Response, ApiError> {
    let mut body = body.into_data_stream();
    match accept(&api, (&key, query), &mut body).await {
        Ok((run, permit)) => Ok(answer(&api, caller, run, permit)),
        Err(error) => {
            // A client that still sends does not read why it should stop.
            source_body::drain(body).await;
            Err(error)
        }
    }
}

async fn accept(
    api: &Api,
    (key, query): (&str, Result<Query<TestQuery>, QueryRejection>),
    body: &mut BodyDataStream,
) -> Result<(TestSource, BuildPermit), ApiError> {
    let app = api.app(key).await?;
    let Query(TestQuery { version }) =
        query.map_err(|rejection| Refusal::BadRequest(rejection.body_text()))?;
    if version.chars().count() > VERSION_CHARS_MAX || version.contains('\0') {
        return Err(Refusal::SourceSaid { limit: VERSION_CHARS_MAX }.into());
    }
    let permit = flows::begin_push(&api.node, &app)?;
    let source = receive(api, body).await?;
    let root = ArchiveRoot::Top;
    Ok((TestSource { app, source, root, version, given: BTreeMap::new() }, permit))
}

fn answer(api: &Api, caller: Caller, run: TestSource, permit: BuildPermit) -> Response {
    let (transcript, lines) = Transcript::new();
    let node = api.node.clone();
    let running = AbortOnDropHandle::new(tokio::spawn(async move {
        flows::run_tests(&node, run, &caller, (&transcript, permit)).await
    }));
    let text = UnboundedReceiverStream::new(lines).map(|line| encoded(&line));
    let end = stream::once(async move {
        let exit_code = running.await.unwrap_or(LOST);
        Bytes::from(TestVerdict { exit_code }.encode())
    });
    let stream = text.chain(end).map(Ok::<_, std::convert::Infallible>);
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(stream)).into_response()
}
