//! `dyno`: the object, and what starts a one-off.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::wire::api::Named;

/// A running dyno.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dyno {
    /// Where to attach; only in the answer that created it. On this node a path of the same socket (`wire::attach`).
    pub attach_url: Option<String>,
    /// The command as the Procfile has it.
    pub command: String,
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// `web.1`.
    pub name: String,
    /// The release it runs.
    pub release: ReleaseRef,
    /// Its app.
    pub app: Named,
    /// `Standard-1X`.
    pub size: String,
    /// `starting`, `up`, `crashed`, `idle` or `down`.
    pub state: String,
    /// `web`.
    #[serde(rename = "type")]
    pub process_type: String,
    /// ISO time of the last change of state.
    pub updated_at: String,
}

/// A reference to a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRef {
    /// Its identity.
    pub id: Uuid,
    /// Its number.
    pub version: u64,
}

/// Body of `POST /apps/:app/dynos`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateDyno {
    /// What to run, for a shell.
    pub command: String,
    /// Whether a client will attach; otherwise output goes to the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<bool>,
    /// Environment laid over the config vars. `COLUMNS` and `LINES` size the terminal.
    #[serde(default, deserialize_with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Pipes instead of a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_no_tty: Option<bool>,
    /// `Standard-1X` when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// `run` when none is given.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub process_type: Option<String>,
    /// Seconds after which it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live: Option<u64>,
}

/// The stock command sends the size of its window as numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(i64),
    Flag(bool),
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let given = Option::<BTreeMap<String, Scalar>>::deserialize(deserializer)?.unwrap_or_default();
    let text = |value| match value {
        Scalar::Text(text) => text,
        Scalar::Number(number) => number.to_string(),
        Scalar::Flag(flag) => flag.to_string(),
    };
    Ok(given.into_iter().map(|(name, value)| (name, text(value))).collect())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_environment_is_text_however_it_is_sent() {
        let body = r#"{"command":"ls","env":{"TERM":"xterm","COLUMNS":100,"X":true}}"#;
        let read: CreateDyno = serde_json::from_str(body).unwrap();
        assert_eq!(read.env["COLUMNS"], "100");
        assert_eq!((read.env["TERM"].as_str(), read.env["X"].as_str()), ("xterm", "true"));
        assert!(serde_json::from_str::<CreateDyno>(r#"{"command":"ls","env":null}"#).unwrap().env.is_empty());
    }
}
