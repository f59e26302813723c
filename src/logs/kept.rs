//! Output kept whole: the lines of one dyno go, beside the app's log, into one file with a bound, and whoever asks reads
//! it while it grows.
//!
//! The log forgets by age and mixes many dynos; what a release command or a timed job has said is asked for by itself,
//! later, and from its first line.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use crate::domain::{self, AppId};
use crate::logs::LogError;
use crate::wire::release_text;

/// The most that is kept of one output, bytes; what comes after is in the log alone, and the file says so.
pub const KEPT_BYTES_MAX: u64 = 8 << 20;
/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// An output and its file. Clones share it.
#[derive(Clone, Debug)]
pub struct KeptOutput(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    file: Mutex<Writing>,
    stage: watch::Sender<Stage>,
}

/// Whether there is more to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Growing,
    Finished,
}

#[derive(Debug)]
enum Writing {
    Open {
        file: File,
        bytes: u64,
    },
    /// It is full, or its disk fails.
    Closed,
}

/// An output as bytes, in pieces.
pub type OutputStream = BoxStream<'static, io::Result<Bytes>>;

// === impl KeptOutput ===

impl KeptOutput {
    /// Opens the file at `path`, made with its folder when there is none. What is in it stays.
    fn open(path: &Path) -> Result<Self, LogError> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(LogError::file("make", dir))?;
        }
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(LogError::file("open", path))?;
        let bytes = file.metadata().map_err(LogError::file("read", path))?.len();
        let writing = if bytes < KEPT_BYTES_MAX { Writing::Open { file, bytes } } else { Writing::Closed };
        let stage = watch::Sender::new(Stage::Growing);
        Ok(Self(Arc::new(Shared { path: path.to_owned(), file: Mutex::new(writing), stage })))
    }

    /// Adds lines, each without its line end. What finds no room is dropped, which the last line in the file tells.
    pub fn append<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>) {
        // A writer that panicked has closed nothing; the next line goes on.
        let mut writing = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Writing::Open { file, bytes } = &mut *writing else { return };
        let (mut text, mut is_full) = (Vec::new(), false);
        for line in lines {
            if *bytes + text.len() as u64 + line.len() as u64 >= KEPT_BYTES_MAX {
                text.extend_from_slice(release_text::output_cut(domain::Bytes(KEPT_BYTES_MAX)).as_bytes());
                is_full = true;
            } else {
                text.extend_from_slice(line);
            }
            text.push(b'\n');
            if is_full {
                break;
            }
        }
        *bytes += text.len() as u64;
        let written = file.write_all(&text);
        if let Err(error) = &written {
            tracing::warn!(path = %self.0.path.display(), %error, "an output is no longer kept");
        }
        if is_full || written.is_err() {
            *writing = Writing::Closed;
        }
        drop(writing);
        self.0.stage.send_replace(Stage::Growing);
    }

    /// All of it from the first byte, as it grows, to its end.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn read(&self) -> io::Result<OutputStream> {
        read_from(&self.0.path, self.0.stage.subscribe())
    }
}

