//! A slug as the platform hands it out: an archive with gzip, all in `./app`. On disk it has another compression; what is in it is the
//! same, and is never looked into here.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use crate::build::SLUG_ARCHIVE;
use crate::domain::{AppId, SlugDigest};
use crate::flows::Node;
use crate::flows::error::FlowError;
use crate::sys::clock;
use crate::wire::api_errors::Refusal;

/// Bytes that are sent at once.
const PIECE_BYTES: usize = 64 * 1024;
/// The most pieces that wait for a client which does not read.
const PIECES_MAX: usize = 4;
/// The most archives that are made at once on a node: each has a thread and a processor.
const AT_ONCE_MAX: usize = 4;
/// How long a request waits for its turn; then it is refused.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may leave a piece unread; then its archive ends early.
const STALLED_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one archive may take at most, so that clients that read little by little do not keep all turns.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// What is before an app and a slug in the paths of links to archives.
const LINK_PATH: &str = "/slug-blobs";

fn path(app: AppId, slug: Uuid) -> String {
    format!("{LINK_PATH}/{app}/{slug}")
}

/// A link to the archive of a slug of an app, for who may see it.
#[must_use]
pub fn slug_link(node: &Node, app: AppId, slug: Uuid) -> String {
    node.presigner().link(&Method::GET, &path(app, slug), clock::unix_s())
}

/// Whether `query` is that of a link to the archive of a slug of an app.
#[must_use]
pub fn is_slug_link(node: &Node, (app, slug): (AppId, Uuid), query: &str) -> bool {
    node.presigner().allows(&Method::GET, (&path(app, slug), query), clock::unix_s())
}

/// The archive of a slug, made while it is read.
pub type SlugArchive = ReceiverStream<io::Result<Bytes>>;

/// The turns of those archives that are made at once.
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }
}

impl Turns {
    async fn take(&self, patience: Duration) -> Result<OwnedSemaphorePermit, FlowError> {
        match timeout(patience, Arc::clone(&self.0).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(Refusal::TooManySlugs.into()),
        }
    }
}

/// The archive of a slug. It ends early, with an error, where the slug cannot be read to its end, or a client leaves off reading.
///
/// # Errors
/// It is not on disk, or too many are made at the moment.
pub async fn slug_archive(node: &Node, digest: &SlugDigest) -> Result<SlugArchive, FlowError> {
    let path = node.settings().slugs_dir().join(digest.as_str()).join(SLUG_ARCHIVE);
    let turn = node.slug_turns().take(TURN_TIMEOUT).await?;
    let file = tokio::fs::File::open(path).await.map_err(FlowError::fault("open a slug"))?.into_std().await;
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let runtime = Handle::current();
    let until = Instant::now() + ARCHIVE_TIMEOUT;
    let pieces =
        Pieces { sender: sender.clone(), runtime: runtime.clone(), patience: STALLED_TIMEOUT, until };
    // Ends with the archive, or soon after nobody reads it.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = recompress(file, pieces) {
            // Without it what has come would pass for the whole; it waits for its reader without a thread.
            runtime.spawn(async move { sender.send(Err(error)).await });
        }
        drop(turn);
    });
    Ok(ReceiverStream::new(receiver))
}

fn recompress(file: File, pieces: Pieces) -> io::Result<()> {
    let mut archive = zstd::Decoder::new(file)?;
    let pieces = io::BufWriter::with_capacity(PIECE_BYTES, pieces);
    let mut gzip = GzEncoder::new(pieces, Compression::fast());
    io::copy(&mut archive, &mut gzip)?;
    gzip.finish()?.flush()
}

/// Hands on what is written, for as long as somebody reads.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
    patience: Duration,
    until: Instant,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sending = self.sender.send(Ok(Bytes::copy_from_slice(bytes)));
        let until = self.until.min(Instant::now() + self.patience);
        match self.runtime.block_on(async { timeout_at(until, sending).await }) {
            Ok(Ok(())) => Ok(bytes.len()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod test {
    use std::io::Read as _;
    use std::path::PathBuf;

    use super::*;

    /// A slug's archive of 1.2 MB.
    fn slug(dir: &tempfile::TempDir) -> (PathBuf, Vec<u8>) {
        let path = dir.path().join("archive");
        let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
        (path, bytes)
    }

    fn pieces(patience: Duration) -> (Pieces, mpsc::Receiver<io::Result<Bytes>>) {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let until = Instant::now() + ARCHIVE_TIMEOUT;
        (Pieces { sender, runtime: Handle::current(), patience, until }, receiver)
    }

    #[tokio::test]
    async fn another_compression_of_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (path, bytes) = slug(&dir);
        let (pieces, mut receiver) = pieces(STALLED_TIMEOUT);
        let work = tokio::task::spawn_blocking(move || recompress(File::open(path).unwrap(), pieces));
        let mut gzip = Vec::new();
        while let Some(piece) = receiver.recv().await {
            gzip.extend_from_slice(&piece.unwrap());
        }
        work.await.unwrap().unwrap();
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }

    #[tokio::test]
    async fn an_archive_that_nobody_reads_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = slug(&dir);
        let (pieces, _unread) = pieces(Duration::from_millis(1));
        let work = tokio::task::spawn_blocking(move || recompress(File::open(path).unwrap(), pieces));
        assert_eq!(work.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_archive_that_is_read_for_too_long_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = slug(&dir);
        let (mut pieces, _unread) = pieces(STALLED_TIMEOUT);
        pieces.until = Instant::now();
        let work = tokio::task::spawn_blocking(move || recompress(File::open(path).unwrap(), pieces));
        assert_eq!(work.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn archives_beyond_the_bound_wait_and_are_refused() {
        let turns = Turns::default();
        let mut taken = Vec::new();
        for _ in 0..AT_ONCE_MAX {
            taken.push(turns.take(Duration::ZERO).await.unwrap());
        }
        assert!(matches!(turns.take(Duration::ZERO).await, Err(FlowError::Refused(Refusal::TooManySlugs))));
        taken.pop();
        drop(turns.take(Duration::ZERO).await.unwrap());
    }
}
