//! The files of slugs on disk, and whether they are still those that were released (R17).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::SlugDigest;
use crate::supervisor::engine::{EngineError, Fault};
use crate::sys::clock;
use crate::sys::fingerprint::{self, Compared};

/// How long after a look at a slug's files the next one is due: listing a large slug takes longer than the rest of a start.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// The unpacked slugs of a node: `<dir>/<digest>/app`.
#[derive(Debug)]
pub(super) struct Slugs {
    dir: PathBuf,
    looks: Mutex<BTreeMap<SlugDigest, Look>>,
}

/// The newest look at a slug.
#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    /// What it has found; none while it is under way, or when it could not be made.
    found: Option<Compared>,
}

// === impl Slugs ===

impl Slugs {
    pub(super) fn under(dir: PathBuf) -> Self {
        Self { dir, looks: Mutex::default() }
    }

    /// Where the files of a slug are.
    pub(super) fn files(&self, slug: &SlugDigest) -> PathBuf {
        self.dir.join(slug.as_str()).join("app")
    }

    /// Refuses a slug whose files were found to be others than those released. No start waits for a look: where one is
    /// due it is made beside the start, for those that follow.
    pub(super) fn check(self: &Arc<Self>, slug: &SlugDigest) -> Result<(), EngineError> {
        let now = clock::monotonic();
        let (is_due, found) = self.with(|looks| {
            let found = looks.get(slug).and_then(|look| look.found.clone());
            let is_due = looks.get(slug).is_none_or(|look| now.duration_since(look.at) >= LOOK_EVERY);
            if is_due {
                looks.insert(slug.clone(), Look { at: now, found: found.clone() });
            }
            (is_due, found)
        });
        if is_due {
            let (slugs, slug) = (Arc::clone(self), slug.clone());
            // It ends with the listing; a node that ends before has nobody to tell.
            tokio::task::spawn_blocking(move || slugs.look(&slug));
        }
        match found {
            Some(Compared::Different { kept, found }) => Err(EngineError {
                attempt: format!("run the slug {slug}"),
                cause: "its files have changed on disk; put them back, or deploy a change".to_owned(),
                fault: Fault::Slug { expected: kept, actual: found },
            }),
            Some(Compared::Alike) | None => Ok(()),
        }
    }

    fn look(&self, slug: &SlugDigest) {
        match fingerprint::compare(&self.files(slug)) {
            Ok(found) => {
                self.with(|looks| {
                    looks.insert(slug.clone(), Look { at: clock::monotonic(), found: Some(found) })
                });
            }
            // A slug that is gone is told of by the start itself.
            Err(error) => tracing::debug!(%slug, %error, "a slug's files could not be looked at"),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<SlugDigest, Look>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        act(&mut self.looks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_slug_whose_files_have_changed_is_refused_once_that_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let slug: SlugDigest = "1".repeat(64).parse().unwrap();
        let slugs = Arc::new(Slugs::under(dir.path().to_owned()));
        let files = slugs.files(&slug);
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("app.py"), "print(1)").unwrap();
        fingerprint::keep(&files).unwrap();
        slugs.look(&slug);
        slugs.check(&slug).unwrap();
        std::fs::write(files.join("app.py"), "print(23)").unwrap();
        slugs.check(&slug).expect("it was looked at a moment ago");
        slugs.look(&slug);
        let refused = slugs.check(&slug).unwrap_err();
        let told = refused.told().to_string();
        assert!(
            told.starts_with("Error R17 (Checksum error) -> Checksum does match expected value."),
            "{told}"
        );
    }
}
