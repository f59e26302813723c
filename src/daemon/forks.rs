//! The files of one data service in the place of another's, all or nothing.
//!
//! ```text
//! <id>.fork   a copy that is being made                     at a start: removed
//! <id>.before what a service had until a copy took its place  at a start: put back, whatever is in its place
//! <id>.gone   what it had, and will not have again          at a start: removed
//! ```
//!
//! Nobody reaches the service from the moment at which it is ended until `.before` has become `.gone`, which is the moment at which
//! the copy is its data: nothing is acknowledged that is taken back.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::services::{SupervisedServices, names, volumes_dir};
use crate::domain::{AddOn, Bytes};
use crate::flows::ports::{Forked, ServicesError};
use crate::runtime::slots::Slot;
use crate::stack;
use crate::supervisor::service::{NoCopy, ServiceSpec};
use crate::sys::fs;

/// A copy that is being made.
const COPY: &str = "fork";
/// What a service had until a copy took its place.
const BEFORE: &str = "before";
/// What it had and will not have again.
const GONE: &str = "gone";
/// How long a service may take to answer on a copy, seconds: what a server has to do that was killed.
const READY_WAIT_S: u64 = 120;

/// Nobody reaches a service until this is dropped and the ways are settled.
struct Hidden<'a> {
    services: &'a SupervisedServices,
    id: Uuid,
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        self.services.forking().remove(&self.id);
    }
}

impl SupervisedServices {
    /// The files of `from` in the place of those of `to`.
    pub(super) async fn fork_data(&self, from: AddOn, to: AddOn) -> Result<Forked, ServicesError> {
        if let Some(why) = self.hindrance(&from, &to).await? {
            return Ok(Forked::Refused(why));
        }
        let volume = self.services.volume(to.id);
        let (copy, name) = (volume.with_extension(COPY), to.name.to_string());
        let failed = |error: io::Error| ServicesError(format!("{name}: {error}"));
        remove(copy.clone()).await.map_err(failed)?;
        if let Err(none) = self.services.copy_data(from.id, copy.clone()).await {
            remove(copy).await.map_err(failed)?;
            return match none {
                NoCopy::Refused(why) => Ok(Forked::Refused(why)),
                NoCopy::Failed(why) => Err(ServicesError(format!("{}: {why}", from.name))),
            };
        }
        let _turn = self.turn(to.id).await;
        // As it is by now: another password or plan is kept.
        let none = || ServicesError(format!("{}: it does not run", to.name));
        let spec = self.services.spec(to.id).ok_or_else(none)?;
        self.forking().insert(to.id);
        let hidden = Hidden { services: self, id: to.id };
        let done = self.replace(&spec, &volume).await;
        drop(hidden);
        // Whatever has come of it, it is reached again.
        self.settle_ways().await?;
        let gone = remove(volume.with_extension(GONE)).await;
        if let Err(error) = gone {
            tracing::warn!(service = %spec.host, %error, "what a data service had is removed at the next start");
        }
        done
    }

    /// Why the files of one cannot be the other's, as far as that is seen from outside.
    async fn hindrance(&self, from: &AddOn, to: &AddOn) -> Result<Option<String>, ServicesError> {
        let failed = |cause: &dyn std::fmt::Display| ServicesError(format!("{}: {cause}", from.name));
        let service = stack::service(&from.service).map_err(|error| failed(&error))?;
        if service.commands.fork.is_none() {
            return Ok(Some(format!("{} has no command for it", service.name)));
        }
        let Some(plan) = service.plan(&to.plan) else { return Ok(Some("its plan is not known".to_owned())) };
        let used = used(self.services.volume(from.id)).await.map_err(|error| failed(&error))?;
        Ok((used > plan.disk)
            .then(|| format!("{used} are more than the {} of plan {}", plan.disk, plan.name)))
    }

