//! How the stock command attaches to a one-off dyno: a connection that begins with a secret, told when the dyno was asked
//! for ([`crate::wire::rendezvous`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::RngCore as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::time::{timeout, timeout_at};

use crate::api::shares::displaced;
use crate::api::state::Api;
use crate::domain::{App, DynoId, Email};
use crate::flows::ports::{Control, Streams};
use crate::flows::{self, FlowError, Stranger};
use crate::wire::rendezvous::{END_OF_INPUT, GREETING, Pieces, status_line};

/// Bytes of randomness in a secret.
const SECRET_BYTES: usize = 32;
/// Characters of the first line at most; more is no secret.
const LINE_BYTES_MAX: usize = 256;
/// How long the first line may take.
const LINE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a secret is worth something; the dyno does not wait as long.
const SECRET_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection stays at least, unless the client tells the end of its input. Dynos here can be over before the
/// client has come to its own input.
const SETTLING_TIME: Duration = Duration::from_secs(1);
/// How long a client is waited for that has been told the end.
const PARTING_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes read at once: what fits into one record (RFC 8446 section 5.1).
const CHUNK_BYTES: usize = 16 * 1024;

/// What a client does with its terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// The dyno has a terminal, and a person sits at the other.
    Terminal,
    /// The dyno has a terminal, and the client reads from a pipe.
    HalfTerminal,
    /// Pipes on both sides.
    Pipes,
}

/// A client that is to come.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Who asked for the dyno.
    pub(super) user: Email,
    pub(super) app: App,
    pub(super) dyno: DynoId,
    pub(super) ends: Ends,
    /// Whether the exit status must be told even if the shell does not.
    pub(super) wants_status: bool,
}

/// Clients that are to come, by their secrets, as many as [`displaced`] lets stay.
#[derive(Default)]
pub(super) struct Expected(Mutex<HashMap<String, (Client, Instant)>>);

impl Expected {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, (Client, Instant)>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Expects a client, and tells its secret.
    pub(super) fn expect(&self, client: Client) -> String {
        let mut bytes = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let secret = hex::encode(bytes);
        self.with(|all| {
            all.retain(|_, (_, since)| since.elapsed() < SECRET_TIMEOUT);
            let seen =
                all.iter().map(|(secret, (other, since))| (secret.clone(), &other.user, *since)).collect();
            if let Some(gone) = displaced(seen, &client.user) {
                all.remove(&gone);
            }
            all.insert(secret.clone(), (client, Instant::now()));
        });
        secret
    }

    fn is_expected(&self, secret: &str) -> bool {
        self.with(|all| all.contains_key(secret))
    }

    fn take(&self, secret: &str) -> Option<Client> {
        let (client, since) = self.with(|all| all.remove(secret))?;
        (since.elapsed() < SECRET_TIMEOUT).then_some(client)
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<S>(api: &Api, mut stream: S, stranger: &Stranger)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some((secret, early)) = timeout(LINE_TIMEOUT, first_line(api, &mut stream)).await.ok().flatten()
    else {
        return;
    };
    let client = api.expected.take(&secret);
    if client.is_some() {
        stranger.becomes_known();
    }
    let attached = match client {
        Some(client) => match flows::attach(&api.node, &client.app, client.dyno).await {
            Ok(streams) => Ok((client, streams)),
            Err(FlowError::Refused(refusal)) => Err(refusal.to_string()),
            Err(error) => {
                tracing::error!(%error, "a one-off dyno could not be attached to");
                Err("The node failed: its own log says more.".to_owned())
            }
        },
        None => Err("This one-off dyno is not waiting any more.".to_owned()),
    };
    // Flushed, so that it is a record of its own.
    if stream.write_all(GREETING).await.is_err() || stream.flush().await.is_err() {
        if let Ok((_, streams)) = attached {
            hang_up(&streams.control).await;
        }
        return;
    }
    match attached {
        Ok((client, streams)) => bridge(stream, streams, &client, early).await,
        Err(text) => {
            let _gone = stream.write_all(format!("{text}\r\n").as_bytes()).await;
            part(stream).await;
        }
    }
}

/// Says the end, and waits a little for the client's: what a client still sends to a closed connection takes from it what
/// it has not read yet (RFC 1122 section 4.2.2.13).
async fn part<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let _gone = stream.shutdown().await;
    let _gone_or_late = timeout(PARTING_TIMEOUT, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
}

/// The secret, and what came with it. Some clients end it with no line end, and wait.
async fn first_line<S: AsyncRead + Unpin>(api: &Api, stream: &mut S) -> Option<(String, Vec<u8>)> {
    let mut line = Vec::with_capacity(LINE_BYTES_MAX);
    loop {
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let early = line.split_off(end + 1);
            let text = String::from_utf8(line).ok()?;
            // What stands after a question mark is the client's own.
            let secret = text.trim_end().split('?').next().unwrap_or_default().to_owned();
            return Some((secret, early));
        }
        if let Ok(text) = std::str::from_utf8(&line)
            && api.expected.is_expected(text)
        {
            return Some((text.to_owned(), Vec::new()));
        }
        if line.len() >= LINE_BYTES_MAX || stream.read_buf(&mut line).await.ok()? == 0 {
            return None;
        }
    }
}

async fn hang_up(control: &mpsc::Sender<Control>) {
    // Nobody listens when the dyno has ended: then there is nothing to hang up.
    let _ended = control.send(Control::HangUp).await;
}

