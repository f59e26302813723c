//! The data services as the stories ask for them: add-ons in, packages laid over the stack, volumes put away and swept.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::daemon::{Config, streams};
use crate::domain::{AddOn, AppId, AttachmentName, Bytes, StackName};
use crate::flows::ports::{Act, Connection, DataServices, Forked, RemovedData, ServicesError, Streams, Work};
use crate::runtime::StdioKind;
use crate::runtime::slots::Slot;
use crate::stack::{self, Silent, Stack};
use crate::supervisor::engine::Visiting;
use crate::supervisor::service::{self, ActError, Attached, ServiceSpec, Services};
use crate::sys::{clock, fs};

/// How long data of a destroyed add-on is kept, seconds: seven days.
const KEPT_S: u64 = 7 * 24 * 60 * 60;
/// How long a service may take to answer that was made for a backup to be tried out, seconds.
const TRY_TIMEOUT_S: u64 = 120;
/// What is beside the data of a service that was made for a backup to be tried out, and ends with that.
const TRIED_EXTENSION: &str = "tried";
const TRIED_MARK: &str = ".tried";
/// What stands between the identity of a service that was put away and when that was.
const AWAY_MARK: char = '@';

/// The services that run, and the disk they are on.
pub(super) struct SupervisedServices {
    pub(super) services: Services,
    pub(super) lib_dir: PathBuf,
    stack: StackName,
    /// Slots held for services that are not kept yet.
    held: Mutex<BTreeMap<u32, Slot>>,
    /// What is of no record, and not to be put away for that: services that were made for backups to be tried out, and data that is
    /// brought back until its add-on is kept.
    aside: Mutex<BTreeSet<Uuid>>,
    /// Services that are given other data, and reached by nobody meanwhile.
    forking: Mutex<BTreeSet<Uuid>>,
    /// Who starts or ends a service waits for who does.
    turns: Mutex<BTreeMap<Uuid, Arc<tokio::sync::Mutex<()>>>>,
    /// What the dynos of each app are to reach.
    ways: tokio::sync::Mutex<BTreeMap<AppId, Vec<AddOn>>>,
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
        let (held, aside, forking, turns, ways) = Default::default();
        Self { services, lib_dir, stack, held, aside, forking, turns, ways }
    }

    /// A turn at starting and ending a service, which lasts until it is dropped.
    pub(super) async fn turn(&self, id: Uuid) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(all.entry(id).or_default())
        };
        turn.lock_owned().await
    }

    pub(super) fn forking(&self) -> MutexGuard<'_, BTreeSet<Uuid>> {
        self.forking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn aside(&self) -> MutexGuard<'_, BTreeSet<Uuid>> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<u32, Slot>> {
        // A map is whole after every operation, so a panic elsewhere leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that is needed to run it; its packages are laid over the stack first, where they are not there.
    pub(super) async fn spec(&self, add_on: AddOn) -> Result<ServiceSpec, ServicesError> {
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
            generation: add_on.generation,
            layers: stack.run_layers(),
            env: stack.env,
        })
    }

    /// Opens the ways of dynos as they are to be, but for those to services that nobody reaches at the moment.
    pub(super) async fn settle_ways(&self) -> Result<(), ServicesError> {
        self.open_only(&*self.ways.lock().await).await
    }

    async fn open_only(&self, ways: &BTreeMap<AppId, Vec<AddOn>>) -> Result<(), ServicesError> {
        let attached = |add_on: &AddOn| {
            let port = stack::service(&add_on.service).ok()?.port;
            let at = SocketAddrV4::new(self.services.address(add_on.slot), port);
            let is_reached = !self.forking().contains(&add_on.id);
            is_reached.then(|| Attached { host: add_on.host(), at })
        };
        let ways = ways.iter().map(|(app, add_ons)| (*app, add_ons.iter().filter_map(attached).collect()));
        let opened = self.services.gate().attach(ways.collect()).await;
        opened.map_err(|error| ServicesError(format!("cannot open the ways to data services: {error}")))
    }

    /// Starts a command in a service; nothing where it does not answer.
    async fn enter(&self, id: Uuid, act: Act, stdio: StdioKind) -> Result<Option<Visiting>, ServicesError> {
        if self.forking().contains(&id) {
            return Ok(None);
        }
        let Act { name, script, args, env } = act;
        match self.services.act(id, service::Act { script, args, env, stdio }).await {
            Ok(visiting) => Ok(Some(visiting)),
            Err(ActError::Away) => Ok(None),
            Err(error) => Err(ServicesError(format!("cannot do {name} in {id}: {}", chain(&error)))),
        }
    }

    /// Writes what the data of a service is of, for the time when its record is gone. What its app has it as stays as it was said last.
    fn write_card(&self, add_on: &AddOn, attachment: Option<&AttachmentName>) -> io::Result<()> {
        let dir = volumes_dir(&self.lib_dir);
        let path = dir.join(card_name(&add_on.id.to_string()));
        let before = read_card(&path);
        let attachment = attachment.map(ToString::to_string);
        let card = Card {
            name: add_on.name.to_string(),
            service: add_on.service.clone(),
            plan: add_on.plan.clone(),
            attachment: attachment.or_else(|| before.as_ref()?.attachment.clone()),
        };
        if before.as_ref() == Some(&card) {
            return Ok(());
        }
        std::fs::create_dir_all(&dir)?;
        fs::write_atomically(&path, &serde_json::to_vec(&card)?)
    }

    /// Removes what was made for backups to be tried out by a process that has ended since.
    fn sweep_tried(&self) -> io::Result<()> {
        let dir = volumes_dir(&self.lib_dir);
        let marked = |name: &str| name.strip_suffix(TRIED_MARK)?.parse::<Uuid>().ok();
        for id in names(&dir, marked) {
            if !self.aside().contains(&id) {
                remove_tried(&self.services.volume(id))?;
            }
        }
        Ok(())
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
            let _turn = self.turn(id).await;
            self.write_card(&add_on, None).map_err(unlabelled(&add_on))?;
            // What is kept has a record.
            self.aside().remove(&id);
            let spec = self.spec(add_on).await?;
            let stopped = self.services.stop(id).await;
            let slot = stopped.or_else(|| self.held().remove(&slot));
            let slot =
                slot.ok_or_else(|| ServicesError(format!("{}: its slot is not its own", spec.host)))?;
            self.services.keep(spec, slot);
            Ok(())
        })
    }

    fn label(&self, add_on: &AddOn, attachment: &AttachmentName) -> Result<(), ServicesError> {
        self.write_card(add_on, Some(attachment)).map_err(unlabelled(add_on))
    }

    fn until_ready(&self, id: Uuid) -> BoxFuture<'_, bool> {
        Box::pin(self.services.until_ready(id))
    }

    fn put_away(&self, id: Uuid) -> BoxFuture<'_, Result<(), ServicesError>> {
        Box::pin(async move {
            let _turn = self.turn(id).await;
            drop(self.services.stop(id).await);
            let failed = |error| ServicesError(format!("cannot put the data of {id} away: {error}"));
            let away = put_away_volume(&self.lib_dir, id);
            self.aside().remove(&id);
            away.map_err(failed)
        })
    }

    fn open(&self, ways: BTreeMap<AppId, Vec<AddOn>>) -> BoxFuture<'_, Result<(), ServicesError>> {
        Box::pin(async move {
            let mut kept = self.ways.lock().await;
            *kept = ways;
            self.open_only(&kept).await
        })
    }

    fn clear_others(&self, mut wanted: BTreeSet<Uuid>) -> BoxFuture<'_, Result<(), ServicesError>> {
        Box::pin(async move {
            wanted.extend(self.aside().iter());
            self.services.clear_others(&wanted).await;
            let failed =
                |error| ServicesError(format!("cannot remove what backups were tried out with: {error}"));
            self.sweep_tried().map_err(failed)?;
            self.settle_forks().await?;
            for id in names(&volumes_dir(&self.lib_dir), |name| name.parse::<Uuid>().ok()) {
                if !wanted.contains(&id) {
                    let failed = |error| ServicesError(format!("cannot put the data of {id} away: {error}"));
                    put_away_volume(&self.lib_dir, id).map_err(failed)?;
                }
            }
            Ok(())
        })
    }

    fn removed(&self) -> Vec<RemovedData> {
        let away = away_dir(&self.lib_dir);
        let mut all = names(&away, |name| {
            let (id, since) = name.split_once(AWAY_MARK)?;
            let (id, since) = (id.parse::<Uuid>().ok()?, since.parse::<i64>().ok()?);
            let Card { name, service, plan, attachment } = card(&self.lib_dir, id, name)?;
            let kept_until_s = since.saturating_add(i64::try_from(KEPT_S).unwrap_or(i64::MAX));
            Some(RemovedData { id, name, service, plan, attachment, removed_at_s: since, kept_until_s })
        });
        all.sort_by_key(|removed| std::cmp::Reverse(removed.removed_at_s));
        all
    }

    fn bring_back(&self, from: Uuid, to: Uuid) -> BoxFuture<'_, Result<bool, ServicesError>> {
        Box::pin(async move {
            let away = away_dir(&self.lib_dir);
            let found = names(&away, |name| {
                let (id, since) = name.split_once(AWAY_MARK)?;
                (id == from.to_string() && since.parse::<u64>().is_ok()).then(|| name.to_owned())
            });
            let Some(name) = found.into_iter().next() else { return Ok(false) };
            self.aside().insert(to);
            let moved = bring_back_volume(&self.lib_dir, (from, &name), to);
            moved.map_err(|error| ServicesError(format!("cannot bring the data of {from} back: {error}")))?;
            Ok(true)
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

    fn act(
        &self,
        id: Uuid,
        act: Act,
        connection: Connection,
    ) -> BoxFuture<'_, Result<Option<Streams>, ServicesError>> {
        let stdio = match connection {
            Connection::Terminal { rows, cols } => StdioKind::Terminal { rows, cols },
            Connection::Pipes | Connection::Log => StdioKind::Pipes,
        };
        Box::pin(async move {
            let Some(visiting) = self.enter(id, act, stdio).await? else { return Ok(None) };
            streams::join_visit(visiting).map_err(unwatched)
        })
    }

    fn work(&self, id: Uuid, act: Act) -> BoxFuture<'_, Result<Option<Work>, ServicesError>> {
        Box::pin(async move {
            let Some(visiting) = self.enter(id, act, StdioKind::Pipes).await? else { return Ok(None) };
            streams::apart(visiting).map_err(unwatched)
        })
    }

    fn try_out(&self, like: AddOn) -> BoxFuture<'_, Result<Uuid, ServicesError>> {
        Box::pin(async move {
            let none = || ServicesError("the node runs as many containers as it can".to_owned());
            let slot = self.services.new_slot().ok_or_else(none)?;
            let id = Uuid::new_v4();
            let spec = self.spec(AddOn { id, slot: slot.number(), ..like }).await?;
            self.aside().insert(id);
            let volume = self.services.volume(id);
            // Before there is anything: a process that ends in between leaves nothing that the next one takes for somebody's data.
            let marked = volume.parent().map_or(Ok(()), std::fs::create_dir_all);
            let marked = marked.and_then(|()| std::fs::write(volume.with_extension(TRIED_EXTENSION), ""));
            if let Err(error) = marked {
                self.aside().remove(&id);
                return Err(ServicesError(format!("cannot mark {}: {error}", volume.display())));
            }
            self.services.keep(spec, slot);
            let ready = self.services.until_ready(id);
            match tokio::time::timeout(Duration::from_secs(TRY_TIMEOUT_S), ready).await {
                Ok(true) => Ok(id),
                Ok(false) | Err(_) => {
                    self.discard(id).await?;
                    let reason = "a service that was made for a backup to be tried out does not answer";
                    Err(ServicesError(reason.to_owned()))
                }
            }
        })
    }

    fn discard(&self, id: Uuid) -> BoxFuture<'_, Result<(), ServicesError>> {
        Box::pin(async move {
            drop(self.services.stop(id).await);
            let volume = self.services.volume(id);
            let removed = tokio::task::spawn_blocking(move || remove_tried(&volume)).await;
            self.aside().remove(&id);
            match removed {
                Ok(Err(error)) => Err(ServicesError(format!("cannot remove the data of {id}: {error}"))),
                Ok(Ok(())) | Err(_) => Ok(()),
            }
        })
    }

    fn fork(&self, from: AddOn, to: AddOn) -> BoxFuture<'_, Result<Forked, ServicesError>> {
        Box::pin(self.fork_data(from, to))
    }

    fn memory(&self, id: Uuid) -> Option<Bytes> {
        self.services.memory(id)
    }
}

