//! The app of a working directory, run on this machine as a node would run it, for whoever works on it.
//!
//! ```text
//!   Procfile, .env ─► processes ─► Session ──starts──► Engine (containers)
//!                                     │ ◄── lines, ends, ports
//!                                     └──► Screen
//! ```
//!
//! Nothing outlives the call, and nothing of a node is used but its stacks. Not here: how containers and builds come about, which is
//! handed in, and clearing away what a killed call has left (`daemon`).

mod attached;
mod error;
mod formation;
mod forward;
mod lines;
mod screen;
mod session;
mod source;
mod stop;

pub use error::LocalError;
pub use formation::{FormationError, PORT, Process, processes};
pub use screen::Screen;
pub use session::Session;
pub use source::{Owner, Source, pack};
pub use stop::{Asked, Stop};
