//! Being attached to a one-off dyno: this terminal, or these pipes, at one end of a conversation in frames.

use std::process::ExitCode;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::sys::tty::{self, RawMode};
use crate::wire::attach::{Frame, PAYLOAD_BYTES_MAX};

/// Linux numbers of the signals that are passed on.
const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// How the dyno's input and output reach this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terminal {
    /// A terminal at both ends: every key is a byte, Ctrl-C too.
    Raw,
    /// Pipes at both ends.
    Pipes,
}

/// Passes bytes both ways until the process has ended; its exit status is the result.
pub(super) async fn converse(connection: TokioIo<Upgraded>, terminal: Terminal) -> Result<ExitCode, Failure> {
    // Restores the terminal when dropped, on whichever way out.
    let _raw = match terminal {
        Terminal::Raw => Some(RawMode::enter().map_err(Failure::local("set the terminal"))?),
        Terminal::Pipes => None,
    };
    let (from_dyno, to_dyno) = tokio::io::split(connection);
    let receiving = receive(from_dyno, output::bytes);
    tokio::pin!(receiving);
    // Both at once: a program that answers while it is being told must not wait for us, nor we for it.
    tokio::select! {
        status = &mut receiving => status,
        // A connection that takes no more may have things to say yet, the exit status last.
        () = pass_on(to_dyno, Signals::listen()?, terminal) => receiving.await,
    }
}

/// Takes what the dyno says, which is given no input, until it tells its exit status.
pub(super) async fn listen(
    connection: TokioIo<Upgraded>,
    take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let (from_dyno, mut to_dyno) = tokio::io::split(connection);
    // A dyno that has ended takes no more, and what it said is here yet, the exit status last.
    let _ = send(&mut to_dyno, &Frame::Eof).await;
    receive(from_dyno, take).await
}

/// Takes what the dyno says until it tells its exit status.
async fn receive(
    mut from_dyno: impl AsyncRead + Unpin,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let mut received = Vec::new();
    let mut chunk = vec![0; PAYLOAD_BYTES_MAX];
    loop {
        let count = from_dyno.read(&mut chunk).await.map_err(Failure::connection("attached"))?;
        received.extend_from_slice(&chunk[..count]);
        if let Some(status) = unpack(&mut received, &mut take)? {
            return Ok(status);
        }
        if count == 0 {
            let closed = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(Failure::connection("attached")(closed));
        }
    }
}

/// Passes on what is typed, sizes and signals, for as long as the connection takes them.
async fn pass_on(mut to_dyno: impl AsyncWrite + Unpin, mut signals: Signals, terminal: Terminal) {
    let mut stdin = Some(tokio::io::stdin());
    let mut typed = vec![0; PAYLOAD_BYTES_MAX];
    let mut frame = if terminal == Terminal::Raw { window() } else { None };
    loop {
        if let Some(frame) = frame
            && send(&mut to_dyno, &frame).await.is_err()
        {
            return;
        }
        frame = tokio::select! {
            read = read_input(&mut stdin, &mut typed) => match read {
                Ok(0) | Err(_) => {
                    stdin = None;
                    Some(Frame::Eof)
                }
                Ok(count) => Some(Frame::Data(typed[..count].to_vec())),
            },
            frame = signals.next(terminal) => frame,
        };
    }
}

/// Reads what is typed; for ever, once the input has ended.
async fn read_input(stdin: &mut Option<tokio::io::Stdin>, buffer: &mut [u8]) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.read(buffer).await,
        None => std::future::pending().await,
    }
}

/// Takes what is in whole frames and keeps the rest; the exit status, once the last frame has come.
fn unpack(
    received: &mut Vec<u8>,
    take: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Option<ExitCode>, Failure> {
    while let Some(frame) = Frame::take(received).map_err(|failed| Failure::Answer(failed.to_string()))? {
        match frame {
            Frame::Data(bytes) => take(&bytes)?,
            Frame::Exit(status) => return Ok(Some(exit_code(status))),
            // The client's own kinds; a node that sends them says nothing.
            Frame::Resize { .. } | Frame::Eof | Frame::Signal(_) => {}
        }
    }
    Ok(None)
}

/// A status no exit code can carry becomes the general failure.
fn exit_code(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

async fn send(to_dyno: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> std::io::Result<()> {
    to_dyno.write_all(&frame.encode()).await?;
    to_dyno.flush().await
}

fn window() -> Option<Frame> {
    // Terminals that do not know their size say 0.
    let known = tty::window_size().ok().filter(|size| size.rows > 0 && size.cols > 0);
    known.map(|size| Frame::Resize { rows: size.rows, cols: size.cols })
}

/// Signals that arrive here and are meant for the dyno.
struct Signals {
    resized: Signal,
    interrupted: Signal,
    terminated: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::local("listen for signals"));
        Ok(Self {
            resized: listen(SignalKind::window_change())?,
            interrupted: listen(SignalKind::interrupt())?,
            terminated: listen(SignalKind::terminate())?,
        })
    }

    /// What the next signal tells the dyno.
    async fn next(&mut self, terminal: Terminal) -> Option<Frame> {
        tokio::select! {
            _ = self.resized.recv() => match terminal {
                Terminal::Raw => window(),
                Terminal::Pipes => None,
            },
            _ = self.interrupted.recv() => Some(Frame::Signal(SIGINT)),
            _ = self.terminated.recv() => Some(Frame::Signal(SIGTERM)),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_last_frame_ends_the_conversation_with_its_status() {
        let mut received = Frame::Exit(7).encode();
        let rest = received.split_off(6);
        let mut take = |_: &[u8]| Ok(());
        assert_eq!(unpack(&mut received, &mut take).unwrap(), None);
        received.extend(rest);
        assert_eq!(unpack(&mut received, &mut take).unwrap(), Some(ExitCode::from(7)));
        assert_eq!(exit_code(300), ExitCode::from(1));
        assert!(unpack(&mut vec![9, 0, 0, 0, 0], &mut take).is_err());
    }
}
