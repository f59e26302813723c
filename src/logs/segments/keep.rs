//! Keeping the files of logs within their bounds: a thread that compresses what is sealed and removes what is too much.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::logs::LogError;
use crate::logs::segments::{Form, Segment, apps, dir_of, list};
use crate::sys::clock;

/// Bytes of files kept of an app, as they lie on disk, besides the newest file.
pub(super) const APP_BYTES_MAX: u64 = 64 << 20;
/// How long a line is kept at least while there is room, seconds (platform reference 5.2: seven days); its file goes when
/// its last line is as old.
pub(super) const AGE_MAX_S: u64 = 7 * 24 * 3600;
/// How often every app is looked at though no file was sealed, seconds.
const SWEEP_S: u64 = 600;
/// Folders that wait to be looked at; one more is left to the next sweep.
const QUEUE_FOLDERS_MAX: usize = 256;
/// How hard to compress: zstd's own default, some 400 MB of text a second.
const LEVEL: i32 = 3;
/// Ending of a file that is being compressed.
const UNFINISHED: &str = ".new";

/// Asks the thread to look at an app's files. It ends when the last of these is gone.
#[derive(Clone, Debug)]
pub(in crate::logs) struct Keeper {
    queue: SyncSender<PathBuf>,
    at_work: Arc<Mutex<()>>,
}

// === impl Keeper ===

impl Keeper {
    /// Starts the thread for the apps under `dir`.
    pub(in crate::logs) fn start(dir: PathBuf) -> Result<Self, LogError> {
        let (queue, folders) = sync_channel(QUEUE_FOLDERS_MAX);
        let keeper = Self { queue, at_work: Arc::default() };
        let at_work = Arc::clone(&keeper.at_work);
        std::thread::Builder::new()
            .name("log-keeper".to_owned())
            .spawn(move || keep(&dir, &folders, &at_work))
            .map_err(|source| LogError::Start { part: "keeper of files", source })?;
        Ok(keeper)
    }

    /// A file in `dir`, an app's folder, was sealed.
    pub(super) fn look_at(&self, dir: &Path) {
        // A full queue is emptied soon, and the sweep comes by anyway.
        let _ = self.queue.try_send(dir.to_owned());
    }

    /// Keeps the thread from touching any file until dropped.
    pub(in crate::logs) fn pause(&self) -> MutexGuard<'_, ()> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(dir: &Path, folders: &Receiver<PathBuf>, at_work: &Mutex<()>) {
    let look = |folder: &Path| {
        let _not_removed_meanwhile = at_work.lock().unwrap_or_else(PoisonError::into_inner);
        match tidy(folder, clock::now()) {
            // An app that was forgotten has no folder any more.
            Err(LogError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(failed) => {
                let cause = std::error::Error::source(&failed).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%failed, cause, "a log takes more room than it should");
            }
            Ok(()) => {}
        }
    };
    let sweep = || apps(dir).unwrap_or_default().iter().for_each(|app| look(&dir_of(dir, *app)));
    sweep();
    loop {
        match folders.recv_timeout(Duration::from_secs(SWEEP_S)) {
            Ok(folder) => look(&folder),
            Err(RecvTimeoutError::Timeout) => sweep(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Brings an app's files within their bounds. The newest one is the writer's and is left alone.
pub(super) fn tidy(dir: &Path, now: SystemTime) -> Result<(), LogError> {
    let mut sealed = list(dir)?;
    sealed.pop();
    for segment in sealed.iter_mut() {
        let plain = dir.join(Segment { form: Form::Plain, ..*segment }.name());
        if plain.exists() {
            *segment = Segment { form: Form::Compressed, ..*segment };
            compress(&plain, &dir.join(segment.name())).map_err(LogError::file("compress", &plain))?;
        }
    }
    let mut bytes = 0;
    for segment in sealed.iter().rev() {
        let path = dir.join(segment.name());
        let (length, modified) = std::fs::metadata(&path)
            .and_then(|meta| Ok((meta.len(), meta.modified()?)))
            .map_err(LogError::file("read", &path))?;
        bytes += length;
        let age = now.duration_since(modified).unwrap_or_default();
        if bytes > APP_BYTES_MAX || age > Duration::from_secs(AGE_MAX_S) {
            std::fs::remove_file(&path).map_err(LogError::file("remove", &path))?;
        }
    }
    Ok(())
}

/// Puts the compressed file in the place of the plain one; at no moment is neither there. It keeps the time of the last line.
fn compress(plain: &Path, compressed: &Path) -> io::Result<()> {
    let mut unfinished = compressed.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let source = File::open(plain)?;
    let target = File::create(&unfinished)?;
    zstd::stream::copy_encode(&source, &target, LEVEL)?;
    target.set_modified(source.metadata()?.modified()?)?;
    // The plain file goes: what takes its place must not be lost with the page cache.
    target.sync_all()?;
    std::fs::rename(&unfinished, compressed)?;
    std::fs::remove_file(plain)
}
