//! How much each of many has at a time, of what nobody may have without end.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts by whose they are; who has none is forgotten. Clones are handles to the same.
#[derive(Debug)]
pub struct Tally<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One that is counted, until it is dropped.
#[derive(Debug)]
pub struct Counted<K: Eq + Hash> {
    tally: Tally<K>,
    whose: K,
}

// === impl Tally ===

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for Tally<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Tally<K> {
    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts().is_empty()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        // A map of numbers cannot be left half changed by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Tally<K> {
    /// Counts one more, unless `whose` has `max` already.
    #[must_use]
    pub fn count(&self, whose: K, max: usize) -> Option<Counted<K>> {
        let mut counts = self.counts();
        let count = counts.get(&whose).copied().unwrap_or_default();
        if count >= max {
            return None;
        }
        counts.insert(whose.clone(), count + 1);
        Some(Counted { tally: self.clone(), whose })
    }
}

impl<K: Eq + Hash> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut counts = self.tally.counts();
        if let Some(count) = counts.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn everybody_has_so_many_and_is_forgotten_without() {
        let tally = Tally::default();
        let first = tally.count("a", 2).unwrap();
        let second = tally.count("a", 2).unwrap();
        assert!(tally.count("a", 2).is_none() && tally.count("b", 2).is_some());
        drop(first);
        let third = tally.count("a", 2).unwrap();
        assert!(tally.count("a", 2).is_none() && !tally.is_empty());
        drop((second, third));
        assert!(tally.is_empty());
    }
}
