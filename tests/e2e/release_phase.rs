//! Release commands: what they print and where, what their failure leaves alone, and a node that is killed in the middle.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::support::node::{TestNode, eventually};
use crate::{is_possible, lab};

/// What the command does is asked for by config vars.
const SCRIPT: &str = "echo \"preparing for $GREETING in $DYNO\"\n\
                      if [ -n \"$SLOW\" ]; then sleep \"$SLOW\"; fi\n\
                      exit ${STATUS:-0}\n";

#[test]
fn a_release_runs_only_once_its_command_has_succeeded() {
    if !is_possible("a_release_runs_only_once_its_command_has_succeeded") {
        return;
    }
    let mut node = TestNode::configured("release", 2, "[releases]\ncommand_timeout_s = 120\n");
    let source = node.app("lab", &lab());
    let procfile = source.join("Procfile");
    let types = fs::read_to_string(&procfile).unwrap();
    fs::write(&procfile, format!("release: bash release.sh\n{types}")).unwrap();
    fs::write(source.join("release.sh"), SCRIPT).unwrap();
    node.commit(&source);
    a_command_that_succeeds(&node, &source);
    a_command_that_fails(&node, &source);
    what_is_set_while_it_fails_goes_live_later(&node);
    a_rollback_has_a_command_too(&node);
    a_release_is_tried_once_more(&node);
    a_node_that_is_killed_in_the_middle(&mut node);
}

fn releases(node: &TestNode) -> Vec<Value> {
    serde_json::from_str(&node.ok(&["releases", "-a", "lab", "--json"])).unwrap()
}

/// The newest release: its number and how it fares.
fn newest(node: &TestNode) -> (u64, String) {
    let newest = &releases(node)[0];
    (newest["version"].as_u64().unwrap(), newest["status"].as_str().unwrap().to_owned())
}

fn current(node: &TestNode) -> u64 {
    let all = releases(node);
    let current = all.iter().find(|release| release["current"] == true);
    current.map_or(0, |release| release["version"].as_u64().unwrap())
}

fn a_command_that_succeeds(node: &TestNode, source: &std::path::Path) {
    let said = node.deploy(source);
    let lines: Vec<_> = said.lines().map(|line| line.trim_end()).collect();
    let at = lines.iter().position(|line| *line == "remote: -----> Launching...").unwrap();
    assert_eq!(
        lines[at + 1],
        "remote:  !     Release command declared: this new release will not be available until the command succeeds."
    );
    assert_eq!(lines[at + 2], "remote:        Released v3");
    let at = lines.iter().position(|line| *line == "remote: Verifying deploy... done.").unwrap();
    assert_eq!(lines[at + 1..at + 3], ["remote: Running release command....", "remote:"]);
    assert!(lines[at + 3].starts_with("remote: preparing for  in release."), "{said}");
    assert_eq!(lines[at + 4], "remote: Waiting for release.... done.", "{said}");
    eventually("the app answers", || node.get("lab", "/").0 == 200);
    assert_eq!((newest(node), current(node)), ((3, "succeeded".to_owned()), 3));
    let output = node.ok(&["releases:output", "-a", "lab", "v3"]);
    assert!(output.starts_with("preparing for  in release.") && output.lines().count() == 1, "{output}");
    let log = node.ok(&["logs", "-a", "lab", "-n", "1500"]);
    let name = output.trim().rsplit(' ').next().unwrap();
    let told: Vec<_> = [
        "app[api]: Running release v3 commands by user".to_owned(),
        format!("heroku[{name}]: Starting process with command `bash release.sh`"),
        format!("heroku[{name}]: State changed from starting to up"),
        format!("app[{name}]: preparing for"),
        format!("heroku[{name}]: Process exited with status 0"),
        format!("heroku[{name}]: State changed from up to complete"),
        "app[api]: Release v3 created by user".to_owned(),
        "heroku[web.1]: State changed from down to starting".to_owned(),
    ]
    .iter()
    .map(|text| log.find(text).unwrap_or_else(|| panic!("{text:?} is not in {log}")))
    .collect();
    assert!(told.is_sorted(), "{told:?}: {log}");
}

