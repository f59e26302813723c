//! Deploys and rollbacks under requests: how many failed, how long each took, and what the requests felt of it.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::node::{TestNode, eventually};
use crate::{APP, Arguments, POLL, quantile, requests, version, web_dynos};

/// Of so many deploys one is a git push.
const PUSH_EVERY: usize = 10;

/// Runs all, prints the table, and tells how many requests failed.
pub fn measure(node: &TestNode, source: &Path, arguments: &Arguments) -> usize {
    node.ok(&["ps:scale", "-a", APP, &format!("web={}", arguments.web)]);
    let web = usize::try_from(arguments.web).unwrap();
    eventually("all are up", || {
        let dynos = web_dynos(node);
        dynos.len() == web && dynos.iter().all(|(_, state, _)| state == "up")
    });
    println!("\nReleases under {} requests a second, {web} web dynos", arguments.rate);
    println!("  what         count   switch ms p50    p95   requests   ms p50    p99      max   failed");
    let deploys = row(node, "deploys", arguments, arguments.deploys, |n| deploy(node, source, n));
    let rollbacks = row(node, "rollbacks", arguments, arguments.rollbacks, |_| rollback(node));
    deploys + rollbacks
}

fn row(
    node: &TestNode,
    what: &str,
    arguments: &Arguments,
    count: usize,
    mut release: impl FnMut(usize),
) -> usize {
    let web = usize::try_from(arguments.web).unwrap();
    let (stream, mut spans) = requests::during(node.router_port, arguments.rate, || {
        let mut spans = Vec::new();
        for n in 0..count {
            let start = Instant::now();
            release(n);
            until_switched(node, web);
            spans.push(start.elapsed());
        }
        spans
    });
    spans.sort_unstable();
    let (of, requests) = (|share| quantile(&spans, share), |share| quantile(&stream.spans, share));
    println!(
        "  {what:<12} {count:>5} {:>15.0} {:>6.0} {:>10} {:>8.1} {:>6.1} {:>8.1} {:>8}",
        of(0.5),
        of(0.95),
        stream.spans.len() + stream.failed.len(),
        requests(0.5),
        requests(0.99),
        requests(1.0),
        stream.failed.len()
    );
    for failed in stream.failed.iter().take(5) {
        println!("    {}", failed.lines().next().unwrap_or_default());
    }
    stream.failed.len()
}

/// A release: a push with its build every so often, else a changed config var.
fn deploy(node: &TestNode, source: &Path, n: usize) {
    let text = format!("{n} {:?}", Instant::now());
    if n % PUSH_EVERY == PUSH_EVERY - 1 {
        std::fs::write(source.join("changed"), text).unwrap();
        node.commit(source);
        node.deploy(source);
    } else {
        node.ok(&["config:set", "-a", APP, &format!("N={n}")]);
    }
}

fn rollback(node: &TestNode) {
    let before = version(node) - 1;
    node.ok(&["rollback", "-a", APP, &format!("v{before}")]);
}

/// Waits until the newest release serves alone.
fn until_switched(node: &TestNode, web: usize) {
    let newest = version(node);
    let patience = Duration::from_secs(120);
    let start = Instant::now();
    loop {
        let dynos = web_dynos(node);
        if dynos.len() == web && dynos.iter().all(|(_, state, release)| state == "up" && *release == newest) {
            return;
        }
        assert!(start.elapsed() < patience, "v{newest} is not switched to: {dynos:?}");
        std::thread::sleep(POLL);
    }
}
