//! Backups: taken, restored from, tried out, copied without a file between, and kept for as long as the node is told.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::domain::{
    AddOn, App, AppId, BackupSchedule, Service, Transfer, TransferCause, TransferKind, is_time_to_verify,
    outlived,
};
use crate::flows::Node;
use crate::flows::add_ons::acts::begin_work;
use crate::flows::add_ons::stream::{self, Broken, Moved, Progress};
use crate::flows::add_ons::transfers::{self, file};
use crate::flows::add_ons::{AddOnView, Inventory};
use crate::flows::error::FlowError;
use crate::flows::ports::Forked;
use crate::store::NewTransfer;
use crate::sys::clock;
use crate::wire::api_errors::AddOnRefusal;
use crate::wire::logline::ApiLine;
use crate::wire::transfer_text;

/// Between two looks at which backups are due, seconds.
const LOOK_S: u64 = 30;
/// How long the name of a file of a backup can be used, seconds.
const LINK_AGE_MAX_S: u64 = 60 * 60;
/// The most such names of an app at once; a further one takes the place of its oldest.
const LINKS_PER_APP_MAX: usize = 10;
/// What is before the name in the paths of such URLs.
const LINK_PATH: &str = "/backup-files/";

/// Names under which whoever knows them reads files of backups.
#[derive(Default)]
pub(in crate::flows) struct Links(Mutex<HashMap<Uuid, Link>>);

/// What a name is of.
struct Link {
    backup: Uuid,
    app: AppId,
    since: Instant,
}

impl Links {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Uuid, Link>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, link| link.since.elapsed() < Duration::from_secs(LINK_AGE_MAX_S));
        act(&mut all)
    }

    fn add(&self, name: Uuid, new: Link) {
        self.with(|all| {
            let own = all.iter().filter(|(_, link)| link.app == new.app);
            if own.clone().count() >= LINKS_PER_APP_MAX
                && let Some(oldest) = own.min_by_key(|(_, link)| link.since).map(|(name, _)| *name)
            {
                all.remove(&oldest);
            }
            all.insert(name, new);
        });
    }
}

/// Has a backup of an add-on begun, in the list of an app that has it.
///
/// # Errors
/// Its service knows no backups or does not answer, a transfer of it goes on, or the node fails.
pub async fn capture_backup(
    node: &Node,
    (view, app): (&AddOnView, &App),
    cause: TransferCause,
) -> Result<Transfer, FlowError> {
    let command = able(view, &view.service.commands.backup)?;
    let id = Uuid::new_v4();
    let place = transfers::begin(node, id, &[view])?;
    let work = begin_work(node, (view.add_on.id, &view.add_on.name), ("backup", command)).await?;
    let new = NewTransfer {
        id,
        app: app.id,
        add_on: view.add_on.id,
        kind: TransferKind::Backup,
        cause,
        from: shown(view, app),
        to: "BACKUP".to_owned(),
    };
    let path = file(node, id);
    transfers::spawn(
        node,
        (new, place),
        |progress| async move { stream::into_file(work, &path, &progress).await },
    )
    .await
}

/// Has an add-on restored from a backup: what it holds is replaced at the end, or not at all.
///
/// # Errors
/// The backup is not whole, the service knows no backups or does not answer, a transfer of it goes on, or the node fails.
pub async fn restore_backup(
    node: &Node,
    (view, app): (&AddOnView, &App),
    backup: &Transfer,
) -> Result<Transfer, FlowError> {
    let command = able(view, &view.service.commands.restore)?;
    let digest = whole(backup)?;
    let id = Uuid::new_v4();
    let place = transfers::begin(node, id, &[view])?;
    let new = NewTransfer {
        id,
        app: app.id,
        add_on: view.add_on.id,
        kind: TransferKind::Restore,
        cause: TransferCause::Asked,
        from: backup.name().to_string(),
        to: shown(view, app),
    };
    let (path, to, doer) = (file(node, backup.id), view.clone(), node.clone());
    transfers::spawn(node, (new, place), |progress| async move {
        tokio::select! {
            checked = stream::check(&path, &digest) => checked?,
            () = progress.cancel.cancelled() => return Err(Broken::Cancelled),
        }
        let work = begin_work(&doer, (to.add_on.id, &to.add_on.name), ("restore", command)).await;
        stream::from_file(&path, &digest, work.map_err(|error| broken(&error))?, &progress).await
    })
    .await
}

