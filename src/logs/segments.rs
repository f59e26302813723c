//! An app's log on disk: display lines in numbered files, the oldest removed when there are too many.
//!
//! `<dir>/<app-id>/00000001.log`, ... Files are only appended to. A process killed in the middle of a write leaves a torn
//! last line, which the next one cuts off before it appends.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::domain::AppId;
use crate::logs::LogError;
use crate::sys::fs::remove_tree;
use crate::wire::logline::LogLine;

/// Size at which a new file is begun, bytes.
const SEGMENT_BYTES_MAX: u64 = 4 << 20;
/// Files kept of an app. All but the newest are full, so 1500 lines of the longest kind always fit.
const SEGMENTS_MAX: usize = 5;

/// The open end of one app's log.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    number: u64,
    file: File,
    bytes: u64,
}

// === impl Segments ===

impl Segments {
    /// Opens the newest file for appending, made if there is none; what is torn at its end is cut off.
    pub(super) fn open(dir: &Path, app: AppId) -> Result<Self, LogError> {
        let dir = dir.join(app.to_string());
        std::fs::create_dir_all(&dir).map_err(LogError::file("make", &dir))?;
        let number = numbers(&dir)?.last().copied().unwrap_or(1);
        let path = path_of(&dir, number);
        let (file, bytes) = open_whole(&path).map_err(LogError::file("open", &path))?;
        Ok(Self { dir, number, file, bytes })
    }

    /// Appends whole display lines.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), LogError> {
        if self.bytes >= SEGMENT_BYTES_MAX {
            self.begin_next()?;
        }
        let path = path_of(&self.dir, self.number);
        if let Err(source) = self.file.write_all(lines) {
            // Half a line must not run into the next one; should this fail too, reading skips what is no line.
            let _ = self.file.set_len(self.bytes);
            return Err(LogError::File { attempt: "write", path, source });
        }
        self.bytes += lines.len() as u64;
        Ok(())
    }

    fn begin_next(&mut self) -> Result<(), LogError> {
        let number = self.number + 1;
        let path = path_of(&self.dir, number);
        let (file, bytes) = open_whole(&path).map_err(LogError::file("open", &path))?;
        (self.file, self.bytes, self.number) = (file, bytes, number);
        let numbers = numbers(&self.dir)?;
        for old in numbers.iter().take(numbers.len().saturating_sub(SEGMENTS_MAX)) {
            let path = path_of(&self.dir, *old);
            std::fs::remove_file(&path).map_err(LogError::file("remove", &path))?;
        }
        Ok(())
    }
}

/// The last `lines` lines of every app under `dir`, which is made if there is none.
pub(super) fn load_all(dir: &Path, lines: usize) -> Result<Vec<(AppId, VecDeque<LogLine>)>, LogError> {
    std::fs::create_dir_all(dir).map_err(LogError::file("make", dir))?;
    let mut loaded = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LogError::file("read", dir))? {
        let entry = entry.map_err(LogError::file("read", dir))?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        loaded.push((AppId(id), load(&entry.path(), lines)?));
    }
    Ok(loaded)
}

/// Removes an app's files.
pub(super) fn remove(dir: &Path, app: AppId) -> Result<(), LogError> {
    let dir = dir.join(app.to_string());
    remove_tree(&dir).map_err(LogError::file("remove", &dir))
}

fn load(dir: &Path, lines: usize) -> Result<VecDeque<LogLine>, LogError> {
    let mut loaded = VecDeque::new();
    for number in numbers(dir)?.into_iter().rev() {
        let path = path_of(dir, number);
        let bytes = std::fs::read(&path).map_err(LogError::file("read", &path))?;
        let whole = &bytes[..whole_bytes(&bytes)];
        for line in whole.split_inclusive(|byte| *byte == b'\n').rev() {
            if loaded.len() == lines {
                return Ok(loaded);
            }
            // What does not parse was damaged outside of us; the rest of the log is still worth having.
            if let Ok(line) = LogLine::parse(line) {
                loaded.push_front(line);
            }
        }
    }
    Ok(loaded)
}

fn open_whole(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let whole = whole_bytes(&std::fs::read(path)?) as u64;
    if file.metadata()?.len() > whole {
        file.set_len(whole)?;
    }
    Ok((file, whole))
}

/// Bytes up to and with the last line feed.
fn whole_bytes(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// The numbers of the files in `dir`, oldest first; other files are not ours and stay.
fn numbers(dir: &Path) -> Result<Vec<u64>, LogError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LogError::file("read", dir))? {
        let name = entry.map_err(LogError::file("read", dir))?.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|n| n.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

#[cfg(test)]
mod test {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn line(n: u64, length: usize) -> LogLine {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(n);
        LogLine::output(at, "web.1", vec![b'x'; length])
    }

    fn app() -> AppId {
        AppId(uuid::Uuid::from_u128(7))
    }

    #[test]
    fn files_are_bounded_and_the_newest_lines_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(dir.path(), app()).unwrap();
        let lines = 8000;
        for n in 0..lines {
            segments.append(&line(n, 5000).to_bytes()).unwrap();
        }
        let files: Vec<_> = std::fs::read_dir(dir.path().join(app().to_string())).unwrap().collect();
        assert_eq!(files.len(), SEGMENTS_MAX);
        for file in files {
            assert!(file.unwrap().metadata().unwrap().len() <= SEGMENT_BYTES_MAX + 6000);
        }
        let loaded = load_all(dir.path(), 1500).unwrap();
        let expected: VecDeque<_> = (lines - 1500..lines).map(|n| line(n, 5000)).collect();
        assert_eq!(loaded, [(app(), expected)]);
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        Segments::open(dir.path(), app()).unwrap().append(&line(1, 3).to_bytes()).unwrap();
        let path = path_of(&dir.path().join(app().to_string()), 1);
        let torn = &line(2, 30).to_bytes()[..40];
        OpenOptions::new().append(true).open(path).unwrap().write_all(torn).unwrap();
        assert_eq!(load_all(dir.path(), 10).unwrap()[0].1, [line(1, 3)]);
        Segments::open(dir.path(), app()).unwrap().append(&line(3, 3).to_bytes()).unwrap();
        assert_eq!(load_all(dir.path(), 10).unwrap()[0].1, [line(1, 3), line(3, 3)]);
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("lost+found")).unwrap();
        assert!(load_all(dir.path(), 10).unwrap().is_empty());
        assert!(dir.path().join("lost+found").exists());
    }
}
