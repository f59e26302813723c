//! How long reads of the API and `dyno ps` take on a node with many apps: `cargo bench --bench api -- --help`, and
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

#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;

use crate::support::crowd::Client;
use crate::support::node::TestNode;

/// Reads of the API by one client and by many, and `dyno ps` from prompt to prompt, on a node with many apps
#[derive(Debug, Parser)]
struct Arguments {
    /// Apps on the node
    #[arg(long, default_value_t = 1000)]
    apps: u32,
    /// Reads of each kind by the one client, and runs of each command
    #[arg(long, default_value_t = 300)]
    runs: u32,
    /// Clients at once
    #[arg(long, default_value_t = 200)]
    clients: u32,
    /// Reads of each of the many
    #[arg(long, default_value_t = 50)]
    reads: u32,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// A node has this index, beside those of people and of tests.
const NUMBER: u32 = 7;
/// What clients read, of the app `{}`.
const READS: [&str; 6] = [
    "/apps/{}",
    "/apps/{}/dynos",
    "/apps/{}/formation",
    "/apps/{}/config-vars",
    "/apps/{}/releases",
    "/apps",
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let node = TestNode::start("bench-api", NUMBER);
    let token = node.ok(&["auth:token"]).trim().to_owned();
    let client = Client::new(node.api_port(), &token);
    let begun = Instant::now();
    for number in 0..arguments.apps {
        client.post("/apps", &format!("{{\"name\":\"app-{number}\"}}"));
    }
    println!("{} apps created in {:.1} s", arguments.apps, begun.elapsed().as_secs_f64());
    one_client(&client, &arguments);
    let failed = many_clients(&node, &token, &arguments);
    commands(&node, arguments.runs);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one_client(client: &Client, arguments: &Arguments) {
    println!(
        "\nReads by one client, {} of each, by turns\n{:30}{:>10}{:>10}",
        arguments.runs, "", "p50 ms", "p99 ms"
    );
    let mut spans = vec![Vec::new(); READS.len()];
    for run in 0..arguments.runs {
        for (read, spans) in READS.iter().zip(&mut spans) {
            let path = read.replace("{}", &format!("app-{}", run * 7 % arguments.apps));
            let begun = Instant::now();
            assert!(client.get(&path).is_success(), "{path}");
            spans.push(begun.elapsed());
        }
    }
    for (read, spans) in READS.iter().zip(&mut spans) {
        row(read, spans);
    }
}

fn many_clients(node: &TestNode, token: &str, arguments: &Arguments) -> usize {
    let (clients, reads) = (arguments.clients, arguments.reads);
    let answers = support::crowd::reads(node.api_port(), token, clients, reads, |client, read| {
        READS[read as usize % (READS.len() - 1)]
            .replace("{}", &format!("app-{}", (client * 31 + read) % arguments.apps))
    });
    let failed = answers.iter().filter(|answer| !answer.status.is_success()).count();
    let mut spans: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    println!("\n{clients} clients at once, {reads} reads each of all but the last, {failed} failed");
    row("each", &mut spans);
    failed
}

fn commands(node: &TestNode, runs: u32) {
    println!("\nCommands from start to end, {runs} of each, by turns");
    let own = node.binary.to_string_lossy().into_owned();
    let lines: [(&str, Vec<&str>); 3] = [
        ("true", vec!["true"]),
        ("dyno --version", vec![&own, "--version"]),
        ("dyno ps", vec![&own, "ps", "-a", "app-1"]),
    ];
    let mut spans = vec![Vec::new(); lines.len()];
    for _ in 0..runs {
        for ((_, line), spans) in lines.iter().zip(&mut spans) {
            let mut command = Command::new(line[0]);
            command.args(&line[1..]).env("DYNO_ROOT", &node.root).stdin(Stdio::null()).stdout(Stdio::null());
            let begun = Instant::now();
            assert!(command.status().unwrap().success(), "{line:?}");
            spans.push(begun.elapsed());
        }
    }
    for ((name, _), spans) in lines.iter().zip(&mut spans) {
        row(name, spans);
    }
}

fn row(name: &str, spans: &mut [Duration]) {
    spans.sort();
    let at = |share: f64| {
        let rank = (share * spans.len() as f64).ceil() as usize;
        spans[rank.max(1) - 1].as_secs_f64() * 1e3
    };
    println!("{name:30}{:>10.2}{:>10.2}", at(0.5), at(0.99));
}
