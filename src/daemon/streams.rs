//! The near ends of an attached dyno, from descriptors to asynchronous streams.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use crate::flows::ports::{Control, Streams, Work};
use crate::supervisor::engine::{Signal, Streams as Ends, Visiting, Visitor};
use crate::supervisor::{Attached, ExitWatch};
use crate::sys::terminal;

/// Requests of one client that wait to be carried out.
const CONTROL_QUEUE: usize = 16;

/// Bytes of output that wait for the client, when errors and output are two pipes.
const MERGE_BYTES: usize = 64 * 1024;

/// What the client is told when the process was never launched: a shell's "command not found".
const NEVER_LAUNCHED: u8 = 127;

/// One end of a terminal, shared by who reads, who writes and who resizes.
#[derive(Clone)]
struct Terminal(Arc<AsyncFd<File>>);

/// Joins what the supervisor gives into what the stories hand on; none for a dyno without streams.
///
/// # Errors
/// A descriptor cannot be watched.
pub(super) fn join(attached: Attached, exit: ExitWatch) -> io::Result<Option<Streams>> {
    let Attached { streams, client } = attached;
    let Some(Near { input, output, window }) = near(streams)? else { return Ok(None) };
    let (control, mut requests) = mpsc::channel(CONTROL_QUEUE);
    // Holds the client's presence: ends, and so hangs up, when the client asks for it or has dropped its sender.
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            match request {
                Control::HangUp => break,
                Control::Signal(number) => {
                    if client.signal(Signal(number)).await.is_err() {
                        break;
                    }
                }
                Control::Resize { rows, cols } => resize(window.as_ref(), (rows, cols)),
            }
        }
    });
    let exit = Box::pin(async move { exit.wait().await.map_or(NEVER_LAUNCHED, |end| end.status) });
    Ok(Some(Streams { input, output, control, exit }))
}

/// The same for a command in a dyno.
///
/// # Errors
/// As `join`.
pub(super) fn join_visit(visiting: Visiting) -> io::Result<Option<Streams>> {
    let Visiting { streams, hold } = visiting;
    let Some(Near { input, output, window }) = near(streams)? else { return Ok(None) };
    let (control, exit) = held(hold, window);
    Ok(Some(Streams { input, output, control, exit }))
}

/// The same for a command in a service, with what it says of itself apart; none for one without pipes.
///
/// # Errors
/// As `join`.
pub(super) fn apart(visiting: Visiting) -> io::Result<Option<Work>> {
    let Visiting { streams, hold } = visiting;
    let Ends::Pipes { stdin, stdout, stderr } = streams else { return Ok(None) };
    let input = Box::new(pipe::Sender::from_owned_fd(stdin)?);
    let output = Box::new(pipe::Receiver::from_owned_fd(stdout)?);
    let errors = Box::new(pipe::Receiver::from_owned_fd(stderr)?);
    let (control, exit) = held(hold, None);
    Ok(Some(Work { input, output, errors, control, exit }))
}

/// Carries out what a client asks besides sending bytes, and tells the command's end.
fn held(hold: Arc<dyn Visitor>, window: Option<Terminal>) -> (mpsc::Sender<Control>, BoxFuture<'static, u8>) {
    let (control, mut requests) = mpsc::channel(CONTROL_QUEUE);
    let held = Arc::clone(&hold);
    // Ends, and so hangs up, when the client asks for it or has dropped its sender.
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            match request {
                Control::HangUp => break,
                Control::Signal(number) => held.signal(Signal(number)),
                Control::Resize { rows, cols } => resize(window.as_ref(), (rows, cols)),
            }
        }
        held.hang_up();
    });
    (control, Box::pin(async move { hold.ended().await }))
}

/// The near ends, ready for use.
struct Near {
    input: Box<dyn AsyncWrite + Send + Unpin>,
    output: Box<dyn AsyncRead + Send + Unpin>,
    window: Option<Terminal>,
}

fn near(streams: Ends) -> io::Result<Option<Near>> {
    Ok(Some(match streams {
        Ends::Log => return Ok(None),
        Ends::Terminal(master) => {
            let terminal = Terminal::watch(master)?;
            let (input, output) = (Box::new(terminal.clone()), Box::new(terminal.clone()));
            Near { input, output, window: Some(terminal) }
        }
        Ends::Pipes { stdin, stdout, stderr } => {
            let input = pipe::Sender::from_owned_fd(stdin)?;
            Near { input: Box::new(input), output: Box::new(merged(stdout, stderr)?), window: None }
        }
    }))
}

fn resize(window: Option<&Terminal>, size: (u16, u16)) {
    if let Some(Terminal(shared)) = window
        && let Err(error) = terminal::resize(shared.get_ref(), size)
    {
        tracing::debug!(%error, "cannot resize the terminal of a dyno");
    }
}

/// Output and errors as one stream, each in its order. Both copies end with their pipes.
fn merged(stdout: OwnedFd, stderr: OwnedFd) -> io::Result<impl AsyncRead + Send + Unpin> {
    let (reader, writer) = tokio::io::duplex(MERGE_BYTES);
    let writer = Arc::new(tokio::sync::Mutex::new(writer));
    for end in [stdout, stderr] {
        let mut pipe = pipe::Receiver::from_owned_fd(end)?;
        let writer = Arc::clone(&writer);
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut chunk = vec![0; MERGE_BYTES / 4];
            while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
                if writer.lock().await.write_all(&chunk[..length]).await.is_err() {
                    break;
                }
            }
        });
    }
    Ok(reader)
}

// === impl Terminal ===

impl Terminal {
    fn watch(master: OwnedFd) -> io::Result<Self> {
        terminal::set_nonblocking(&master)?;
        #[expect(
            deprecated,
            reason = "its successor asks for a promise about descriptors that change; a File keeps its own"
        )]
        let watched = AsyncFd::new(File::from(master))?;
        Ok(Self(Arc::new(watched)))
    }
}

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(context))?;
            let read =
                |fd: &AsyncFd<File>| terminal::read_to_the_last(fd.get_ref(), into.initialize_unfilled());
            match ready.try_io(read) {
                Ok(Ok(length)) => {
                    into.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(context))?;
            match ready.try_io(|fd| fd.get_ref().write(bytes)) {
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A terminal's input has no end of its own: what ends it for a line-reading program is a byte (EOT).
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write(context, &[0x04]).map_ok(|_| ())
    }
}
