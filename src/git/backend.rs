//! One request answered by `git http-backend`, a CGI program (RFC 3875, git-http-backend(1)).

use std::io;
use std::process::Stdio;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::git::commands::Running;

/// How long one request may take, builds included, seconds; then git is ended.
pub(super) const REQUEST_TIMEOUT_S: u64 = 3600;

/// Pieces of an answer waiting for the client; git waits when they are full.
const ANSWER_CHUNKS: usize = 16;

/// Bytes of one such piece.
const CHUNK_BYTES: usize = 64 * 1024;

/// The most bytes of the answer's head: git writes a few hundred.
const HEAD_BYTES_MAX: u64 = 16 * 1024;

/// git gave no answer.
#[derive(Debug, Error)]
pub(super) enum BackendError {
    /// It did not start.
    #[error("running git: is it installed?")]
    Start(#[source] io::Error),
    /// It ended, or wrote something else, before its head was whole.
    #[error("git http-backend gave no answer: {0}")]
    Head(String),
}

/// Runs `command`, feeding it `body`, and returns its answer as it comes. It counts as `running` until it has ended.
///
/// The child and its two pumps outlive the client: a push whose client has gone still builds and moves its ref. They end
/// with the child, at the latest after [`REQUEST_TIMEOUT_S`].
pub(super) async fn answer(
    mut command: Command,
    body: Body,
    running: Running,
) -> Result<Response<Body>, BackendError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(BackendError::Start)?;
    let missing = || BackendError::Head("its pipes are missing".to_owned());
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let mut stdout = BufReader::with_capacity(CHUNK_BYTES, child.stdout.take().ok_or_else(missing)?);
    tokio::spawn(feed(body, stdin));
    let (status, headers) = head(&mut stdout).await?;
    let (sender, chunks) = mpsc::channel(ANSWER_CHUNKS);
    tokio::spawn(async move {
        relay(child, stdout, sender).await;
        drop(running);
    });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(chunks)));
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    Ok(response)
}

/// Ends when the client has sent all, has gone, or git reads no more; git then sees the end of its input.
async fn feed(body: Body, mut stdin: ChildStdin) {
    let mut chunks = body.into_data_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        if stdin.write_all(&chunk).await.is_err() {
            break;
        }
    }
}

async fn relay(
    mut child: Child,
    mut stdout: BufReader<ChildStdout>,
    client: mpsc::Sender<Result<Bytes, io::Error>>,
) {
    let pump = async {
        let mut client_is_there = true;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            match stdout.read_buf(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            // What git still writes after its client has gone is read and dropped, so that it can go on.
            client_is_there = client_is_there && client.send(Ok(chunk.into())).await.is_ok();
        }
    };
    let stderr = child.stderr.take();
    let complaints = async {
        let mut text = String::new();
        if let Some(stderr) = stderr {
            // What is over the limit stays in the pipe, which git then finds closed: it only complains there.
            let _not_text = stderr.take(HEAD_BYTES_MAX).read_to_string(&mut text).await;
        }
        text
    };
    let whole = async { tokio::join!(pump, complaints, child.wait()) };
    match tokio::time::timeout(Duration::from_secs(REQUEST_TIMEOUT_S), whole).await {
        Ok(((), complaints, Ok(status))) if !complaints.is_empty() || !status.success() => {
            tracing::debug!(%status, complaints, "git http-backend");
        }
        Ok(_) => {}
        Err(_) => tracing::warn!("a git request took over {REQUEST_TIMEOUT_S} s and was ended"),
    }
}

/// The head of a CGI answer: header lines, `Status` among them, up to an empty line.
async fn head(
    stdout: &mut BufReader<ChildStdout>,
) -> Result<(StatusCode, Vec<(HeaderName, HeaderValue)>), BackendError> {
    let mut limited = stdout.take(HEAD_BYTES_MAX);
    let (mut status, mut headers) = (StatusCode::OK, Vec::new());
    loop {
        let mut line = String::new();
        let read = limited.read_line(&mut line).await.map_err(|e| BackendError::Head(e.to_string()))?;
        if read == 0 {
            return Err(BackendError::Head("it ended early".to_owned()));
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok((status, headers));
        }
        let bad = || BackendError::Head(format!("it wrote {line:?}"));
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            status = code.parse().map_err(|_| bad())?;
        } else {
            let value = HeaderValue::from_str(value).map_err(|_| bad())?;
            headers.push((name.parse::<HeaderName>().map_err(|_| bad())?, value));
        }
    }
}
