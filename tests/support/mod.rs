//! What the kernel tests and the stories share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part, and none exports it")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test a panic is how a failure is told"
)]
#![allow(
    clippy::allow_attributes,
    reason = "whether a part is unused depends on the binary that includes it"
)]

pub mod container;
pub mod crowd;
pub mod disk;
pub mod exchanges;
pub mod facts;
pub mod host;
pub mod inside;
pub mod load;
pub mod node;
pub mod patience;
pub mod pebble;
pub mod published;
pub mod skip;
pub mod stock;
pub mod terminal;
