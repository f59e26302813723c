//! The HTTP data plane: every request to an app goes through `validate`, `lookup`, `admit`, `pick`, `forward`, `answer`
//! and `observe`, one file a word, in the order that `serve` lists.
//!
//! It is *not* where it is decided which dynos run: it reads the [`crate::domain::RouteTable`] that others publish, and
//! serves the last one it saw. Towards its neighbours it has three ends: the table and the certificates
//! come in through `tokio::sync::watch` channels, lines go out through [`RouterLog`], and dynos are reached through a [`Connector`].
//! `lookup`, `admit` and `pick` are pure. A failure becomes status, page and code in `answer` alone, and `observe` tells
//! every request of an app with exactly one line, however it ended.

mod admit;
mod affinity;
mod answer;
pub mod apart;
mod client;
mod config;
mod connect;
mod counters;
mod download;
mod figures;
mod forward;
mod frames;
mod handshakes;
mod http2;
mod intake;
mod listener;
mod lookup;
mod observe;
mod pick;
mod pool;
mod reach;
mod rewrite;
mod serve;
mod socket;
mod stray;
mod streams;
mod tls;
mod upgrade;
mod upload;
mod validate;
mod workers;

pub use config::{Limits, RouterConfig, Timers};
pub use connect::{Connector, LoopbackConnector, NetnsConnector};
pub use figures::Figures;
pub use frames::FrameRate;
pub use listener::{Ending, Ends, ListenError, Listeners, Router};
pub use observe::RouterLog;
pub use workers::{Doors, Workers};
