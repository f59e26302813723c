//! A copy of the data of a service that runs, as of one moment: its processes stand still while their files are cloned, and do not
//! notice. To what is started on the copy it is as if the other one had been killed in that moment.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::container::{FORKED, READY};
use super::{Services, Standing, lock};
use crate::runtime::Container;
use crate::supervisor::engine::{STORE_ID, chain};
use crate::sys::{fs, reflink};

/// How long processes may take to come to a stop.
const STILL_WAIT: Duration = Duration::from_secs(2);
/// Between two looks at whether they have.
const STILL_POLL: Duration = Duration::from_millis(1);
/// The most files, and the longest that a service stands still for them: its clients wait meanwhile.
const BOUNDS: reflink::Bounds = reflink::Bounds { entries: 200_000, time: Duration::from_secs(10) };

/// Why there is no copy.
#[derive(Debug)]
pub enum NoCopy {
    /// It cannot be made here; there are other ways.
    Refused(String),
    /// It was tried and has failed.
    Failed(String),
}

impl Services {
    /// Copies the data of a service that answers to `to`, where there must be nothing, and has the copy on the disk. What is copied when
    /// it fails stays behind.
    ///
    /// # Errors
    /// The file system shares no blocks, the host cannot bring processes to a stop, or the disk fails.
    pub async fn copy_data(&self, from: uuid::Uuid, to: PathBuf) -> Result<(), NoCopy> {
        let volume = self.volume(from);
        let container = lock(&self.shared.kept).get(&from).and_then(|kept| {
            let is_ready = *kept.standing.borrow() == Standing::Ready;
            is_ready.then(|| kept.container.borrow().clone()).flatten()
        });
        let container =
            container.ok_or_else(|| NoCopy::Refused("it does not answer at the moment".to_owned()))?;
        // Goes on to its end if nobody waits for it any more: a service is not left standing.
        let copied = tokio::task::spawn_blocking(move || copy(&container, &volume, &to));
        copied.await.unwrap_or_else(|_| Err(NoCopy::Failed("the node is shutting down".to_owned())))
    }

    /// Ends the container that an earlier process left of a service.
    pub async fn end_found(&self, id: uuid::Uuid) {
        let found = lock(&self.shared.found).remove(&id);
        if let Some(container) = found {
            self.shared.ground.end_left(id, &container).await;
        }
    }
}

fn copy(container: &Container, from: &Path, to: &Path) -> Result<(), NoCopy> {
    let failed = |error: std::io::Error| NoCopy::Failed(format!("cannot copy its files: {error}"));
    if !from.parent().map_or(Ok(false), reflink::is_possible).map_err(failed)? {
        return Err(NoCopy::Refused("its file system shares no blocks among files".to_owned()));
    }
    let begun = Instant::now();
    let still = Still::bring(container)?;
    let copied = reflink::copy_tree(from, to, BOUNDS);
    drop(still);
    let ms = begun.elapsed().as_millis();
    tracing::info!(container = %container.id(), ms, "a data service stood still while its files were copied");
    match copied {
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            return Err(NoCopy::Refused(format!("its files are not copied within {:?}", BOUNDS.time)));
        }
        Err(error) if error.kind() == std::io::ErrorKind::QuotaExceeded => {
            return Err(NoCopy::Refused(error.to_string()));
        }
        copied => copied.map_err(failed)?,
    }
    mark(to).map_err(failed)
}

/// Has the copy be made its service's own at the next start, and wait on the disk until then.
fn mark(copy: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(copy.join(READY)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mark = copy.join(FORKED);
    std::fs::write(&mark, "")?;
    // Who makes it its own removes it.
    std::os::unix::fs::chown(&mark, Some(STORE_ID), Some(STORE_ID))?;
    reflink::sync_all(copy)?;
    copy.parent().map_or(Ok(()), fs::sync_dir)
}

/// A service that stands still until this is dropped.
struct Still<'a>(&'a Container);

impl<'a> Still<'a> {
    fn bring(container: &'a Container) -> Result<Self, NoCopy> {
        let refused = |error| NoCopy::Refused(format!("its processes cannot be stopped: {}", chain(&error)));
        let group = container.cgroup().map_err(refused)?;
        // From here on it is thawed, whatever comes.
        let still = Self(container);
        group.freeze().map_err(refused)?;
        let begun = Instant::now();
        while !group.is_frozen().map_err(refused)? {
            if begun.elapsed() > STILL_WAIT {
                return Err(NoCopy::Refused("its processes do not come to a stop on this host".to_owned()));
            }
            std::thread::sleep(STILL_POLL);
        }
        Ok(still)
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        thaw(self.0);
    }
}

/// Lets a service go on that a process has left standing, which has ended in between.
pub(super) fn thaw(container: &Container) {
    if let Err(error) = container.cgroup().and_then(|group| group.thaw()) {
        tracing::error!(container = %container.id(), error = chain(&error), "a data service may stand still");
    }
}
