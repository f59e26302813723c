//! Whole stories: real git, real apps, real clients, on a node of each test's own. Root, and a built stack.

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod addons;
mod addons_crash;
mod addons_disk;
mod addons_fork;
mod addons_transfers;
mod app_setups;
mod bad_input;
mod chaos;
mod ci;
mod crashes;
mod crowds;
mod departures;
mod first_push;
mod languages;
mod libraries;
mod limits;
mod local;
mod one_off;
mod operations;
mod pushes;
mod readiness;
mod release_phase;
mod reproducible;
mod router;
mod scheduler;
mod scripts;
mod slugs;
mod ssh;
mod stock_cli;
mod switches;
mod third_party;
mod tls;
mod upgrade;
mod why;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::node::{TestNode, eventually, stack_dir};
use crate::support::skip::{is_root_or_skip, skip};

/// Root and a stack, or a skip that is counted.
fn is_possible(test: &str) -> bool {
    if !is_root_or_skip(test) {
        return false;
    }
    let has_stack = stack_dir().join("cedar-13/current").exists();
    if !has_stack {
        skip(test, "the stack cedar-13 is not built");
    }
    has_stack
}

/// The web dynos of an app: identity and state.
fn web_dynos(node: &TestNode, app: &str) -> BTreeSet<(String, String)> {
    let web = node.dynos(app).into_iter().filter(|dyno| dyno.process_type == "web");
    web.map(|dyno| (dyno.id, dyno.state)).collect()
}

/// Waits until other web dynos than `before` serve an app, and none of those is left.
fn relieved(node: &TestNode, app: &str, before: &BTreeSet<(String, String)>) {
    eventually("others have taken over", || {
        let now = web_dynos(node, app);
        let is_new = |id: &String| before.iter().all(|(old, _)| old != id);
        !now.is_empty() && now.iter().all(|(id, state)| state == "up" && is_new(id))
    });
}

/// An example that comes with the project.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// The app that does on request what apps do wrong.
fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/lab")
}

/// A small app without packages, with a buildpack of its own.
fn teller() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/teller")
}
