//! `slug`: a built app.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::Named;

/// Where the archive of a built app is, for an hour, for whoever has the link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlugBlob {
    /// `get`.
    pub method: String,
    /// Where.
    pub url: String,
}

/// A built app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slug {
    /// Its archive.
    pub blob: SlugBlob,
    /// What the buildpack calls it: `Python`.
    pub buildpack_provided_description: Option<String>,
    /// `SHA256:` and the digest of the archive.
    pub checksum: Option<String>,
    /// The source commit, as the pusher named it.
    pub commit: Option<String>,
    /// None.
    pub commit_description: Option<String>,
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// The commands of its process types.
    pub process_types: BTreeMap<String, String>,
    /// Bytes.
    pub size: Option<u64>,
    /// What it was built on.
    pub stack: Named,
    /// ISO time.
    pub updated_at: String,
}
