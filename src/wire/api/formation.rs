//! `formation`: the object, and what scales it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::Named;

/// One process type of an app's formation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormationEntry {
    /// Its app.
    pub app: Named,
    /// The command as the Procfile has it.
    pub command: String,
    /// ISO time.
    pub created_at: String,
    /// The size, by reference.
    pub dyno_size: Named,
    /// Its identity.
    pub id: Uuid,
    /// How many dynos of the type run.
    pub quantity: u32,
    /// `Standard-1X`.
    pub size: String,
    /// How long each dyno may take to stop, seconds; none where the node's own span goes. A field of our own.
    #[serde(default)]
    pub stop_grace_s: Option<u64>,
    /// `web`.
    #[serde(rename = "type")]
    pub process_type: String,
    /// ISO time.
    pub updated_at: String,
}

/// Body of `PATCH /apps/:app/formation`: all of it happens, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateFormation {
    /// One entry a type.
    pub updates: Vec<FormationUpdate>,
}

/// One type's change; also the body of `PATCH /apps/:app/formation/:type`, where the path names the type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormationUpdate {
    /// `web`; older clients say `process`.
    #[serde(rename = "type", alias = "process", default, skip_serializing_if = "Option::is_none")]
    pub process_type: Option<String>,
    /// How many; unchanged when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// How large; unchanged when absent.
    #[serde(alias = "dyno_size", default, skip_serializing_if = "Option::is_none")]
    pub size: Option<SizeRef>,
    /// How long each dyno may take to stop, seconds, 0 for the node's own span; unchanged when absent. A field of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_grace_s: Option<u32>,
}

/// A quantity as clients send it: `3`, `"3"`, `"+1"`, `"-1"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// A plain number.
    Number(u32),
    /// A text, absolute or relative.
    Text(String),
}

/// A size as clients send it: its name, or an object holding the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SizeRef {
    /// `"standard-1x"`.
    Name(String),
    /// `{"name": "standard-1x"}`.
    Object {
        /// `standard-1x`.
        name: String,
    },
}

impl SizeRef {
    /// The size's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Object { name } => name,
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_way_clients_write_an_update_is_read() {
        let read = |text: &str| serde_json::from_str::<FormationUpdate>(text).unwrap();
        assert_eq!(read(r#"{"type":"web","quantity":3}"#).quantity, Some(Quantity::Number(3)));
        assert_eq!(read(r#"{"type":"web","quantity":"+1"}"#).quantity, Some(Quantity::Text("+1".into())));
        assert_eq!(read(r#"{"process":"web"}"#).process_type.as_deref(), Some("web"));
        assert_eq!(read(r#"{"dyno_size":{"name":"basic"}}"#).size.unwrap().name(), "basic");
        assert_eq!(read(r#"{"size":"basic"}"#).size.unwrap().name(), "basic");
    }
}
