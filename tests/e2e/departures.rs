//! Dynos that were told to go, and a node that is killed before they have gone.

use serde_json::Value;

use crate::support::node::{Found, TestNode, eventually};
use crate::{is_possible, lab, relieved, web_dynos};

/// A one-off that does not mind being told to end.
const STUBBORN: &str = "trap '' TERM; echo does not mind; while true; do sleep 1; done";

#[test]
fn what_was_told_to_go_goes_though_the_node_is_killed() {
    if !is_possible("what_was_told_to_go_goes_though_the_node_is_killed") {
        return;
    }
    let mut node = TestNode::configured("departures", 5, "[dynos]\nstop_grace_s = 6\n");
    let source = node.app("lab", &lab());
    node.deploy(&source);
    eventually("the app is up", || node.get("lab", "/").0 == 200);

    let shown: Value =
        serde_json::from_str(&node.ok(&["run:detached", "-a", "lab", "--json", STUBBORN])).unwrap();
    let name = shown["name"].as_str().unwrap();
    let begun = format!("app[{name}]: does not mind");
    eventually("the one-off has begun", || said(&node, "app").contains(&begun));
    let one_off = containers(&node, name).remove(0);
    node.ok(&["ps:stop", "-a", "lab", name]);
    node.kill();
    assert!(one_off.is_alive());
    node.serve();
    eventually("the one-off has gone", || containers(&node, name).is_empty());
    assert!(said(&node, "heroku").contains("Error R12 (Exit timeout)"), "{}", said(&node, "heroku"));

    // A web dyno that serves until its successor does.
    let before = web_dynos(&node, "lab");
    node.ok(&["ps:restart", "-a", "lab", "web"]);
    node.kill();
    node.serve();
    relieved(&node, "lab", &before);
    eventually("nothing is kept of who is gone", || {
        std::fs::read_dir(node.root.join("run/departures")).unwrap().count() == 0
    });
}

fn said(node: &TestNode, source: &str) -> String {
    node.ok(&["logs", "-a", "lab", "-n", "200", "--source", source])
}

fn containers(node: &TestNode, name: &str) -> Vec<Found> {
    node.containers().into_iter().filter(|found| found.name == name).collect()
}
