//! Clients that speak plain HTTP where TLS is spoken: they are told so in words, since an alert tells a person nothing.

use std::io;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::router::socket::Socket;
use crate::wire::pages;

/// Bytes that are read of what such a client sends, so that it gets to read the answer before its connection is over.
const READ_BYTES_MAX: u64 = 64 * 1024;

/// Whether a first byte begins a request line; no record of TLS begins with a letter (RFC 8446 section 5.1).
pub(super) fn is_stray(first: u8) -> bool {
    first.is_ascii_alphabetic()
}

/// Answers, and reads on for a while: to close over what is unread takes the answer back (RFC 9112 section 9.6).
///
/// # Errors
/// The client has gone.
pub(super) async fn turn_away(mut socket: Socket, linger: Duration) -> io::Result<()> {
    let date = httpdate::fmt_http_date(SystemTime::now());
    socket.write_all(pages::plain_at_tls(&date).as_bytes()).await?;
    socket.shutdown().await?;
    let (mut rest, mut nowhere) = (socket.take(READ_BYTES_MAX), tokio::io::sink());
    let read = tokio::io::copy(&mut rest, &mut nowhere);
    // Whoever goes on sending has had the time to read.
    timeout(linger, read).await.map_or(Ok(()), |read| read.map(drop))
}
