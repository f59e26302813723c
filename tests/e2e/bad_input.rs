//! What nobody should push or type: each gets a clear text and a status that is not 0, and changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support::host;
use crate::support::node::{TestNode, eventually, git, index};
use crate::{is_possible, lab};

/// Long enough for an app that builds, short enough to wait for one that hangs.
const LIMITS: &str = "[build]\ntimeout_s = 12\nslug_max_mib = 24\n";
/// Nothing else on the host sleeps this long.
const MARK: &str = "98765.4";

/// Everything that a push may change.
#[derive(Debug, PartialEq, Eq)]
struct Changeable {
    releases: String,
    dynos: String,
    refs: String,
    files: BTreeSet<String>,
    traces: BTreeSet<String>,
}

fn changeable(node: &TestNode, app: &str, source: &Path) -> Changeable {
    let refs = Command::new("git").args(["ls-remote", "heroku"]).current_dir(source).output().unwrap();
    let lib = node.root.join("lib");
    let below = ["slugs", "scratch", "cache"].iter().flat_map(|dir| host::names_below(&lib.join(dir), 1));
    Changeable {
        releases: node.ok(&["releases", "-a", app, "--json"]),
        dynos: node.ok(&["ps", "-a", app, "--json"]),
        refs: String::from_utf8_lossy(&refs.stdout).into_owned(),
        files: below.collect(),
        traces: host::traces(),
    }
}

fn hook(source: &Path, script: &str) {
    fs::create_dir_all(source.join("bin")).unwrap();
    fs::write(source.join("bin/post_compile"), format!("#!/bin/bash\n{script}\n")).unwrap();
}

#[test]
fn a_push_that_goes_wrong_says_why_and_changes_nothing() {
    if !is_possible("a_push_that_goes_wrong_says_why_and_changes_nothing") {
        return;
    }
    let node = TestNode::configured("bad-input", 4, LIMITS);
    let source = node.app("bad", &lab());
    node.deploy(&source);
    // On its way up it would change by itself.
    eventually("the app answers", || node.get("bad", "/").0 == 200);
    let before = changeable(&node, "bad", &source);

    a_build_that_hangs(&node, &source);
    assert_eq!(changeable(&node, "bad", &source), before);
    a_slug_that_is_too_large(&node, &source);
    assert_eq!(changeable(&node, "bad", &source), before);
    a_tree_without_files(&node, &source);
    assert_eq!(changeable(&node, "bad", &source), before);
    a_deleted_branch(&node, &source);
    assert_eq!(changeable(&node, "bad", &source), before);
    a_repository_without_commits(&node);

    git(&source, &["reset", "-q", "--hard", "heroku/main"]);
    a_procfile_with_nonsense(&node, &source);
}

fn refused(node: &TestNode, source: &Path, texts: &[&str]) {
    node.commit(source);
    let (taken, said) = node.push(source);
    assert!(!taken, "{said}");
    for text in texts.iter().chain(&["Push failed", "Push rejected to bad", "pre-receive hook declined"]) {
        assert!(said.contains(text), "{text:?} is not in: {said}");
    }
}

fn a_build_that_hangs(node: &TestNode, source: &Path) {
    let stubborn = format!(
        "echo hanging\ntrap '' TERM INT HUP\nsetsid sleep {MARK} &\n(trap '' TERM; exec sleep {MARK}) &\nsleep {MARK}"
    );
    hook(source, &stubborn);
    refused(node, source, &["hanging", "the build took longer than 12 seconds and was ended"]);
    assert_eq!(host::processes_with(MARK), Vec::<String>::new());
    let builds = node.ok(&["builds", "-a", "bad", "--json"]);
    assert!(builds.contains("\"failed\""), "{builds}");
}

fn a_slug_that_is_too_large(node: &TestNode, source: &Path) {
    hook(source, "head -c 30M /dev/urandom > big");
    refused(node, source, &["Compiled slug size: 3", "too large (max is 24M)"]);
}

fn a_tree_without_files(node: &TestNode, source: &Path) {
    git(source, &["rm", "-q", "-r", "."]);
    // What the app was found to be at first is its choice from then on.
    refused(node, source, &["App not compatible with buildpack: heroku/python"]);
}

fn a_deleted_branch(node: &TestNode, source: &Path) {
    let deleted = Command::new("git").args(["push", "heroku", ":main"]).current_dir(source).output().unwrap();
    let said = String::from_utf8_lossy(&deleted.stderr).into_owned();
    assert!(!deleted.status.success() && said.contains("dyno apps:destroy"), "{said}");
    assert_eq!(node.get("bad", "/").0, 200);
}

fn a_repository_without_commits(node: &TestNode) {
    let source = node.root.join("nothing");
    fs::create_dir(&source).unwrap();
    git(&source, &["init", "-q", "-b", "main"]);
    node.ok(&["create", "nothing", "--no-remote"]);
    let info: serde_json::Value =
        serde_json::from_str(&node.ok(&["info", "-a", "nothing", "--json"])).unwrap();
    git(&source, &["remote", "add", "heroku", info["app"]["git_url"].as_str().unwrap()]);
    let (taken, said) = node.push(&source);
    assert!(!taken && said.contains("main"), "{said}");
    assert!(!node.ok(&["releases", "-a", "nothing"]).contains("Deploy"));
}

fn a_procfile_with_nonsense(node: &TestNode, source: &Path) {
    fs::write(source.join("Procfile"), "# a comment\nweb: exec python3 app.py\nworker\n=== : what\n")
        .unwrap();
    node.commit(source);
    let said = node.deploy(source);
    assert!(said.contains("Procfile declares types -> web"), "{said}");
    assert!(said.contains("Warning: ignored in the Procfile: line 3, 4."), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_begun() {
    if !is_possible("a_port_that_is_taken_is_named_and_nothing_is_begun") {
        return;
    }
    let before = host::traces();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_port = taken.local_addr().unwrap().port().to_string();
    let free_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let root = tempfile::tempdir().unwrap();
    for (router, git) in [(&taken_port, &free_port), (&free_port, &taken_port)] {
        let serve = Command::new(env!("CARGO_BIN_EXE_dyno"))
            .args([
                "serve",
                "--index",
                &index(5).to_string(),
                "--router-port",
                router,
                "--git-port",
                git,
                "--root",
            ])
            .arg(root.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&serve.stderr).into_owned();
        assert!(!serve.status.success() && said.contains(&taken_port), "{said}");
        assert!(!root.path().join("run/api.sock").exists());
        host::assert_untouched(&before);
    }
}

#[test]
fn a_name_that_breaks_the_rules_is_refused() {
    if !is_possible("a_name_that_breaks_the_rules_is_refused") {
        return;
    }
    let node = TestNode::start("names", 5);
    let long = "a".repeat(300);
    for name in [&long, "a", "Upper", "-dash", "dot.ted", "../up", "spa ce", "ümlaut", ""] {
        let said = node.refused(&["create", "--no-remote", "--", name]);
        assert!(said.contains("Name") && said.len() < 1000, "{name}: {said}");
    }
    node.ok(&["create", "taken", "--no-remote"]);
    assert!(node.refused(&["create", "taken", "--no-remote"]).contains("already taken"));
    assert_eq!(node.ok(&["apps"]).matches("taken").count(), 1);
}
