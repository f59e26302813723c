//! A node whose own disk is full: what it keeps for others stops taking writes and says why, the node goes on, and all of it goes on by
//! itself once there is room.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::is_possible;
use crate::support::disk;
use crate::support::node::{TestNode, eventually};
use crate::support::skip::skip;

const NAME: &str = "a_full_disk_stops_writes_and_never_the_node";
/// The disk of the node: more than builds and services leave free of it.
const DISK_MIB: u64 = 3072;

#[test]
fn a_full_disk_stops_writes_and_never_the_node() {
    if !is_possible(NAME) {
        return;
    }
    let place = TestNode::place("addons-disk");
    // Nothing is reserved for root, who is the one that fills it.
    let made = disk::with(&place, (DISK_MIB, &["mkfs.ext4", "-q", "-m", "0"]), || {
        let node = TestNode::start("addons-disk", 7);
        let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/ledger");
        node.deploy(&node.app("ledger", &ledger));
        node.ok(&["addons:create", "postgresql", "--name", "books", "-a", "ledger"]);
        node.ok(&["addons:create", "redis", "--name", "jobs", "-a", "ledger"]);
        node.ok(&["addons:wait", "-a", "ledger"]);
        kept(&node, "/add/1");
        kept(&node, "/push/1");
        nearly_full_is_told_before_it_is_full(&node);
        full_stops_writes_alone(&node);
        all_goes_on_by_itself(&node);
    });
    if let Err(reason) = made {
        skip(NAME, &reason);
    }
}

/// Asks the app to keep something until it has: what was kept and not acknowledged is refused the second time.
fn kept(node: &TestNode, path: &str) {
    eventually("something is kept", || {
        let (status, text) = node.get("ledger", path);
        status == 200 || text.contains("duplicate key")
    });
}

fn ballast(node: &TestNode) -> PathBuf {
    node.root.join("ballast")
}

/// Takes all of the disk but so many MiB.
fn leave(node: &TestNode, mib: u64) {
    let free = dyno::sys::fs::free_bytes(&node.root).unwrap();
    let had = std::fs::metadata(ballast(node)).map_or(0, |found| found.len());
    let length = (had + free - (mib << 20)).to_string();
    let made = Command::new("fallocate").args(["-l", &length]).arg(ballast(node)).status().unwrap();
    assert!(made.success());
}

/// What the app has kept.
fn numbers(node: &TestNode, path: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    eventually("it tells what it has kept", || {
        let (status, text) = node.get("ledger", path);
        numbers = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        status == 200
    });
    numbers
}

/// What the app's log says.
fn log(node: &TestNode) -> String {
    node.ok(&["logs", "-n", "500", "-a", "ledger"])
}

/// The node answers who manages it and who uses its apps.
fn the_node_serves(node: &TestNode) {
    let (status, apps) = node.api("GET /apps", "", "");
    assert!(status == 200 || status == 206, "{status} {apps}");
    assert_eq!(node.get("ledger", "/"), (200, "up\n".to_owned()));
    assert!(node.dynos("ledger").iter().any(|dyno| dyno.is_up()));
}

fn nearly_full_is_told_before_it_is_full(node: &TestNode) {
    leave(node, 300);
    eventually("a write is refused", || {
        let (status, text) = node.get("ledger", "/add/2");
        status == 500 && text.contains("read-only transaction")
    });
    let told = log(node);
    let line = "heroku[heroku-postgresql]: Disk full: ";
    let found = told.lines().find(|told| told.contains(line)).unwrap_or_else(|| panic!("{told}"));
    assert!(found.contains("of the node's disk") && found.contains("free"), "it says why: {found}");
    assert!(numbers(node, "/all").contains(&1), "what is there is read");
    the_node_serves(node);
}

/// Not a byte is left: no log of a database, no record of the node can be written any more.
fn full_stops_writes_alone(node: &TestNode) {
    leave(node, 0);
    let filler = node.root.join("filler");
    // What other blocks are kept for goes as well.
    let _full = std::fs::write(&filler, vec![0; 64 << 20]);
    for _ in 0..20 {
        the_node_serves(node);
        assert_eq!(node.get("ledger", "/add/3").0, 500, "it is not acknowledged what is not kept");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    // What it cannot keep it does not take.
    let refused = node.refused(&["config:set", "GREETING=hi", "-a", "ledger"]);
    assert!(!refused.contains("panick"), "{refused}");
    the_node_serves(node);
    std::fs::remove_file(filler).unwrap();
}

fn all_goes_on_by_itself(node: &TestNode) {
    std::fs::remove_file(ballast(node)).unwrap();
    kept(node, "/add/4");
    kept(node, "/push/4");
    // Of what was not acknowledged nothing is known.
    let all = numbers(node, "/all");
    assert!(all.contains(&1) && all.contains(&4), "what was acknowledged is there: {all:?}");
    let jobs = numbers(node, "/jobs");
    assert!(jobs.contains(&1) && jobs.contains(&4), "what was queued is there: {jobs:?}");
    eventually("the app is told", || log(node).contains("writes are taken"));
    node.ok(&["config:set", "GREETING=hi", "-a", "ledger"]);
    the_node_serves(node);
    assert!(!node.log().contains("panicked"), "{}", node.log());
}
