//! The near end of a one-off dyno: its streams, its signals, its end.

use tokio::sync::{mpsc, oneshot};

use crate::domain::{DynoId, DynoName};
use crate::supervisor::driver::Message;
use crate::supervisor::engine::{Signal, Streams};
use crate::supervisor::handle::SupervisorError;

/// A one-off dyno that has been taken on.
#[derive(Debug)]
pub struct OneOffStarted {
    /// Its identity.
    pub id: DynoId,
    /// Its name.
    pub name: DynoName,
    /// Its end.
    pub exit: ExitWatch,
    /// Its streams, when a client is to have them.
    pub attached: Option<Attached>,
}

/// The end of a one-off dyno.
#[derive(Debug)]
pub struct ExitWatch(pub(super) oneshot::Receiver<u8>);

impl ExitWatch {
    /// Waits for the end: the shell's number for the exit, `None` when the process was never launched.
    pub async fn wait(self) -> Option<u8> {
        self.0.await.ok()
    }
}

/// A client's hold on its dyno. When it is dropped the client counts as gone: the dyno gets SIGHUP, and is stopped if it
/// does not go.
#[derive(Debug)]
pub struct Attached {
    /// The near ends of its streams; taken by whoever relays them.
    pub streams: Streams,
    /// The hold itself; streams may be moved out, this must be kept as long as the client is there.
    pub client: Client,
}

/// A client that is there.
#[derive(Debug)]
pub struct Client {
    pub(super) id: DynoId,
    pub(super) driver: mpsc::Sender<Message>,
    /// Its other end sees the drop, so that no message can be lost to a full queue.
    pub(super) _presence: oneshot::Sender<()>,
}

impl Client {
    /// Sends a signal to every process of the dyno.
    ///
    /// # Errors
    /// The supervisor has ended.
    pub async fn signal(&self, signal: Signal) -> Result<(), SupervisorError> {
        let message = Message::Signal { id: self.id, signal };
        self.driver.send(message).await.map_err(|_| SupervisorError::Ended)
    }
}
