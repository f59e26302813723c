//! A body that is a source, on its way into a file: bounded in length and time.

use std::io;
use std::path::Path;
use std::time::Duration;

use axum::body::BodyDataStream;
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::api::error::ApiError;
use crate::flows::{DiskRoom, RECEIVE_TIMEOUT_S, SOURCE_BYTES_MAX};
use crate::wire::api_errors::Refusal;

/// How much is read of a body that nobody waits for, bytes.
const STRANGE_BYTES_MAX: u64 = 4 << 20;
/// How long it is read, seconds.
const STRANGE_TIMEOUT_S: u64 = 5;

/// Writes a source to a new file at `path`. What a broken or too large one leaves there is the caller's to remove.
pub(super) async fn write(path: &Path, body: &mut BodyDataStream) -> Result<(), ApiError> {
    let time = Duration::from_secs(RECEIVE_TIMEOUT_S);
    let late = || Refusal::BadRequest(format!("The source did not arrive within {RECEIVE_TIMEOUT_S} s."));
    tokio::time::timeout(time, copy(path, body)).await.map_err(|_| late())?
}

async fn copy(path: &Path, body: &mut BodyDataStream) -> Result<(), ApiError> {
    if let Some(dir) = path.parent() {
        tokio::fs::create_dir_all(dir).await.map_err(ApiError::fault("make the folder of sources"))?;
    }
    let mut file = tokio::fs::File::create(path).await.map_err(ApiError::fault("keep the source"))?;
    let (mut bytes, mut room) = (0, DiskRoom::beside(path));
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Refusal::BadRequest("The source ended early.".to_owned()))?;
        bytes += chunk.len() as u64;
        if !room.is_left(bytes) {
            return Err(Refusal::DiskFull.into());
        }
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

/// Reads what is left of a body, within the bounds of a good one: a client that still sends does not read why it should stop.
pub(super) async fn drain(body: BodyDataStream) {
    drop_within(body, (SOURCE_BYTES_MAX, RECEIVE_TIMEOUT_S)).await;
}

/// As [`drain`], of a client that did not know a name for what it sends: only a little.
pub(super) async fn drain_a_little(body: BodyDataStream) {
    drop_within(body, (STRANGE_BYTES_MAX, STRANGE_TIMEOUT_S)).await;
}

async fn drop_within(mut body: BodyDataStream, (bytes_max, timeout_s): (u64, u64)) {
    let rest = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = body.next().await
            && bytes <= bytes_max
        {
            bytes += chunk.len() as u64;
        }
    };
    let _told_anyhow = tokio::time::timeout(Duration::from_secs(timeout_s), rest).await;
}
