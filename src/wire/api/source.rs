//! `source`.

use serde::{Deserialize, Serialize};

/// `User-Agent` of the node where it fetches sources.
pub const SOURCE_USER_AGENT: &str = concat!("dyno-sources/", env!("CARGO_PKG_VERSION"));

/// Answer to `POST /sources`: a place for a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where.
    pub source_blob: SourcePlace,
}

/// The links at which a source is sent and fetched, for an hour. Whoever has one needs no credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePlace {
    /// Fetched, and what a build is asked for with.
    pub get_url: String,
    /// Sent, once.
    pub put_url: String,
}
