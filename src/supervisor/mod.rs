//! Desired state becomes actual state; one driver owns every dyno.
//!
//! What is decided is decided by pure code over values: [`lifecycle`] (one dyno), [`reconcile`] (one app), `routes`
//! (what the router is told) and [`fleet`] (all of them together). The [`driver`] is the one task that owns a
//! [`fleet::Fleet`], carries out what it decides through an [`engine::Engine`], and tells it what happened.
//!
//! ```text
//!   Supervisor ──messages──▶ driver ──▶ Fleet (pure) ──actions──▶ Engine (containers), LogService
//!        ▲                     │  ▲                                   │
//!        └── snapshots, routes ┘  └────────── launched, bound, exited ┘
//! ```
//!
//! With its neighbours: it is told what is wanted and never reads the store; it publishes a
//! [`crate::domain::RouteTable`] and never speaks to the router; dropping it leaves every dyno running.

mod attach;
pub mod backoff;
mod departures;
mod desired;
mod driver;
pub mod engine;
pub mod environment;
pub mod fleet;
mod handle;
pub mod lifecycle;
mod metrics;
mod moment;
pub mod postmortem;
mod readiness;
pub mod reconcile;
mod routes;
pub mod service;

pub use attach::{Attached, EndCause, ExitWatch, OneOffEnd, OneOffStarted};
pub use departures::{Departures, NotKept};
pub use desired::{Connection, DesiredApp, DynoView, OneOff, Preferences, ReleaseImage, Scope, StackImage};
pub use handle::{Supervisor, SupervisorConfig, SupervisorError};
pub use metrics::RuntimeMetrics;
pub use moment::Moment;
