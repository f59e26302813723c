//! `app-feature`: what an app may switch on and off.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::truth;

/// A feature, as one app has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFeature {
    /// ISO time.
    pub created_at: String,
    /// What it does.
    pub description: String,
    /// Never set.
    pub display_name: Option<String>,
    /// Where to read about it.
    pub doc_url: String,
    /// Whether the app has it.
    pub enabled: bool,
    /// Never set.
    pub feedback_email: Option<String>,
    /// Its identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// `general`: clients list no others.
    pub state: String,
    /// ISO time.
    pub updated_at: String,
}

/// Body of `PATCH /apps/:app/features/:feature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateAppFeature {
    /// Whether the app is to have it; libraries send 0 and 1 as well.
    #[serde(deserialize_with = "truth::certain")]
    pub enabled: bool,
}
