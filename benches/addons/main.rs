//! How long an add-on takes from `addons:create` to a database that answers, and what an idle one uses:
//! `cargo bench --bench addons -- --help`, and `benches/README.md`. Root, and a built stack.
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

#[path = "../../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::Value;

use crate::support::node::TestNode;

/// From `addons:create` to a database that answers, and the memory of one that nobody uses
#[derive(Debug, Parser)]
struct Arguments {
    /// Add-ons that are made, one after the other
    #[arg(long, default_value_t = 10)]
    runs: u32,
    /// What is made
    #[arg(long, default_value = "heroku-postgresql")]
    plan: String,
    /// Seconds after which an add-on that nobody uses is looked at
    #[arg(long, default_value_t = 10)]
    idle: u64,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// A node has this index, beside those of people and of tests.
const NUMBER: u32 = 7;
/// The app.
const APP: &str = "bench";

fn main() {
    let arguments = Arguments::parse();
    let node = TestNode::start("bench-addons", NUMBER);
    assert_eq!(node.api("POST /apps", "", &format!("{{\"name\":\"{APP}\"}}")).0, 201);
    // The packages of the service are laid over the stack when the first one is made.
    made(&node, &arguments.plan);
    destroyed(&node);
    let (mut waits, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..arguments.runs {
        let begun = Instant::now();
        made(&node, &arguments.plan);
        waits.push(begun.elapsed());
        asked(&node, &arguments.plan);
        answers.push(begun.elapsed());
        destroyed(&node);
    }
    println!("{} times {}\n{:44}{:>10}{:>10}", arguments.runs, arguments.plan, "", "p50 s", "max s");
    row("addons:create --wait returns", &mut waits);
    row("and a client in the database has its answer", &mut answers);
    made(&node, &arguments.plan);
    std::thread::sleep(Duration::from_secs(arguments.idle));
    let memory = addon(&node)["memory_bytes"].as_f64().unwrap_or_default() / f64::from(1 << 20);
    println!("{memory:.1} MiB are used by one that nobody uses");
}

fn made(node: &TestNode, plan: &str) {
    node.ok(&["addons:create", plan, "--wait", "-a", APP]);
}

/// One question by the service's own client, which the address in the app's config vars leads to.
fn asked(node: &TestNode, plan: &str) {
    let config = node.ok(&["config", "-a", APP]);
    assert!(config.contains("_URL"), "{config}");
    if plan.contains("postgresql") {
        let url = node.ok(&["config:get", "DATABASE_URL", "-a", APP]).trim().to_owned();
        // Over TCP with the password, as an app does.
        let (_, at) = url.rsplit_once(':').unwrap();
        let (credentials, _) = url.rsplit_once('@').unwrap();
        let sql = format!("\\connect {credentials}@127.0.0.1:{at}\nSELECT 'it ' || 'answers';\n");
        assert!(piped(node, &["pg:psql", "-a", APP], &sql).contains("it answers"));
    } else {
        assert!(piped(node, &["redis:cli", "-a", APP], "PING\n").contains("PONG"));
    }
}

fn piped(node: &TestNode, args: &[&str], input: &str) -> String {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut command = node.command();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn addon(node: &TestNode) -> Value {
    let all: Value = serde_json::from_str(&node.ok(&["addons", "--json", "-a", APP])).unwrap();
    all[0].clone()
}

fn destroyed(node: &TestNode) {
    let name = addon(node)["name"].as_str().unwrap().to_owned();
    node.ok(&["addons:destroy", &name, "--confirm", APP, "-a", APP]);
}

fn row(name: &str, spans: &mut [Duration]) {
    spans.sort();
    let median = spans[spans.len() / 2].as_secs_f64();
    let longest = spans.last().map_or(0.0, Duration::as_secs_f64);
    println!("{name:44}{median:>10.2}{longest:>10.2}");
}
