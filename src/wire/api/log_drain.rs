//! `log-drain`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::{ById, Named};

/// A place that an app's lines are sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDrain {
    /// The add-on it belongs to; always none here.
    pub addon: Option<ById>,
    /// Its app.
    pub app: Named,
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// What its receiver knows it by.
    pub token: String,
    /// ISO time.
    pub updated_at: String,
    /// Where to, whole.
    pub url: String,
}

/// Body of `POST /apps/:app/log-drains`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateLogDrain {
    /// Where to: `syslog://`, `syslog+tls://`, `http://` or `https://`.
    pub url: String,
}
