//! Whole stories: real git, real apps, real clients, on a node of each test's own. Root, and a built stack.

#[path = "../support/mod.rs"]
mod support;

mod first_push;
