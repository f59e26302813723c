//! The program's file is replaced while dynos run: the node goes on with the new one, and every dyno with the old.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::is_possible;
use crate::support::node::{Found, Listed, TestNode, eventually};

#[test]
fn a_node_whose_program_is_replaced_keeps_every_dyno() {
    if !is_possible("a_node_whose_program_is_replaced_keeps_every_dyno") {
        return;
    }
    let mut node = TestNode::start("upgrade", 5);
    let program = node.root.join("dyno");
    let teller = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/teller");
    let source = node.app("teller", &teller);
    let pack = json!({"updates": [{"buildpack": teller.join("pack")}]}).to_string();
    assert_eq!(node.api("PUT /apps/teller/buildpack-installations", "", &pack).0, 200);
    node.deploy(&source);
    node.ok(&["ps:scale", "-a", "teller", "web=1", "worker=1"]);
    let first = settled(&node, 2);

    // From here on the node's program is a file of its own, which is replaced twice: once it ends in order, once it does not.
    replace(&program, b"");
    node.binary.clone_from(&program);
    node.stop();
    node.serve();
    assert_eq!(settled(&node, 2), first, "dynos of the old program go on");
    node.ok(&["ps:scale", "-a", "teller", "worker=2"]);
    let second = settled(&node, 3);
    assert!(first.iter().all(|found| second.contains(found)), "{second:#?}");
    assert_eq!(makers(&second).len(), 2, "what is new is made by the new program");

    replace(&program, b"later");
    let log_before = node.log().lines().count();
    assert!(first.iter().all(Found::is_alive));
    replaced_but_not_restarted(&node);
    let second = settled(&node, 3);
    node.kill();
    node.serve();
    assert_eq!(settled(&node, 3), second);
    let told: Vec<_> = node.log().lines().skip(log_before).map(str::to_owned).collect();
    assert!(told.iter().any(|line| line.contains("of another build")), "{told:#?}");

    // The old ones go with the last of what they have made.
    let old = makers(&second);
    node.ok(&["ps:restart", "-a", "teller"]);
    eventually("others have taken their place", || {
        settled(&node, 3).iter().all(|found| !second.contains(found))
    });
    eventually("their makers have ended", || {
        old.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    });
    assert_eq!(node.get("teller", "/"), (200, "web.1".to_owned()));
}

/// Between the replacement of its program and its restart a node that needs a maker starts one of its own kind.
fn replaced_but_not_restarted(node: &TestNode) {
    let maker = *makers(&newest(node)).first().unwrap();
    let killed = Command::new("kill").args(["-9", &maker.to_string()]).status().unwrap();
    assert!(killed.success());
    node.ok(&["ps:restart", "worker.2", "-a", "teller"]);
    eventually("another worker.2 runs", || settled(node, 3).iter().any(|found| found.name == "worker.2"));
}

/// The containers of the dyno that was started last.
fn newest(node: &TestNode) -> Vec<Found> {
    let mut all = settled(node, 3);
    all.sort_by_key(|found| found.started);
    all.split_off(all.len() - 1)
}

/// Puts a copy of the program there, as an upgrade does: a new file under the old name. What is added at its end makes it another.
fn replace(program: &Path, more: &[u8]) {
    let fresh = program.with_extension("new");
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_dyno")).unwrap();
    bytes.extend_from_slice(more);
    fs::write(&fresh, bytes).unwrap();
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&fresh, program).unwrap();
}

/// Waits until so many dynos are up, and no other container lives.
fn settled(node: &TestNode, count: usize) -> Vec<Found> {
    let mut found = Vec::new();
    eventually(&format!("{count} dynos run"), || {
        found = node.containers().into_iter().filter(Found::is_alive).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let up = node.dynos("teller").into_iter().filter(Listed::is_up);
        let up: Vec<_> = up.map(|dyno| dyno.id).collect();
        found.len() == count && up.len() == count && found.iter().all(|found| up.contains(&found.id))
    });
    found
}

/// The processes that have made these.
fn makers(found: &[Found]) -> std::collections::BTreeSet<u32> {
    let parent = |found: &Found| {
        let status = fs::read_to_string(format!("/proc/{}/status", found.pid)).unwrap();
        status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap().parse().unwrap()
    };
    found.iter().map(parent).collect()
}
