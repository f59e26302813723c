//! Slots: the numbers by which containers of one node share out host ids and addresses.
//!
//! Everything a container has of its own on the host (its range of user ids, its link, its addresses) is computed from
//! its slot, so two live containers never hold one slot. A slot is taken, held as a value, and free again when the
//! value is dropped. Numbers are handed out in rotation: a slot just freed is the last to come back, so that what the
//! kernel still tears down of its old holder is gone by then.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many slots a node has; the most containers with a network of their own at one time.
pub const SLOTS: u32 = 1024;

/// The allocator; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    numbers: BTreeSet<u32>,
    next: u32,
}

/// One slot, held until dropped.
#[derive(Debug)]
pub struct Slot {
    number: u32,
    slots: Slots,
}

impl Slots {
    /// An allocator with every slot free.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a free slot; `None` when all [`SLOTS`] are held.
    #[must_use]
    pub fn take(&self) -> Option<Slot> {
        let mut taken = self.lock();
        let start = taken.next;
        let number = (0..SLOTS).map(|step| (start + step) % SLOTS).find(|n| !taken.numbers.contains(n))?;
        taken.numbers.insert(number);
        taken.next = (number + 1) % SLOTS;
        Some(Slot { number, slots: self.clone() })
    }

    /// Takes slot `number`, as a container found running after a restart does; `None` when it is held or no slot.
    #[must_use]
    pub fn claim(&self, number: u32) -> Option<Slot> {
        let fresh = number < SLOTS && self.lock().numbers.insert(number);
        fresh.then(|| Slot { number, slots: self.clone() })
    }

    /// How many slots are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.lock().numbers.len()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // A set of numbers is whole after every operation, so a panic elsewhere leaves nothing half done.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The slot's number, below [`SLOTS`].
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().numbers.remove(&self.number);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_slot_is_held_once_and_comes_back_last() {
        let slots = Slots::new();
        let first = slots.take().unwrap();
        assert_eq!(first.number(), 0);
        assert!(slots.claim(0).is_none());
        drop(first);
        assert_eq!(slots.held(), 0);
        assert_eq!(slots.take().unwrap().number(), 1, "the slot just freed comes back last");
    }

    #[test]
    fn all_slots_can_be_held_and_no_more() {
        let slots = Slots::new();
        let claimed = slots.claim(7).unwrap();
        let mut rest: Vec<Slot> = std::iter::from_fn(|| slots.take()).collect();
        assert_eq!(rest.len(), SLOTS as usize - 1);
        assert!(rest.iter().all(|slot| slot.number() != claimed.number()));
        assert!(slots.take().is_none());
        rest.truncate(SLOTS as usize - 2);
        assert!(slots.take().is_some());
        assert!(slots.claim(SLOTS).is_none());
    }
}
