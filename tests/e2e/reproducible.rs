//! The same source makes the same slug: built twice, by two apps, in two directories, each with an empty cache.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::node::TestNode;
use crate::{example, is_possible};

/// Which of the tests' nodes these stories use.
const NODE: u32 = 5;

/// The digests of all slugs of a node.
fn slugs(node: &TestNode) -> BTreeSet<String> {
    let entries = std::fs::read_dir(node.root.join("lib/slugs")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The slugs that two apps of these files make.
fn made_twice(node: &TestNode, name: &str, files: &Path) -> BTreeSet<String> {
    let before = slugs(node);
    for twin in ["one", "two"] {
        let source = node.app(&format!("{name}-{twin}"), files);
        node.deploy(&source);
    }
    &slugs(node) - &before
}

#[test]
fn the_same_source_makes_the_same_slug_in_every_language() {
    if !is_possible("the_same_source_makes_the_same_slug_in_every_language") {
        return;
    }
    let node = TestNode::configured("same", NODE, "[dynos]\nmemory_check = false\n");
    for name in ["python", "django", "nodejs", "static", "php", "go", "rust", "java"] {
        let made = made_twice(&node, name, &example(name));
        assert_eq!(made.len(), 1, "{name}: {made:?}");
    }
    let ready = tempfile::tempdir().unwrap();
    std::fs::write(ready.path().join("Procfile"), "web: python3 -m http.server $PORT\n").unwrap();
    assert_eq!(made_twice(&node, "ready", ready.path()).len(), 1);
    let gems = crate::languages::with_gems(&example("ruby"));
    assert_eq!(made_twice(&node, "ruby", gems.path()).len(), 1);
}
