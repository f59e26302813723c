//! Who has been told to go, kept on disk: `<dir>/<dyno>.json`, written before anybody is told that it is so.
//!
//! A dyno may take as long to go as its grace time. A node that ends meanwhile would find it running at its next start, and
//! take it for one that nobody has asked anything. The files mean nothing after a reboot, which ends every dyno: they lie
//! with the containers' records, and nobody waits for the disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::DynoId;
use crate::supervisor::Moment;
use crate::supervisor::lifecycle::Departure;
use crate::sys::fs::replace;

/// The form of the files.
const FORMAT: u32 = 1;
/// Ending of the files.
const ENDING: &str = "json";

/// The departures of a node's dynos; clones share them. The default keeps none.
#[derive(Clone, Debug, Default)]
pub struct Departures {
    dir: Option<Arc<PathBuf>>,
}

/// A file could not be written.
#[derive(Debug, Error)]
#[error("cannot write down in {} that a dyno was told to go", path.display())]
pub struct NotKept {
    path: PathBuf,
    source: io::Error,
}

/// A file.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    departure: RecordDeparture,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordDeparture {
    Yielding,
    Aborting,
    Leaving {
        /// When SIGKILL follows, milliseconds of Unix time.
        kill_ms: u64,
    },
}

// === impl Departures ===

impl Departures {
    /// Those under `dir`, which is made when the first is kept.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        Self { dir: Some(Arc::new(dir)) }
    }

    /// Keeps how a dyno goes, in place of what was kept of it before. Writes a small file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, id: DynoId, departure: Departure) -> Result<(), NotKept> {
        let Some(dir) = self.dir.as_deref() else { return Ok(()) };
        let path = file_of(dir, id);
        let departure = match departure {
            Departure::Yielding => RecordDeparture::Yielding,
            Departure::Aborting => RecordDeparture::Aborting,
            Departure::Leaving { kill } => RecordDeparture::Leaving { kill_ms: kill.0 },
        };
        let written = serde_json::to_vec(&Record { format: FORMAT, departure })
            .map_err(io::Error::from)
            .and_then(|bytes| std::fs::create_dir_all(dir).and_then(|()| replace(&path, &bytes)));
        written.map_err(|source| NotKept { path, source })
    }

    /// Drops what is kept of a dyno that is gone.
    pub fn forget(&self, id: DynoId) {
        // What stays is of a dyno that nobody will ever find, and goes at the next start.
        let _ = self.dir.as_deref().map(|dir| std::fs::remove_file(file_of(dir, id)));
    }

    /// All that is kept. What cannot be read counts as nothing, and goes.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn all(&self) -> io::Result<BTreeMap<DynoId, Departure>> {
        let mut all = BTreeMap::new();
        let Some(dir) = self.dir.as_deref() else { return Ok(all) };
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            match (id_of(&path), read(&path)) {
                (Some(id), Some(departure)) => {
                    all.insert(id, departure);
                }
                (id, _) => {
                    // The rest of a write that was cut off has a name of its own.
                    if id.is_some() {
                        tracing::warn!(path = %path.display(), "what was written of a dyno that goes cannot be read");
                    }
                    let _ = std::fs::remove_file(&path);
                }
            }
        }
        Ok(all)
    }
}

fn file_of(dir: &Path, id: DynoId) -> PathBuf {
    dir.join(format!("{id}.{ENDING}"))
}

fn id_of(path: &Path) -> Option<DynoId> {
    let is_ours = path.extension().is_some_and(|ending| ending == ENDING);
    path.file_stem()?.to_str()?.parse().ok().filter(|_| is_ours).map(DynoId)
}

fn read(path: &Path) -> Option<Departure> {
    let record: Record = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (record.format == FORMAT).then_some(match record.departure {
        RecordDeparture::Yielding => Departure::Yielding,
        RecordDeparture::Aborting => Departure::Aborting,
        RecordDeparture::Leaving { kill_ms } => Departure::Leaving { kill: Moment(kill_ms) },
    })
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;

    const ONE: DynoId = DynoId(Uuid::from_u128(1));
    const TWO: DynoId = DynoId(Uuid::from_u128(2));

    #[test]
    fn what_is_kept_is_there_for_the_next_process_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let departures = || Departures::at(dir.path().join("departures"));
        assert_eq!(departures().all().unwrap(), BTreeMap::new());
        let leaving = Departure::Leaving { kill: Moment(1_795_415_284_170) };
        departures().keep(ONE, Departure::Yielding).unwrap();
        departures().keep(ONE, leaving).unwrap();
        departures().keep(TWO, Departure::Aborting).unwrap();
        assert_eq!(departures().all().unwrap(), BTreeMap::from([(ONE, leaving), (TWO, Departure::Aborting)]));
        departures().forget(ONE);
        departures().forget(ONE);
        assert_eq!(departures().all().unwrap(), BTreeMap::from([(TWO, Departure::Aborting)]));
    }

    #[test]
    fn what_cannot_be_read_keeps_nobody_from_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let departures = Departures::at(dir.path().to_owned());
        departures.keep(ONE, Departure::Yielding).unwrap();
        for (name, bytes) in [(format!("{TWO}.json"), "{"), ("half.new".to_owned(), "")] {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        assert_eq!(departures.all().unwrap(), BTreeMap::from([(ONE, Departure::Yielding)]));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "it goes");
    }

    #[test]
    fn what_cannot_be_written_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("taken");
        std::fs::write(&taken, "").unwrap();
        let error = Departures::at(taken.clone()).keep(ONE, Departure::Yielding).unwrap_err();
        assert!(error.to_string().contains(&taken.display().to_string()), "{error}");
    }
}