/// Has what is in an add-on put in the place of what is in another of the same service.
///
/// # Errors
/// They are of different services, the service knows no backups or does not answer, a transfer of either goes on, or the node fails.
pub async fn copy_add_on(
    node: &Node,
    (from, to): (&AddOnView, &AddOnView),
    app: &App,
) -> Result<Transfer, FlowError> {
    if from.service.name != to.service.name || from.add_on.id == to.add_on.id {
        let (from, to) = (from.add_on.name.to_string(), to.add_on.name.to_string());
        return Err(AddOnRefusal::CopyBetween { from, to }.into());
    }
    let (backup, restore) =
        (able(from, &from.service.commands.backup)?, able(to, &to.service.commands.restore)?);
    let (commands, id) = ((backup.to_owned(), restore.to_owned()), Uuid::new_v4());
    let place = transfers::begin(node, id, &[from, to])?;
    let new = NewTransfer {
        id,
        app: app.id,
        add_on: to.add_on.id,
        kind: TransferKind::Copy,
        cause: TransferCause::Asked,
        from: shown(from, app),
        to: shown(to, app),
    };
    let (doer, from, to) = (node.clone(), from.add_on.clone(), to.add_on.clone());
    transfers::spawn(node, (new, place), |progress| async move {
        if let Some(moved) = fork(&doer, (&from, &to), &progress).await? {
            return Ok(moved);
        }
        let (backup, restore) = commands;
        let reads = begin_work(&doer, (from.id, &from.name), ("backup", &backup)).await;
        let writes = begin_work(&doer, (to.id, &to.name), ("restore", &restore)).await;
        let broken = |error| broken(&error);
        stream::between(reads.map_err(broken)?, writes.map_err(broken)?, &progress).await
    })
    .await
}

/// Whether a new add-on of a service can be given the contents of another: the identity of that.
pub(super) fn forkable(from: &AddOnView, service: &Service) -> Result<Uuid, FlowError> {
    if from.service.name != service.name {
        let (from, to) = (from.add_on.name.to_string(), service.name.clone());
        return Err(AddOnRefusal::CopyBetween { from, to }.into());
    }
    able(from, &from.service.commands.restore)?;
    if !from.add_on.provisioned {
        return Err(AddOnRefusal::AddOnCreating(from.add_on.name.to_string()).into());
    }
    Ok(from.add_on.id)
}

/// The files of one in the place of the other's, where they can be copied without their contents being read. Nothing where they cannot.
async fn fork(
    node: &Node,
    (from, to): (&AddOn, &AddOn),
    progress: &Progress,
) -> Result<Option<Moved>, Broken> {
    let (doer, source, target) = (node.clone(), from.clone(), to.clone());
    // Goes on to its end when nobody wants it any more: a service is not left without its data.
    progress.hold();
    let done = tokio::spawn(async move { doer.services().fork(source, target).await }).await;
    progress.release();
    match done {
        Ok(Ok(Forked::Whole(bytes))) => {
            tracing::info!(from = %from.name, to = %to.name, "an add-on has a copy of the files of another");
            Ok(Some(Moved { bytes: bytes.0, digest: None }))
        }
        Ok(Ok(Forked::Refused(why))) => {
            tracing::info!(from = %from.name, to = %to.name, why, "an add-on is filled from a dump of another");
            Ok(None)
        }
        Ok(Err(error)) => Err(broken(&error.into())),
        Err(_) => Err(Broken::Failed(transfer_text::SHUTTING_DOWN.to_owned())),
    }
}

/// Tries a backup out: it is restored into a container that was made for it, and is gone afterwards. What comes of it is recorded, whether
/// or not anybody waits for it.
///
/// # Errors
/// The backup is not whole or is tried out already, nobody knows its service any more, or the node has no room for it, or fails.
pub async fn verify_backup(node: &Node, backup: &Transfer) -> Result<Transfer, FlowError> {
    // Ends with the trial: a client that goes away leaves no container behind.
    let trial = tokio::spawn(try_out(node.clone(), backup.clone()));
    trial.await.map_err(FlowError::fault("try a backup out"))?
}

