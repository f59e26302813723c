//! The data services as the stories ask for them: add-ons in, packages laid over the stack, volumes put away and swept.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::daemon::Config;
use crate::domain::{AddOn, AppId, Bytes, StackName};
use crate::flows::ports::{DataServices, ServicesError};
use crate::runtime::slots::Slot;
use crate::stack::{self, Silent, Stack};
use crate::supervisor::service::{Attached, ServiceSpec, Services};
use crate::sys::{clock, fs};

/// How long data of a destroyed add-on is kept, seconds: seven days.
const KEPT_S: u64 = 7 * 24 * 60 * 60;
/// What stands between the identity of a service that was put away and when that was.
const AWAY_MARK: char = '@';

/// The services that run, and the disk they are on.
pub(super) struct SupervisedServices {
    services: Services,
    lib_dir: PathBuf,
    stack: StackName,
    /// Slots held for services that are not kept yet.
    held: Mutex<BTreeMap<u32, Slot>>,
}

/// Where the directories of services are.
pub(super) fn volumes_dir(lib_dir: &Path) -> PathBuf {
    lib_dir.join("services")
}

fn away_dir(lib_dir: &Path) -> PathBuf {
    lib_dir.join("services-removed")
}

impl SupervisedServices {
    pub(super) fn new(services: Services, config: &Config) -> Self {
        let (lib_dir, stack) = (config.lib_dir.clone(), config.stack.clone());
        Self { services, lib_dir, stack, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<u32, Slot>> {
        // A map is whole after every operation, so a panic elsewhere leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that is needed to run it; its packages are laid over the stack first, where they are not there.
    async fn spec(&self, add_on: AddOn) -> Result<ServiceSpec, ServicesError> {
        let failed = |cause: &dyn std::fmt::Display| ServicesError(format!("{}: {cause}", add_on.name));
        let service = stack::service(&add_on.service).map_err(|error| failed(&error))?;
        let none = || failed(&format!("its service has no plan {}", add_on.plan));
        let plan = service.plan(&add_on.plan).ok_or_else(none)?.clone();
        let (lib_dir, name) = (self.lib_dir.clone(), self.stack.clone());
        let laid = tokio::task::spawn_blocking(move || {
            stack::with_service(&Stack::current(&lib_dir, &name)?, service, &mut Silent)
        });
        let laid = laid.await.map_err(|_| failed(&"the node is shutting down"))?;
        let (stack, _) = laid.map_err(|error| failed(&error))?;
        Ok(ServiceSpec {
            id: add_on.id,
            host: add_on.host(),
            app: add_on.app,
            service: service.clone(),
            plan,
            password: add_on.password.reveal().to_owned(),
            slot: add_on.slot,
            layers: stack.run_layers(),
            env: stack.env,
        })
    }

    fn put_away_volume(&self, id: Uuid) -> io::Result<()> {
        let (volume, away) = (self.services.volume(id), away_dir(&self.lib_dir));
        if !volume.exists() {
            return Ok(());
        }
        std::fs::create_dir_all(&away)?;
        let now_s = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        std::fs::rename(&volume, away.join(format!("{id}{AWAY_MARK}{now_s}")))?;
        fs::sync_dir(&away)
    }
}

impl DataServices for SupervisedServices {
    fn reserve(&self) -> Option<u32> {
        let slot = self.services.new_slot()?;
        let number = slot.number();
        self.held().insert(number, slot);
        Some(number)
    }

    fn claim(&self, slot: u32) -> bool {
        let claimed = self.services.claim(slot);
        claimed.map(|claimed| self.held().insert(slot, claimed)).is_some()
    }

    fn give_back(&self, slot: u32) {
        self.held().remove(&slot);
    }

    fn keep(&self, add_on: AddOn) -> BoxFuture<'_, Result<(), ServicesError>> {
        Box::pin(async move {
            let (id, slot) = (add_on.id, add_on.slot);
            let spec = self.spec(add_on).await?;
            let stopped = self.services.stop(id).await;
            let slot = stopped.or_else(|| self.held().remove(&slot));
            let slot =
                slot.ok_or_else(|| ServicesError(format!("{}: its slot is not its own", spec.host)))?;
            self.services.keep(spec, slot);
            Ok(())
        })
    }

    fn until_ready(&self, id: Uuid) -> BoxFuture<'_, bool> {
        Box::pin(self.services.until_ready(id))
    }

    fn put_away(&self, id: Uuid) -> BoxFuture<'_, Result<(), ServicesError>> {
        Box::pin(async move {
            drop(self.services.stop(id).await);
            let failed = |error| ServicesError(format!("cannot put the data of {id} away: {error}"));
            self.put_away_volume(id).map_err(failed)
        })
    }

