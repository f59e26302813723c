//! From bytes to lines: what a process writes is shown whole line by whole line, so that no two are mixed.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

/// The longest line that is shown as one, in bytes; what is longer becomes several.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// The most that is read at once, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// Sends every line of a pipe, until its end or until nobody takes them.
///
/// # Errors
/// The pipe cannot be read.
pub(super) async fn split(from: OwnedFd, to: mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    split_all(pipe::Receiver::from_owned_fd(from)?, to).await
}

async fn split_all(mut from: impl AsyncRead + Unpin, to: mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    let (mut pending, mut chunk) = (Vec::new(), vec![0; CHUNK_BYTES]);
    loop {
        let count = from.read(&mut chunk).await?;
        pending.extend_from_slice(&chunk[..count]);
        while let Some((line, taken)) = first_line(&pending) {
            let line = line.to_vec();
            pending.drain(..taken);
            if to.send(line).await.is_err() {
                return Ok(());
            }
        }
        if count == 0 {
            if !pending.is_empty() {
                let _nobody_takes_it = to.send(pending).await;
            }
            return Ok(());
        }
    }
}

/// The first whole line, or what is too long for one, and how many bytes it takes.
fn first_line(pending: &[u8]) -> Option<(&[u8], usize)> {
    let within = &pending[..pending.len().min(LINE_BYTES_MAX)];
    match within.iter().position(|byte| *byte == b'\n') {
        Some(at) => Some((&pending[..at], at + 1)),
        None if within.len() == LINE_BYTES_MAX => Some((within, within.len())),
        None => None,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    async fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
        let (to, mut lines) = mpsc::channel(1);
        let mut found = Vec::new();
        let collect = async {
            while let Some(line) = lines.recv().await {
                found.push(line);
            }
        };
        let (done, ()) = tokio::join!(split_all(bytes, to), collect);
        done.unwrap();
        found
    }

    #[tokio::test]
    async fn lines_are_whole_and_the_last_needs_no_end() {
        assert_eq!(lines(b"one\n\ntwo\r\nrest").await, [&b"one"[..], b"", b"two\r", b"rest"]);
        assert!(lines(b"").await.is_empty());
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut() {
        let long = [vec![b'x'; LINE_BYTES_MAX + 7], b"\nnext\n".to_vec()].concat();
        let lengths: Vec<_> = lines(&long).await.iter().map(Vec::len).collect();
        assert_eq!(lengths, [LINE_BYTES_MAX, 7, 4]);
    }
}