    /// Puts the copy in its place. Where that does not come to a good end, it has what it had.
    async fn replace(&self, spec: &ServiceSpec, volume: &Path) -> Result<Forked, ServicesError> {
        let failed = |error: io::Error| ServicesError(format!("{}: {error}", spec.host));
        self.settle_ways().await?;
        let none = || ServicesError(format!("{}: it does not run", spec.host));
        let slot = self.services.stop(spec.id).await.ok_or_else(none)?;
        if let Err(error) = take_place(volume) {
            return self.give_back_place((spec, slot), volume).await.and(Err(failed(error)));
        }
        self.services.keep(spec.clone(), slot);
        let answers = self.services.until_ready(spec.id);
        if !tokio::time::timeout(Duration::from_secs(READY_WAIT_S), answers).await.unwrap_or(false) {
            let slot = self.services.stop(spec.id).await.ok_or_else(none)?;
            self.give_back_place((spec, slot), volume).await?;
            return Ok(Forked::Refused("it does not answer on a copy of the files".to_owned()));
        }
        let used = used(volume.to_owned()).await.map_err(failed)?;
        // The moment from which on it is its data.
        std::fs::rename(volume.with_extension(BEFORE), volume.with_extension(GONE)).map_err(failed)?;
        volume.parent().map_or(Ok(()), fs::sync_dir).map_err(failed)?;
        Ok(Forked::Whole(used))
    }

    async fn give_back_place(
        &self,
        (spec, slot): (&ServiceSpec, Slot),
        volume: &Path,
    ) -> Result<(), ServicesError> {
        let path = volume.to_owned();
        let back = tokio::task::spawn_blocking(move || put_back(&path)).await;
        self.services.keep(spec.clone(), slot);
        match back {
            Ok(Err(error)) => {
                Err(ServicesError(format!("{}: cannot give it back what it had: {error}", spec.host)))
            }
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// What a process has left of this that has ended since.
    pub(super) async fn settle_forks(&self) -> Result<(), ServicesError> {
        let dir = volumes_dir(&self.lib_dir);
        let of = |extension: &'static str| {
            let id = move |name: &str| name.strip_suffix(extension)?.strip_suffix('.')?.parse::<Uuid>().ok();
            names(&dir, id).into_iter().filter(|id| !self.forking().contains(id)).collect::<Vec<_>>()
        };
        let failed =
            |id: Uuid| move |error| ServicesError(format!("cannot give {id} back what it had: {error}"));
        for id in of(BEFORE) {
            tracing::warn!(service = %id, "a data service has again what it had before a copy was cut off");
            self.services.end_found(id).await;
            put_back(&self.services.volume(id)).map_err(failed(id))?;
        }
        for extension in [COPY, GONE] {
            for id in of(extension) {
                remove(self.services.volume(id).with_extension(extension)).await.map_err(failed(id))?;
            }
        }
        Ok(())
    }
}

/// The copy in the place of what there is, which stands beside it from then on.
fn take_place(volume: &Path) -> io::Result<()> {
    std::fs::rename(volume, volume.with_extension(BEFORE))?;
    std::fs::rename(volume.with_extension(COPY), volume)?;
    volume.parent().map_or(Ok(()), fs::sync_dir)
}

/// What stands beside it in its place, whatever is there. May be repeated.
fn put_back(volume: &Path) -> io::Result<()> {
    let before = volume.with_extension(BEFORE);
    if !before.exists() {
        return Ok(());
    }
    fs::remove_tree(volume)?;
    std::fs::rename(before, volume)?;
    volume.parent().map_or(Ok(()), fs::sync_dir)
}

async fn used(volume: PathBuf) -> io::Result<Bytes> {
    let used = tokio::task::spawn_blocking(move || fs::used_bytes(&volume)).await;
    used.unwrap_or(Ok(0)).map(Bytes)
}

async fn remove(path: PathBuf) -> io::Result<()> {
    let removed = tokio::task::spawn_blocking(move || fs::remove_tree(&path)).await;
    removed.unwrap_or(Ok(()))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_a_service_had_is_put_back_wherever_it_was_cut_off() {
        for steps in 0..=2 {
            let dir = tempfile::tempdir().unwrap();
            let volume = dir.path().join(Uuid::new_v4().to_string());
            let (copy, before) = (volume.with_extension(COPY), volume.with_extension(BEFORE));
            for (path, text) in [(&volume, "old"), (&copy, "new")] {
                std::fs::create_dir(path).unwrap();
                std::fs::write(path.join("rows"), text).unwrap();
            }
            match steps {
                0 => {}
                1 => std::fs::rename(&volume, &before).unwrap(),
                _ => take_place(&volume).unwrap(),
            }
            for _ in 0..2 {
                put_back(&volume).unwrap();
                assert_eq!(std::fs::read_to_string(volume.join("rows")).unwrap(), "old", "{steps} steps");
            }
            assert!(!before.exists());
        }
    }
}
