//! What is told of a dyno that has ended, and why it has (`dyno why`).
//!
//! ```text
//!   while it lives           at its end, before it is cleared away     kept           asked for
//!   Witness: sockets, memory ─▶ Witness::testify: kernel's counters, ─▶ Deaths (disk) ─▶ diagnose (pure) ─▶ wire
//!                               last lines; passage from the lifecycle
//! ```
//!
//! Facts are kept, not what is made of them: what is learned later about reading them holds for old deaths, too.

mod death;
mod diagnose;
mod keep;
mod said;
mod witness;

pub use death::{Death, Ending, Kind, MemoryFacts, Passage, PressureFacts, TaskFacts};
pub use diagnose::{diagnose, remarks};
pub use keep::{DEATHS_PER_NAME_MAX, Deaths};
pub use witness::LAST_LINE_CHARS_MAX;
pub(in crate::supervisor) use witness::{Witness, not_started, passage};

#[cfg(test)]
pub(crate) mod test;
