//! The log stream's text: a line as people and drains see it, and the sentences the platform itself writes into it.
//!
//! [`LogLine`] is one line with its origin; [`DynoLine`] and [`ApiLine`] are the platform's own sentences. They are part
//! of the contract: tools colour and search lines by these phrases (platform reference 5.3).

mod line;
mod message;
mod metrics;

pub(in crate::wire) use line::display_time;
pub use line::{LogLine, LogLineError, Source, UnknownSource};
pub use message::{
    ApiLine, CertificateLine, DiskLine, DroppedLine, DynoLine, UnavailableLine, UnreachedLine,
};
pub use metrics::{Measured, MemoryFigures, MetricsLine, OverQuotaLine};