async fn try_out(node: Node, backup: Transfer) -> Result<Transfer, FlowError> {
    let digest = whole(&backup)?;
    let all = Inventory::take(&node).await?;
    let view = all.all_add_ons(&node).into_iter().find(|view| view.add_on.id == backup.add_on);
    let view = view.ok_or_else(|| AddOnRefusal::BackupOfNothing(backup.name().to_string()))?;
    let command = able(&view, &view.service.commands.restore)?;
    let place = transfers::begin_trial(&node, &backup)?;
    let path = file(&node, backup.id);
    if !stream::is_room(&path, backup.bytes) {
        return Err(AddOnRefusal::NoRoomToTry(backup.name().to_string()).into());
    }
    let scratch = node.services().try_out(view.add_on.clone()).await?;
    let tried = async {
        stream::check(&path, &digest).await?;
        let work = begin_work(&node, (scratch, &view.add_on.name), ("restore", command)).await;
        stream::from_file(&path, &digest, work.map_err(|error| broken(&error))?, &place.progress).await
    };
    let fault = match tried.await {
        Ok(_) => None,
        Err(Broken::Cancelled) => Some(transfer_text::CUT_OFF.to_owned()),
        Err(Broken::Failed(fault)) => Some(fault),
    };
    if let Some(fault) = &fault {
        tracing::error!(backup = %backup.name(), add_on = %view.add_on.name, fault, "a backup cannot be restored from");
    }
    // What came of it is known, whatever becomes of what it was tried with.
    let noted = node.store().note_verified(backup.id, fault).await;
    node.services().discard(scratch).await?;
    noted?;
    Ok(node.store().transfer(backup.id).await?.unwrap_or(backup))
}

/// A path under which whoever has it reads the file of a backup for an hour, and the Unix time at which that hour is over, seconds.
///
/// # Errors
/// The backup is not whole.
pub fn backup_link(node: &Node, backup: &Transfer) -> Result<(String, i64), FlowError> {
    whole(backup)?;
    let name = Uuid::new_v4();
    node.links().add(name, Link { backup: backup.id, app: backup.app, since: Instant::now() });
    let over_s = now().as_second() + i64::try_from(LINK_AGE_MAX_S).unwrap_or(i64::MAX);
    Ok((format!("{LINK_PATH}{name}"), over_s))
}

/// The name in the URL of such a path, at whatever address of the node; nothing in one of anything else.
#[must_use]
pub fn link_name(url: &str) -> Option<Uuid> {
    let (_, rest) = url.split_once("://")?;
    let path = &rest[rest.find('/')?..];
    path.split('?').next()?.strip_prefix(LINK_PATH)?.parse().ok()
}

/// The file behind such a path, and its length; nothing where there is none any more.
///
/// # Errors
/// The file cannot be read.
pub async fn linked_backup(node: &Node, name: Uuid) -> Result<Option<(tokio::fs::File, u64)>, FlowError> {
    let Some(id) = linked_id(node, name) else { return Ok(None) };
    let file = match tokio::fs::File::open(file(node, id)).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(FlowError::fault("read a backup"))?,
    };
    let length = file.metadata().await.map_err(FlowError::fault("read a backup"))?.len();
    Ok(Some((file, length)))
}

/// Which backup such a path is of.
///
/// # Errors
/// The database fails.
pub async fn linked_transfer(node: &Node, name: Uuid) -> Result<Option<Transfer>, FlowError> {
    let Some(id) = linked_id(node, name) else { return Ok(None) };
    Ok(node.store().transfer(id).await?)
}

fn linked_id(node: &Node, name: Uuid) -> Option<Uuid> {
    node.links().with(|all| all.get(&name).map(|link| link.backup))
}

/// Removes what there is of a backup's file, and its names.
pub(super) async fn forget_file(node: &Node, id: Uuid) {
    node.links().with(|all| all.retain(|_, link| link.backup != id));
    let path = file(node, id);
    let removal = tokio::task::spawn_blocking(move || {
        for path in [path.with_extension("new"), path] {
            remove(&path);
        }
    });
    if removal.await.is_err() {
        tracing::warn!(backup = %id, "the removal of a backup's file was cut short");
    }
}

