//! From a push to a served request, and back to an untouched host.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::node::{TestNode, eventually, stack_dir};
use crate::support::skip::{is_root_or_skip, skip};

/// Root and a stack, or a skip that is counted.
fn is_possible(test: &str) -> bool {
    if !is_root_or_skip(test) {
        return false;
    }
    let has_stack = stack_dir().join("cedar-13/current").exists();
    if !has_stack {
        skip(test, "the stack cedar-13 is not built");
    }
    has_stack
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// All on the host that a node could leave behind.
fn host() -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    seen.extend(mounts.lines().map(|line| format!("mount {line}")));
    for (what, program, args) in
        [("link", "ip", ["-o", "-br", "link"].as_slice()), ("rule", "nft", ["list", "ruleset"].as_slice())]
    {
        let listed = Command::new(program).args(args).output().unwrap();
        seen.extend(String::from_utf8_lossy(&listed.stdout).lines().map(|line| format!("{what} {line}")));
    }
    let groups =
        Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", "dyno*"]).output().unwrap();
    seen.extend(String::from_utf8_lossy(&groups.stdout).lines().map(|line| format!("cgroup {line}")));
    for entry in fs::read_dir("/proc/sys/net/ipv4/conf").unwrap() {
        let path = entry.unwrap().path().join("forwarding");
        seen.insert(format!("{} {}", path.display(), fs::read_to_string(&path).unwrap_or_default().trim()));
    }
    seen
}

#[test]
fn a_python_app_is_pushed_served_scaled_and_leaves_no_trace() {
    if !is_possible("a_python_app_is_pushed_served_scaled_and_leaves_no_trace") {
        return;
    }
    let before = host();
    {
        let node = TestNode::start("python", 0);
        let source = node.app("sample", &example("python"));
        let said = node.deploy(&source);
        assert!(said.contains("Python app detected") && said.contains("Released v3"), "{said}");
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
    let after = host();
    let left: Vec<_> = after.symmetric_difference(&before).collect();
    assert!(left.is_empty(), "left on the host: {left:#?}");
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
