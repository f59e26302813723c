//! When a dyno that boots is up.

use std::sync::Arc;

use super::{BOOT_POLL, Message, READY_POLL};
use crate::domain::DynoId;
use crate::supervisor::engine::Running;
use crate::supervisor::postmortem::Witness;
use crate::supervisor::readiness::{Look, is_ready};

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

/// One that is gone does not.
async fn answers(dyno: &dyn Running, look: &Look) -> bool {
    let Some(reach) = dyno.reach() else { return false };
    is_ready(&reach, look).await
}