/// Carries bytes both ways, the dyno's output to its end; the client's end hangs up.
async fn bridge<S>(stream: S, streams: Streams, client: &Client, early: Vec<u8>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, writer) = tokio::io::split(stream);
    let Streams { input, output, control, exit } = streams;
    let has_ended = Arc::new(Notify::new());
    let sender = Sender {
        input: Some(input),
        ends: client.ends,
        at_line_start: true,
        has_ended: Arc::clone(&has_ended),
    };
    let settled = Instant::now() + SETTLING_TIME;
    let incoming = tokio::spawn(from_client(reader, sender, control.clone(), early));
    let (writer, mut pieces) = to_client(output, writer, &control).await;
    let status = exit.await;
    let Some(mut writer) = writer else {
        incoming.abort();
        return;
    };
    let mut last = pieces.rest();
    if client.wants_status && !pieces.has_seen_status() {
        last.extend(status_line(status));
    }
    let _gone = writer.write_all(&last).await;
    let _gone = writer.flush().await;
    // The stock command breaks when it comes to tell the end of its input to a connection that has ended.
    let _told_or_late = timeout_at(settled.into(), has_ended.notified()).await;
    let _gone = writer.shutdown().await;
    // The client's end, read there, is the end of the connection.
    let stop = incoming.abort_handle();
    if timeout(PARTING_TIMEOUT, incoming).await.is_err() {
        stop.abort();
    }
}

/// Returns the writer while the client still reads.
async fn to_client<S: AsyncWrite>(
    mut output: Box<dyn AsyncRead + Send + Unpin>,
    writer: WriteHalf<S>,
    control: &mpsc::Sender<Control>,
) -> (Option<WriteHalf<S>>, Pieces) {
    let (mut writer, mut pieces) = (Some(writer), Pieces::default());
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = match output.read(&mut chunk).await {
            // A terminal whose last process has ended reads as an error (EIO, pty(7)): its end all the same.
            Ok(0) | Err(_) => return (writer, pieces),
            Ok(length) => length,
        };
        let piece = pieces.push(&chunk[..length]);
        if let Some(open) = &mut writer
            && (open.write_all(&piece).await.is_err() || open.flush().await.is_err())
        {
            // The dyno's output goes on being read, so that a process that ignores the hang-up is not blocked by it.
            writer = None;
            hang_up(control).await;
        }
    }
}

/// The client's input on its way to the dyno.
struct Sender {
    input: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    ends: Ends,
    at_line_start: bool,
    /// Told when the client has said that no more will come.
    has_ended: Arc<Notify>,
}

impl Sender {
    async fn send(&mut self, bytes: &[u8]) {
        if bytes.last() == Some(&END_OF_INPUT) {
            self.has_ended.notify_one();
        }
        let (bytes, is_end) = match (self.ends, bytes.split_last()) {
            (Ends::Pipes, Some((&END_OF_INPUT, rest))) => (rest.to_vec(), true),
            // In the middle of a line a terminal takes the first for the end of a part, the second for the end of all.
            (Ends::HalfTerminal, Some((&END_OF_INPUT, rest)))
                if !rest.last().map_or(self.at_line_start, |byte| *byte == b'\n') =>
            {
                ([bytes, &[END_OF_INPUT]].concat(), false)
            }
            (Ends::Terminal | Ends::HalfTerminal | Ends::Pipes, _) => (bytes.to_vec(), false),
        };
        if let Some(last) = bytes.last() {
            self.at_line_start = *last == b'\n';
        }
        if let Some(open) = &mut self.input
            && (open.write_all(&bytes).await.is_err() || open.flush().await.is_err())
        {
            self.input = None;
        }
        if is_end && let Some(mut open) = self.input.take() {
            let _reader_has_gone = open.shutdown().await;
        }
    }
}

async fn from_client<S: AsyncRead>(
    mut reader: ReadHalf<S>,
    mut sender: Sender,
    control: mpsc::Sender<Control>,
    early: Vec<u8>,
) {
    if !early.is_empty() {
        sender.send(&early).await;
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut chunk).await {
            Ok(0) | Err(_) => {
                sender.has_ended.notify_one();
                return hang_up(&control).await;
            }
            Ok(length) => sender.send(&chunk[..length]).await,
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    async fn sent(ends: Ends, parts: &[&[u8]]) -> (Vec<u8>, bool) {
        let (near, mut far) = tokio::io::duplex(1024);
        let has_ended = Arc::default();
        let mut sender = Sender { input: Some(Box::new(near)), ends, at_line_start: true, has_ended };
        for part in parts {
            sender.send(part).await;
        }
        let is_open = sender.input.take().is_some();
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        (received, is_open)
    }

    #[tokio::test]
    async fn the_end_of_input_is_what_the_dyno_takes_for_it() {
        assert_eq!(sent(Ends::Pipes, &[b"hi\n", b"\x04"]).await, (b"hi\n".to_vec(), false));
        assert_eq!(sent(Ends::Pipes, &[b"a\x04b"]).await, (b"a\x04b".to_vec(), true));
        assert_eq!(sent(Ends::HalfTerminal, &[b"hi\n", b"\x04"]).await, (b"hi\n\x04".to_vec(), true));
        assert_eq!(sent(Ends::HalfTerminal, &[b"hi", b"\x04"]).await, (b"hi\x04\x04".to_vec(), true));
        assert_eq!(sent(Ends::HalfTerminal, &[b"hi\x04"]).await, (b"hi\x04\x04".to_vec(), true));
        assert_eq!(sent(Ends::Terminal, &[b"hi", b"\x04"]).await, (b"hi\x04".to_vec(), true));
    }
}
