//! Searching an app's files, beyond the lines in memory.

use std::collections::VecDeque;
use std::path::Path;

use crate::domain::AppId;
use crate::logs::session::{Filter, SessionLine};
use crate::logs::{LogError, segments};

/// The most lines a search finds; the newest are kept.
pub const SEARCH_LINES_MAX: usize = 50_000;
/// The most bytes of messages a search finds; the newest are kept.
const SEARCH_BYTES_MAX: usize = 32 << 20;

/// The newest `count` lines before the number `end` that pass. Reads files: not for an async thread.
pub(super) fn search(
    dir: &Path,
    (app, end): (AppId, u64),
    filter: &Filter,
    count: usize,
) -> Result<Vec<SessionLine>, LogError> {
    let count = count.min(SEARCH_LINES_MAX);
    let mut reader = segments::Reader::new(dir, app, segments::first_since(dir, app, filter.since)?);
    let (mut found, mut bytes) = (VecDeque::new(), 0);
    while let Some(item) = reader.read(end)? {
        let segments::Item::Line(line) = item else { continue };
        if !filter.passes(&line) {
            continue;
        }
        bytes += line.message.len();
        found.push_back(SessionLine { number: Some(reader.next() - 1), line });
        while found.len() > count || bytes > SEARCH_BYTES_MAX {
            bytes -= found.pop_front().map_or(bytes, |dropped| dropped.line.message.len());
        }
    }
    Ok(found.into())
}
