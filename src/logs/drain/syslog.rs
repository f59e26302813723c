//! Sending syslog frames over a stream.
//!
//! Syslog answers nothing, so a batch counts as taken once the other end's kernel has acknowledged its last byte and has
//! not closed the connection. What was under way when a connection broke is sent again.

use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::domain::Drain;
use crate::logs::drain::batch::Batch;
use crate::logs::drain::connect::{Connection, Way, connect};
use crate::logs::drain::error::DeliverError;
use crate::sys::socket;
use crate::wire::drain::syslog_frame;

/// How long a batch may take to leave, seconds (platform reference 5.4).
const SEND_TIMEOUT_S: u64 = 4;
/// How long the other end may take to acknowledge it, seconds.
const ACKNOWLEDGE_TIMEOUT_S: u64 = 30;
/// The first pause between two looks at what is acknowledged, milliseconds; it doubles.
const LOOK_FIRST_MS: u64 = 1;
/// The longest such pause, milliseconds.
const LOOK_MAX_MS: u64 = 50;
/// How much of what a receiver sends is read at a time, bytes; nothing is expected.
const ANSWER_BYTES: usize = 512;

/// The connection of one drain, kept between batches.
pub(super) struct SyslogSender {
    connection: Option<Connection>,
}

// === impl SyslogSender ===

impl SyslogSender {
    pub(super) fn new() -> Self {
        Self { connection: None }
    }

    /// Sends a batch and waits until it is taken.
    pub(super) async fn send(&mut self, drain: &Drain, way: &Way, batch: &Batch) -> Result<(), DeliverError> {
        let mut frames = Vec::new();
        for line in &batch.lines {
            syslog_frame(line, &drain.token, &mut frames);
        }
        // A receiver that restarted has closed it: nothing is lost by noticing before.
        let kept = self.connection.take().and_then(|mut kept| still_open(&mut kept).ok().map(|()| kept));
        let mut connection = match kept {
            Some(connection) => connection,
            None => connect(&drain.url, way).await?,
        };
        let limit = Duration::from_secs(SEND_TIMEOUT_S);
        tokio::time::timeout(limit, write(&mut connection, &frames))
            .await
            .map_err(|_| DeliverError::Slow { attempt: "take a batch", limit_s: SEND_TIMEOUT_S })?
            .map_err(|source| DeliverError::Broken { source })?;
        let limit = Duration::from_secs(ACKNOWLEDGE_TIMEOUT_S);
        tokio::time::timeout(limit, acknowledged(&mut connection))
            .await
            .map_err(|_| DeliverError::Slow {
                attempt: "acknowledge a batch",
                limit_s: ACKNOWLEDGE_TIMEOUT_S,
            })?
            .map_err(|source| DeliverError::Broken { source })?;
        self.connection = Some(connection);
        Ok(())
    }
}

async fn write(connection: &mut Connection, frames: &[u8]) -> io::Result<()> {
    connection.stream.write_all(frames).await?;
    connection.stream.flush().await
}

async fn acknowledged(connection: &mut Connection) -> io::Result<()> {
    let mut pause = LOOK_FIRST_MS;
    while socket::unacknowledged(&connection.socket)? > 0 {
        still_open(connection)?;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        pause = (pause * 2).min(LOOK_MAX_MS);
    }
    // A receiver that reset the connection acknowledges nothing any more, and has nothing outstanding either.
    still_open(connection)
}

/// Fails once the receiver has closed the connection. What it sends is thrown away.
fn still_open(connection: &mut Connection) -> io::Result<()> {
    let mut answer = [0; ANSWER_BYTES];
    loop {
        match connection.stream.read(&mut answer).now_or_never() {
            None => return Ok(()),
            Some(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
        }
    }
}
