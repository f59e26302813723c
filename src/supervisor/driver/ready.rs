//! When a dyno that boots is up.

use std::sync::Arc;

use super::{BOOT_POLL, Driver, Message, READY_POLL};
use crate::domain::DynoId;
use crate::supervisor::Moment;
use crate::supervisor::engine::{DynoLabel, Running};
use crate::supervisor::postmortem::Witness;
use crate::supervisor::readiness::{Look, is_ready};

impl Driver {
    /// What a web dyno must answer before it is up.
    pub(super) fn look(&self, label: &DynoLabel) -> Option<Look> {
        let path = self.fleet.preferences(label.app).readiness?;
        Some(Look { path, host: self.fleet.host(label.app).unwrap_or_default(), port: label.port })
    }

    /// What is asked of one that is taken over: nothing where it has lived for longer than it may take to become ready.
    pub(super) fn look_again(&self, label: &DynoLabel, now: Moment) -> Option<Look> {
        self.look(label).filter(|_| !self.fleet.is_past_boot(label.started.into(), now))
    }
}

/// Whether a web dyno that is taken over was up before: it listens, and answers as it must where there is something to look at.
pub(super) async fn was_up(dyno: &dyn Running, port: u16, look: Option<Look>) -> bool {
    let listens = matches!(dyno.is_listening(port), Ok(true));
    match look {
        Some(look) if listens => answers(dyno, &look).await,
        Some(_) | None => listens,
    }
}

/// Waits until the dyno listens on its port, and answers as it must where there is something to look at. It polls for as
/// long as the dyno lives: what is too late is for the fleet to judge. A dyno that ends before has nothing to report here: its end is told once its output is collected, and
/// until then it must not pass for up.
pub(super) async fn ready(
    (id, port): (DynoId, u16),
    look: Option<Look>,
    dyno: Arc<dyn Running>,
    witness: Arc<Witness>,
) -> Option<Message> {
    let polls = async {
        loop {
            if let Ok(sockets) = dyno.listening() {
                let is_bound = sockets.iter().any(|socket| socket.port() == port);
                witness.saw_listening(sockets);
                match &look {
                    None if is_bound => return,
                    Some(look) if is_bound => {
                        if answers(dyno.as_ref(), look).await {
                            return;
                        }
                        tokio::time::sleep(READY_POLL).await;
                    }
                    None | Some(_) => {}
                }
            }
            tokio::time::sleep(BOOT_POLL).await;
        }
    };
    tokio::select! {
        () = polls => Some(Message::Listening { id }),
        _ = dyno.wait() => None,
    }
}

/// Whether a dyno answers as it must. One that is gone does not.
async fn answers(dyno: &dyn Running, look: &Look) -> bool {
    let Some(reach) = dyno.reach() else { return false };
    is_ready(&reach, look).await
}
