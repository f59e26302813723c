//! Deaths on disk: `<dir>/<app>/<dyno>.json`, the last few of each name, and of so many names.
//!
//! A file is replaced whole. What cannot be written is told in the node's own log; a dyno's end never waits for it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::domain::{AppId, DynoName};
use crate::supervisor::postmortem::Death;
use crate::sys::fs::{remove_tree, write_atomically};

/// Deaths kept of one dyno's name.
pub const DEATHS_PER_NAME_MAX: usize = 5;
/// Names of an app whose deaths are kept; one-off dynos have names of their own, and the oldest goes first.
const NAMES_PER_APP_MAX: usize = 200;
/// The form of the files.
const FORMAT: u32 = 1;
/// Ending of the files.
const ENDING: &str = "json";

/// The deaths of a node's dynos; clones share them. The default keeps none.
#[derive(Clone, Debug, Default)]
pub struct Deaths {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    /// Held while a file is read and replaced, so that two ends at one moment are both kept.
    writing: Mutex<()>,
}

/// A file.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    /// Newest first.
    deaths: Vec<Death>,
}

// === impl Deaths ===

impl Deaths {
    /// Those under `dir`, which is made when the first is kept.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        Self { shared: Some(Arc::new(Shared { dir, writing: Mutex::default() })) }
    }

    /// Keeps one. Writes to disk: not for an async thread.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep(&self, app: AppId, death: Death) -> io::Result<()> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let _one_at_a_time = shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = shared.of(app);
        std::fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{}.{ENDING}", death.name));
        let is_new = !path.exists();
        let deaths = with(read(&path)?, death);
        write_atomically(&path, &serde_json::to_vec(&Record { format: FORMAT, deaths })?)?;
        if is_new { drop_oldest(&dir) } else { Ok(()) }
    }

    /// The deaths of the dynos of a name, newest first. Reads from disk: not for an async thread.
    ///
    /// # Errors
    /// The disk's.
    pub fn of(&self, app: AppId, name: &DynoName) -> io::Result<Vec<Death>> {
        let Some(shared) = &self.shared else { return Ok(Vec::new()) };
        read(&shared.of(app).join(format!("{name}.{ENDING}")))
    }

    /// Drops those of an app. Writes to disk: not for an async thread.
    ///
    /// # Errors
    /// The disk's.
    pub fn forget(&self, app: AppId) -> io::Result<()> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let _nothing_is_kept_meanwhile = shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        remove_tree(&shared.of(app))
    }
}

impl Shared {
    fn of(&self, app: AppId) -> PathBuf {
        self.dir.join(app.to_string())
    }
}

/// Adds a death in its place. Of orderly ends only the newest is kept: a row of deploys must not push a crash out.
fn with(mut deaths: Vec<Death>, death: Death) -> Vec<Death> {
    deaths.push(death);
    deaths.sort_by_key(|death| std::cmp::Reverse(death.at));
    let mut orderly = 0;
    deaths.retain(|death| {
        orderly += usize::from(death.is_orderly());
        !death.is_orderly() || orderly == 1
    });
    deaths.truncate(DEATHS_PER_NAME_MAX);
    deaths
}

/// Nothing where nothing is; a file of another form, or a damaged one, counts as none and is written anew.
fn read(path: &Path) -> io::Result<Vec<Death>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice::<Record>(&bytes) {
        Ok(Record { format: FORMAT, deaths }) => Ok(deaths),
        Ok(Record { .. }) | Err(_) => {
            tracing::warn!(path = %path.display(), "an account of deaths cannot be read");
            Ok(Vec::new())
        }
    }
}

fn drop_oldest(dir: &Path) -> io::Result<()> {
    let mut ages = HashMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            let written = std::fs::metadata(&path).and_then(|meta| meta.modified())?;
            ages.insert(path, written);
        }
    }
    let mut oldest: Vec<_> = ages.into_iter().collect();
    oldest.sort_by_key(|(_, written)| *written);
    let surplus = oldest.len().saturating_sub(NAMES_PER_APP_MAX);
    oldest.iter().take(surplus).try_for_each(|(path, _)| std::fs::remove_file(path))
}

#[cfg(test)]
mod test {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::supervisor::postmortem::test::death;
    use crate::supervisor::postmortem::{Ending, Passage};

    const APP: AppId = AppId(uuid::Uuid::nil());

    fn crash(second: u64) -> Death {
        Death { at: SystemTime::UNIX_EPOCH + Duration::from_secs(second), ..death() }
    }

    fn stop(second: u64) -> Death {
        Death { passage: Passage::Asked, ending: Ending::Code(143), ..crash(second) }
    }

    #[test]
    fn the_last_few_are_kept_and_outlive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let deaths = Deaths::at(dir.path().to_owned());
        // Out of order, as two ends at one moment may come.
        for second in [2, 1, 3, 4, 6, 5, 7] {
            deaths.keep(APP, crash(second)).unwrap();
        }
        let name: DynoName = "web.1".parse().unwrap();
        let expected: Vec<_> = (3..=7).rev().map(crash).collect();
        assert_eq!(Deaths::at(dir.path().to_owned()).of(APP, &name).unwrap(), expected);
        assert_eq!(deaths.of(APP, &"web.2".parse().unwrap()).unwrap(), []);
        deaths.forget(APP).unwrap();
        assert_eq!(deaths.of(APP, &name).unwrap(), []);
    }

    #[test]
    fn orderly_ends_do_not_push_a_crash_out() {
        let mut kept = vec![crash(1)];
        for second in 2..20 {
            kept = with(kept, stop(second));
        }
        assert_eq!(kept, [stop(19), crash(1)]);
    }

    #[test]
    fn names_are_bounded_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let deaths = Deaths::at(dir.path().to_owned());
        let named = |index: usize| Death { name: format!("run.{index}"), ..crash(1) };
        for index in 1..=NAMES_PER_APP_MAX {
            deaths.keep(APP, named(index)).unwrap();
        }
        let path = |index: usize| dir.path().join(APP.to_string()).join(format!("run.{index}.json"));
        let file = std::fs::OpenOptions::new().append(true).open(path(7)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        deaths.keep(APP, named(NAMES_PER_APP_MAX + 1)).unwrap();
        assert!(!path(7).exists() && path(8).exists() && path(NAMES_PER_APP_MAX + 1).exists());
    }

    #[test]
    fn a_damaged_file_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let deaths = Deaths::at(dir.path().to_owned());
        deaths.keep(APP, crash(1)).unwrap();
        std::fs::write(dir.path().join(APP.to_string()).join("web.1.json"), "{").unwrap();
        deaths.keep(APP, crash(2)).unwrap();
        assert_eq!(deaths.of(APP, &"web.1".parse().unwrap()).unwrap(), [crash(2)]);
    }
}
