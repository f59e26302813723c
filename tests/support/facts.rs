//! What every answer of the API holds: a table of fields and kinds of our own, and a check of exchanges against it.
//!
//! In `field_facts.txt` a line without indent is a route with what it answers, or the name of an object; the indented
//! lines below an object are its fields. An answer has those fields and no others; a field with `~` before its name may be
//! left out. Kinds are `uuid`, `time`, `text`, `number`, `bool` and `any`, an object's name, `map KIND` and `list KIND`; one that
//! ends in `?` may be null, and `|` stands between kinds of which one must fit.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::exchanges::Exchange;

/// The table.
const TABLE: &str = include_str!("field_facts.txt");
/// What every refusal answers.
const REFUSAL: &str = "refusal";

/// The table, read.
pub struct Facts {
    /// Method and path, and the kind of the answer.
    routes: Vec<(String, String, String)>,
    objects: BTreeMap<String, Vec<(String, String)>>,
}

impl Facts {
    /// Reads the table.
    pub fn table() -> Self {
        let mut facts = Self { routes: Vec::new(), objects: BTreeMap::new() };
        let mut object = String::new();
        for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.trim_start().splitn(3, ' ');
            let mut word = || words.next().unwrap_or_default().to_owned();
            if line.starts_with(' ') {
                let (name, kind) = line.trim_start().split_once(' ').expect("a field and its kind");
                facts
                    .objects
                    .get_mut(&object)
                    .expect("below an object")
                    .push((name.to_owned(), kind.to_owned()));
            } else if line.contains(' ') {
                facts.routes.push((word(), word(), word()));
            } else {
                object = line.to_owned();
                facts.objects.insert(object.clone(), Vec::new());
            }
        }
        facts
    }

    /// What is not as the table has it.
    pub fn complaints(&self, exchange: &Exchange) -> Vec<String> {
        let Exchange { method, path, status, answer, .. } = exchange;
        let Some(answer) = answer else { return Vec::new() };
        let at = format!("{method} {path} {status}");
        let mut complaints = Vec::new();
        if status.is_success() {
            match self.answer_of(method.as_str(), path) {
                Some(kind) => self.compare(&at, kind, answer, &mut complaints),
                None => complaints.push(format!("{at}: the table has no such route: {answer}")),
            }
        } else {
            self.compare(&at, REFUSAL, answer, &mut complaints);
        }
        complaints
    }

    /// The route with the most words of its own wins: `/apps/{}` is not `/apps/facets`.
    fn answer_of(&self, method: &str, path: &str) -> Option<&str> {
        let fits =
            |(wanted, template, _): &&(String, String, String)| wanted == method && is_like(template, path);
        let best =
            self.routes.iter().filter(fits).min_by_key(|(_, template, _)| template.matches("{}").count());
        best.map(|(_, _, kind)| kind.as_str())
    }

    fn compare(&self, at: &str, kind: &str, value: &Value, complaints: &mut Vec<String>) {
        let (kind, may_be_null) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
        if value.is_null() && may_be_null {
            return;
        }
        if kind.contains('|') {
            let fits = |kind: &str| {
                let mut complaints = Vec::new();
                self.compare(at, kind, value, &mut complaints);
                complaints.is_empty()
            };
            if !kind.split('|').any(fits) {
                complaints.push(format!("{at}: not {kind}: {value}"));
            }
        } else if let Some(item) = kind.strip_prefix("list ") {
            match value.as_array() {
                Some(all) => {
                    all.iter().for_each(|one| self.compare(&format!("{at}[]"), item, one, complaints))
                }
                None => complaints.push(format!("{at}: not a list: {value}")),
            }
        } else if let Some(item) = kind.strip_prefix("map ") {
            match value.as_object() {
                Some(all) => {
                    all.values().for_each(|one| self.compare(&format!("{at}.*"), item, one, complaints))
                }
                None => complaints.push(format!("{at}: not a map: {value}")),
            }
        } else if let Some(fields) = self.objects.get(kind) {
            match value.as_object() {
                Some(object) => self.compare_fields(at, fields, object, complaints),
                None => complaints.push(format!("{at}: not {kind}: {value}")),
            }
        } else if !is_scalar(kind, value) {
            complaints.push(format!("{at}: not {kind}: {value}"));
        }
    }

    fn compare_fields(
        &self,
        at: &str,
        fields: &[(String, String)],
        object: &serde_json::Map<String, Value>,
        complaints: &mut Vec<String>,
    ) {
        let bare = |name: &str| name.trim_start_matches('~').to_owned();
        for (name, kind) in fields {
            match object.get(&bare(name)) {
                Some(value) => self.compare(&format!("{at}.{}", bare(name)), kind, value, complaints),
                None if name.starts_with('~') => {}
                None => complaints.push(format!("{at}: lacks {name}")),
            }
        }
        let unknown = object.keys().filter(|key| fields.iter().all(|(name, _)| bare(name) != **key));
        complaints.extend(unknown.map(|key| format!("{at}: the table has no {key}: {}", object[key])));
    }
}

/// Whether a path is one of a template, in which `{}` stands for any segment.
pub fn is_like(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.trim_end_matches('/').split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("{}"), Some(_)) => {}
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
}

fn is_scalar(kind: &str, value: &Value) -> bool {
    match kind {
        "uuid" => value.as_str().is_some_and(|text| uuid::Uuid::parse_str(text).is_ok()),
        "time" => value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        "text" => value.is_string(),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "any" => true,
        "null" => value.is_null(),
        other => panic!("the table has no kind {other}"),
    }
}