fn a_command_that_fails(node: &TestNode, source: &std::path::Path) {
    fs::write(source.join("release.sh"), format!("{SCRIPT}exit 9\n").replace("exit ${STATUS:-0}\n", ""))
        .unwrap();
    node.commit(source);
    let (taken, said) = node.push(source);
    assert!(taken, "a failed release command fails no push: {said}");
    assert!(
        said.contains("Released v4") && said.contains("remote: Waiting for release.... failed."),
        "{said}"
    );
    assert!(said.contains("main -> main"), "the ref moves: {said}");
    assert!(node.push(source).1.contains("Everything up-to-date"));
    assert_eq!((newest(node), current(node)), ((4, "failed".to_owned()), 3));
    assert!(node.ok(&["releases", "-a", "lab"]).contains("release command failed"));
    assert!(node.ok(&["releases:info", "-a", "lab", "v4"]).contains("Eligible for Rollback?: No"));
    assert!(node.refused(&["rollback", "-a", "lab", "v4"]).contains("v4"));
    let log = node.ok(&["logs", "-a", "lab", "-n", "1500"]);
    assert!(log.contains("app[api]: Release v4 command failed by user"), "{log}");
    assert_eq!(node.get("lab", "/"), (200, "hello from web.1\n".to_owned()), "v3 goes on");
}

fn what_is_set_while_it_fails_goes_live_later(node: &TestNode) {
    let said = node.refused(&["config:set", "-a", "lab", "STATUS=3", "GREETING=hi"]);
    assert!(said.contains("Running release command...") && said.contains("Release v5 failed"), "{said}");
    assert_eq!(node.get("lab", "/").1, "hello from web.1\n", "what runs has not changed");
    assert_eq!(node.ok(&["config:get", "-a", "lab", "GREETING"]).trim(), "hi");
    node.ok(&["config:unset", "-a", "lab", "STATUS"]);
    assert_eq!((newest(node), current(node)), ((6, "succeeded".to_owned()), 6));
    eventually("both changes are live", || node.get("lab", "/").1 == "hi from web.1\n");
}

fn a_rollback_has_a_command_too(node: &TestNode) {
    let said = node.ok(&["rollback", "-a", "lab", "v3"]);
    assert!(said.starts_with("preparing for  in release."), "{said}");
    eventually("the old greeting is back", || node.get("lab", "/").1 == "hello from web.1\n");
    assert_eq!(current(node), 7);
}

fn a_release_is_tried_once_more(node: &TestNode) {
    let said = node.ok(&["releases:retry", "-a", "lab"]);
    assert!(said.starts_with("preparing for  in release."), "{said}");
    let all = releases(node);
    assert_eq!((&all[0]["version"], &all[0]["slug"]), (&8.into(), &all[1]["slug"]));
    assert_eq!(all[0]["description"], "Retry of v7: Rollback to v3");
    assert_eq!(current(node), 8);
}

fn a_node_that_is_killed_in_the_middle(node: &mut TestNode) {
    for (status, fate) in [("0", "succeeded"), ("5", "failed")] {
        let before = current(node);
        let mut set = node.command();
        set.args(["config:set", "-a", "lab", "SLOW=12", &format!("STATUS={status}")]);
        let mut set = set.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        eventually("the release command runs", || newest(node).1 == "pending" && !output(node).is_empty());
        let (version, _) = newest(node);
        let refused = node.refused(&["config:set", "-a", "lab", "OTHER=1"]);
        assert!(
            refused.contains(&format!("Release v{version}")) && refused.contains("ps:stop release."),
            "{refused}"
        );
        node.kill();
        assert!(!set.wait().unwrap().success(), "its node went away");
        node.serve();
        eventually("the release is settled by how its command ends", || {
            newest(node) == (version, fate.to_owned())
        });
        let log = node.ok(&["logs", "-a", "lab", "-n", "1500"]);
        assert!(log.contains(&format!("Process exited with status {status}")), "{log}");
        assert_eq!(output(node).lines().count(), 1, "nothing is missing, and nothing told twice");
        assert_eq!(current(node), if fate == "succeeded" { version } else { before });
    }
}

fn output(node: &TestNode) -> String {
    // While it runs the command would follow it to its end.
    let version = newest(node).0;
    let app: Value = serde_json::from_str(&node.ok(&["info", "-a", "lab", "--json"])).unwrap();
    let id = app["app"]["id"].as_str().unwrap();
    fs::read_to_string(node.root.join(format!("lib/releases/{id}/v{version}.log"))).unwrap_or_default()
}
