//! What moves the contents of add-ons: backups into files of the node, from files into add-ons, from one into another.
//!
//! A transfer is recorded before it begins, goes on by itself, and ends with a record; what the end of the node cuts off has failed.
//! A backup is written aside, synced and renamed before it counts. An add-on has one transfer at a time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{App, Transfer, TransferState};
use crate::flows::Node;
use crate::flows::add_ons::{AddOnView, backups, stream};
use crate::flows::error::FlowError;
use crate::store::{NewTransfer, TransferEnd};
use crate::wire::api::TRANSFER_CUT_OFF;
use crate::wire::api_errors::{AddOnRefusal, Missing, Refusal};

/// The most transfers of a node at once: each takes a processor and the disk.
const AT_ONCE_MAX: usize = 4;
/// What the files of backups are called behind their identity.
const DUMP: &str = "dump";

/// The transfers that go on.
#[derive(Default)]
pub(in crate::flows) struct Transfers(Mutex<HashMap<Uuid, Running>>);

struct Running {
    add_ons: Vec<Uuid>,
    cancel: CancellationToken,
    bytes: Arc<AtomicU64>,
}

/// A place among the transfers that go on; it is given back when this is dropped.
pub(super) struct Place {
    node: Node,
    id: Uuid,
    /// Somebody does not want it any more.
    pub(super) cancel: CancellationToken,
    /// Bytes that have come through.
    pub(super) bytes: Arc<AtomicU64>,
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
    let (cancel, bytes) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    node.transfers().with(|all| {
        for view in views {
            if all.values().any(|running| running.add_ons.contains(&view.add_on.id)) {
                return Err(AddOnRefusal::TransferRunning(view.add_on.name.to_string()));
            }
        }
        if all.len() >= AT_ONCE_MAX {
            return Err(AddOnRefusal::TooManyRunning(AT_ONCE_MAX));
        }
        let add_ons = views.iter().map(|view| view.add_on.id).collect();
        all.insert(id, Running { add_ons, cancel: cancel.clone(), bytes: Arc::clone(&bytes) });
        Ok(())
    })?;
    Ok(Place { node: node.clone(), id, cancel, bytes })
}

/// Records a transfer and has it go on by itself.
pub(super) async fn spawn<F>(
    node: &Node,
    (new, place): (NewTransfer, Place),
    work: impl FnOnce(Transfer, Arc<AtomicU64>) -> F,
) -> Result<Transfer, FlowError>
where
    F: Future<Output = Result<stream::Moved, stream::Broken>> + Send + 'static,
{
    let transfer = node.store().add_transfer(new).await?;
    let work = work(transfer.clone(), Arc::clone(&place.bytes));
    let (node, id) = (node.clone(), transfer.id);
    // Ends with the transfer, or with the node, whose next start records that it has failed.
    tokio::spawn(async move {
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = place.cancel.cancelled() => Err(stream::Broken::Cancelled),
        };
        let bytes = place.bytes.load(Ordering::Relaxed);
        let end = match outcome {
            Ok(stream::Moved { bytes, digest }) => {
                TransferEnd { state: TransferState::Succeeded, bytes, digest: Some(digest), message: None }
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

/// The transfers of an app, newest first.
///
/// # Errors
/// The node fails.
pub async fn data_transfers(node: &Node, app: &App) -> Result<Vec<Transfer>, FlowError> {
    let mut all = node.store().transfers().await?;
    all.retain(|transfer| transfer.app == app.id);
    let running = |id: &Uuid| {
        node.transfers().with(|all| all.get(id).map(|running| running.bytes.load(Ordering::Relaxed)))
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
    let found = node.store().transfers().await?.into_iter().find(|transfer| transfer.id.to_string() == id);
    let Some(found) = found else { return Ok(None) };
    Ok(node.store().app_by_id(found.app).await?.map(|app| (app, found)))
}

/// Ends a transfer that goes on. One that has ended stays as it is.
pub fn cancel_transfer(node: &Node, transfer: &Transfer) {
    node.transfers().with(|all| {
        if let Some(running) = all.get(&transfer.id) {
            running.cancel.cancel();
        }
    });
}

/// Forgets a transfer that has ended, and deletes its file.
///
/// # Errors
/// It goes on, or the node fails.
pub async fn delete_transfer(node: &Node, transfer: &Transfer) -> Result<(), FlowError> {
    if transfer.state == TransferState::Running {
        return Err(AddOnRefusal::TransferGoesOn(transfer.name().to_string()).into());
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
