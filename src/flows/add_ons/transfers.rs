//! What moves the contents of add-ons: backups into files of the node, from files into add-ons, from one into another.
//!
//! A transfer is recorded before anything is moved, goes on by itself, and ends with a record; what the end of the node cuts off has failed.
//! A backup is written aside, synced and renamed before it counts. An add-on has one transfer at a time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::domain::{App, Transfer, TransferState};
use crate::flows::Node;
use crate::flows::add_ons::stream::{self, Progress};
use crate::flows::add_ons::{AddOnView, backups};
use crate::flows::error::FlowError;
use crate::store::{NewTransfer, TransferEnd};
use crate::wire::api::TRANSFER_CUT_OFF;
use crate::wire::api_errors::{AddOnRefusal, Missing, Refusal};

/// The most transfers of a node at once: each takes a processor and the disk.
const AT_ONCE_MAX: usize = 4;
/// How long a command that was told to go is waited for: longer than the runtime takes to end it by force.
const GONE_WAIT: Duration = Duration::from_secs(30);
/// What the files of backups are called behind their identity.
const DUMP: &str = "dump";

/// The transfers that go on.
#[derive(Default)]
pub(in crate::flows) struct Transfers(Mutex<HashMap<Uuid, Running>>);

struct Running {
    add_ons: Vec<Uuid>,
    /// The backup that is tried out.
    tried: Option<Uuid>,
    progress: Progress,
}

/// A place among the transfers that go on; it is given back when this is dropped.
pub(in crate::flows) struct Place {
    node: Node,
    id: Uuid,
    /// How far it is.
    pub(super) progress: Progress,
}

impl Transfers {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Uuid, Running>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.node.transfers().with(|all| all.remove(&self.id));
    }
}

/// Takes a place for a transfer of these add-ons.
pub(super) fn begin(node: &Node, id: Uuid, views: &[&AddOnView]) -> Result<Place, FlowError> {
    take(node, id, |all| {
        for view in views {
            if all.values().any(|running| running.add_ons.contains(&view.add_on.id)) {
                return Err(AddOnRefusal::TransferRunning(view.add_on.name.to_string()));
            }
        }
        Ok((views.iter().map(|view| view.add_on.id).collect(), None))
    })
}

/// Takes a place for a trial of a backup, which touches no add-on.
pub(in crate::flows) fn begin_trial(node: &Node, backup: &Transfer) -> Result<Place, FlowError> {
    take(node, Uuid::new_v4(), |all| {
        if all.values().any(|running| running.tried == Some(backup.id)) {
            return Err(AddOnRefusal::TrialRunning(backup.name().to_string()));
        }
        Ok((Vec::new(), Some(backup.id)))
    })
}

/// Takes a place for what `occupy` says that it occupies, unless that refuses.
fn take(
    node: &Node,
    id: Uuid,
    occupy: impl FnOnce(&HashMap<Uuid, Running>) -> Result<(Vec<Uuid>, Option<Uuid>), AddOnRefusal>,
) -> Result<Place, FlowError> {
    let progress = Progress::default();
    node.transfers().with(|all| {
        let (add_ons, tried) = occupy(all)?;
        if all.len() >= AT_ONCE_MAX {
            return Err(AddOnRefusal::TooManyRunning(AT_ONCE_MAX));
        }
        all.insert(id, Running { add_ons, tried, progress: progress.clone() });
        Ok(())
    })?;
    Ok(Place { node: node.clone(), id, progress })
}

/// Whether a backup is being tried out: its file is read.
pub(super) fn is_tried(node: &Node, backup: Uuid) -> bool {
    node.transfers().with(|all| all.values().any(|running| running.tried == Some(backup)))
}

