//! A day with an app: configured, scaled, restarted, rolled back, read about, and destroyed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::Value;

use crate::support::host;
use crate::support::node::{TestNode, eventually};
use crate::{is_possible, lab, relieved, web_dynos};

#[test]
fn an_app_is_run_for_a_day_and_leaves_nothing() {
    if !is_possible("an_app_is_run_for_a_day_and_leaves_nothing") {
        return;
    }
    let node = TestNode::start("operations", 7);
    let before = host::names_below(&node.root.join("lib"), 2);
    let source = node.app("lab", &lab());
    node.deploy(&source);
    answers(&node, "hello from web.1\n");
    config_vars(&node);
    releases_and_rollback(&node);
    restart_and_stop(&node);
    dynos_are_told_of(&node);
    features(&node);
    scaling(&node);
    names_and_maintenance(&node);
    keys(&node);
    logs(&node);
    json(&node);
    let plan = node.ok(&["debug", "plan", "--size", "standard-2x", "python3 app.py"]);
    assert!(plan.contains("python3 app.py") && plan.lines().count() > 20, "{plan}");
    destroyed(&node, &before);
}

fn value(node: &TestNode, args: &[&str]) -> Value {
    // Ahead of all else: what follows a command to run belongs to it.
    let text = node.ok(&[&["--json"], args].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("dyno {args:?} --json: {error}: {text}"))
}

fn answers(node: &TestNode, expected: &str) {
    eventually(&format!("the app answers {expected:?}"), || {
        let (status, body) = node.get("lab", "/");
        status == 200 && body == expected
    });
}

fn version(node: &TestNode) -> u64 {
    value(node, &["releases", "-a", "lab"])[0]["version"].as_u64().unwrap()
}

fn dynos_are_told_of(node: &TestNode) {
    node.ok(&["webhooks:add", "-a", "lab", "-i", "dyno", "-l", "notify", "-u", "https://hooks.invalid/"]);
    node.ok(&["ps:restart", "-a", "lab", "web"]);
    let told = |action: &str, state: &str| {
        let events = value(node, &["webhooks:events", "-a", "lab"]);
        events.as_array().unwrap().iter().map(|event| &event["payload"]).any(|told| {
            (&told["resource"], &told["action"], &told["data"]["state"])
                == (&"dyno".into(), &action.into(), &state.into())
        })
    };
    eventually("a new dyno is told of", || told("create", "starting"));
    eventually("it is told to be up", || told("update", "up"));
    eventually("the old one is told to be gone", || {
        let events = value(node, &["webhooks:events", "-a", "lab"]);
        events.as_array().unwrap().iter().any(|event| event["payload"]["action"] == "destroy")
    });
    let id = value(node, &["webhooks", "-a", "lab"])[0]["id"].as_str().unwrap().to_owned();
    node.ok(&["webhooks:remove", "-a", "lab", &id]);
}

fn config_vars(node: &TestNode) {
    assert_eq!(version(node), 3);
    node.ok(&["config:set", "-a", "lab", "GREETING=moin", "EMPTY="]);
    assert_eq!(version(node), 4);
    answers(node, "moin from web.1\n");
    assert_eq!(node.ok(&["config:get", "-a", "lab", "GREETING", "EMPTY", "MISSING"]), "moin\n\n\n");
    node.ok(&["config:set", "-a", "lab", "GREETING=moin"]);
    assert_eq!(version(node), 4, "nothing has changed");
    node.ok(&["config:unset", "-a", "lab", "GREETING", "EMPTY"]);
    assert_eq!(version(node), 5);
    answers(node, "hello from web.1\n");
    assert_eq!(value(node, &["config", "-a", "lab"]), serde_json::json!({}));
    assert!(node.refused(&["config:set", "-a", "lab", "NONSENSE"]).contains("FOO=bar"));
    assert!(node.refused(&["config:set", "-a", "nobody", "A=b"]).contains("Couldn't find that app"));
}

