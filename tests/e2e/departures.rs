//! Dynos that were told to go, and a node that is killed before they have gone.

use std::fs;
use std::process::{Command, Stdio};

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
        fs::read_dir(node.root.join("run/departures")).unwrap().count() == 0
    });
}

/// A buildpack that keeps every processor busy for ever.
const BUSY: &str = "#!/bin/sh\nfor n in 1 2 3; do (while :; do :; done) & done\necho begun\nsleep 3600\n";

#[test]
fn a_build_ends_with_its_node() {
    if !is_possible("a_build_ends_with_its_node") {
        return;
    }
    let mut node = TestNode::start("builds", 5);
    let pack = node.root.join("pack");
    fs::create_dir_all(pack.join("bin")).unwrap();
    for (name, text) in [("detect", "#!/bin/sh\necho Busy\n"), ("compile", BUSY)] {
        fs::write(pack.join("bin").join(name), text).unwrap();
    }
    let source = node.app("lab", &lab());
    node.ok(&["buildpacks:set", "-a", "lab", pack.to_str().unwrap()]);
    let mut push = Command::new("git");
    push.args(["push", "heroku", "main"]).env("GIT_TERMINAL_PROMPT", "0").current_dir(&source);
    let push = push.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the build is busy", || {
        outputs(&node).iter().any(|text| text.lines().any(|line| line == "begun"))
    });
    node.stop();
    let said = push.wait_with_output().unwrap();
    assert!(!said.status.success(), "{said:?}");
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(text.contains("Push rejected, the build was cancelled by the node, which is ending."), "{text}");
    node.serve();
    assert!(node.ok(&["builds", "-a", "lab"]).contains("failed"));
}

/// What builds have printed so far; to ask the node for it would wait for their end.
fn outputs(node: &TestNode) -> Vec<String> {
    let apps = fs::read_dir(node.root.join("lib/builds")).into_iter().flatten().flatten();
    let logs = apps.flat_map(|app| fs::read_dir(app.path()).unwrap());
    logs.map(|log| fs::read_to_string(log.unwrap().path()).unwrap()).collect()
}

fn said(node: &TestNode, source: &str) -> String {
    node.ok(&["logs", "-a", "lab", "-n", "200", "--source", source])
}

fn containers(node: &TestNode, name: &str) -> Vec<Found> {
    node.containers().into_iter().filter(|found| found.name == name).collect()
}
