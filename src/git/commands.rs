//! Git's commands that run for users, over both doors: each is a process that may take much memory for long, so one user has a few at a
//! time.

use crate::domain::{Counted, Email, Tally};
use crate::flows::{Caller, Role};

/// The most commands of one user at once. The administrator's are not bound: the host itself is theirs.
const PER_USER_MAX: usize = 16;

/// Those that run.
#[derive(Debug, Default)]
pub(super) struct Commands(Tally<Email>);

/// One that runs; over when dropped.
#[derive(Debug)]
pub(super) struct Running(#[expect(dead_code, reason = "held for its end")] Option<Counted<Email>>);

impl Commands {
    /// Begins one for `caller`, unless they have as many as one may.
    pub(super) fn begin(&self, caller: &Caller) -> Option<Running> {
        if caller.role() == Role::Administrator {
            return Some(Running(None));
        }
        self.0.count(caller.user().clone(), PER_USER_MAX).map(|counted| Running(Some(counted)))
    }
}