/// Has backups of an add-on taken once a day, in the place of what was said before.
///
/// # Errors
/// Its service knows no backups, the hour or the time zone is none, or the node fails.
pub async fn schedule_backups(
    node: &Node,
    view: &AddOnView,
    (name, hour, zone): (&str, u8, &str),
) -> Result<BackupSchedule, FlowError> {
    able(view, &view.service.commands.backup)?;
    if hour > 23 || TimeZone::get(zone).is_err() {
        let zone: String = zone.chars().take(63).collect();
        return Err(AddOnRefusal::BackupTime { hour, zone }.into());
    }
    let schedule = BackupSchedule {
        id: Uuid::new_v4(),
        add_on: view.add_on.id,
        name: name.chars().take(63).collect(),
        hour,
        zone: zone.to_owned(),
        looked_at_s: now().as_second(),
    };
    node.store().set_backup_schedule(schedule.clone()).await?;
    Ok(schedule)
}

/// When backups of an add-on are taken.
///
/// # Errors
/// The node fails.
pub async fn backup_schedules(node: &Node, view: &AddOnView) -> Result<Vec<BackupSchedule>, FlowError> {
    let mut all = node.store().backup_schedules().await?;
    all.retain(|schedule| schedule.add_on == view.add_on.id);
    Ok(all)
}

/// Has no more backups of an add-on taken by themselves.
///
/// # Errors
/// The node fails.
pub async fn unschedule_backups(node: &Node, view: &AddOnView) -> Result<(), FlowError> {
    Ok(node.store().remove_backup_schedule(view.add_on.id).await?)
}

/// Takes backups when they are due, and lets go what has been kept long enough, for as long as the node serves.
pub async fn keep_backups(node: Node) {
    let mut told = BTreeSet::new();
    loop {
        if let Err(error) = look(&node, now(), &mut told).await {
            tracing::error!(error = &error as &dyn std::error::Error, "backups wait");
        }
        tokio::time::sleep(Duration::from_secs(LOOK_S)).await;
    }
}

/// Tries the newest backups out at night, for as long as the node serves. That may take hours, in which others are due.
pub async fn verify_backups(node: Node) {
    let mut verified = None;
    loop {
        let today = now().to_zoned(TimeZone::UTC);
        if is_time_to_verify(&today, verified) {
            verified = Some(today.date());
            if let Err(error) = verify_newest(&node).await {
                tracing::error!(error = &error as &dyn std::error::Error, "backups are not tried out");
            }
        }
        tokio::time::sleep(Duration::from_secs(LOOK_S)).await;
    }
}

/// Takes the backups that are due at `now`, and lets go what has been kept long enough. One that cannot be taken keeps no other from
/// it. `told` has the schedules whose apps know that they wait.
pub(in crate::flows) async fn look(
    node: &Node,
    now: Timestamp,
    told: &mut BTreeSet<Uuid>,
) -> Result<(), FlowError> {
    for schedule in node.store().backup_schedules().await? {
        let zone = TimeZone::get(&schedule.zone).unwrap_or(TimeZone::UTC);
        if !schedule.is_due(&now.to_zoned(zone)) {
            continue;
        }
        if let Err(error) = take_due(node, now, &schedule, told).await {
            let (add_on, error) = (schedule.add_on, &error as &dyn std::error::Error);
            tracing::error!(%add_on, error, "a backup that is due is not taken; it is tried again");
        }
    }
    expire(node, now).await
}

/// Takes a backup that is due. What is refused is tried again until it can begin.
async fn take_due(
    node: &Node,
    now: Timestamp,
    schedule: &BackupSchedule,
    told: &mut BTreeSet<Uuid>,
) -> Result<(), FlowError> {
    let all = Inventory::take(node).await?.all_add_ons(node);
    let Some(view) = all.into_iter().find(|view| view.add_on.id == schedule.add_on) else { return Ok(()) };
    match capture_backup(node, (&view, &view.app), TransferCause::Schedule).await {
        Err(FlowError::Refused(refusal)) => {
            let (add_on, why) = (view.add_on.name.to_string(), refusal.to_string());
            tracing::warn!(add_on, why, "a backup that is due waits");
            // Who has the app can mend it.
            if told.insert(schedule.id) {
                node.tell(view.app.id, &ApiLine::BackupWaits { add_on, why });
            }
            Ok(())
        }
        begun => {
            begun?;
            told.remove(&schedule.id);
            // Of what was read alone: it may have been ended or replaced since.
            Ok(node.store().note_backup_looked_at(schedule.id, now.as_second()).await?)
        }
    }
}