/// The output that an ended dyno has left at `path`; none where nothing was kept.
///
/// # Errors
/// The file is there and cannot be opened.
pub fn read_kept(path: &Path) -> io::Result<Option<OutputStream>> {
    match read_from(path, watch::channel(Stage::Finished).1) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_from(path: &Path, stage: watch::Receiver<Stage>) -> io::Result<OutputStream> {
    let file = tokio::fs::File::from_std(File::open(path)?);
    let pieces = stream::unfold(Some((file, stage)), |state| async {
        let (mut file, mut stage) = state?;
        match next_piece(&mut file, &mut stage).await {
            Ok(Some(piece)) => Some((Ok(piece), Some((file, stage)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(pieces.boxed())
}

async fn next_piece(
    file: &mut tokio::fs::File,
    stage: &mut watch::Receiver<Stage>,
) -> io::Result<Option<Bytes>> {
    loop {
        // Seen before the read: what was written before the end is then in this read or a later one.
        let seen = *stage.borrow_and_update();
        let mut piece = vec![0; CHUNK_BYTES];
        let count = file.read(&mut piece).await?;
        if count > 0 {
            piece.truncate(count);
            return Ok(Some(piece.into()));
        }
        // Whoever kept it may have gone without a word, as when the node ends.
        if seen == Stage::Finished || stage.changed().await.is_err() {
            return Ok(None);
        }
    }
}

/// The outputs that are kept now, by app and dyno.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<(AppId, String), KeptOutput>>);

/// An output that is kept until this is dropped; its readers come to their end then.
#[derive(Debug)]
pub struct Keeping {
    kept: Arc<Kept>,
    key: (AppId, String),
    output: KeptOutput,
}

// === impl Kept ===

impl Kept {
    pub(super) fn keep(self: &Arc<Self>, app: AppId, ps: String, path: &Path) -> Result<Keeping, LogError> {
        let output = KeptOutput::open(path)?;
        let key = (app, ps);
        self.lock().insert(key.clone(), output.clone());
        Ok(Keeping { kept: Arc::clone(self), key, output })
    }

    pub(super) fn of(&self, app: AppId, ps: &str) -> Option<KeptOutput> {
        self.lock().get(&(app, ps.to_owned())).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(AppId, String), KeptOutput>> {
        // A map cannot be left half changed by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Keeping ===

impl Keeping {
    /// The output.
    #[must_use]
    pub fn output(&self) -> &KeptOutput {
        &self.output
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.kept.lock().remove(&self.key);
        self.output.0.stage.send_replace(Stage::Finished);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const APP: AppId = AppId(uuid::Uuid::nil());

    async fn whole(stream: OutputStream) -> String {
        let pieces: Vec<_> = stream.map(|piece| piece.unwrap().to_vec()).collect().await;
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[tokio::test]
    async fn a_reader_gets_all_of_it_while_it_grows_and_after() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app/3.log");
        let kept = Arc::new(Kept::default());
        let keeping = kept.keep(APP, "release.1234".to_owned(), &path).unwrap();
        let early = tokio::spawn(whole(keeping.output().read().unwrap()));
        kept.of(APP, "release.1234").unwrap().append([&b"one"[..], b""]);
        tokio::task::yield_now().await;
        keeping.output().append([&b"two"[..]]);
        drop(keeping);
        assert_eq!(early.await.unwrap(), "one\n\ntwo\n");
        assert!(kept.of(APP, "release.1234").is_none());
        assert_eq!(whole(read_kept(&path).unwrap().unwrap()).await, "one\n\ntwo\n");
        assert!(read_kept(&dir.path().join("app/4.log")).unwrap().is_none());
    }

    #[tokio::test]
    async fn what_was_kept_before_the_node_was_killed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("3.log");
        let kept = Arc::new(Kept::default());
        std::fs::write(&path, "before\n").unwrap();
        let keeping = kept.keep(APP, "release.1234".to_owned(), &path).unwrap();
        keeping.output().append([&b"after"[..]]);
        drop(keeping);
        assert_eq!(whole(read_kept(&path).unwrap().unwrap()).await, "before\nafter\n");
    }

    #[tokio::test]
    async fn an_output_past_its_bound_is_cut_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("3.log");
        let kept = Arc::new(Kept::default());
        let keeping = kept.keep(APP, "release.1234".to_owned(), &path).unwrap();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..10 {
            keeping.output().append([line.as_slice(), b"more"]);
        }
        drop(keeping);
        let text = whole(read_kept(&path).unwrap().unwrap()).await;
        assert!(text.len() as u64 <= KEPT_BYTES_MAX + 200, "{}", text.len());
        assert!(text.ends_with(&format!("{}\n", release_text::output_cut(domain::Bytes(KEPT_BYTES_MAX)))));
    }
}
