//! Bytes on their way between commands of services and files, counted and digested.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::domain::Bytes;
use crate::flows::add_ons::acts::said;
use crate::flows::ports::Work;
use crate::sys::fs;

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// What backups leave free of the disk.
const DISK_RESERVE: Bytes = Bytes::mib(1024);

/// What has come through.
#[derive(Debug)]
pub(super) struct Moved {
    /// How much.
    pub(super) bytes: u64,
    /// SHA-256 of it, in hexadecimal.
    pub(super) digest: String,
}

/// Why not all has come through.
#[derive(Debug)]
pub(super) enum Broken {
    /// Somebody did not want it any more.
    Cancelled,
    /// This.
    Failed(String),
}

fn failed(attempt: &str) -> impl FnOnce(std::io::Error) -> Broken {
    move |error| Broken::Failed(format!("cannot {attempt}: {error}"))
}

/// What a command writes, into a file that is there only when it is whole.
pub(super) async fn into_file(work: Work, path: &Path, count: &AtomicU64) -> Result<Moved, Broken> {
    let Work { input, output, errors, control: _hold, exit } = work;
    drop(input);
    let aside = path.with_extension("new");
    if let Some(dir) = path.parent() {
        tokio::fs::create_dir_all(dir).await.map_err(failed("make the folder of backups"))?;
    }
    let mut options = tokio::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&aside).await;
    let mut file = opened.map_err(failed("make the file of a backup"))?;
    let moving = async {
        let mut output = output;
        let moved = copy(&mut output, &mut file, (count, Some(aside.as_path()))).await;
        // One whose output nobody reads any more ends.
        drop(output);
        let moved = moved?;
        file.sync_all().await.map_err(failed("sync the file of a backup"))?;
        Ok::<_, Broken>(moved)
    };
    let (moved, said, status) = tokio::join!(moving, said(errors), exit);
    let moved = moved?;
    if status != 0 {
        return Err(Broken::Failed(complaint(&said)));
    }
    let (from, to) = (aside, path.to_owned());
    let named = tokio::task::spawn_blocking(move || {
        std::fs::rename(&from, &to)?;
        to.parent().map_or(Ok(()), fs::sync_dir)
    });
    let named = named.await.map_err(|_| Broken::Failed("the node is shutting down".to_owned()))?;
    named.map_err(failed("name the file of a backup"))?;
    Ok(moved)
}

/// A file, into what a command reads. A file whose digest is another is not read into anything.
pub(super) async fn from_file(
    path: &Path,
    digest: &str,
    work: Work,
    count: &AtomicU64,
) -> Result<Moved, Broken> {
    let mut file = tokio::fs::File::open(path).await.map_err(failed("read the backup"))?;
    into_work(&mut file, work, count).await.and_then(|moved| {
        if moved.digest == digest {
            Ok(moved)
        } else {
            Err(Broken::Failed("the backup changed while it was read".to_owned()))
        }
    })
}

/// Whether a file is what it was when it was written.
pub(super) async fn check(path: &Path, digest: &str) -> Result<(), Broken> {
    let mut file = tokio::fs::File::open(path).await.map_err(failed("read the backup"))?;
    let moved = copy(&mut file, &mut tokio::io::sink(), (&AtomicU64::new(0), None)).await?;
    if moved.digest == digest {
        Ok(())
    } else {
        Err(Broken::Failed("the file of the backup is not what was written; take another backup".to_owned()))
    }
}

/// What one command writes, into what another reads.
pub(super) async fn between(from: Work, to: Work, count: &AtomicU64) -> Result<Moved, Broken> {
    let Work { input, output, errors, control: _hold, exit } = from;
    drop(input);
    let moving = async {
        let mut output = output;
        let moved = into_work(&mut output, to, count).await;
        // One whose output nobody reads any more ends.
        drop(output);
        moved
    };
    let (moved, complained, status) = tokio::join!(moving, said(errors), exit);
    if status != 0 {
        return Err(Broken::Failed(complaint(&complained)));
    }
    moved
}

async fn into_work(
    from: &mut (impl AsyncRead + Unpin),
    work: Work,
    count: &AtomicU64,
) -> Result<Moved, Broken> {
    let Work { input, output, errors, control: _hold, exit } = work;
    let moving = async {
        let mut input = input;
        let moved = copy(from, &mut input, (count, None)).await;
        // It reads to the end of its input.
        drop(input);
        moved
    };
    let (moved, _, complained, status) = tokio::join!(moving, said(output), said(errors), exit);
    // A command that has ended too early says more of it than that its input was closed.
    if status == 0 { moved } else { Err(Broken::Failed(complaint(&complained))) }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin + ?Sized),
    to: &mut (impl AsyncWrite + Unpin + ?Sized),
    (count, disk): (&AtomicU64, Option<&Path>),
) -> Result<Moved, Broken> {
    let (mut hasher, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
    loop {
        let length = from.read(&mut chunk).await.map_err(failed("read what is transferred"))?;
        if length == 0 {
            break;
        }
        if let Some(disk) = disk
            && fs::free_bytes(disk).is_ok_and(|free| free < DISK_RESERVE.0)
        {
            let reserve = DISK_RESERVE;
            return Err(Broken::Failed(format!(
                "less than {reserve} of the node's disk are free: make room first"
            )));
        }
        to.write_all(&chunk[..length]).await.map_err(failed("write what is transferred"))?;
        hasher.update(&chunk[..length]);
        bytes += length as u64;
        count.store(bytes, Ordering::Relaxed);
    }
    to.flush().await.map_err(failed("write what is transferred"))?;
    let digest = hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    Ok(Moved { bytes, digest })
}

fn complaint(said: &str) -> String {
    match said.trim() {
        "" => "its command did not say why".to_owned(),
        said => said.to_owned(),
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use tokio::sync::mpsc;

    fn work(output: &'static [u8], status: u8, errors: &'static [u8]) -> Work {
        Work {
            input: Box::new(tokio::io::sink()),
            output: Box::new(output),
            errors: Box::new(errors),
            control: mpsc::channel(1).0,
            exit: Box::pin(async move { status }),
        }
    }

    #[tokio::test]
    async fn a_backup_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b/one.dump");
        let count = AtomicU64::new(0);
        let broken = into_file(work(b"half", 1, b"no memory\n"), &path, &count).await;
        assert!(matches!(broken, Err(Broken::Failed(said)) if said == "no memory"));
        assert!(!path.exists());
        let moved = into_file(work(b"whole", 0, b""), &path, &count).await.unwrap();
        assert_eq!((moved.bytes, count.load(Ordering::Relaxed)), (5, 5));
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        check(&path, &moved.digest).await.unwrap();
        std::fs::write(&path, b"whOle").unwrap();
        assert!(matches!(check(&path, &moved.digest).await, Err(Broken::Failed(_))));
    }

    #[tokio::test]
    async fn a_failure_at_either_end_is_told() {
        let count = AtomicU64::new(0);
        let moved = between(work(b"rows", 0, b""), work(b"", 0, b""), &count).await.unwrap();
        assert_eq!(moved.bytes, 4);
        for (from, to) in [(1, 0), (0, 1)] {
            let broken = between(work(b"rows", from, b"broken"), work(b"", to, b"broken"), &count).await;
            assert!(matches!(broken, Err(Broken::Failed(said)) if said == "broken"));
        }
    }
}
