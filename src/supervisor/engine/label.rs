//! A dyno's label as its container's record keeps it. The form has a version: a later node must read what an earlier one
//! wrote, since dynos outlive the node that started them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{AppId, DynoId, Version};
use crate::supervisor::engine::DynoLabel;
use crate::supervisor::lifecycle::Class;

/// The label's key in the container's record.
const KEY: &str = "dyno.v1";

/// A label, and what the engine itself must find again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) label: DynoLabel,
    /// The slot its container holds.
    pub(super) slot: u32,
    /// Its address within its network namespace.
    pub(super) address: Ipv4Addr,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    app: Uuid,
    id: Uuid,
    name: String,
    class: RecordClass,
    release: u64,
    command: String,
    size: String,
    port: u16,
    uid: u32,
    crashes: u32,
    cycle_after_ms: u64,
    started: SystemTime,
    slot: u32,
    address: Ipv4Addr,
    /// Left out by earlier nodes, which knew no rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lineage: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    behind: Option<Uuid>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RecordClass {
    Web,
    Worker,
    Detached,
    Attached,
}

// === impl Tag ===

impl Tag {
    /// The labels of the container.
    pub(super) fn labels(&self) -> Result<BTreeMap<String, String>, serde_json::Error> {
        let label = &self.label;
        let record = Record {
            app: label.app.0,
            id: label.id.0,
            name: label.name.to_string(),
            class: match label.class {
                Class::Web => RecordClass::Web,
                Class::Worker => RecordClass::Worker,
                Class::Detached => RecordClass::Detached,
                Class::Attached => RecordClass::Attached,
            },
            release: label.release.0,
            command: label.command.clone(),
            size: label.size.to_string(),
            port: label.port,
            uid: label.uid,
            crashes: label.crashes,
            cycle_after_ms: u64::try_from(label.cycle_after.as_millis()).unwrap_or(u64::MAX),
            started: label.started,
            slot: self.slot,
            address: self.address,
            lineage: Some(label.lineage.0),
            behind: label.behind.map(|lineage| lineage.0),
        };
        Ok(BTreeMap::from([(KEY.to_owned(), serde_json::to_string(&record)?)]))
    }

    /// Reads a container's labels; `None` for a container that is no dyno, or one of a form not known.
    pub(super) fn read(labels: &BTreeMap<String, String>) -> Option<Self> {
        let record: Record = serde_json::from_str(labels.get(KEY)?).ok()?;
        let label = DynoLabel {
            app: AppId(record.app),
            id: DynoId(record.id),
            name: record.name.parse().ok()?,
            class: match record.class {
                RecordClass::Web => Class::Web,
                RecordClass::Worker => Class::Worker,
                RecordClass::Detached => Class::Detached,
                RecordClass::Attached => Class::Attached,
            },
            release: Version(record.release),
            command: record.command,
            size: record.size.parse().ok()?,
            port: record.port,
            uid: record.uid,
            crashes: record.crashes,
            cycle_after: Duration::from_millis(record.cycle_after_ms),
            lineage: DynoId(record.lineage.unwrap_or(record.id)),
            behind: record.behind.map(DynoId),
            started: record.started,
        };
        Some(Self { label, slot: record.slot, address: record.address })
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::domain::DynoSize;

    #[test]
    fn a_label_reads_back_from_a_record() {
        for (class, behind) in [
            (Class::Web, Some(DynoId(Uuid::from_u128(9)))),
            (Class::Worker, None),
            (Class::Detached, None),
            (Class::Attached, None),
        ] {
            let label = DynoLabel {
                app: AppId(Uuid::from_u128(1)),
                id: DynoId(Uuid::from_u128(2)),
                name: "web.1".parse().unwrap(),
                class,
                release: Version(3),
                command: "serve \"$PORT\"\n".to_owned(),
                size: DynoSize::PerformanceM,
                port: 12345,
                uid: 54321,
                crashes: 4,
                cycle_after: Duration::from_millis(86_400_123),
                lineage: DynoId(Uuid::from_u128(8)),
                behind,
                started: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_795_415_284_170_873_999),
            };
            let tag = Tag { label, slot: 7, address: Ipv4Addr::new(172, 16, 0, 30) };
            assert_eq!(Tag::read(&tag.labels().unwrap()), Some(tag));
        }
    }

    #[test]
    fn a_label_of_an_earlier_node_is_read() {
        let record = r#"{"app":"00000000-0000-0000-0000-000000000001","id":"00000000-0000-0000-0000-000000000002",
            "name":"web.1","class":"web","release":3,"command":"serve","size":"Basic","port":12345,"uid":54321,
            "crashes":0,"cycle_after_ms":86400123,"started":{"secs_since_epoch":1795415284,"nanos_since_epoch":0},
            "slot":7,"address":"172.16.0.30"}"#;
        let tag = Tag::read(&BTreeMap::from([(KEY.to_owned(), record.to_owned())])).unwrap();
        assert_eq!((tag.label.lineage, tag.label.behind), (tag.label.id, None));
    }

    #[test]
    fn what_is_no_dyno_has_no_label() {
        assert_eq!(Tag::read(&BTreeMap::new()), None);
        assert_eq!(Tag::read(&BTreeMap::from([(KEY.to_owned(), "{}".to_owned())])), None);
        assert_eq!(Tag::read(&BTreeMap::from([("build".to_owned(), "1".to_owned())])), None);
    }
}
