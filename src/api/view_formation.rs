//! From formations to the shapes of `wire::api`.

use crate::api::view::app_ref;
use crate::domain::{App, DynoSize, FormationEntry, ProcessType, Release};
use crate::flows::ports::Desired;
use crate::wire::api::{self, Named, stable_id, timestamp};

/// A formation, one entry a type, with the commands of the release that runs.
pub(super) fn formation(desired: &Desired) -> Vec<api::FormationEntry> {
    let app = &desired.app;
    let entry = |entry: &FormationEntry| api::FormationEntry {
        app: app_ref(app),
        command: desired.release.process_types.get(&entry.process_type).cloned().unwrap_or_default(),
        created_at: timestamp(app.created_at_s),
        dyno_size: Named::stable("dyno-size", entry.size.as_str()),
        id: stable_id("formation", &format!("{}/{}", app.id, entry.process_type)),
        quantity: entry.quantity,
        size: entry.size.to_string(),
        stop_grace_s: entry.stop_grace.map(|grace| grace.as_secs()),
        process_type: entry.process_type.to_string(),
        updated_at: timestamp(desired.release.created_at_s),
    };
    desired.formation.entries().iter().map(entry).collect()
}

/// The type of release commands as an entry of a formation, which never has a dyno of it.
pub(super) fn release_type(app: &App, release: &Release, command: &str) -> api::FormationEntry {
    let (process_type, size) = (ProcessType::release(), DynoSize::default());
    api::FormationEntry {
        app: app_ref(app),
        command: command.to_owned(),
        created_at: timestamp(app.created_at_s),
        dyno_size: Named::stable("dyno-size", size.as_str()),
        id: stable_id("formation", &format!("{}/{process_type}", app.id)),
        quantity: 0,
        size: size.to_string(),
        stop_grace_s: None,
        process_type: process_type.to_string(),
        updated_at: timestamp(release.created_at_s),
    }
}
