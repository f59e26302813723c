//! `dyno why`: classic failures, each made by a real program in a real dyno, are told by name.

use serde_json::Value;

use crate::support::node::{TestNode, eventually};
use crate::{is_possible, lab};

/// Makes a call that is refused, and complains of nothing.
const SILENT: &str = "unshare --net true 2>/dev/null; unshare --net true 2>/dev/null; exit 3";

/// What programs do wrong, as one-off dynos, and what that is called.
const FAILURES: &[(&str, &str)] = &[
    ("gunicorn app:app", "command_not_found"),
    ("./app.py", "not_executable"),
    ("python3 -c 'import flask'", "missing_module"),
    ("node -e \"require('express')\"", "missing_module"),
    ("python3 -c 'import os; os.environ[\"DATABASE_URL\"]'", "missing_config_var"),
    ("python3 -c 'def'", "syntax_error"),
    ("python3 misdeeds.py bind_twice", "port_in_use"),
    ("python3 misdeeds.py fill_disk", "disk_full"),
    ("touch /etc/motd.new", "read_only"),
    ("python3 misdeeds.py start_threads", "too_many_tasks"),
    ("python3 misdeeds.py open_files", "too_many_files"),
    ("python3 misdeeds.py eat_memory", "memory_killed"),
    ("node --max-old-space-size=16 -e 'const a = []; for (;;) a.push({a})'", "heap_exhausted"),
    ("python3 misdeeds.py look_up", "unknown_host"),
    ("python3 misdeeds.py connect", "unreachable"),
    ("unshare --net true", "not_permitted"),
    (SILENT, "failed"),
    ("python3 misdeeds.py segfault", "segfault"),
    ("python3 misdeeds.py abort", "aborted"),
    ("echo 'Error: it rains'; exit 3", "failed"),
    ("true", "completed"),
];

#[test]
fn classic_failures_are_told_by_name() {
    if !is_possible("classic_failures_are_told_by_name") {
        return;
    }
    // So that crashes in a row do not have the test wait for minutes.
    let config = "[dynos]\nboot_timeout_s = 8\ncrash_delays_s = [0, 60, 60, 60, 60, 60, 60]\n";
    let node = TestNode::configured("why", 6, config);
    let source = node.app("lab", &lab());
    node.deploy(&source);
    eventually("the app answers", || node.get("lab", "/").0 == 200);
    assert!(node.ok(&["why", "web.1", "-a", "lab"]).contains("has not ended"));
    assert!(node.refused(&["why", "web.7", "-a", "lab"]).contains("Couldn't find that dyno"));
    // It takes the whole grace time: asked for first, looked at last.
    let stubborn =
        started(&node, "trap '' TERM; unshare --net true; echo deaf; sleep 1000 & while true; do wait; done");
    // Its command, which is in the log from the start, has the word too.
    eventually("it is deaf by now", || node.ok(&["logs", "-a", "lab", "-p", &stubborn]).contains("]: deaf"));
    node.ok(&["ps:stop", &stubborn, "-a", "lab"]);
    let names: Vec<_> = FAILURES.iter().map(|(command, _)| started(&node, command)).collect();
    for ((command, expected), name) in FAILURES.iter().zip(&names) {
        let death = death(&node, name);
        assert_eq!(death["diagnosis"]["name"], *expected, "{command}: {death:#}");
    }
    what_is_told_holds(&node, &names);
    web_dynos_that_do_not_come_up(&node);
    let death = death(&node, &stubborn);
    assert_eq!(death["diagnosis"]["name"], "exit_timeout", "{death:#}");
    assert_eq!(death["refused_calls"][0]["name"], "unshare", "also where init was killed: {death:#}");
    accounts_outlive_the_node_but_not_the_app(node, &names[0]);
}

/// Starts a one-off dyno; its name.
fn started(node: &TestNode, command: &str) -> String {
    let dyno: Value =
        serde_json::from_str(&node.ok(&["run:detached", "-a", "lab", "--json", command])).unwrap();
    dyno["name"].as_str().unwrap().to_owned()
}

