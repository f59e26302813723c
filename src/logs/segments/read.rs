//! Reading an app's lines by number, from any position to the end, while they are written, sealed and removed.

use std::fs::File;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use crate::domain::AppId;
use crate::logs::LogError;
use crate::logs::segments::{Form, Segment, dir_of, list, reader};
use crate::wire::logline::LogLine;

/// What stands at a position.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::logs) enum Item {
    /// A line.
    Line(LogLine),
    /// So many lines that are in no file: removed for age or size, never written, or damaged.
    Lost(u64),
}

/// A position in an app's log.
pub(in crate::logs) struct Reader {
    dir: PathBuf,
    next: u64,
    /// The file that holds the position, and the number it is named by.
    open: Option<(u64, Box<dyn BufRead + Send>)>,
    line: Vec<u8>,
}

// === impl Reader ===

impl Reader {
    /// Begins at the line with the number `next`.
    pub(in crate::logs) fn new(dir: &Path, app: AppId, next: u64) -> Self {
        Self { dir: dir_of(dir, app), next, open: None, line: Vec::new() }
    }

    /// The number of the line that is read next.
    pub(in crate::logs) fn next(&self) -> u64 {
        self.next
    }

    /// What stands at the position, which moves on; none once it is at `end`. Lines before `end` must have been written
    /// or given up by now.
    pub(in crate::logs) fn read(&mut self, end: u64) -> Result<Option<Item>, LogError> {
        let mut after = None;
        while self.next < end {
            let Some((first, file)) = &mut self.open else {
                if let Some(lost) = self.locate(after, end)? {
                    self.next += lost;
                    return Ok(Some(Item::Lost(lost)));
                }
                continue;
            };
            self.line.clear();
            let failed = LogError::file("read", &self.dir);
            file.read_until(b'\n', &mut self.line).map_err(failed)?;
            if !self.line.ends_with(b"\n") {
                after = Some(*first);
                self.open = None;
                continue;
            }
            self.next += 1;
            return Ok(Some(LogLine::parse(&self.line).map_or(Item::Lost(1), Item::Line)));
        }
        Ok(None)
    }

    /// Opens the file with the position in it, or tells how many lines are lost there. The file numbered `after` has been
    /// read to its end.
    fn locate(&mut self, after: Option<u64>, end: u64) -> Result<Option<u64>, LogError> {
        let segments = list(&self.dir)?;
        let later = segments.iter().filter(|segment| after.is_none_or(|after| segment.first > after));
        let (mut holder, mut beyond) = (None, end);
        for segment in later {
            if segment.first <= self.next {
                holder = Some(segment.first);
            } else {
                beyond = segment.first.min(end);
                break;
            }
        }
        let Some(first) = holder else {
            return Ok(Some(beyond - self.next));
        };
        // Neither form is there if it has been removed since it was listed: the next look will tell.
        let failed = LogError::file("read", &self.dir);
        if let Some(mut file) = open(&self.dir, first).map_err(failed)? {
            let mut skipped = Vec::new();
            for _ in first..self.next {
                skipped.clear();
                file.read_until(b'\n', &mut skipped).map_err(LogError::file("read", &self.dir))?;
            }
            self.open = Some((first, file));
        }
        Ok(None)
    }
}

/// Opens the file of that number in the form it has now. It is compressed under its new name before the old one goes.
pub(super) fn open(dir: &Path, first: u64) -> io::Result<Option<Box<dyn BufRead + Send>>> {
    for form in [Form::Plain, Form::Compressed] {
        match File::open(dir.join(Segment { first, form }.name())) {
            Ok(file) => return reader(file, form).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
