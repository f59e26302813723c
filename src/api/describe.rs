//! What webhooks are told: the resources of the API, as a client of plain version 3 sees them.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use crate::api::asked::Asked;
use crate::api::{view, view_formation};
use crate::flows::{Describe, Node, Subject};

/// Shows subjects of events as the API does.
pub(super) struct AsTheApi;

impl Describe for AsTheApi {
    fn describe(&self, node: &Node, subject: Subject<'_>) -> Value {
        match subject {
            Subject::App(info) => value(&view::app(node, info, &Asked::by_nobody())),
            Subject::Build(app, build, release) => {
                let url = |path: &str| Asked::by_nobody().url(node.settings(), path);
                value(&view::build((app, build), &HashMap::from_iter(release), url))
            }
            Subject::Collaborator(app, found) => value(&view::collaborator(app, found)),
            Subject::Domain(app, found) => value(&view::domain(app, found)),
            Subject::Dyno(app, found, release) => {
                value(&view::dyno(app, found, &HashMap::from([(found.release, release)])))
            }
            Subject::Formation(desired, process_type) => {
                let all = view_formation::formation(desired);
                let entry = all.iter().find(|entry| entry.process_type == process_type.as_str());
                entry.map_or(Value::Null, value)
            }
            Subject::Release(app, found) => value(&view::release(node, app, found)),
            Subject::SniEndpoint(app, found) => value(&view::sni_endpoint(app, found)),
        }
    }
}

fn value(shown: &impl Serialize) -> Value {
    serde_json::to_value(shown).unwrap_or_default()
}