fn releases_and_rollback(node: &TestNode) {
    node.ok(&["rollback", "-a", "lab", "v4"]);
    answers(node, "moin from web.1\n");
    node.ok(&["rollback", "-a", "lab", "v3"]);
    answers(node, "hello from web.1\n");
    assert!(node.refused(&["rollback", "-a", "lab", "v99"]).contains("release"));
    assert!(!node.refused(&["rollback", "-a", "lab", "v1"]).is_empty(), "it has no slug");
    let shown = node.ok(&["releases", "-a", "lab"]);
    for text in
        ["Current: v7", "Deploy ", "Set EMPTY, GREETING config vars", "Rollback to v4", "Rollback to v3"]
    {
        assert!(shown.contains(text), "{text:?} is not in: {shown}");
    }
}

fn id_of(node: &TestNode, name: &str) -> String {
    let mut id = String::new();
    eventually("the dyno is up", || {
        let dynos = value(node, &["ps", "-a", "lab"]);
        let up = dynos.as_array().unwrap().iter().find(|dyno| dyno["name"] == name && dyno["state"] == "up");
        up.inspect(|dyno| id = dyno["id"].as_str().unwrap().to_owned()).is_some()
    });
    id
}

fn restart_and_stop(node: &TestNode) {
    let mut seen = BTreeSet::from([id_of(node, "web.1")]);
    for command in
        [["ps:restart", "web.1"].as_slice(), &["ps:restart", "web"], &["ps:restart"], &["ps:stop", "web.1"]]
    {
        let before = web_dynos(node, "lab");
        node.ok(&[command, &["-a", "lab"]].concat());
        relieved(node, "lab", &before);
        answers(node, "hello from web.1\n");
        assert!(seen.insert(id_of(node, "web.1")), "another dyno has come in its place after {command:?}");
    }
    assert!(node.refused(&["ps:restart", "web.9", "-a", "lab"]).contains("web.9"));
    assert!(node.refused(&["ps:stop", "wbe", "-a", "lab"]).contains("wbe"));
}

fn features(node: &TestNode) {
    let listed = node.ok(&["features", "-a", "lab"]);
    assert!(listed.starts_with("=== App Features ⬢ lab\n\n"), "{listed}");
    assert!(listed.contains("\n[+] preboot ") && listed.contains("\n[ ] runtime-dyno-metadata "), "{listed}");
    assert!(node.refused(&["features:enable", "prebot", "-a", "lab"]).contains("Couldn't find that feature"));
    node.ok(&["features:enable", "runtime-dyno-metadata", "-a", "lab"]);
    assert!(node.ok(&["features:info", "runtime-dyno-metadata", "-a", "lab"]).contains("Enabled:     true"));
    let told =
        node.ok(&["run", "-a", "lab", "echo $HEROKU_APP_NAME $HEROKU_RELEASE_VERSION $HEROKU_DYNO_ID"]);
    let told: Vec<&str> = told.split_whitespace().collect();
    assert!(told[..2] == ["lab", "v7"] && told[2].len() == 36, "{told:?}");
    node.ok(&["features:disable", "runtime-dyno-metadata", "-a", "lab"]);
    assert_eq!(node.ok(&["run", "-a", "lab", "echo $HEROKU_APP_NAME"]), "\n");
}

/// With three dynos: who keeps the cookie comes back to one of them, by a name that a wildcard stands for.
fn affinity_and_wildcards(node: &TestNode) {
    let ask = |cookie: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", node.router_port)).unwrap();
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: any.lab.example\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let set = head.lines().find_map(|line| line.strip_prefix("Set-Cookie: "));
        let pair = set.map(|set| set.split(';').next().unwrap().to_owned());
        (head.split(' ').nth(1).unwrap().to_owned(), pair, body.to_owned())
    };
    assert_eq!(ask("").0, "404", "no app has the name yet");
    let added = node.ok(&["domains:add", "*.lab.example", "-a", "lab"]);
    assert!(added.contains("*.lab.example now leads to ⬢ lab"), "{added}");
    eventually("the wildcard leads to the app", || ask("").0 == "200");
    assert_eq!(ask("").1, None, "nobody is bound to a dyno before the app asks for it");
    node.ok(&["features:enable", "http-session-affinity", "-a", "lab"]);
    eventually("clients are bound to dynos", || ask("").1.is_some());
    let (_, cookie, first) = ask("");
    for _ in 0..20 {
        assert_eq!(ask(cookie.as_ref().unwrap()), ("200".to_owned(), None, first.clone()));
    }
    node.ok(&["features:disable", "http-session-affinity", "-a", "lab"]);
    node.ok(&["domains:remove", "*.lab.example", "-a", "lab"]);
    eventually("the wildcard leads nowhere", || ask("").0 == "404");
}