/// An error and what it was caused by, outermost first.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    std::iter::once(error).chain(causes).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn unwatched(error: io::Error) -> ServicesError {
    ServicesError(format!("cannot watch the streams of a command in a data service: {error}"))
}

/// What data is of, beside it on disk.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Card {
    name: String,
    service: String,
    plan: String,
    /// What its app had it as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attachment: Option<String>,
}

fn read_card(path: &Path) -> Option<Card> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// What data is of that was put away as `name`, from beside it, or from where it was when that was cut off.
fn card(lib_dir: &Path, id: Uuid, name: &str) -> Option<Card> {
    cards(lib_dir, id, name).iter().find_map(|path| read_card(path))
}

fn cards(lib_dir: &Path, id: Uuid, name: &str) -> [PathBuf; 2] {
    [away_dir(lib_dir).join(card_name(name)), volumes_dir(lib_dir).join(card_name(&id.to_string()))]
}

/// Puts the data of a service away, and what it is of after it.
fn put_away_volume(lib_dir: &Path, id: Uuid) -> io::Result<()> {
    let (volume, away) = (volumes_dir(lib_dir).join(id.to_string()), away_dir(lib_dir));
    if !volume.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&away)?;
    let now_s = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let name = format!("{id}{AWAY_MARK}{now_s}");
    std::fs::rename(&volume, away.join(&name))?;
    let [beside, before] = cards(lib_dir, id, &name);
    if before.exists() {
        std::fs::rename(before, beside)?;
    }
    fs::sync_dir(&away)
}

