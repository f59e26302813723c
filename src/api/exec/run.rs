//! One command of a visitor, in the dyno, with the client at its streams.

use std::collections::BTreeMap;
use std::time::Duration;

use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::api::exec::copy;
use crate::api::exec::visitors::Visitor;
use crate::api::state::Api;
use crate::domain::AppRight;
use crate::flows::ports::{Connection, Control, Streams};
use crate::flows::{self, FlowError, VisitRequest};
use crate::wire::exec::FAILED;

/// What runs where no command is given.
const SHELL: &str = "bash";
/// Lines and characters of a window whose client does not say.
const WINDOW: (u16, u16) = (24, 80);
/// Characters of a terminal's name.
const TERM_CHARS_MAX: usize = 64;
/// Bytes read at once from the dyno.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long a command may leave its input unread once that is more than its terminal or pipe holds: only then is it noticed that
/// a client has gone.
const INPUT_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the last words may take to a client that does not read.
const PARTING_TIMEOUT: Duration = Duration::from_secs(10);
/// The stream of complaints (`SSH_EXTENDED_DATA_STDERR`, RFC 4254 section 5.2).
const STDERR: u32 = 1;
/// The exit status of what was refused or failed, as `ssh` itself has it.
const STATUS_REFUSED: u32 = 255;

/// What a client asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// A shell.
    Shell,
    /// A command, for a shell.
    Command(String),
    /// Files to read.
    Files,
}

/// A client's window.
#[derive(Debug)]
pub(super) struct Window {
    term: Option<String>,
    rows: u16,
    cols: u16,
}

impl Window {
    /// Of a terminal of this kind; a size that is none is replaced.
    pub(super) fn new(term: &str, rows: u16, cols: u16) -> Self {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte);
        let is_name = (1..=TERM_CHARS_MAX).contains(&term.len()) && term.bytes().all(is_plain);
        let (rows, cols) = if rows == 0 || cols == 0 { WINDOW } else { (rows, cols) };
        Self { term: is_name.then(|| term.to_owned()), rows, cols }
    }
}

/// Serves the one channel of a visitor to its end.
pub(super) async fn serve(
    api: &Api,
    visitor: &Visitor,
    (channel, window): (Channel<Msg>, Option<Window>),
    asked: Asked,
) {
    let (mut reader, writer) = channel.split();
    let command = match asked {
        Asked::Shell => SHELL.to_owned(),
        Asked::Command(command) => command,
        Asked::Files => {
            copy::serve(api, visitor, reader.make_reader(), writer.make_writer()).await;
            return part(&writer, 0).await;
        }
    };
    let status = match enter(api, visitor, command, window).await {
        Ok(streams) => bridge(streams, reader, &writer).await,
        Err(text) => {
            let said = writer.extended_data_bytes(STDERR, format!("{text}\r\n").into_bytes());
            let _gone_or_late = timeout(PARTING_TIMEOUT, said).await;
            STATUS_REFUSED
        }
    };
    part(&writer, status).await;
}

async fn part(writer: &ChannelWriteHalf<Msg>, status: u32) {
    let parting = async {
        writer.exit_status(status).await?;
        writer.eof().await?;
        writer.close().await
    };
    let _gone_or_late = timeout(PARTING_TIMEOUT, parting).await;
}

/// Starts a command in the visitor's dyno; else what the client is told. What the visitor was let in for some seconds ago may
/// be theirs no more.
pub(super) async fn enter(
    api: &Api,
    visitor: &Visitor,
    command: String,
    window: Option<Window>,
) -> Result<Streams, String> {
    let entering = async {
        let app = flows::find(&api.node, &visitor.app.to_string()).await?;
        flows::permit(&api.node, &visitor.caller, &app, AppRight::Operate).await?;
        let (env, connection) = match window {
            None => (BTreeMap::new(), Connection::Pipes),
            Some(Window { term, rows, cols }) => {
                let env = term.map(|term| ("TERM".to_owned(), term)).into_iter().collect();
                (env, Connection::Terminal { rows, cols })
            }
        };
        let request = VisitRequest { command, env, connection };
        let actor = visitor.caller.actor();
        let (dyno, id) = flows::visit(&api.node, &app, &visitor.dyno, request, &actor).await?;
        tracing::info!(
            target: "audit", user = %visitor.caller.user(), app = %app.name, dyno = %dyno.name,
            "a visit over SSH was begun"
        );
        flows::attach(&api.node, &app, id).await
    };
    entering.await.map_err(|error| match error {
        FlowError::Refused(refusal) => refusal.to_string(),
        FlowError::Fault { .. } => {
            tracing::error!(error = &error as &dyn std::error::Error, "a visit over SSH failed");
            FAILED.to_owned()
        }
    })
}

/// Carries bytes both ways, the dyno's output to its end; the client's end hangs up. The exit status.
async fn bridge(streams: Streams, reader: ChannelReadHalf, writer: &ChannelWriteHalf<Msg>) -> u32 {
    let Streams { input, output, control, exit } = streams;
    let gone = CancellationToken::new();
    let feeding = tokio::spawn(feed(reader, input, control, gone.clone()));
    pump(output, writer.make_writer(), &gone).await;
    let status = exit.await;
    feeding.abort();
    u32::from(status)
}

/// Hands the dyno what the client sends. Ends with the channel: then it hangs up, and tells so in `gone`.
async fn feed(
    mut reader: ChannelReadHalf,
    input: Box<dyn AsyncWrite + Send + Unpin>,
    control: mpsc::Sender<Control>,
    gone: CancellationToken,
) {
    let _gone = gone.drop_guard();
    let mut input = Some(input);
    loop {
        match reader.wait().await {
            Some(ChannelMsg::Data { data }) => {
                let Some(open) = &mut input else { continue };
                let writing = async {
                    open.write_all(&data).await?;
                    open.flush().await
                };
                match timeout(INPUT_TIMEOUT, writing).await {
                    Ok(Ok(())) => {}
                    // Nobody reads it any more: what still comes is dropped.
                    Ok(Err(_)) => input = None,
                    Err(_) => break,
                }
            }
            Some(ChannelMsg::Eof) => {
                if let Some(mut open) = input.take() {
                    let _reader_has_gone = open.shutdown().await;
                }
            }
            Some(ChannelMsg::WindowChange { col_width, row_height, .. }) => {
                if let (Ok(rows), Ok(cols)) = (u16::try_from(row_height), u16::try_from(col_width)) {
                    let _ended = control.send(Control::Resize { rows, cols }).await;
                }
            }
            Some(ChannelMsg::Close) | None => break,
            Some(_) => {}
        }
    }
    // Nobody listens when the command has ended: then there is nothing to hang up.
    let _ended = control.send(Control::HangUp).await;
}

/// Hands the client what the dyno says, to its end. What is said after the client has gone is read and dropped, so that a process
/// that ignores the hang-up is not blocked by it.
async fn pump(mut from: Box<dyn AsyncRead + Send + Unpin>, to: impl AsyncWrite, gone: &CancellationToken) {
    tokio::pin!(to);
    let mut client_is_there = true;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = match from.read(&mut chunk).await {
            // A terminal whose last process has ended reads as an error (EIO, pty(7)): its end all the same.
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        if client_is_there {
            client_is_there = tokio::select! {
                written = to.write_all(&chunk[..length]) => written.is_ok(),
                () = gone.cancelled() => false,
            };
        }
    }
}
