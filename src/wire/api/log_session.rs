//! `log-session`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A stream of log lines waiting to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSession {
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// Where to read it: on the node's own socket a path, otherwise a URL.
    pub logplex_url: String,
    /// ISO time.
    pub updated_at: String,
}

/// Body of `POST /apps/:app/log-sessions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateLogSession {
    /// `web.1`, or `web` for every dyno of a type.
    #[serde(alias = "dyno_name", default, skip_serializing_if = "Option::is_none")]
    pub dyno: Option<String>,
    /// A process type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub process_type: Option<String>,
    /// `app` or `heroku`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How many lines of history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<usize>,
    /// Nothing said before this time, RFC 3339; beyond the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// A regular expression that messages must match; beyond the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grep: Option<String>,
    /// `v3`: only what was said while this release was the newest; beyond the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Whether to go on with what comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<bool>,
}