/// Records a transfer and has it go on by itself.
pub(super) async fn spawn<F>(
    node: &Node,
    (new, place): (NewTransfer, Place),
    work: impl FnOnce(Progress) -> F,
) -> Result<Transfer, FlowError>
where
    F: Future<Output = Result<stream::Moved, stream::Broken>> + Send + 'static,
{
    let transfer = node.store().add_transfer(new).await?;
    let work = work(place.progress.clone());
    let (node, id) = (node.clone(), transfer.id);
    // Ends with the transfer, or with the node, whose next start records that it has failed.
    tokio::spawn(async move {
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = given_up(&place.progress) => Err(stream::Broken::Cancelled),
        };
        let bytes = place.progress.bytes.load(Ordering::Relaxed);
        let end = match outcome {
            Ok(stream::Moved { bytes, digest }) => {
                TransferEnd { state: TransferState::Succeeded, bytes, digest, message: None }
            }
            Err(stream::Broken::Cancelled) => {
                TransferEnd { state: TransferState::Cancelled, bytes, digest: None, message: None }
            }
            Err(stream::Broken::Failed(message)) => {
                tracing::warn!(transfer = %id, message, "a transfer of an add-on has failed");
                TransferEnd { state: TransferState::Failed, bytes, digest: None, message: Some(message) }
            }
        };
        if end.state != TransferState::Succeeded {
            backups::forget_file(&node, id).await;
        }
        if let Err(error) = node.store().end_transfer(id, end).await {
            tracing::error!(transfer = %id, %error, "the end of a transfer is not recorded");
        }
        drop(place);
    });
    Ok(transfer)
}

/// Returns when what nobody wants any more has had its time to end. Until then its add-on is not another's: a command that was told to go
/// may be about to put what it restores in place.
async fn given_up(progress: &Progress) {
    progress.cancel.cancelled().await;
    tokio::time::sleep(GONE_WAIT).await;
    while progress.is_held() {
        tokio::time::sleep(GONE_WAIT).await;
    }
}

/// The transfers of an app, newest first.
///
/// # Errors
/// The node fails.
pub async fn data_transfers(node: &Node, app: &App) -> Result<Vec<Transfer>, FlowError> {
    let mut all = node.store().transfers_of_app(app.id).await?;
    let running = |id: &Uuid| {
        node.transfers().with(|all| all.get(id).map(|running| running.progress.bytes.load(Ordering::Relaxed)))
    };
    for transfer in &mut all {
        transfer.bytes = running(&transfer.id).unwrap_or(transfer.bytes);
    }
    Ok(all)
}

/// The transfer of an app of that name, number or identity.
///
/// # Errors
/// There is none, or the node fails.
pub async fn data_transfer(node: &Node, app: &App, key: &str) -> Result<Transfer, FlowError> {
    let found = data_transfers(node, app).await?.into_iter().find(|transfer| transfer.is_meant(key));
    found.ok_or_else(|| Refusal::NotFound(Missing::Transfer).into())
}

/// A transfer of any app by its identity, and the app.
///
/// # Errors
/// The node fails.
pub async fn backup_of_id(node: &Node, id: &str) -> Result<Option<(App, Transfer)>, FlowError> {
    let Ok(id) = id.parse() else { return Ok(None) };
    let Some(found) = node.store().transfer(id).await? else { return Ok(None) };
    Ok(node.store().app_by_id(found.app).await?.map(|app| (app, found)))
}

/// Ends a transfer that goes on. One that has ended stays as it is.
pub fn cancel_transfer(node: &Node, transfer: &Transfer) {
    node.transfers().with(|all| {
        if let Some(running) = all.get(&transfer.id) {
            running.progress.cancel.cancel();
        }
    });
}

/// Forgets a transfer that has ended, and deletes its file.
///
/// # Errors
/// It goes on or is tried out, or the node fails.
pub async fn delete_transfer(node: &Node, transfer: &Transfer) -> Result<(), FlowError> {
    if transfer.state == TransferState::Running {
        return Err(AddOnRefusal::TransferGoesOn(transfer.name().to_string()).into());
    }
    if is_tried(node, transfer.id) {
        return Err(AddOnRefusal::TrialRunning(transfer.name().to_string()).into());
    }
    node.store().remove_transfer(transfer.id).await?;
    backups::forget_file(node, transfer.id).await;
    Ok(())
}

/// The file of a backup that is whole.
pub(super) fn file(node: &Node, id: Uuid) -> PathBuf {
    node.settings().backups_dir().join(format!("{id}.{DUMP}"))
}

/// Records what the last process has left unfinished.
pub(in crate::flows) async fn take_up_transfers(node: &Node) -> Result<(), FlowError> {
    let failed = node.store().fail_unfinished_transfers(TRANSFER_CUT_OFF).await?;
    if failed > 0 {
        tracing::warn!(failed, "backups were cut off by the end of the last process");
    }
    Ok(())
}
