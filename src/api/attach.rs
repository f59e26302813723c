//! `GET /apps/:app/dynos/:dyno/attach`: the connection becomes frames between a terminal and a one-off dyno.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::domain::DynoId;
use crate::flows;
use crate::flows::ports::{Control, Streams};
use crate::wire::api_errors::{Missing, Refusal, Unknown};
use crate::wire::attach::{Frame, PROTOCOL};

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// After how long a silence the client is sent an empty frame. A client that has died while its dyno reads no input is
/// noticed by nothing else: what it had sent stands before the end of its connection.
const PROBE_AFTER: Duration = Duration::from_secs(5);

pub(super) async fn open(
    State(api): State<Api>,
    Path((key, id)): Path<(String, String)>,
    mut request: Request,
) -> Result<Response, ApiError> {
    is_asked(request.headers())?;
    let app = api.app(&key).await?;
    let id =
        id.parse().map(DynoId).map_err(|_| Refusal::NotFound(Missing::Dyno(Unknown::new(&id, [""; 0]))))?;
    let upgrade = hyper::upgrade::on(&mut request);
    let streams = flows::attach(&api.node, &app, id).await?;
    Ok(switch(upgrade, streams))
}

/// Whether a client asks for what [`switch`] does.
pub(super) fn is_asked(headers: &http::HeaderMap) -> Result<(), Refusal> {
    if headers.get(UPGRADE).is_some_and(|value| value == PROTOCOL) {
        Ok(())
    } else {
        Err(Refusal::UpgradeRequired)
    }
}

/// Answers that the connection speaks frames from now on, and has it do so.
pub(super) fn switch(upgrade: OnUpgrade, streams: Streams) -> Response {
    // Ends with the connection or the process, whichever is first; a client that never upgrades counts as gone.
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => bridge(TokioIo::new(connection), streams).await,
            Err(_) => hang_up(&streams.control).await,
        }
    });
    let headers = [(CONNECTION, "upgrade"), (UPGRADE, PROTOCOL)];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

async fn hang_up(control: &mpsc::Sender<Control>) {
    // Nobody listens when the dyno has ended: then there is nothing to hang up.
    let _ended = control.send(Control::HangUp).await;
}

/// Carries frames both ways. The dyno's output is carried to its end, then its exit status; the client's end hangs up.
async fn bridge<C: AsyncRead + AsyncWrite + Send + 'static>(connection: C, streams: Streams) {
    let (reader, writer) = tokio::io::split(connection);
    let Streams { input, output, control, exit } = streams;
    let incoming = tokio::spawn(from_client(reader, input, control.clone()));
    let outgoing = async {
        let writer = to_client(output, writer, &control).await;
        let status = exit.await;
        (writer, status)
    };
    tokio::pin!(outgoing);
    let (writer, status) = tokio::select! {
        ended = &mut outgoing => {
            incoming.abort();
            ended
        }
        () = control.closed() => outgoing.await,
    };
    if let Some(mut writer) = writer
        && writer.write_all(&Frame::Exit(i32::from(status)).encode()).await.is_ok()
    {
        let _client_has_gone = writer.shutdown().await;
    }
}

/// Returns the writer while the client still reads.
async fn to_client<C: AsyncWrite>(
    mut output: Box<dyn AsyncRead + Send + Unpin>,
    writer: WriteHalf<C>,
    control: &mpsc::Sender<Control>,
) -> Option<WriteHalf<C>> {
    let mut writer = Some(writer);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let payload = match tokio::time::timeout(PROBE_AFTER, output.read(&mut chunk)).await {
            // A terminal whose last process has ended reads as an error (EIO, pty(7)): its end all the same.
            Ok(Ok(0) | Err(_)) => return writer,
            Ok(Ok(length)) => chunk[..length].to_vec(),
            Err(_silence) => Vec::new(),
        };
        if let Some(open) = &mut writer
            && open.write_all(&Frame::Data(payload).encode()).await.is_err()
        {
            // The dyno's output goes on being read, so that a process that ignores the hang-up is not blocked by it.
            writer = None;
            hang_up(control).await;
        }
    }
}

async fn from_client<C: AsyncRead>(
    mut reader: ReadHalf<C>,
    input: Box<dyn AsyncWrite + Send + Unpin>,
    control: mpsc::Sender<Control>,
) {
    let mut input = Some(input);
    let mut buffer = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = reader.read(&mut chunk).await.unwrap_or(0);
        if length == 0 {
            return hang_up(&control).await;
        }
        buffer.extend_from_slice(&chunk[..length]);
        loop {
            match Frame::take(&mut buffer) {
                Ok(Some(frame)) => handle(frame, &mut input, &control).await,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "an attached client sent no frame");
                    return hang_up(&control).await;
                }
            }
        }
    }
}

async fn handle(
    frame: Frame,
    input: &mut Option<Box<dyn AsyncWrite + Send + Unpin>>,
    control: &mpsc::Sender<Control>,
) {
    match frame {
        Frame::Data(bytes) => {
            if let Some(open) = input
                && (open.write_all(&bytes).await.is_err() || open.flush().await.is_err())
            {
                *input = None;
            }
        }
        Frame::Eof => {
            if let Some(mut open) = input.take() {
                let _reader_has_gone = open.shutdown().await;
            }
        }
        Frame::Resize { rows, cols } => tell(control, Control::Resize { rows, cols }).await,
        Frame::Signal(number) => tell(control, Control::Signal(number)).await,
        // The server's own frame: a client has no exit status to tell.
        Frame::Exit(_) => {}
    }
}

async fn tell(control: &mpsc::Sender<Control>, what: Control) {
    let _ended = control.send(what).await;
}
