//! What a deploy costs those who use an app, and how fast many dynos come up: `cargo bench --bench deploy -- --help`, and
//! `benches/README.md`. Root, and a built stack.
#![allow(unreachable_pub, clippy::allow_attributes, reason = "a program exports nothing")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program whose output is its purpose")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a benchmark that cannot go on may stop; figures are for people"
)]

mod requests;
mod scale;
mod switch;

#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::Value;

use crate::support::node::{TestNode, eventually};

/// Deploys and rollbacks under a steady stream of requests, and the scaling of a small static server
#[derive(Debug, Parser)]
struct Arguments {
    /// Deploys, every tenth a git push with its build, the others releases of a changed config var
    #[arg(long, default_value_t = 50)]
    deploys: usize,
    /// Rollbacks
    #[arg(long, default_value_t = 50)]
    rollbacks: usize,
    /// Requests a second, all the while
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Web dynos of the app that is deployed
    #[arg(long, default_value_t = 2)]
    web: u32,
    /// Web dynos to scale to from one
    #[arg(long, default_value_t = 50)]
    scale: u32,
    /// Which: switch, scale
    #[arg(long, value_delimiter = ',', default_values_t = ["switch", "scale"].map(str::to_owned))]
    only: Vec<String>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// The app of both parts.
const APP: &str = "bench";
/// A node has this index, beside those of people and of tests.
const NUMBER: u32 = 7;
/// Between two looks at what runs.
const POLL: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let has = |part: &str| arguments.only.iter().any(|name| name == part);
    let mut failed = 0;
    // Dynos of the default size, whatever memory the machine has: these use little of it.
    let node = TestNode::configured("bench-deploy", NUMBER, "[dynos]\nmemory_check = false\n");
    let source = deployed(&node);
    if has("switch") {
        failed = switch::measure(&node, &source, &arguments);
    }
    if has("scale") {
        scale::measure(&node, arguments.scale);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A small static server, deployed: it answers with the release's variable and the dyno's name.
fn deployed(node: &TestNode) -> PathBuf {
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).unwrap();
    write("requirements.txt", "");
    write(
        "Procfile",
        "web: echo \"${N:-0} $DYNO\" > index.html && exec python3 -m http.server \"$PORT\" --bind 0.0.0.0\n",
    );
    let source = node.app(APP, files.path());
    node.deploy(&source);
    eventually("the app answers", || node.get(APP, "/").0 == 200);
    source
}

/// The web dynos: name, state and release of each.
fn web_dynos(node: &TestNode) -> Vec<(String, String, u64)> {
    let dynos: Vec<Value> = serde_json::from_str(&node.ok(&["ps", "-a", APP, "--json"])).unwrap();
    let text = |dyno: &Value, key: &str| dyno[key].as_str().unwrap().to_owned();
    let web = dynos.iter().filter(|dyno| dyno["type"] == "web");
    web.map(|dyno| (text(dyno, "name"), text(dyno, "state"), dyno["release"]["version"].as_u64().unwrap()))
        .collect()
}

/// The version of the newest release.
fn version(node: &TestNode) -> u64 {
    let releases: Vec<Value> = serde_json::from_str(&node.ok(&["releases", "-a", APP, "--json"])).unwrap();
    releases[0]["version"].as_u64().unwrap()
}

/// The share of `sorted`, by the nearest rank, in milliseconds.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).map_or(f64::NAN, |span| span.as_secs_f64() * 1e3)
}
