//! Bytes on their way between commands of services and files, counted and digested.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::Bytes;
use crate::flows::add_ons::acts::said;
use crate::flows::ports::{Control, Work};
use crate::sys::fs;
use crate::wire::transfer_text::{self, Attempt};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// What backups leave free of the disk.
const DISK_RESERVE: Bytes = Bytes::mib(1024);

/// How far bytes have come, and whether anybody wants them.
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// Bytes that have come through.
    pub(super) bytes: Arc<AtomicU64>,
    /// Somebody does not want it any more.
    pub(super) cancel: CancellationToken,
    /// Whether it is at something that has an end of its own, which is waited for.
    is_held: Arc<AtomicBool>,
}

impl Progress {
    /// Has it go on to its end from now on, whether or not anybody wants it.
    pub(super) fn hold(&self) {
        self.is_held.store(true, Ordering::Relaxed);
    }

    /// Undoes that.
    pub(super) fn release(&self) {
        self.is_held.store(false, Ordering::Relaxed);
    }

    /// Whether it goes on to its end.
    pub(super) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// The status of a command. It is told to go once nobody wants what it does, and what counts is how it ended nevertheless: by
    /// then it may have done all.
    async fn end(&self, mut exit: BoxFuture<'static, u8>, control: &mpsc::Sender<Control>) -> u8 {
        tokio::select! {
            status = &mut exit => status,
            () = self.cancel.cancelled() => {
                // One that does not hear it any more has ended.
                let _ = control.send(Control::HangUp).await;
                exit.await
            }
        }
    }

    /// Why a command has not succeeded, with what it said.
    fn broken(&self, said: &str) -> Broken {
        if self.cancel.is_cancelled() {
            Broken::Cancelled
        } else {
            Broken::Failed(transfer_text::complaint(said))
        }
    }
}

/// What has come through.
#[derive(Debug)]
pub(super) struct Moved {
    /// How much.
    pub(super) bytes: u64,
    /// SHA-256 of it, in hexadecimal, where it was read.
    pub(super) digest: Option<String>,
}

/// Why not all has come through.
#[derive(Debug)]
pub(super) enum Broken {
    /// Somebody did not want it any more.
    Cancelled,
    /// This.
    Failed(String),
}

fn failed(attempt: Attempt) -> impl FnOnce(std::io::Error) -> Broken {
    move |error| Broken::Failed(transfer_text::cannot(attempt, &error))
}

/// Whether so many bytes more leave enough free of the disk that a file is on. Where that cannot be told they do.
pub(super) fn is_room(beside: &Path, bytes: u64) -> bool {
    fs::free_bytes(beside).map_or(true, |free| free >= bytes.saturating_add(DISK_RESERVE.0))
}

/// What a command writes, into a file that is there only when it is whole.
pub(super) async fn into_file(work: Work, path: &Path, progress: &Progress) -> Result<Moved, Broken> {
    let Work { input, output, errors, control, exit } = work;
    drop(input);
    let aside = path.with_extension("new");
    if let Some(dir) = path.parent() {
        tokio::fs::create_dir_all(dir).await.map_err(failed(Attempt::MakeFolder))?;
    }
    let mut options = tokio::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&aside).await;
    let mut file = opened.map_err(failed(Attempt::MakeFile))?;
    let moving = async {
        let mut output = output;
        let moved = copy(&mut output, &mut file, (&progress.bytes, Some(aside.as_path()))).await;
        // One whose output nobody reads any more ends.
        drop(output);
        let moved = moved?;
        file.sync_all().await.map_err(failed(Attempt::SyncFile))?;
        Ok::<_, Broken>(moved)
    };
    let (moved, said, status) = tokio::join!(moving, said(errors), progress.end(exit, &control));
    let moved = moved?;
    if status != 0 {
        return Err(progress.broken(&said));
    }
    let (from, to) = (aside, path.to_owned());
    let named = tokio::task::spawn_blocking(move || {
        std::fs::rename(&from, &to)?;
        to.parent().map_or(Ok(()), fs::sync_dir)
    });
    let named = named.await.map_err(|_| Broken::Failed(transfer_text::SHUTTING_DOWN.to_owned()))?;
    named.map_err(failed(Attempt::NameFile))?;
    Ok(moved)
}

/// A file, into what a command reads. The caller has checked it; what has changed since is told after it was read.
pub(super) async fn from_file(
    path: &Path,
    digest: &str,
    work: Work,
    progress: &Progress,
) -> Result<Moved, Broken> {
    let mut file = tokio::fs::File::open(path).await.map_err(failed(Attempt::ReadFile))?;
    into_work(&mut file, work, progress).await.and_then(|moved| {
        if moved.digest.as_deref() == Some(digest) {
            Ok(moved)
        } else {
            Err(Broken::Failed(transfer_text::CHANGED_MEANWHILE.to_owned()))
        }
    })
}

