//! The platform's published hyper-schema, where a machine has it: what answers must look like besides our own table.
//!
//! `PLATFORM_SCHEMA` names the file. What we do otherwise on purpose stands in `published_exceptions.txt`: the begin of a
//! complaint, with its route or without, a colon, and why.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use crate::support::exchanges::Exchange;
use crate::support::facts::is_like;

/// Names the file.
const FILE_NAME: &str = "PLATFORM_SCHEMA";
/// What we do otherwise.
const EXCEPTIONS: &str = include_str!("published_exceptions.txt");

/// The schema, read.
pub struct Published {
    whole: Value,
    /// What has been compiled, by number of the link.
    compiled: RefCell<BTreeMap<usize, Validator>>,
    links: Vec<Link>,
}

struct Link {
    /// The definition's name.
    of: String,
    method: String,
    template: String,
    target: Value,
}

impl Published {
    /// The schema that the environment names; nothing where it names none.
    pub fn of_environment() -> Option<Self> {
        let path = std::env::var_os(FILE_NAME)?;
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Some(Self::read(serde_json::from_slice(&text).unwrap()))
    }

    fn read(mut whole: Value) -> Self {
        let mut links = Vec::new();
        for (name, definition) in whole["definitions"].as_object_mut().unwrap() {
            // References are to the whole document; an identity of its own would be a new place to start from.
            let definition = definition.as_object_mut().unwrap();
            definition.remove("id");
            definition.remove("$schema");
            for link in definition.get("links").and_then(Value::as_array).into_iter().flatten() {
                let own = json!({ "$ref": format!("#/definitions/{name}") });
                let target = match (link.get("targetSchema"), link["rel"].as_str()) {
                    (Some(target), _) => target.clone(),
                    (None, Some("instances")) => json!({ "type": ["array"], "items": own }),
                    (None, _) => own,
                };
                links.push(Link {
                    of: name.clone(),
                    method: link["method"].as_str().unwrap().to_owned(),
                    template: template(link["href"].as_str().unwrap()),
                    target,
                });
            }
        }
        Self { whole, compiled: RefCell::default(), links }
    }

    /// What is not as the schema has it, known exceptions left out.
    pub fn complaints(&self, exchange: &Exchange) -> Vec<String> {
        let Some(answer) = exchange.answer.as_ref().filter(|_| exchange.status.is_success()) else {
            return Vec::new();
        };
        let fits =
            |link: &Link| link.method == exchange.method.as_str() && is_like(&link.template, &exchange.path);
        let found = self.links.iter().enumerate().filter(|(_, link)| fits(link));
        let Some((number, link)) = found.min_by_key(|(_, link)| link.template.matches("{}").count()) else {
            return Vec::new();
        };
        let mut compiled = self.compiled.borrow_mut();
        let validator = compiled.entry(number).or_insert_with(|| self.compile(&link.target));
        let wrong = validator.iter_errors(answer);
        let mut complaints: Vec<String> = wrong
            .map(|error| format!("{} {} {error}", link.of, field(error.instance_path().as_str())))
            .collect();
        self.missing(&link.of, &link.target, answer, &mut complaints);
        let route = format!("{} {}: ", link.method, link.template);
        let is_known = |complaint: &str| EXCEPTIONS.lines().any(|line| is_exception(line, &route, complaint));
        complaints.retain(|complaint| !is_known(complaint));
        complaints.into_iter().map(|complaint| format!("{route}{complaint}")).collect()
    }

    fn compile(&self, target: &Value) -> Validator {
        let schema = json!({ "allOf": [target], "definitions": self.whole["definitions"] });
        jsonschema::options().with_draft(Draft::Draft4).should_validate_formats(true).build(&schema).unwrap()
    }

    /// The schema demands no field; clients count on all of them.
    fn missing(&self, of: &str, target: &Value, answer: &Value, complaints: &mut Vec<String>) {
        let target = self.resolved(target);
        if let Some(all) = answer.as_array() {
            let items = target.get("items").cloned().unwrap_or_default();
            return all.iter().for_each(|one| self.missing(of, &items, one, complaints));
        }
        let Some(wanted) = target.get("properties").and_then(Value::as_object) else { return };
        let Some(given) = answer.as_object() else { return };
        let lacking = wanted.keys().filter(|name| !given.contains_key(*name));
        complaints.extend(lacking.map(|name| format!("{of} lacks {name}")));
        let beyond = given.keys().filter(|name| !wanted.contains_key(*name));
        complaints.extend(beyond.map(|name| format!("{of} has {name}")));
    }

    fn resolved(&self, target: &Value) -> Value {
        match target.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.whole.pointer(&reference[1..]).cloned().unwrap_or_default(),
            None => target.clone(),
        }
    }
}

fn is_exception(line: &str, route: &str, complaint: &str) -> bool {
    let Some((begin, _)) = line.rsplit_once(": ") else { return false };
    complaint.starts_with(begin) || begin.strip_prefix(route).is_some_and(|rest| complaint.starts_with(rest))
}

/// Where in an answer: `/0/git_url` of a list is `/git_url` of one.
fn field(path: &str) -> String {
    let is_index = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty();
    path.split('/').filter(|part| !is_index(part)).collect::<Vec<_>>().join("/")
}

/// `/apps/{(%23%2Fdefinitions%2Fapp%2Fdefinitions%2Fidentity)}` becomes `/apps/{}`.
fn template(href: &str) -> String {
    let segment = |text: &str| if text.starts_with('{') { "{}".to_owned() } else { text.to_owned() };
    href.split('/').map(segment).collect::<Vec<_>>().join("/")
}