fn scaling(node: &TestNode) {
    let first = id_of(node, "web.1");
    node.ok(&["ps:scale", "-a", "lab", "web=3", "worker=1"]);
    let mut answered = BTreeSet::new();
    eventually("three dynos answer", || {
        answered.insert(node.get("lab", "/").1);
        answered.len() == 3
    });
    assert_eq!(id_of(node, "web.1"), first, "what stays is not restarted");
    affinity_and_wildcards(node);
    assert_eq!(node.ok(&["ps:scale", "-a", "lab"]), "web=3:Standard-1X worker=1:Standard-1X\n");
    assert!(node.refused(&["ps:scale", "-a", "lab", "web=2", "workr=1"]).contains("workr"));
    assert!(node.refused(&["ps:scale", "-a", "lab", "web=1000"]).contains("100"));
    let refused = node.refused(&["ps:scale", "-a", "lab", "web=10:performance-2xl"]);
    assert!(refused.contains("the formation asks for 1260.5G, other apps for 0B"), "{refused}");
    assert!(
        node.refused(&["ps:type", "-a", "lab", "web=huge"]).contains("Invalid dyno size: there is no huge")
    );
    assert!(node.ok(&["ps:scale", "-a", "lab"]).starts_with("web=3"), "a refusal changes nothing");
    let sizes = node.ok(&["ps:type", "-a", "lab", "worker=standard-2x"]);
    assert!(sizes.contains("\n  web      Standard-1X   3\n  worker   Standard-2X   1\n"), "{sizes}");
    assert_eq!(node.ok(&["ps:grace", "-a", "lab", "worker=90"]), "web=default worker=90\n");
    node.ok(&["ps:scale", "-a", "lab", "web=0"]);
    eventually("nobody serves it", || node.get("lab", "/").0 == 503);
    let log = node.ok(&["logs", "-a", "lab", "--source", "heroku", "-n", "50"]);
    assert!(log.contains("heroku[router]: at=error code=H14 desc=\"No web processes running\""), "{log}");
    node.ok(&["ps:scale", "-a", "lab", "web+1"]);
    answers(node, "hello from web.1\n");
}

fn names_and_maintenance(node: &TestNode) {
    let domains = |command: &str, more: &[&str]| node.ok(&[&[command, "-a", "lab"], more].concat());
    domains("domains:add", &["lab.example"]);
    domains("domains:add", &["www.lab.example"]);
    domains("domains:wait", &["www.lab.example"]);
    assert!(node.refused(&["domains:add", "www.lab.example", "-a", "lab"]).contains("www.lab.example"));
    let listed = domains("domains", &[]);
    assert!(listed.contains("\n  lab.example       ALIAS or ANAME "), "{listed}");
    assert!(domains("domains:info", &["lab.example"]).contains("\nKind:       custom\n"));
    domains("domains:remove", &["lab.example"]);
    assert!(
        node.refused(&["domains:info", "lab.example", "-a", "lab"]).contains("Couldn't find that domain")
    );
    domains("domains:clear", &[]);
    assert!(!domains("domains", &[]).contains("Custom Domains"));

    node.ok(&["maintenance:on", "-a", "lab"]);
    assert_eq!(node.ok(&["maintenance", "-a", "lab"]), "on\n");
    eventually("visitors get the page", || node.get("lab", "/").0 == 503);
    node.ok(&["maintenance:off", "-a", "lab"]);
    assert_eq!(node.ok(&["maintenance", "-a", "lab"]), "off\n");
    answers(node, "hello from web.1\n");
}