/// Whether a file is what it was when it was written.
pub(super) async fn check(path: &Path, digest: &str) -> Result<(), Broken> {
    let mut file = tokio::fs::File::open(path).await.map_err(failed(Attempt::ReadFile))?;
    let moved = copy(&mut file, &mut tokio::io::sink(), (&AtomicU64::new(0), None)).await?;
    if moved.digest.as_deref() == Some(digest) {
        Ok(())
    } else {
        Err(Broken::Failed(transfer_text::NOT_AS_WRITTEN.to_owned()))
    }
}

/// What one command writes, into what another reads.
pub(super) async fn between(from: Work, to: Work, progress: &Progress) -> Result<Moved, Broken> {
    let Work { input, output, errors, control, exit } = from;
    drop(input);
    let moving = async {
        let mut output = output;
        let moved = into_work(&mut output, to, progress).await;
        // One whose output nobody reads any more ends.
        drop(output);
        moved
    };
    let (moved, complained, status) = tokio::join!(moving, said(errors), progress.end(exit, &control));
    if status != 0 {
        return Err(progress.broken(&complained));
    }
    moved
}

async fn into_work(
    from: &mut (impl AsyncRead + Unpin),
    work: Work,
    progress: &Progress,
) -> Result<Moved, Broken> {
    let Work { input, output, errors, control, exit } = work;
    let moving = async {
        let mut input = input;
        let moved = copy(from, &mut input, (&progress.bytes, None)).await;
        // It reads to the end of its input.
        drop(input);
        moved
    };
    let end = progress.end(exit, &control);
    let (moved, _, complained, status) = tokio::join!(moving, said(output), said(errors), end);
    // A command that has ended too early says more of it than that its input was closed.
    if status == 0 { moved } else { Err(progress.broken(&complained)) }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin + ?Sized),
    to: &mut (impl AsyncWrite + Unpin + ?Sized),
    (count, disk): (&AtomicU64, Option<&Path>),
) -> Result<Moved, Broken> {
    let (mut hasher, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
    loop {
        let length = from.read(&mut chunk).await.map_err(failed(Attempt::Read))?;
        if length == 0 {
            break;
        }
        if let Some(disk) = disk
            && fs::free_bytes(disk).is_ok_and(|free| free < DISK_RESERVE.0)
        {
            return Err(Broken::Failed(transfer_text::disk_nearly_full(DISK_RESERVE)));
        }
        to.write_all(&chunk[..length]).await.map_err(failed(Attempt::Write))?;
        hasher.update(&chunk[..length]);
        bytes += length as u64;
        count.store(bytes, Ordering::Relaxed);
    }
    to.flush().await.map_err(failed(Attempt::Write))?;
    let digest = hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    Ok(Moved { bytes, digest: Some(digest) })
}

#[cfg(test)]
mod test {
    use super::*;

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
        let progress = Progress::default();
        let broken = into_file(work(b"half", 1, b"no memory\n"), &path, &progress).await;
        assert!(matches!(broken, Err(Broken::Failed(said)) if said == "no memory"));
        assert!(!path.exists());
        let moved = into_file(work(b"whole", 0, b""), &path, &progress).await.unwrap();
        assert_eq!((moved.bytes, progress.bytes.load(Ordering::Relaxed)), (5, 5));
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        let digest = moved.digest.unwrap();
        check(&path, &digest).await.unwrap();
        std::fs::write(&path, b"whOle").unwrap();
        assert!(matches!(check(&path, &digest).await, Err(Broken::Failed(_))));
    }

    /// A command that ends when it is told to go, and not before.
    fn patient(status: u8) -> Work {
        let (control, mut asked) = mpsc::channel(1);
        let (output, held) = tokio::io::duplex(1);
        let exit = Box::pin(async move {
            assert!(matches!(asked.recv().await, Some(Control::HangUp)));
            drop(held);
            status
        });
        Work { output: Box::new(output), control, exit, ..work(b"", 0, b"") }
    }

    #[tokio::test]
    async fn what_nobody_wants_is_over_when_its_command_is_and_as_that_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("one.dump");
        let progress = Progress::default();
        progress.cancel.cancel();
        let cancelled = into_file(patient(129), &path, &progress).await;
        assert!(matches!(cancelled, Err(Broken::Cancelled)) && !path.exists());
        let moved = into_file(patient(0), &path, &progress).await.unwrap();
        assert!(path.exists());
        let digest = moved.digest.unwrap();
        for status in [0, 129] {
            let restored = from_file(&path, &digest, patient(status), &progress).await;
            assert_eq!(restored.is_ok(), status == 0, "{restored:?}");
        }
    }

    #[tokio::test]
    async fn a_failure_at_either_end_is_told() {
        let count = Progress::default();
        let moved = between(work(b"rows", 0, b""), work(b"", 0, b""), &count).await.unwrap();
        assert_eq!(moved.bytes, 4);
        for (from, to) in [(1, 0), (0, 1)] {
            let broken = between(work(b"rows", from, b"broken"), work(b"", to, b"broken"), &count).await;
            assert!(matches!(broken, Err(Broken::Failed(said)) if said == "broken"));
        }
    }
}
