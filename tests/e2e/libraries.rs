//! What programs of others do by API: two libraries, as their makers publish them, with every exchange checked.

use std::process::{Command, Output};

use crate::support::exchanges::{Exchange, Recorder};
use crate::support::facts::Facts;
use crate::support::node::TestNode;
use crate::support::published::Published;
use crate::support::skip::skip;
use crate::support::stock;
use crate::{example, is_possible};

/// The version that the story was written for.
const HEROKU3: &str = "5.2.1";
/// The same.
const HEROKU_CLIENT: &str = "3.1.4";
const PYTHON_DAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/clients/day.py");
const NODE_DAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/clients/day.js");

#[test]
fn the_python_library_drives_a_day() {
    let test = "the_python_library_drives_a_day";
    if !is_possible(test) {
        return;
    }
    let library = match stock::with_pip("heroku3", HEROKU3) {
        Ok(library) => library,
        Err(reason) => return skip(test, &reason),
    };
    let (node, recorder) = stage("heroku3", 4);
    let mut day = Command::new("python3");
    day.arg(PYTHON_DAY).env("PYTHONPATH", library);
    // Its log sessions are over TLS.
    day.env("REQUESTS_CA_BUNDLE", node.root.join("lib/authority/ca.pem"));
    played(&node, &recorder, day);
}

#[test]
fn the_node_library_drives_a_day() {
    let test = "the_node_library_drives_a_day";
    if !is_possible(test) {
        return;
    }
    let library = match stock::with_npm("heroku-client", HEROKU_CLIENT) {
        Ok(library) => library,
        Err(reason) => return skip(test, &reason),
    };
    let (node, recorder) = stage("heroku-client", 5);
    let mut day = Command::new("node");
    day.arg(NODE_DAY).env("NODE_PATH", library.join("node_modules"));
    played(&node, &recorder, day);
}

/// A node with an app that has been pushed to and a key, and a recorder before its API.
fn stage(name: &str, number: u32) -> (TestNode, Recorder) {
    let node = TestNode::start(name, number);
    let source = node.app("day", &example("python"));
    node.deploy(&source);
    node.ok(&["config:set", "-a", "day", "FIRST=1"]);
    let key = node.root.join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    node.ok(&["keys:add", "key.pub"]);
    let recorder = Recorder::before(node.api_port());
    (node, recorder)
}

fn played(node: &TestNode, recorder: &Recorder, mut day: Command) {
    let token = node.ok(&["auth:token"]);
    day.arg(format!("http://127.0.0.1:{}", recorder.port)).arg(token.trim()).arg("day");
    let Output { status, stdout, stderr } = day.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && out.ends_with("done\n"), "{out}{err}\n{}", node.log());
    assert_as_told(&recorder.exchanges());
}

/// Every answer is as our own table of facts has it, and as the published schema does where the machine has that.
pub(crate) fn assert_as_told(exchanges: &[Exchange]) {
    let facts = Facts::table();
    let mut complaints: Vec<String> = exchanges.iter().flat_map(|one| facts.complaints(one)).collect();
    match Published::of_environment() {
        Some(published) => complaints.extend(exchanges.iter().flat_map(|one| published.complaints(one))),
        None => {
            println!("PLATFORM_SCHEMA names no published schema: exchanges are held to our own table alone")
        }
    }
    complaints.sort();
    complaints.dedup();
    println!("{} exchanges were compared with the table of facts", exchanges.len());
    assert!(exchanges.len() > 20 && complaints.is_empty(), "{}", complaints.join("\n"));
}