fn keys(node: &TestNode) {
    let file = node.root.join("key.pub");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@laptop\n";
    std::fs::write(&file, key).unwrap();
    node.ok(&["keys:add", file.to_str().unwrap()]);
    assert!(node.ok(&["keys"]).ends_with("ssh-ed25519 AAAAC3NzaC...0dh2l9GKJl me@laptop\n"));
    assert!(node.refused(&["keys:remove", "you@laptop"]).contains("Found keys: me@laptop"));
    node.ok(&["keys:remove", "me@laptop"]);
    node.ok(&["keys:add", file.to_str().unwrap()]);
    node.ok(&["keys:clear"]);
    assert_eq!(node.ok(&["keys"]), "");
    std::fs::remove_file(&file).unwrap();
}

fn logs(node: &TestNode) {
    let log = |more: &[&str]| node.ok(&[&["logs", "-a", "lab"], more].concat());
    assert_eq!(log(&["-n", "5"]).lines().count(), 5);
    let of = |text: &str| {
        let origins = text.lines().filter_map(|line| line.split_whitespace().nth(1));
        origins.map(|origin| origin.trim_end_matches(':').to_owned()).collect::<BTreeSet<_>>()
    };
    let name = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(of(&log(&["--ps", "worker", "-n", "1500"])), name(&["app[worker.1]", "heroku[worker.1]"]));
    let app = of(&log(&["--source", "app", "--dyno-name", "worker.1"]));
    assert_eq!(app, name(&["app[worker.1]"]));
    assert!(
        of(&log(&["-n", "1500", "--source", "heroku"])).iter().all(|origin| origin.starts_with("heroku["))
    );
    for line in log(&["-n", "20", "--json"]).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["at"].is_string() && line["message"].is_string(), "{line}");
    }
    let mut tail = node.command();
    tail.args(["logs", "-a", "lab", "--tail", "-n", "1"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut tail = tail.spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.next().unwrap();
    assert_eq!(node.get("lab", "/only-now").0, 404);
    assert!(lines.any(|line| line.contains("path=\"/only-now\"") && line.contains("status=404")));
    tail.kill().unwrap();
    tail.wait().unwrap();
}

fn json(node: &TestNode) {
    for command in [
        "info",
        "domains",
        "maintenance",
        "ps",
        "ps:scale",
        "features",
        "config",
        "releases",
        "builds",
        "stack",
        "config:get GREETING",
        "rollback v3",
    ] {
        let words: Vec<&str> = command.split(' ').chain(["-a", "lab"]).collect();
        let printed = value(node, &words);
        assert!(printed.is_array() || printed.is_object(), "{command}: {printed}");
    }
    for command in ["apps", "keys", "stacks", "version"] {
        value(node, &[command]);
    }
    for command in ["config:set A=b", "config:unset A", "run:detached true", "ps:scale web=1"] {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.splice(1..1, ["-a", "lab"]);
        value(node, &words);
    }
    assert_eq!(value(node, &["create", "other", "--no-remote"])["name"], "other");
    assert_eq!(value(node, &["apps:rename", "-a", "other", "another"])["name"], "another");
    assert!(node.refused(&["info", "-a", "other"]).contains("Couldn't find that app"));
    assert_eq!(value(node, &["apps:destroy", "-a", "another", "--confirm", "another"])["name"], "another");
}

fn destroyed(node: &TestNode, before: &BTreeSet<String>) {
    let of_the_app = || {
        let now = host::names_below(&node.root.join("lib"), 2);
        now.difference(before).filter(|path| !is_of_the_node(path)).cloned().collect::<Vec<_>>()
    };
    assert!(node.refused(&["apps:destroy", "-a", "lab", "--confirm", "lba"]).contains("lab"));
    answers(node, "hello from web.1\n");
    assert!(of_the_app().len() >= 5, "repository, slug, scratch, log, transcripts: {:#?}", of_the_app());
    node.ok(&["apps:destroy", "-a", "lab", "--confirm", "lab"]);
    assert_eq!(node.get("lab", "/").0, 404, "no app has the name any more");
    assert!(node.refused(&["ps", "-a", "lab"]).contains("Couldn't find that app"));
    assert_eq!(of_the_app(), Vec::<String>::new());
}

/// Folders that hold things of all apps, and the store's own files.
fn is_of_the_node(path: &str) -> bool {
    let (_, below) = path.rsplit_once("/lib/").unwrap_or_default();
    !below.contains('/')
}
