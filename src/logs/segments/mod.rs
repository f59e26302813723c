//! An app's log on disk: display lines in files, sealed ones compressed, the oldest removed.
//!
//! ```text
//! <dir>/<app-id>/00000000000000000001.log.zst   lines 1 to 40960, sealed
//!                00000000000000040961.log       lines 40961 and on, appended to
//! ```
//!
//! The lines of an app are numbered from 1; a file is named by the number of its first line, and holds its lines without
//! a gap. So a number alone is a position, and what was lost between two files can be told exactly. A process killed in
//! the middle of a write leaves a torn last line, which the next one cuts off before it appends.

mod keep;
mod read;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::domain::AppId;
use crate::logs::LogError;
use crate::sys::clock;
use crate::sys::fs::remove_tree;
use crate::wire::logline::LogLine;

pub(super) use keep::Keeper;
pub(super) use read::{Item, Reader};

/// Size at which a file is sealed and the next begun, bytes.
const SEGMENT_BYTES_MAX: u64 = 4 << 20;
/// Age at which a file is sealed and the next begun, seconds: what is kept for days goes by whole files.
const SEGMENT_AGE_MAX_S: u64 = 24 * 3600;
/// The kernel's times of files are those of its last tick; ticks are at most so far apart.
const FILE_CLOCK_LAG: Duration = Duration::from_millis(10);
/// The number of an app's first line.
pub(super) const FIRST_LINE: u64 = 1;

/// Ending of a file that is appended to, or waits to be compressed.
const PLAIN: &str = ".log";
/// Ending of a compressed file.
const COMPRESSED: &str = ".log.zst";
/// Digits of a file's number: every `u64` fits, and names sort as numbers do.
const NAME_DIGITS: usize = 20;

/// The open end of one app's log.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    keeper: Keeper,
    /// The number of the next line, if it goes into the open file.
    next: u64,
    path: PathBuf,
    file: File,
    bytes: u64,
    begun: SystemTime,
}

// === impl Segments ===

impl Segments {
    /// Opens the end of an app's log, made if there is none; what is torn at its end is cut off.
    pub(super) fn open(dir: &Path, app: AppId, keeper: Keeper) -> Result<Self, LogError> {
        let dir = dir_of(dir, app);
        std::fs::create_dir_all(&dir).map_err(LogError::file("make", &dir))?;
        let (first, next) = match list(&dir)?.last() {
            Some(Segment { first, form: Form::Plain }) => (*first, None),
            // Its successor was never begun: the process ended between the two.
            Some(newest) => {
                let next = newest.first + lines_in(&newest.read(&dir)?);
                (next, Some(next))
            }
            None => (FIRST_LINE, Some(FIRST_LINE)),
        };
        let path = dir.join(Segment { first, form: Form::Plain }.name());
        let begin = || -> io::Result<_> {
            let (file, whole) = open_whole(&path)?;
            let begun = file.metadata().and_then(|meta| meta.created().or_else(|_| meta.modified()))?;
            Ok((file, whole, begun))
        };
        let (file, whole, begun) = begin().map_err(LogError::file("open", &path))?;
        let next = next.unwrap_or(first + lines_in(&whole));
        Ok(Self { dir, keeper, next, path, file, bytes: whole.len() as u64, begun })
    }

    /// Appends `count` whole display lines, of which the first has this number. A number that does not follow the last
    /// one begins a file: what lies between them is not in any.
    pub(super) fn append(&mut self, number: u64, lines: &[u8], count: usize) -> Result<(), LogError> {
        let age = clock::now().duration_since(self.begun).unwrap_or_default();
        let full = self.bytes >= SEGMENT_BYTES_MAX || age >= Duration::from_secs(SEGMENT_AGE_MAX_S);
        if number != self.next || (full && self.bytes > 0) {
            self.begin(number)?;
        }
        if let Err(source) = self.file.write_all(lines) {
            // Half a line must not run into the next one; should this fail too, the number tells the reader.
            let _ = self.file.set_len(self.bytes);
            return Err(LogError::File { attempt: "write", path: self.path.clone(), source });
        }
        self.bytes += lines.len() as u64;
        self.next += count as u64;
        Ok(())
    }

    fn begin(&mut self, number: u64) -> Result<(), LogError> {
        let path = self.dir.join(Segment { first: number, form: Form::Plain }.name());
        let (file, whole) = open_whole(&path).map_err(LogError::file("open", &path))?;
        (self.file, self.path, self.next) = (file, path, number);
        (self.bytes, self.begun) = (whole.len() as u64, clock::now());
        self.keeper.look_at(&self.dir);
        Ok(())
    }
}

/// How a file holds its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Compressed,
    Plain,
}

/// One file of an app's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Segment {
    /// The number of its first line.
    first: u64,
    form: Form,
}

// === impl Segment ===

impl Segment {
    fn name(self) -> String {
        let ending = match self.form {
            Form::Plain => PLAIN,
            Form::Compressed => COMPRESSED,
        };
        format!("{:0NAME_DIGITS$}{ending}", self.first)
    }

    fn parse(name: &str) -> Option<Self> {
        let (digits, form) = match name.strip_suffix(COMPRESSED) {
            Some(digits) => (digits, Form::Compressed),
            None => (name.strip_suffix(PLAIN)?, Form::Plain),
        };
        let first = (digits.len() == NAME_DIGITS).then(|| digits.parse().ok())??;
        Some(Self { first, form })
    }