/// Has data that was put away as `name` be that of the service `to`. What it is of is known at every moment: without that nobody sees
/// it, and it is removed after some days.
fn bring_back_volume(lib_dir: &Path, (from, name): (Uuid, &str), to: Uuid) -> io::Result<()> {
    let (away, volumes) = (away_dir(lib_dir), volumes_dir(lib_dir));
    let card = card(lib_dir, from, name).ok_or(io::ErrorKind::NotFound)?;
    let new = volumes.join(card_name(&to.to_string()));
    std::fs::create_dir_all(&volumes)?;
    fs::write_atomically(&new, &serde_json::to_vec(&card)?)?;
    if let Err(error) = std::fs::rename(away.join(name), volumes.join(to.to_string())) {
        let _left_over = std::fs::remove_file(new);
        return Err(error);
    }
    fs::sync_dir(&away)?;
    fs::sync_dir(&volumes)?;
    for old in cards(lib_dir, from, name) {
        let _none_or_left_over = std::fs::remove_file(old);
    }
    Ok(())
}

fn unlabelled(add_on: &AddOn) -> impl FnOnce(io::Error) -> ServicesError + use<> {
    let name = add_on.name.to_string();
    move |error| ServicesError(format!("cannot label the data of {name}: {error}"))
}

/// Removes the data of a service that was made for a backup to be tried out, half made or whole, and its mark last.
fn remove_tried(volume: &Path) -> io::Result<()> {
    for dir in [volume.to_owned(), volume.with_extension("new")] {
        match fs::remove_tree(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    match std::fs::remove_file(volume.with_extension(TRIED_EXTENSION)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The name of the file beside a directory of data.
fn card_name(of: &str) -> String {
    format!("{of}.json")
}

/// Whether what was put away under that name has been kept long enough. Other names are not ours to judge.
fn is_over(name: &str, now: SystemTime) -> bool {
    let since = name.trim_end_matches(".json").split_once(AWAY_MARK);
    let since = since.and_then(|(_, since)| since.parse().ok()).map(Duration::from_secs);
    let age = since.and_then(|since| now.duration_since(UNIX_EPOCH + since).ok());
    age.is_some_and(|age| age.as_secs() >= KEPT_S)
}

/// What `read` makes of the names in a directory; nothing where there is none.
pub(super) fn names<T>(dir: &Path, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| read(entry.file_name().to_str()?)).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_a_backup_was_tried_out_with_goes_with_its_mark() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join(Uuid::new_v4().to_string());
        for made in [&volume, &volume.with_extension("new")] {
            std::fs::create_dir_all(made.join("pg")).unwrap();
        }
        std::fs::write(volume.with_extension(TRIED_EXTENSION), "").unwrap();
        remove_tried(&volume).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        remove_tried(&volume).unwrap();
    }

    #[test]
    fn data_says_what_it_is_of_wherever_it_is_brought() {
        let dir = tempfile::tempdir().unwrap();
        let lib_dir = dir.path();
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        std::fs::create_dir_all(volumes_dir(lib_dir).join(from.to_string()).join("pg")).unwrap();
        let text = r#"{"name":"books","service":"s","plan":"p","attachment":"MAIN"}"#;
        std::fs::write(volumes_dir(lib_dir).join(card_name(&from.to_string())), text).unwrap();
        let there = |id: Uuid| {
            let all =
                names(&away_dir(lib_dir), |name| name.starts_with(&id.to_string()).then(|| name.to_owned()));
            let name = all.into_iter().find(|name| !is_card(name)).unwrap();
            (card(lib_dir, id, &name).unwrap().attachment, name)
        };
        put_away_volume(lib_dir, from).unwrap();
        let (attachment, name) = there(from);
        assert_eq!(attachment.as_deref(), Some("MAIN"));
        bring_back_volume(lib_dir, (from, &name), to).unwrap();
        assert_eq!(std::fs::read_dir(away_dir(lib_dir)).unwrap().count(), 0);
        // Its record could not be made.
        put_away_volume(lib_dir, to).unwrap();
        assert_eq!(there(to).0.as_deref(), Some("MAIN"));
        assert!(away_dir(lib_dir).join(there(to).1).join("pg").exists());
        assert_eq!(std::fs::read_dir(volumes_dir(lib_dir)).unwrap().count(), 0);
    }

    fn is_card(name: &str) -> bool {
        name.ends_with(".json")
    }

    #[test]
    fn a_card_of_an_earlier_program_says_no_attachment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("card.json");
        std::fs::write(&path, r#"{"name":"books","service":"s","plan":"p"}"#).unwrap();
        assert_eq!(read_card(&path).unwrap().attachment, None);
    }

    #[test]
    fn data_is_kept_for_seven_days_and_other_files_for_ever() {
        let at = |s| UNIX_EPOCH + Duration::from_secs(s);
        assert!(!is_over("00ff@1000", at(1000 + KEPT_S - 1)));
        assert!(is_over("00ff@1000", at(1000 + KEPT_S)) && is_over("00ff@1000.json", at(1000 + KEPT_S)));
        assert!(!is_over("notes", at(u32::MAX.into())) && !is_over("00ff@x", at(u32::MAX.into())));
        assert!(!is_over("00ff@1000", at(0)), "a clock that was set back removes nothing");
    }
}
