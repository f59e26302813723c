//! Whole stories: real git, real apps, real clients, on a node of each test's own. Root, and a built stack.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod chaos;
mod crashes;
mod first_push;
mod languages;
mod limits;
mod one_off;
mod operations;
mod pushes;
mod release_phase;
mod scheduler;
mod scripts;
mod stock_cli;
mod upgrade;
mod why;

use std::path::{Path, PathBuf};

use crate::support::node::stack_dir;
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

/// An example that comes with the project.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// The app that does on request what apps do wrong.
fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/lab")
}
