//! A path that must answer before a web dyno counts as up: what an app's users see of it.

use std::path::Path;

use serde_json::json;

use crate::support::node::{TestNode, eventually};
use crate::{is_possible, relieved, teller, web_dynos};

#[test]
fn a_web_dyno_serves_nobody_before_it_says_that_it_is_ready() {
    if !is_possible("a_web_dyno_serves_nobody_before_it_says_that_it_is_ready") {
        return;
    }
    let mut node = TestNode::configured("ready", 1, "[dynos]\nboot_timeout_s = 4\n");
    let source = node.app("ready", &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/ready"));
    let pack = json!({"updates": [{"buildpack": teller().join("pack")}]}).to_string();
    assert_eq!(node.api("PUT /apps/ready/buildpack-installations", "", &pack).0, 200);
    node.ok(&["routing", "readiness=/health?deep=1", "-a", "ready"]);
    node.ok(&["config:set", "READY=first", "-a", "ready"]);
    node.deploy(&source);
    let answers =
        |node: &TestNode, text: &str| eventually(text, || node.get("ready", "/") == (200, text.to_owned()));
    answers(&node, "first");
    let said =
        |node: &TestNode, source: &str| node.ok(&["logs", "-a", "ready", "-n", "500", "--source", source]);
    let asked = "asked by dyno-readiness for ready.localhost";
    assert!(said(&node, "app").contains(asked), "{}", said(&node, "app"));

    // The next one listens and says that it is not ready: it boots until its time is over, and the first serves on.
    let before = web_dynos(&node, "ready");
    let looks = said(&node, "app").matches(asked).count();
    node.ok(&["config:set", "READY=no", "-a", "ready"]);
    eventually("the new one is asked", || said(&node, "app").matches(asked).count() > looks);
    assert_eq!(node.get("ready", "/"), (200, "first".to_owned()));
    eventually("its time for booting is over", || said(&node, "heroku").contains("Error R10"));
    assert_eq!(node.get("ready", "/"), (200, "first".to_owned()));
    assert!(before.is_subset(&web_dynos(&node, "ready")), "the one before is still there");

    let before = web_dynos(&node, "ready");
    node.ok(&["config:set", "READY=second", "-a", "ready"]);
    relieved(&node, "ready", &before);
    answers(&node, "second");

    // What the app has chosen outlives the node.
    node.kill();
    node.serve();
    let shown = node.ok(&["routing", "-a", "ready"]);
    assert!(
        shown.lines().any(|line| line.starts_with("readiness ") && line.contains(" /health?deep=1 ")),
        "{shown}"
    );
    assert_eq!(node.get("ready", "/"), (200, "second".to_owned()));

    // Without a path to listen is enough.
    let before = web_dynos(&node, "ready");
    node.ok(&["routing", "readiness=off", "-a", "ready"]);
    node.ok(&["config:set", "READY=no", "-a", "ready"]);
    relieved(&node, "ready", &before);
    answers(&node, "no");
}
