//! The router as a process of its own, apart from the control plane: `dyno router`.
//!
//! ```text
//! control plane ── table, certificates ──▶ router process ── place and identity ──▶ hand
//!               ◀── lines, figures ──────                 ◀── a socket in there ───
//! ```
//!
//! The router process has no rights on the host but its sockets; what takes a right, making a socket inside of a dyno's network
//! namespace, the *hand* does for it, a process of one thread that does nothing else. Whoever connects to the router's link socket
//! speaks one of two parts: the control plane *follows* it (sends snapshots, takes lines), or a successor *takes over* its listeners,
//! after which it finishes what it has and ends. Without either it serves by the last snapshots that it was given.
//!
//! It is *not* where processes are looked after: starting, finding and replacing them is the assembly's.

mod certificates;
mod frame;
mod hand;
mod lines;
mod link;
mod outbox;
mod process;
mod remote;

pub use frame::Standing;
pub use process::{ProcessConfig, launch};
pub use remote::{Greeting, RemoteError, RemoteRouter, Told};
