//! Apps that do not come up, or do not stay up: what the log, the router and the list of dynos say of them.

use serde_json::Value;

use crate::support::node::{TestNode, eventually};
use crate::{is_possible, lab};

#[test]
fn an_app_that_crashes_is_told_and_started_again_as_documented() {
    if !is_possible("an_app_that_crashes_is_told_and_started_again_as_documented") {
        return;
    }
    // The waits after crashes are the platform's: at once, then ten minutes.
    let node = TestNode::configured("crashes", 3, "[dynos]\nboot_timeout_s = 4\n");
    let source = node.app("lab", &lab());
    node.deploy(&source);
    eventually("the app answers", || node.get("lab", "/").0 == 200);
    // As on the platform: a release is switched to whether it comes up or not.
    node.ok(&["features:disable", "preboot", "-a", "lab"]);
    an_end_with_status_0_is_a_crash(&node);
    a_crash_at_the_start(&node);
    a_web_process_that_never_listens(&node);
    node.ok(&["config:unset", "-a", "lab", "DEAF"]);
    eventually("a new release starts it again", || node.get("lab", "/").0 == 200);
}

fn state(node: &TestNode) -> String {
    let dynos: Vec<Value> = serde_json::from_str(&node.ok(&["ps", "-a", "lab", "--json"])).unwrap();
    assert_eq!(dynos.len(), 1, "{dynos:?}");
    dynos[0]["state"].as_str().unwrap().to_owned()
}

/// What the platform has said of the dyno since the last release was made.
fn told(node: &TestNode) -> Vec<String> {
    let log = node.ok(&["logs", "-a", "lab", "-n", "1500"]);
    let since = log.rfind(" created by user").unwrap_or(0);
    let lines = log[since..].lines().filter_map(|line| line.split_once("heroku[web.1]: "));
    lines.map(|(_, text)| text.to_owned()).collect()
}

/// Whether these lines follow one another among `told`.
fn follow(told: &[String], lines: &[&str]) -> bool {
    told.windows(lines.len()).any(|window| window == lines)
}

fn an_end_with_status_0_is_a_crash(node: &TestNode) {
    assert_eq!(node.get("lab", "/exit/0").0, 503, "the process has ended over the request");
    eventually("it is started again at once", || node.get("lab", "/").0 == 200);
    let told = told(node);
    let lines = [
        "Process exited with status 0",
        "State changed from up to crashed",
        "State changed from crashed to starting",
        "Starting process with command `exec python3 app.py`",
        "State changed from starting to up",
    ];
    assert!(follow(&told, &lines), "{told:#?}");
}

fn a_crash_at_the_start(node: &TestNode) {
    node.ok(&["config:set", "-a", "lab", "CRASH=1"]);
    let crash = ["Process exited with status 1", "State changed from starting to crashed"];
    let again =
        ["State changed from crashed to starting", "Starting process with command `exec python3 app.py`"];
    let twice = [crash, again, crash].concat();
    eventually("it has crashed twice", || follow(&told(node), &twice));
    assert_eq!(state(node), "crashed", "the second crash in a row has to wait");
    let (status, body) = node.get("lab", "/");
    assert!(status == 503 && body.contains("Application error"), "{status} {body}");
    let router = node.ok(&["logs", "-a", "lab", "-n", "50", "--source", "heroku", "--ps", "router"]);
    let line = router.lines().last().unwrap();
    assert!(line.contains("at=error code=H10 desc=\"App crashed\"") && line.contains("status=503"), "{line}");
    let app = node.ok(&["logs", "-a", "lab", "-n", "50", "--source", "app", "--dyno-name", "web.1"]);
    assert!(app.contains("told to crash"), "the app's own last words: {app}");
}

fn a_web_process_that_never_listens(node: &TestNode) {
    node.ok(&["config:set", "-a", "lab", "DEAF=1"]);
    node.ok(&["config:unset", "-a", "lab", "CRASH"]);
    let late = [
        "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 4 seconds of launch",
        "Stopping process with SIGKILL",
        "Process exited with status 137",
        "State changed from starting to crashed",
    ];
    eventually("it is given up twice", || {
        let told = told(node);
        told.iter().filter(|text| **text == late[0]).count() == 2 && told.ends_with(&late.map(str::to_owned))
    });
    let told = told(node);
    let again = ["State changed from starting to crashed", "State changed from crashed to starting"];
    assert!(follow(&told, &late) && follow(&told, &again), "{told:#?}");
    assert_eq!(state(node), "crashed");
    assert_eq!(node.get("lab", "/").0, 503);
}
