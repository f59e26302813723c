//! The near end of a one-off dyno: its streams, its signals, its end.

use tokio::sync::{mpsc, oneshot};

use crate::domain::{DynoId, DynoName};
use crate::supervisor::driver::Message;
use crate::supervisor::engine::{Running, Signal, Streams, Visit, Visiting};
use crate::supervisor::fleet::Refusal;
use crate::supervisor::handle::SupervisorError;
use crate::supervisor::lifecycle::State;

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

/// How a one-off dyno ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneOffEnd {
    /// The shell's number for the exit.
    pub status: u8,
    /// Whose doing it was.
    pub cause: EndCause,
}

/// Why a dyno ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// Its process ended, or the kernel ended it for want of memory.
    Itself,
    /// It was told to: on request, for its age, or since its client had gone.
    Stopped,
}

impl EndCause {
    /// Why a dyno ends that is in this state.
    pub(super) fn of(state: Option<State>) -> Self {
        match state {
            Some(
                State::Launching { .. }
                | State::Booting { .. }
                | State::Up { .. }
                | State::Yielding { .. }
                | State::Crashed { .. },
            )
            | None => Self::Itself,
            Some(
                State::HangingUp { .. }
                | State::Aborting
                | State::Draining { .. }
                | State::Stopping { .. }
                | State::Killing { .. }
                | State::Ended,
            ) => Self::Stopped,
        }
    }
}

/// The end of a one-off dyno.
#[derive(Debug)]
pub struct ExitWatch(pub(super) oneshot::Receiver<Option<OneOffEnd>>);

impl ExitWatch {
    /// Waits for the end; `None` when the process was never launched. Where the node ends first, nobody has seen an end:
    /// this then waits for ever.
    pub async fn wait(self) -> Option<OneOffEnd> {
        match self.0.await {
            Ok(end) => end,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Takes a further command that runs in a dyno.
pub(super) type Visited = oneshot::Sender<Result<Visiting, SupervisorError>>;

/// Has a further command started in a dyno, which takes its time and none of the driver's.
pub(super) fn visit(dyno: Option<&dyn Running>, visit: Visit, done: Visited) {
    let Some(dyno) = dyno else {
        // One who asked and went away needs no answer.
        let _ = done.send(Err(Refusal::NotRunning.into()));
        return;
    };
    let visiting = dyno.visit(visit);
    tokio::spawn(async move {
        let visiting = visiting.await.map_err(|error| SupervisorError::NotVisited(error.to_string()));
        // One who asked and went away lets go of it.
        let _ = done.send(visiting);
    });
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
