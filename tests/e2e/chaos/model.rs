//! What an app must be like, from what was acknowledged: a request that was cut off may have been carried out or not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::What;
use crate::support::node::{Found, TestNode};

/// What is known of an app.
pub(super) struct App {
    pub(super) name: String,
    pub(super) id: String,
    /// Its dynos end by request alone.
    pub(super) is_steady: bool,
    /// Dynos of it were told to go since all was settled, and may still be on their way.
    pub(super) is_shaken: bool,
    /// One-offs that were acknowledged.
    pub(super) jobs: BTreeSet<String>,
    config: BTreeMap<String, Known<Option<String>>>,
    formation: BTreeMap<String, Known<u32>>,
    release: u64,
}

/// A value, and what it may be instead.
#[derive(Clone, Debug)]
struct Known<T> {
    value: T,
    perhaps: Vec<T>,
    /// Asked for in this life of the node.
    is_asked: bool,
}

impl<T: PartialEq + std::fmt::Debug> Known<T> {
    fn new(value: T) -> Self {
        Known { value, perhaps: Vec::new(), is_asked: false }
    }

    fn was_asked(&mut self, value: T, is_acknowledged: bool) {
        if is_acknowledged { *self = Self::new(value) } else { self.perhaps.push(value) }
    }

    fn resolve(&mut self, what: &str, found: T) {
        let is_possible = self.value == found || self.perhaps.contains(&found);
        assert!(is_possible, "{what} is {found:?} and was acknowledged as {self:?}");
        *self = Self::new(found);
    }
}

impl Found {
    /// Whether both have the same name in the same app.
    pub(super) fn is_of_same_dyno(&self, other: &Found) -> bool {
        (&self.app, &self.name) == (&other.app, &other.name)
    }
}

fn ok(node: &TestNode, path: &str, range: &str) -> Value {
    let (status, body) = node.api(&format!("GET {path}"), range, "");
    assert!(status == 200 || status == 206, "{path}: {status} {body}");
    body
}

// === impl App ===

impl App {
    /// An app as it is now.
    pub(super) fn read(node: &TestNode, name: &str, is_steady: bool) -> App {
        let id = ok(node, &format!("/apps/{name}"), "")["id"].as_str().unwrap().to_owned();
        let mut app = App {
            name: name.to_owned(),
            id,
            is_steady,
            is_shaken: false,
            jobs: BTreeSet::new(),
            config: BTreeMap::new(),
            formation: BTreeMap::new(),
            release: 0,
        };
        app.formation =
            app.quantities(node).into_iter().map(|(of, quantity)| (of, Known::new(quantity))).collect();
        app.release = app.releases(node)[0];
        app
    }

    fn quantities(&self, node: &TestNode) -> BTreeMap<String, u32> {
        let formation = ok(node, &format!("/apps/{}/formation", self.name), "");
        let entry = |entry: &Value| {
            let quantity = entry["quantity"].as_u64().unwrap();
            (entry["type"].as_str().unwrap().to_owned(), u32::try_from(quantity).unwrap())
        };
        formation.as_array().unwrap().iter().map(entry).collect()
    }

    /// The versions of the releases, newest first.
    fn releases(&self, node: &TestNode) -> Vec<u64> {
        let path = format!("/apps/{}/releases", self.name);
        let releases = ok(node, &path, "version ..; order=desc,max=1000");
        releases.as_array().unwrap().iter().map(|release| release["version"].as_u64().unwrap()).collect()
    }

    /// Its process types.
    pub(super) fn types(&self) -> impl Iterator<Item = &String> {
        self.formation.keys()
    }

    /// Whether what is asked for was asked for in this life already: two answers cannot be told apart by their order.
    pub(super) fn is_asked_twice(&mut self, what: &What) -> bool {
        let mark = match what {
            What::Set(key, _) => {
                &mut self.config.entry(key.clone()).or_insert_with(|| Known::new(None)).is_asked
            }
            What::Scale(of, _) => &mut self.formation.get_mut(of).unwrap().is_asked,
            What::Restart | What::Job | What::Run => return false,
        };
        std::mem::replace(mark, true)
    }

    pub(super) fn was_set(&mut self, key: &str, value: String, is_acknowledged: bool) {
        self.config.get_mut(key).unwrap().was_asked(Some(value), is_acknowledged);
    }

    pub(super) fn was_scaled(&mut self, of: &str, quantity: u32, is_acknowledged: bool) {
        self.is_shaken = true;
        self.formation.get_mut(of).unwrap().was_asked(quantity, is_acknowledged);
    }

    /// Looks what is true of what may be: everything acknowledged must be.
    pub(super) fn resolve(&mut self, node: &TestNode) {
        let name = &self.name;
        let found = ok(node, &format!("/apps/{name}/config-vars"), "");
        for (key, known) in &mut self.config {
            known.resolve(&format!("{key} of {name}"), found[key].as_str().map(ToOwned::to_owned));
        }
        for (of, quantity) in self.quantities(node) {
            if let Some(known) = self.formation.get_mut(&of) {
                known.resolve(&format!("{of} of {name}"), quantity);
            }
        }
        let newest = self.releases(node)[0];
        assert!(newest >= self.release, "{name} has release {newest} and had {}", self.release);
        self.release = newest;
    }

    pub(super) fn assert_releases_are_whole(&self, node: &TestNode) {
        let mut releases = self.releases(node);
        releases.reverse();
        assert_eq!(releases, (1..=self.release).collect::<Vec<_>>(), "releases of {}", self.name);
    }

    /// Whether the formation asks for this container, as it is.
    pub(super) fn wants(&self, found: &Found) -> bool {
        let Some((of, index)) = found.name.split_once('.') else { return false };
        let quantity = self.formation.get(of).map_or(0, |known| known.value);
        found.release == self.release && index.parse::<u32>().is_ok_and(|index| index <= quantity)
    }

    /// Whether exactly the dynos that are wanted run, each once, and the node knows them as up.
    pub(super) fn is_settled(&self, node: &TestNode) -> bool {
        let is_of_formation =
            |found: &Found| found.app == self.id && ["web", "worker"].contains(&found.class.as_str());
        let running: Vec<_> =
            node.containers().into_iter().filter(is_of_formation).filter(Found::is_alive).collect();
        let wanted: u32 = self.formation.values().map(|known| known.value).sum();
        let names: BTreeSet<_> = running.iter().map(|found| &found.name).collect();
        let dynos = node.dynos(&self.name);
        let is_up = |found: &Found| dynos.iter().any(|dyno| dyno.id == found.id && dyno.is_up());
        running.len() == wanted as usize
            && names.len() == running.len()
            && running.iter().all(|found| self.wants(found) && is_up(found))
    }
}
