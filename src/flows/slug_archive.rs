//! A slug as the platform hands it out: an archive with gzip, all in `./app`. On disk it has another compression; what is in it is the
//! same, and is never looked into here.

use std::fs::File;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use crate::build::SLUG_ARCHIVE;
use crate::domain::{AppId, SlugDigest};
use crate::flows::Node;
use crate::flows::error::FlowError;
use crate::sys::clock;

/// Bytes that are sent at once.
const PIECE_BYTES: usize = 64 * 1024;
/// The most pieces that wait for a client which does not read.
const PIECES_MAX: usize = 4;

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

/// The archive of a slug. It ends early, with an error, where the slug cannot be read to its end.
///
/// # Errors
/// It is not on disk.
pub fn slug_archive(node: &Node, digest: &SlugDigest) -> Result<SlugArchive, FlowError> {
    let path = node.settings().slugs_dir().join(digest.as_str()).join(SLUG_ARCHIVE);
    let file = File::open(path).map_err(FlowError::fault("open a slug"))?;
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = recompress(file, &sender) {
            let _nobody_reads = sender.blocking_send(Err(error));
        }
    });
    Ok(ReceiverStream::new(receiver))
}

fn recompress(file: File, sender: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut archive = zstd::Decoder::new(file)?;
    let pieces = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(sender));
    let mut gzip = GzEncoder::new(pieces, Compression::fast());
    io::copy(&mut archive, &mut gzip)?;
    gzip.finish()?.flush()
}

/// Hands on what is written.
struct Pieces<'a>(&'a mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod test {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn another_compression_of_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive");
        let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
        let (sender, mut receiver) = mpsc::channel(PIECES_MAX);
        let work = tokio::task::spawn_blocking(move || recompress(File::open(path).unwrap(), &sender));
        let mut gzip = Vec::new();
        while let Some(piece) = receiver.recv().await {
            gzip.extend_from_slice(&piece.unwrap());
        }
        work.await.unwrap().unwrap();
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }
}
