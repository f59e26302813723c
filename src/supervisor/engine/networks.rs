//! Networks made ahead: a slot and its network namespace with the link, ready before a dyno asks. Making one takes the kernel
//! milliseconds, much longer while it tears another down, and nothing of it depends on who will live there.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::runtime::network::{NetworkLease, NodeNetwork};
use crate::runtime::slots::{Slot, Slots};
use crate::supervisor::engine::EngineError;
use crate::supervisor::engine::native::{chain, failed};

/// How many are held ready; dynos that come faster wait for theirs.
const READY_MAX: usize = 4;

/// A slot and its network.
#[derive(Debug)]
pub(super) struct Berth {
    pub(super) slot: Slot,
    pub(super) lease: NetworkLease,
}

/// Those that are ready, and how more are made.
#[derive(Debug)]
pub(super) struct Networks {
    network: Arc<NodeNetwork>,
    slots: Slots,
    ready: Mutex<VecDeque<Berth>>,
    is_filling: AtomicBool,
}

impl Networks {
    pub(super) fn new(network: Arc<NodeNetwork>, slots: Slots) -> Arc<Networks> {
        let (ready, is_filling) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Networks { network, slots, ready, is_filling })
    }

    /// One for the dyno of this name: a ready one, or one made now.
    pub(super) async fn take(&self, name: &str) -> Result<Berth, EngineError> {
        let ready = self.lock().pop_front();
        match ready {
            Some(berth) => Ok(berth),
            None => self.make(name).await,
        }
    }

    /// Claims the slot of a dyno that was found running.
    pub(super) fn claim(&self, slot: u32) -> Option<Slot> {
        self.slots.claim(slot)
    }

    /// Makes what is missing, while nobody waits. To be called only when the slots of running dynos are claimed: a network made
    /// for a slot takes the place of whatever has its name.
    pub(super) fn refill(self: &Arc<Self>) {
        if self.is_filling.swap(true, Ordering::AcqRel) {
            return;
        }
        let networks = Arc::downgrade(self);
        tokio::spawn(fill(networks));
    }

    async fn make(&self, name: &str) -> Result<Berth, EngineError> {
        let slot = self.slots.take();
        let slot = slot.ok_or_else(|| failed(format!("start {name}"), "every slot of the node is in use"))?;
        let lease = self.network.allot(slot.number()).await;
        let lease = lease.map_err(|error| failed(format!("give {name} a network"), chain(&error)))?;
        Ok(Berth { slot, lease })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Berth>> {
        // A queue is whole after every operation, so a panic elsewhere leaves nothing half done.
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends with the engine, between two networks.
async fn fill(networks: Weak<Networks>) {
    while let Some(networks) = networks.upgrade() {
        if networks.lock().len() >= READY_MAX {
            networks.is_filling.store(false, Ordering::Release);
            return;
        }
        match networks.make("a coming dyno").await {
            Ok(berth) => networks.lock().push_back(berth),
            Err(error) => {
                // The dyno that wants one makes it itself, and tells what is wrong.
                tracing::debug!(error = &error as &dyn Error, "no network was made ahead");
                networks.is_filling.store(false, Ordering::Release);
                return;
            }
        }
    }
}
