//! From a push to a served request, and back to an untouched host.

use std::collections::BTreeSet;
use std::fs;

use crate::support::host;
use crate::support::node::{TestNode, eventually};
use crate::{example, is_possible};

#[test]
fn a_python_app_is_pushed_served_scaled_and_leaves_no_trace() {
    if !is_possible("a_python_app_is_pushed_served_scaled_and_leaves_no_trace") {
        return;
    }
    let before = host::traces();
    {
        let node = TestNode::start("python", 0);
        let source = node.app("sample", &example("python"));
        let said = node.deploy(&source);
        assert!(said.contains("Python app detected") && said.contains("Released v3"), "{said}");
        assert!(!said.contains("Looking in"), "where this host has pip look is nobody's business: {said}");
        let (status, body) = node.get("sample", "/");
        assert_eq!(status, 200, "{body}");

        let seen =
            node.ok(&["run", "-a", "sample", "id; grep -i cap /proc/self/status; ls -la /app; ps aux"]);
        assert!(!seen.contains("uid=0") && seen.contains("(dyno)"), "{seen}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(seen.contains(&format!("{set}:\t0000000000000000")), "{set}: {seen}");
        }
        assert!(
            seen.contains("Procfile") && !seen.contains("gunicorn app"),
            "only its own processes: {seen}"
        );

        node.ok(&["ps:scale", "-a", "sample", "web=3"]);
        let mut names = BTreeSet::new();
        eventually("three dynos answer", || {
            let (status, body) = node.get("sample", "/");
            names.extend(body.split_whitespace().filter(|word| word.contains("web.")).map(ToOwned::to_owned));
            status == 200 && names.len() >= 3
        });
        let logs = node.ok(&["logs", "-a", "sample", "-n", "500"]);
        assert!(logs.contains("State changed from starting to up") && logs.contains("status=200"), "{logs}");
    }
    host::assert_untouched(&before);
}

#[test]
fn killing_the_control_plane_stops_no_dyno_and_the_next_one_adopts() {
    if !is_possible("killing_the_control_plane_stops_no_dyno_and_the_next_one_adopts") {
        return;
    }
    let mut node = TestNode::start("adopt", 1);
    let source = node.app("keeps", &example("nodejs"));
    node.deploy(&source);
    eventually("the app answers", || node.get("keeps", "/").0 == 200);
    let host_name = |node: &TestNode| node.ok(&["ps", "-a", "keeps", "--json"]);
    let before: serde_json::Value = serde_json::from_str(&host_name(&node)).unwrap();
    node.kill();
    node.serve();
    eventually("the app answers again", || node.get("keeps", "/").0 == 200);
    let after: serde_json::Value = serde_json::from_str(&host_name(&node)).unwrap();
    assert_eq!(before[0]["id"], after[0]["id"], "the same dyno, not another");
    assert_eq!(after.as_array().unwrap().len(), 1);
}

#[test]
fn a_push_that_cannot_build_changes_nothing_and_says_why() {
    if !is_possible("a_push_that_cannot_build_changes_nothing_and_says_why") {
        return;
    }
    let node = TestNode::start("refused", 2);
    let files = node.root.join("nothing");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("notes.txt"), "no language").unwrap();
    let source = node.app("unknown", &files);
    let (taken, said) = node.push(&source);
    assert!(!taken && said.contains("No default language could be detected"), "{said}");
    let releases = node.ok(&["releases", "-a", "unknown"]);
    assert!(!releases.contains("Deploy"), "{releases}");
    assert_eq!(node.get("unknown", "/").0, 503, "a blank app answers as one");
    let name = "a".repeat(300);
    assert!(node.refused(&["create", &name, "--no-remote"]).contains("30 characters"));
}
