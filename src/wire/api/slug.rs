//! `slug`: a built app.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::Named;

/// Where the archive of a slug is, or is to be sent, for an hour, for whoever has the link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlugBlob {
    /// `get`, or `put` until it was sent.
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
    /// `SHA256:` and the digest of the archive; of one that is not released what its sender said.
    pub checksum: Option<String>,
    /// The source commit, as the pusher named it.
    pub commit: Option<String>,
    /// What the commit brings, of one that is not released.
    pub commit_description: Option<String>,
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// The commands of its process types.
    pub process_types: BTreeMap<String, String>,
    /// Bytes, once it is released.
    pub size: Option<u64>,
    /// What it was built on.
    pub stack: Named,
    /// ISO time.
    pub updated_at: String,
}

/// Body of `POST /apps/:app/slugs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSlug {
    /// The commands of its process types.
    pub process_types: BTreeMap<String, String>,
    /// What the app is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildpack_provided_description: Option<String>,
    /// `SHA256:` and the digest of the archive that will be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// The commit that it was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What that brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_description: Option<String>,
    /// The stack that it is made for, by name or identity; the app's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}
