//! `POST /apps/:app/pushes`: a source archive in, the transcript out, and at its end the verdict (`wire::api::PushVerdict`).

use std::io;
use std::path::PathBuf;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use uuid::Uuid;

use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::flows::{self, Push, Transcript};
use crate::wire::api::{PushStatus, PushVerdict};
use crate::wire::api_errors::Refusal;

/// The largest source, unpacked, bytes (platform reference 3.2).
const SOURCE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// What the hook tells of the push besides its source.
#[derive(Deserialize)]
pub(super) struct PushQuery {
    /// The commit.
    new: String,
}

/// The build goes on when its client goes away; it ends with the node.
pub(super) async fn create(
    State(api): State<Api>,
    Path(key): Path<String>,
    Query(query): Query<PushQuery>,
    body: Body,
) -> Result<Response, ApiError> {
    let app = api.app(&key).await?;
    let commit = commit(query.new)?;
    let permit = flows::begin_push(&api.node, &app)?;
    let source = receive(&api, body).await?;
    let (transcript, lines) = Transcript::new();
    let push = Push { app, source, commit, actor: api.actor() };
    let node = api.node.clone();
    let verdict = tokio::spawn(async move { flows::push(&node, push, &transcript, permit).await });
    let text = UnboundedReceiverStream::new(lines).map(|line| Bytes::from(format!("{line}\n")));
    let end = futures_util::stream::once(async {
        // A build that panicked has changed nothing that counts.
        let status = verdict.await.unwrap_or(PushStatus::Failed);
        Bytes::from(PushVerdict { status }.encode())
    });
    let stream = text.chain(end).map(Ok::<_, std::convert::Infallible>);
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(stream)).into_response())
}

/// A commit becomes part of texts and environments, so it is what git calls one.
fn commit(text: String) -> Result<String, Refusal> {
    let is_commit = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_commit { Ok(text) } else { Err(Refusal::BadRequest("`new` is not a commit.".to_owned())) }
}

/// Writes the source to a file of its own; a broken or too large one leaves nothing behind.
async fn receive(api: &Api, body: Body) -> Result<PathBuf, ApiError> {
    let dir = api.node.settings().sources_dir();
    let path = dir.join(format!("{}.tar", Uuid::new_v4()));
    let result = write(&path, body).await;
    if result.is_err() {
        let _gone_or_never_made = tokio::fs::remove_file(&path).await;
    }
    result.map(|()| path)
}

async fn write(path: &std::path::Path, body: Body) -> Result<(), ApiError> {
    if let Some(dir) = path.parent() {
        tokio::fs::create_dir_all(dir).await.map_err(ApiError::fault("make the folder of sources"))?;
    }
    let mut file = tokio::fs::File::create(path).await.map_err(ApiError::fault("keep the source"))?;
    let mut chunks = body.into_data_stream();
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::BadRequest("The source ended early.".to_owned()))?;
        bytes += chunk.len() as u64;
        if bytes > SOURCE_BYTES_MAX {
            return Err(Refusal::SourceTooLarge.into());
        }
        file.write_all(&chunk).await.map_err(full_disk)?;
    }
    file.flush().await.map_err(full_disk)
}

/// A full disk is told apart: whoever pushes can do something about it.
fn full_disk(error: io::Error) -> ApiError {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Refusal::DiskFull.into();
    }
    ApiError::fault("keep the source")(error)
}
