//! The router from both sides: raw client bytes here, scripted dynos there, and its line in between. Needs no root.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the whole binary is a test, its helpers too")]

mod bench;
mod codes;
mod conformance;
mod connections;
mod forwarding;
mod fuzz;
mod metrics;
mod script;
mod tunnels;
