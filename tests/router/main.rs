//! The router from both sides: raw client bytes here, scripted dynos there, and its line in between. Needs no root.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the whole binary is a test, its helpers too")]

mod addresses;
mod apart;
mod bench;
mod challenges;
mod codes;
mod conformance;
mod connections;
mod forwarding;
mod fuzz;
mod http2;
#[path = "../support/load.rs"]
#[expect(unreachable_pub, reason = "the other binaries that include it export nothing either")]
mod load;
mod metrics;
mod routing;
mod script;
mod secured;
#[path = "../support/skip.rs"]
#[expect(unreachable_pub, reason = "the other binaries that include it export nothing either")]
mod skip;
mod tls;
mod tunnels;
mod workers;
