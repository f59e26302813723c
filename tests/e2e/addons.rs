//! Add-ons: a real database, its rows through the death of everything, and who reaches it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::is_possible;
use crate::support::node::{TestNode, eventually};

#[test]
fn a_database_keeps_what_it_acknowledged_and_is_its_apps_alone() {
    if !is_possible("a_database_keeps_what_it_acknowledged_and_is_its_apps_alone") {
        return;
    }
    let mut node = TestNode::start("addons", 7);
    for app in ["ledger", "stranger"] {
        node.deploy(&node.app(app, &ledger()));
    }
    let refused = node.refused(&["addons:create", "papertrail", "-a", "ledger"]);
    assert!(refused.contains("papertrail") && refused.contains("heroku-postgresql"), "{refused}");
    node.ok(&["addons:create", "postgresql", "--name", "books", "--wait", "-a", "ledger"]);
    let url = node.ok(&["config:get", "DATABASE_URL", "-a", "ledger"]);
    assert!(url.starts_with("postgres://app:") && url.trim().ends_with(".internal:5432/app"), "{url}");
    let releases = node.ok(&["releases", "-a", "ledger"]);
    assert!(releases.contains("@ref:books completed provisioning"), "{releases}");
    let refused = node.refused(&["config:set", "DATABASE_URL=x", "-a", "ledger"]);
    assert!(refused.contains("books"), "{refused}");
    adds(&node, "ledger", 1);

    what_dies_comes_back_with_its_rows(&mut node);
    a_stranger_has_no_way(&node);
    another_app_has_it_until_it_is_detached(&node);
    what_is_destroyed_is_kept_for_a_while(&node);
}

fn ledger() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/ledger")
}

fn adds(node: &TestNode, app: &str, number: u32) {
    eventually("a number is kept", || {
        let (status, text) = node.get(app, &format!("/add/{number}"));
        // One that was kept and not acknowledged is refused the second time.
        (status, text.as_str()) == (200, "kept\n") || text.contains("duplicate key")
    });
}

fn addon(node: &TestNode) -> Value {
    let all: Value = serde_json::from_str(&node.ok(&["addons", "--json", "-a", "ledger"])).unwrap();
    all[0].clone()
}

/// Process id of the container's init, as its record has it.
fn service_pid(node: &TestNode, id: &str) -> Option<u32> {
    let record =
        std::fs::read(node.root.join("run/containers").join(format!("service-{id}")).join("record.json"));
    let record: Value = serde_json::from_slice(&record.ok()?).ok()?;
    u32::try_from(record["pid"].as_u64()?).ok()
}

fn kill(pid: u32) {
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
}

fn what_dies_comes_back_with_its_rows(node: &mut TestNode) {
    let id = addon(node)["id"].as_str().unwrap().to_owned();
    let before = service_pid(node, &id).unwrap();
    kill(before);
    adds(node, "ledger", 2);
    let after = service_pid(node, &id).unwrap();
    assert_ne!(before, after, "it was started anew");
    node.kill();
    node.serve();
    adds(node, "ledger", 3);
    assert_eq!(service_pid(node, &id), Some(after), "it was taken over");
    node.stop();
    node.serve();
    adds(node, "ledger", 4);
    assert_eq!(node.get("ledger", "/all"), (200, "1 2 3 4\n".to_owned()));
}

fn a_stranger_has_no_way(node: &TestNode) {
    let (status, address) = node.get("ledger", &format!("/host/{}", host(node)));
    assert_eq!(status, 200, "{address}");
    let address = address.trim();
    assert_eq!(node.get("ledger", &format!("/reach/{address}/5432")), (200, "reached\n".to_owned()));
    assert_eq!(node.get("ledger", &format!("/reach/{address}/22")).0, 500, "one port alone");
    let (status, told) = node.get("stranger", &format!("/reach/{address}/5432"));
    assert_eq!(status, 500, "a dyno of another app got through: {told}");
    let from_host = std::net::TcpStream::connect_timeout(
        &format!("{address}:5432").parse().unwrap(),
        std::time::Duration::from_secs(2),
    );
    assert!(from_host.is_err(), "the host got through");
}

fn another_app_has_it_until_it_is_detached(node: &TestNode) {
    node.ok(&["addons:attach", "books", "--as", "SHARED", "-a", "stranger"]);
    assert!(node.ok(&["releases", "-a", "stranger"]).contains("Attach SHARED (@ref:books)"));
    let refused = node.refused(&["addons:destroy", "books", "-a", "ledger", "--confirm", "ledger"]);
    assert!(refused.contains("stranger"), "{refused}");
    let (_, address) = node.get("ledger", &format!("/host/{}", host(node)));
    let path = format!("/reach/{}/5432", address.trim());
    eventually("the other app reaches it", || node.get("stranger", &path).0 == 200);
    node.ok(&["addons:detach", "SHARED", "-a", "stranger"]);
    assert!(node.ok(&["releases", "-a", "stranger"]).contains("Detach SHARED (@ref:books)"));
    eventually("its way is shut", || node.get("stranger", &path).0 == 500);
}

fn host(node: &TestNode) -> String {
    let url = node.ok(&["config:get", "DATABASE_URL", "-a", "ledger"]);
    url.trim().rsplit('@').next().unwrap().split(':').next().unwrap().to_owned()
}

fn what_is_destroyed_is_kept_for_a_while(node: &TestNode) {
    let id = addon(node)["id"].as_str().unwrap().to_owned();
    node.ok(&["addons:destroy", "books", "-a", "ledger", "--confirm", "ledger"]);
    assert_eq!(node.ok(&["config:get", "DATABASE_URL", "-a", "ledger"]).trim(), "");
    assert!(!node.root.join("lib/services").join(&id).exists());
    let kept = std::fs::read_dir(node.root.join("lib/services-removed")).unwrap();
    let names: Vec<_> = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with(&id)), "{names:?}");
}
