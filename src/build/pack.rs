//! The archive of a slug as it streams by: its digest, its compressed form, and its size.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::domain::Bytes;

/// The level of compression: most of what can be won, at the speed of the disk.
const ZSTD_LEVEL: i32 = 3;
/// How much is read at a time, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// What came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archive {
    /// SHA-256 of the archive before compression, in hexadecimal digits.
    pub(super) digest: String,
    /// Compressed size.
    pub(super) size: Bytes,
}

/// Compresses what comes from a pipe to a file, until its end.
pub(super) async fn compress(from: OwnedFd, to: &Path, keep: Bytes) -> io::Result<Archive> {
    let to = to.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let file = File::create(&to)?;
        let archive = compress_now(File::from(from), &file, keep)?;
        file.sync_all()?;
        Ok(archive)
    });
    work.await.map_err(io::Error::other)?
}

/// Keeps no more than `keep` bytes; what is larger is measured to its end, so that its size can be told.
fn compress_now(from: impl Read, to: impl Write, keep: Bytes) -> io::Result<Archive> {
    let mut from = BufReader::with_capacity(CHUNK_BYTES, from);
    let mut encoder = zstd::Encoder::new(Measured { to, size: 0, keep: keep.0 }, ZSTD_LEVEL)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        hash.update(&chunk[..count]);
        encoder.write_all(&chunk[..count])?;
    }
    let measured = encoder.finish()?;
    Ok(Archive { digest: hex::encode(hash.finalize()), size: Bytes(measured.size) })
}

struct Measured<W> {
    to: W,
    size: u64,
    keep: u64,
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.size += bytes.len() as u64;
        if self.size <= self.keep {
            self.to.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_digest_is_of_what_came_in_and_the_rest_can_be_read_back() {
        let mut kept = Vec::new();
        let archive = compress_now(&b"abc"[..], &mut kept, Bytes::mib(1)).unwrap();
        assert_eq!(archive.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(archive.size.0, kept.len() as u64);
        assert_eq!(zstd::decode_all(&kept[..]).unwrap(), b"abc");
    }

    #[test]
    fn what_is_too_large_is_measured_but_not_kept() {
        let noise: Vec<u8> =
            (0..200_000u32).flat_map(|n| Sha256::digest(n.to_le_bytes())[..4].to_vec()).collect();
        let (mut all, mut part) = (Vec::new(), Vec::new());
        let whole = compress_now(&noise[..], &mut all, Bytes::mib(100)).unwrap();
        let cut = compress_now(&noise[..], &mut part, Bytes(300_000)).unwrap();
        assert_eq!(whole, cut);
        assert!(part.len() <= 300_000 && all.len() > 300_000);
    }
}
