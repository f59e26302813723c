//! How far a drain has come, on disk: the number of the next line, in a file of fixed length beside the app's log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::domain::{AppId, Drain, DrainId};
use crate::logs::LogError;
use crate::logs::segments::dir_of;

/// Ending of a position's file; its name is the drain's identity.
const ENDING: &str = ".position";
/// Digits of the number: one short write replaces all of it.
const DIGITS: usize = 20;

/// The position of one drain. Written to the page cache: a killed process loses nothing, and a machine that loses power
/// sends some lines again.
#[derive(Debug)]
pub(super) struct Position {
    path: PathBuf,
    file: File,
    next: u64,
}

// === impl Position ===

impl Position {
    /// Opens the position of a drain; a new one begins at `next`, and none is beyond it.
    pub(super) fn open(dir: &Path, drain: &Drain, next: u64) -> Result<Self, LogError> {
        let dir = dir_of(dir, drain.app);
        std::fs::create_dir_all(&dir).map_err(LogError::file("make", &dir))?;
        let path = dir.join(format!("{}{ENDING}", drain.id));
        let open = || -> io::Result<_> {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            let mut digits = [0; DIGITS];
            let read = file.read_at(&mut digits, 0)?;
            let known = std::str::from_utf8(&digits[..read]).ok().and_then(|digits| digits.parse().ok());
            Ok((file, known))
        };
        let (file, known) = open().map_err(LogError::file("open", &path))?;
        // After a loss of power the lines may be fewer than the position knew.
        let mut position = Self { path, file, next: 0 };
        position.advance(known.map_or(next, |known: u64| known.min(next)))?;
        Ok(position)
    }

    /// The number of the line that is sent next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Everything before `next` is done with.
    pub(super) fn advance(&mut self, next: u64) -> Result<(), LogError> {
        self.next = next;
        let digits = format!("{next:0DIGITS$}\n");
        self.file.write_all_at(digits.as_bytes(), 0).map_err(LogError::file("write", &self.path))
    }
}

/// Removes the positions of an app's drains that are none of `kept`.
pub(super) fn remove_others(dir: &Path, app: AppId, kept: &[DrainId]) -> Result<(), LogError> {
    let dir = dir_of(dir, app);
    let entries = match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(LogError::file("read", &dir))?,
    };
    for entry in entries {
        let entry = entry.map_err(LogError::file("read", &dir))?;
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_suffix(ENDING)) else { continue };
        if !kept.iter().any(|kept| kept.to_string() == id) {
            std::fs::remove_file(entry.path()).map_err(LogError::file("remove", &entry.path()))?;
        }
    }
    Ok(())
}