    /// Everything in it, decompressed; nothing if it is gone.
    fn read(self, dir: &Path) -> Result<Vec<u8>, LogError> {
        let read = || {
            let mut bytes = Vec::new();
            if let Some(mut file) = read::open(dir, self.first)? {
                file.read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        };
        read().map_err(LogError::file("read", &dir.join(self.name())))
    }
}

/// The bytes of a file of this form, decompressed as they are read.
fn reader(file: File, form: Form) -> io::Result<Box<dyn io::BufRead + Send>> {
    Ok(match form {
        Form::Plain => Box::new(io::BufReader::new(file)),
        Form::Compressed => Box::new(io::BufReader::new(zstd::stream::read::Decoder::new(file)?)),
    })
}

/// An app as it lies on disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) app: AppId,
    /// The newest lines; the last one has the number before `next`.
    pub(super) lines: VecDeque<LogLine>,
    /// The number of the next line.
    pub(super) next: u64,
}

/// The last `lines` lines of every app under `dir`, which is made if there is none.
pub(super) fn load_all(dir: &Path, lines: usize) -> Result<Vec<Loaded>, LogError> {
    std::fs::create_dir_all(dir).map_err(LogError::file("make", dir))?;
    let mut loaded = Vec::new();
    for app in apps(dir)? {
        let (lines, next) = load(&dir_of(dir, app), lines)?;
        loaded.push(Loaded { app, lines, next });
    }
    Ok(loaded)
}

/// Removes an app's files.
pub(super) fn remove(dir: &Path, app: AppId) -> Result<(), LogError> {
    let dir = dir_of(dir, app);
    remove_tree(&dir).map_err(LogError::file("remove", &dir))
}

/// The number of the first line of the oldest file into which something was written at `since` or later: a line is written
/// after it was said.
pub(super) fn first_since(dir: &Path, app: AppId, since: Option<SystemTime>) -> Result<u64, LogError> {
    let dir = dir_of(dir, app);
    if !dir.exists() {
        return Ok(FIRST_LINE);
    }
    let segments = list(&dir)?;
    let is_recent = |segment: &&Segment| {
        let modified = std::fs::metadata(dir.join(segment.name())).and_then(|meta| meta.modified());
        // What cannot be told is looked into.
        since.is_none_or(|since| modified.map_or(true, |modified| modified + FILE_CLOCK_LAG >= since))
    };
    let first = segments.iter().find(is_recent).or(segments.last());
    Ok(first.map_or(FIRST_LINE, |segment| segment.first))
}

/// Shows every whole line of the files into which something was written at `since` or later, oldest first.
pub(super) fn each_line_since(
    dir: &Path,
    app: AppId,
    since: SystemTime,
    mut see: impl FnMut(&[u8]),
) -> Result<(), LogError> {
    let first = first_since(dir, app, Some(since))?;
    let dir = dir_of(dir, app);
    if !dir.exists() {
        return Ok(());
    }
    for segment in list(&dir)?.into_iter().filter(|segment| segment.first >= first) {
        let bytes = segment.read(&dir)?;
        bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")).for_each(&mut see);
    }
    Ok(())
}

/// Where an app's files are.
pub(super) fn dir_of(dir: &Path, app: AppId) -> PathBuf {
    dir.join(app.to_string())
}

/// The apps that have a folder in `dir`; other names are not ours.
fn apps(dir: &Path) -> Result<Vec<AppId>, LogError> {
    let mut apps = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LogError::file("read", dir))? {
        let name = entry.map_err(LogError::file("read", dir))?.file_name();
        apps.extend(name.to_str().and_then(|name| name.parse().ok()).map(AppId));
    }
    Ok(apps)
}

fn load(dir: &Path, lines: usize) -> Result<(VecDeque<LogLine>, u64), LogError> {
    let mut loaded = VecDeque::new();
    let mut next = None;
    for segment in list(dir)?.into_iter().rev() {
        let bytes = segment.read(dir)?;
        next.get_or_insert(segment.first + lines_in(&bytes));
        let whole = &bytes[..whole_bytes(&bytes)];
        for line in whole.split_inclusive(|byte| *byte == b'\n').rev() {
            if loaded.len() == lines {
                break;
            }
            // What does not parse was damaged outside of us; the rest of the log is still worth having.
            if let Ok(line) = LogLine::parse(line) {
                loaded.push_front(line);
            }
        }
        if loaded.len() == lines {
            break;
        }
    }
    Ok((loaded, next.unwrap_or(FIRST_LINE)))
}

fn open_whole(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let mut bytes = std::fs::read(path)?;
    let whole = whole_bytes(&bytes);
    if bytes.len() > whole {
        file.set_len(whole as u64)?;
        bytes.truncate(whole);
    }
    Ok((file, bytes))
}

/// Bytes up to and with the last line feed.
fn whole_bytes(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

fn lines_in(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The files in `dir`, oldest first, one for each number; other files are not ours and stay.
fn list(dir: &Path) -> Result<Vec<Segment>, LogError> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LogError::file("read", dir))? {
        let name = entry.map_err(LogError::file("read", dir))?.file_name();
        segments.extend(name.to_str().and_then(Segment::parse));
    }
    segments.sort_unstable();
    // The compressed one of two is whole, since it got its name last.
    segments.dedup_by_key(|segment| segment.first);
    Ok(segments)
}

#[cfg(test)]
mod test;