    fn open(&self, ways: BTreeMap<AppId, Vec<AddOn>>) -> BoxFuture<'_, Result<(), ServicesError>> {
        Box::pin(async move {
            let attached = |add_on: AddOn| {
                let port = stack::service(&add_on.service).ok()?.port;
                let at = SocketAddrV4::new(self.services.address(add_on.slot), port);
                Some(Attached { host: add_on.host(), at })
            };
            let ways = ways
                .into_iter()
                .map(|(app, add_ons)| (app, add_ons.into_iter().filter_map(attached).collect()));
            let opened = self.services.gate().attach(ways.collect()).await;
            opened.map_err(|error| ServicesError(format!("cannot open the ways to data services: {error}")))
        })
    }

    fn clear_others(&self, wanted: BTreeSet<Uuid>) -> BoxFuture<'_, Result<(), ServicesError>> {
        Box::pin(async move {
            self.services.clear_others(&wanted).await;
            for id in names(&volumes_dir(&self.lib_dir), |name| name.parse::<Uuid>().ok()) {
                if !wanted.contains(&id) {
                    let failed = |error| ServicesError(format!("cannot put the data of {id} away: {error}"));
                    self.put_away_volume(id).map_err(failed)?;
                }
            }
            Ok(())
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<(), ServicesError>> {
        Box::pin(async move {
            let away = away_dir(&self.lib_dir);
            let now = clock::now();
            for name in names(&away, |name| is_over(name, now).then(|| name.to_owned())) {
                let path = away.join(&name);
                let removed = tokio::task::spawn_blocking(move || fs::remove_tree(&path)).await;
                if let Ok(Err(error)) = removed {
                    return Err(ServicesError(format!("cannot remove the data of {name}: {error}")));
                }
            }
            Ok(())
        })
    }

    fn memory(&self, id: Uuid) -> Option<Bytes> {
        self.services.memory(id)
    }
}

/// Whether what was put away under that name has been kept long enough. Other names are not ours to judge.
fn is_over(name: &str, now: SystemTime) -> bool {
    let since = name.split_once(AWAY_MARK).and_then(|(_, since)| since.parse().ok()).map(Duration::from_secs);
    let age = since.and_then(|since| now.duration_since(UNIX_EPOCH + since).ok());
    age.is_some_and(|age| age.as_secs() >= KEPT_S)
}

/// What `read` makes of the names in a directory; nothing where there is none.
fn names<T>(dir: &Path, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| read(entry.file_name().to_str()?)).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn data_is_kept_for_seven_days_and_other_files_for_ever() {
        let at = |s| UNIX_EPOCH + Duration::from_secs(s);
        assert!(!is_over("00ff@1000", at(1000 + KEPT_S - 1)));
        assert!(is_over("00ff@1000", at(1000 + KEPT_S)));
        assert!(!is_over("notes", at(u32::MAX.into())) && !is_over("00ff@x", at(u32::MAX.into())));
        assert!(!is_over("00ff@1000", at(0)), "a clock that was set back removes nothing");
    }
}