/// The newest end of a dyno's name that was not as it should be, once there is one.
fn death(node: &TestNode, name: &str) -> Value {
    let mut death = Value::Null;
    eventually(&format!("{name} has ended, and that is kept"), || {
        let answer = node.dyno(&["why", name, "-a", "lab", "--json"]);
        if let Ok(Value::Array(deaths)) = serde_json::from_slice(&answer.stdout) {
            death = deaths.into_iter().next().unwrap_or_default();
        }
        !death.is_null()
    });
    death
}

/// The dyno that ran a command of the list.
fn of_command<'a>(names: &'a [String], command: &str) -> &'a str {
    let at = FAILURES.iter().position(|(listed, _)| *listed == command).unwrap();
    &names[at]
}

fn named<'a>(names: &'a [String], diagnosis: &str) -> &'a str {
    let at = FAILURES.iter().position(|(_, name)| *name == diagnosis).unwrap();
    &names[at]
}

fn what_is_told_holds(node: &TestNode, names: &[String]) {
    let memory = death(node, named(names, "memory_killed"));
    assert!(memory["memory"]["kills"].as_u64() > Some(0), "{memory:#}");
    if let Some(peak) = memory["memory"]["peak"].as_u64() {
        assert!(peak > 900 << 20, "it came to its limit of 1 GB: {memory:#}");
    }
    let tasks = death(node, named(names, "too_many_tasks"));
    assert!(tasks["tasks"]["refused"].as_u64() > Some(0), "{tasks:#}");
    assert_eq!(death(node, named(names, "segfault"))["signal"], 11);
    let not_permitted = node.ok(&["why", named(names, "not_permitted"), "-a", "lab"]);
    assert!(not_permitted.contains("a system call that no dyno may (`unshare` once)"), "{not_permitted}");
    let silent = death(node, of_command(names, SILENT));
    assert_eq!(silent["refused_calls"], serde_json::json!([{"name": "unshare", "count": 2}]), "{silent:#}");
    let silent = node.ok(&["why", of_command(names, SILENT), "-a", "lab"]);
    assert!(silent.contains("System calls of it were refused: `unshare` twice."), "{silent}");
    let module = node.ok(&["why", named(names, "missing_module"), "-a", "lab"]);
    for told in [
        "flask is not in the slug.",
        "requirements.txt",
        "Its last lines:",
        "ModuleNotFoundError",
        "with status 1",
    ] {
        assert!(module.contains(told), "{told}: {module}");
    }
    let done = death(node, named(names, "completed"));
    assert_eq!((&done["orderly"], &done["exit_code"]), (&Value::Bool(true), &Value::from(0)), "{done:#}");
}

fn web_dynos_that_do_not_come_up(node: &TestNode) {
    node.ok(&["config:set", "-a", "lab", "LISTEN_ON=3000"]);
    eventually("it is given up", || death_of_web(node) == "wrong_port");
    let told = node.ok(&["why", "web.1", "-a", "lab"]);
    assert!(told.contains("It listened on port 3000, not on $PORT"), "{told}");
    node.ok(&["config:set", "-a", "lab", "DEAF=1"]);
    eventually("it is given up", || death_of_web(node) == "no_port");
    node.ok(&["config:set", "-a", "lab", "QUIT=1"]);
    eventually("it has crashed", || death_of_web(node) == "ended_at_once");
}

fn death_of_web(node: &TestNode) -> String {
    death(node, "web.1")["diagnosis"]["name"].as_str().unwrap().to_owned()
}

fn accounts_outlive_the_node_but_not_the_app(mut node: TestNode, one_off: &str) {
    let before = death(&node, one_off);
    node.kill();
    node.serve();
    assert_eq!(death(&node, one_off), before);
    assert_eq!(std::fs::read_dir(node.root.join("lib/deaths")).unwrap().count(), 1);
    node.ok(&["apps:destroy", "-a", "lab", "--confirm", "lab"]);
    assert_eq!(std::fs::read_dir(node.root.join("lib/deaths")).unwrap().count(), 0);
}
