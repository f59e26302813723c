//! Hooks: when they run, where, what they get, and what comes of a failure.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::support::container::{PATIENCE, can_run};
use crate::support::patience::patient;

const POINTS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that notes its point, the state it got, and its view of mounts.
fn hook(bundle: &Bundle, point: &str, more: &str) -> Value {
    let path = bundle.path("hook");
    fs::write(
        &path,
        "#!/bin/sh\nstate=$(cat)\nstatus=$(echo \"$state\" | grep '\"status\"' | cut -d'\"' -f4)\n\
         pid=$(echo \"$state\" | grep '\"pid\"' | tr -dc 0-9)\necho \"$1 $status $pid $VALUE $(readlink /proc/self/ns/mnt)\" >> \"$2\"\neval \"$3\"\n",
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    json!({"path": path, "args": ["hook", point, bundle.path("notes"), more], "env": ["PATH=/usr/bin:/bin", "VALUE=given"]})
}

fn notes(bundle: &Bundle) -> Vec<Vec<String>> {
    let text = fs::read_to_string(bundle.path("notes")).unwrap_or_default();
    text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

#[test]
fn hooks_run_at_their_points_with_the_state() {
    if !can_run("hooks_run_at_their_points_with_the_state") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["hooks"] = json!({});
    for point in POINTS {
        bundle.config["hooks"][point] = json!([hook(&bundle, point, "")]);
    }
    // This one runs inside, where the bundle is not.
    bundle.config["hooks"]["startContainer"] = json!([{"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/state; echo $VALUE > /tmp/value"], "env": ["PATH=/bin", "VALUE=in"]}]);
    bundle.script("sleep 1000");
    let id = bundle.id("a");
    let seen = |bundle: &Bundle| notes(bundle).iter().map(|note| note[0].clone()).collect::<Vec<_>>();
    bundle.must(&["create", &id]);
    assert_eq!(seen(&bundle), ["prestart", "createRuntime", "createContainer"]);
    assert!(!bundle.root().join("tmp/state").exists());
    bundle.must(&["start", &id]);
    assert_eq!(seen(&bundle).last().map(String::as_str), Some("poststart"));
    let pid = bundle.state(&id)["pid"].to_string();
    bundle.must(&["delete", "-f", &id]);
    assert_eq!(seen(&bundle).last().map(String::as_str), Some("poststop"));

    let notes = notes(&bundle);
    let statuses: Vec<_> = notes.iter().map(|note| note[1].as_str()).collect();
    assert_eq!(statuses, ["creating", "creating", "creating", "running", "stopped"]);
    assert!(notes[..4].iter().all(|note| note[2] == pid && note[3] == "given"), "{notes:?}");
    assert_eq!(notes[0][4], notes[1][4]);
    assert_ne!(notes[1][4], notes[2][4], "createContainer runs in the container's mount namespace");
    let inside: Value =
        serde_json::from_str(&fs::read_to_string(bundle.root().join("tmp/state")).unwrap()).unwrap();
    assert_eq!((inside["status"].as_str(), inside["pid"].to_string()), (Some("created"), pid));
    assert_eq!(fs::read_to_string(bundle.root().join("tmp/value")).unwrap(), "in\n");
}

#[test]
fn a_hook_inside_has_the_programs_environment_unless_it_names_its_own() {
    if !can_run("a_hook_inside_has_the_programs_environment_unless_it_names_its_own") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["process"]["env"] = json!(["PATH=/bin", "VALUE=programs"]);
    let inside =
        |env: Value| json!({"path": "/bin/sh", "args": ["sh", "-c", "echo $VALUE >> /tmp/seen"], "env": env});
    bundle.config["hooks"] =
        json!({"startContainer": [inside(Value::Null), inside(json!(["VALUE=own"])), inside(json!([]))]});
    assert_eq!(bundle.say("cat /tmp/seen"), "programs\nown\n\n");
}

#[test]
fn a_failing_hook_ends_the_container_and_is_told_of() {
    if !can_run("a_failing_hook_ends_the_container_and_is_told_of") {
        return;
    }
    for point in &POINTS[..5] {
        let mut bundle = Bundle::new();
        bundle.script("sleep 1000");
        let failing = if *point == "startContainer" {
            json!({"path": "/bin/sh", "args": ["sh", "-c", "echo because >&2; exit 3"]})
        } else {
            hook(&bundle, point, "echo because >&2; exit 3")
        };
        bundle.config["hooks"] = json!({*point: [failing]});
        let id = bundle.id("a");
        if POINTS[3..5].contains(point) {
            bundle.must(&["create", &id]);
            bundle.refused(&["start", &id], "because");
            bundle.must(&["delete", "--force", &id]);
        } else {
            bundle.refused(&["create", &id], "because");
        }
        assert_eq!(bundle.must(&["list", "-q"]).out, "", "{point}");
        let said = bundle.call(&["run", &id]);
        assert!(
            said.code != 0 && said.err.contains(point) && said.err.contains("because"),
            "{point}: {said:?}"
        );
        assert_eq!(bundle.must(&["list", "-q"]).out, "", "{point}");
    }
    let mut bundle = Bundle::new();
    bundle.config["hooks"] = json!({"poststop": [hook(&bundle, "poststop", "exit 3")]});
    assert_eq!(bundle.run("true").code, 0, "the last hooks decide nothing");
}

#[test]
fn a_hook_that_hangs_is_ended_at_its_timeout() {
    if !can_run("a_hook_that_hangs_is_ended_at_its_timeout") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["hooks"] =
        json!({"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1}]});
    bundle.refused(&["run", "a"], "within its timeout");
    bundle.config["hooks"] = json!({"createRuntime": [{"path": "relative"}]});
    bundle.refused(&["run", "a"], "absolute path");
    bundle.config["hooks"] = json!({"createRuntime": [{"path": "/nowhere"}]});
    bundle.refused(&["run", "a"], "/nowhere");
}

#[test]
fn what_a_hook_says_without_end_takes_no_room_and_whoever_it_leaves_talks_to_nobody() {
    if !can_run("what_a_hook_says_without_end_takes_no_room_and_whoever_it_leaves_talks_to_nobody") {
        return;
    }
    let mut bundle = Bundle::new();
    let stays = "trap '' PIPE; (while echo word; do :; done; echo over >> \"$2\") & head -c 4000000 /dev/zero; \
                 echo because >&2; exit 3";
    bundle.config["hooks"] = json!({"createRuntime": [hook(&bundle, "createRuntime", stays)]});
    let said = bundle.run("true");
    assert!(said.code != 0 && said.err.len() < 10_000, "{} bytes", said.err.len());
    let begin = Instant::now();
    while !fs::read_to_string(bundle.path("notes")).unwrap().contains("over") {
        assert!(begin.elapsed() < patient(PATIENCE), "what the hook left behind ends");
        std::thread::sleep(Duration::from_millis(5));
    }
}