/// Lets go what has been kept long enough.
async fn expire(node: &Node, now: Timestamp) -> Result<(), FlowError> {
    let (kept, now_s) = (node.settings().quotas.backups, now.as_second());
    node.store().remove_records_before(kept.since_s(now_s)).await?;
    for add_on in node.store().backed_up().await? {
        for gone in outlived(&node.store().backups_of(add_on).await?, kept, now_s) {
            if transfers::is_tried(node, gone) {
                continue;
            }
            node.store().remove_transfer(gone).await?;
            forget_file(node, gone).await;
        }
    }
    Ok(())
}

/// Tries the newest whole backup of each add-on out, where that was not done. One that cannot be keeps no other from it.
pub(in crate::flows) async fn verify_newest(node: &Node) -> Result<(), FlowError> {
    for view in Inventory::take(node).await?.all_add_ons(node) {
        let backups = node.store().backups_of(view.add_on.id).await?;
        let newest = backups.iter().find(|backup| backup.is_whole_backup());
        if let Some(newest) = newest.filter(|newest| newest.verified.is_none()) {
            let tried = verify_backup(node, newest).await;
            if let Err(error) = tried {
                let (backup, add_on) = (newest.name(), &view.add_on.name);
                tracing::error!(%backup, %add_on, error = &error as &dyn std::error::Error, "a backup is not tried out");
            }
        }
    }
    Ok(())
}

/// Removes files of backups that no record is of: their app is gone, or they were cut off.
pub(in crate::flows) async fn sweep_files(node: &Node) -> Result<(), FlowError> {
    for entry in std::fs::read_dir(node.settings().backups_dir()).into_iter().flatten().flatten() {
        let path = entry.path();
        let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Uuid>().ok());
        let is_aside = path.extension().is_some_and(|extension| extension == "new");
        let Some(id) = id else { continue };
        if is_aside || node.store().transfer(id).await?.is_none() {
            remove(&path);
        }
    }
    Ok(())
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "the file of a backup is left over");
        }
        Ok(()) | Err(_) => {}
    }
}

fn now() -> Timestamp {
    Timestamp::try_from(clock::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The name under which an app has an add-on, else the add-on's.
fn shown(view: &AddOnView, app: &App) -> String {
    let has = view.attachments.iter().find(|has| has.app.id == app.id);
    has.map_or_else(|| view.add_on.name.to_string(), |has| has.attachment.name.to_string())
}

/// The command of a service that knows backups.
fn able<'a>(view: &AddOnView, command: &'a Option<String>) -> Result<&'a str, FlowError> {
    let none = || AddOnRefusal::NoBackups(view.service.name.clone());
    Ok(command.as_deref().ok_or_else(none)?)
}

/// The digest of a backup that is whole.
fn whole(backup: &Transfer) -> Result<String, FlowError> {
    let digest = backup.digest.clone().filter(|_| backup.is_whole_backup());
    Ok(digest.ok_or_else(|| AddOnRefusal::NoWholeBackup(backup.name().to_string()))?)
}

/// The words of a failure, for the record.
fn broken(error: &FlowError) -> Broken {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Broken::Failed(format!("{error}{cause}"))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_app_has_some_names_and_takes_none_from_another() {
        let (links, start) = (Links::default(), Instant::now());
        let link = |app, at| {
            let since = start + Duration::from_nanos(at);
            Link { backup: Uuid::nil(), app: AppId(Uuid::from_u128(app)), since }
        };
        let first = Uuid::from_u128(1000);
        links.add(first, link(1, 0));
        for at in 1..=LINKS_PER_APP_MAX as u64 {
            links.add(Uuid::from_u128(at.into()), link(2, at));
        }
        let is_there = |name| links.with(|all| all.contains_key(&name));
        assert!(is_there(first) && is_there(Uuid::from_u128(1)));
        links.add(Uuid::from_u128(99), link(2, 99));
        assert!(is_there(first) && !is_there(Uuid::from_u128(1)) && is_there(Uuid::from_u128(2)));
    }

    #[test]
    fn the_address_of_a_backup_is_told_from_others() {
        let name = Uuid::from_u128(7);
        for url in [format!("https://n:1/backup-files/{name}"), format!("http://n/backup-files/{name}?x=/")] {
            assert_eq!(link_name(&url), Some(name), "{url}");
        }
        for url in
            [format!("https://n/dumps/{name}"), format!("/backup-files/{name}"), "https://n".to_owned()]
        {
            assert_eq!(link_name(&url), None, "{url}");
        }
    }
}
