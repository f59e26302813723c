//! Git's commands that run for users, over both doors: each is a process that may take much memory for long, so one user has a few at a
//! time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Email;
use crate::flows::{Caller, Role};

/// The most commands of one user at once. The administrator's are not bound: the host itself is theirs.
const PER_USER_MAX: usize = 16;

/// Those that run. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Commands(Arc<Mutex<HashMap<Email, usize>>>);

/// One that runs; over when dropped.
#[derive(Debug)]
pub(super) struct Running {
    all: Commands,
    user: Option<Email>,
}

// === impl Commands ===

impl Commands {
    /// Begins one for `caller`, unless they have as many as one may.
    pub(super) fn begin(&self, caller: &Caller) -> Option<Running> {
        if caller.role() == Role::Administrator {
            return Some(Running { all: self.clone(), user: None });
        }
        let mut counts = self.counts();
        let count = counts.entry(caller.user().clone()).or_default();
        if *count >= PER_USER_MAX {
            return None;
        }
        *count += 1;
        Some(Running { all: self.clone(), user: Some(caller.user().clone()) })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Email, usize>> {
        // A map of numbers cannot be left half changed by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(user) = &self.user else { return };
        let mut counts = self.all.counts();
        if let Some(count) = counts.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(user);
            }
        }
    }
}
