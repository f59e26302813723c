//! Slugs that are packed elsewhere and released.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::node::{TestNode, eventually};
use crate::{is_possible, teller};

/// Names a slug of `app`, sends it this file, and asks for its release.
fn released(node: &TestNode, app: &str, archive: &str) -> (u16, Value) {
    let said = json!({ "process_types": { "web": "exec python3 teller.py web" } }).to_string();
    let (status, slug) = node.api(&format!("POST /apps/{app}/slugs"), "", &said);
    assert_eq!(status, 201, "{slug}");
    let url = slug["blob"]["url"].as_str().unwrap();
    let path = &url[url.find("/sources/").unwrap()..];
    let sent = Command::new("curl")
        .args(["-sf", "-T", archive, "--unix-socket", "run/api.sock", &format!("http://localhost{path}")])
        .current_dir(&node.root)
        .status()
        .unwrap();
    assert!(sent.success(), "the slug cannot be sent");
    let body = json!({ "slug": slug["id"] }).to_string();
    node.api(&format!("POST /apps/{app}/releases"), "", &body)
}

#[test]
fn a_slug_that_was_packed_elsewhere_serves_and_is_the_same_as_one_that_was_built() {
    if !is_possible("a_slug_that_was_packed_elsewhere_serves_and_is_the_same_as_one_that_was_built") {
        return;
    }
    let node = TestNode::start("slugs", 5);
    let source = node.app("built", &teller());
    let pack = json!({ "updates": [{ "buildpack": teller().join("pack") }] }).to_string();
    node.api("PUT /apps/built/buildpack-installations", "", &pack);
    node.deploy(&source);
    let (_, built) = node.api("GET /apps/built/releases/3", "", "");
    node.ok(&["slugs:download", "-a", "built", "-o", "slug.tgz"]);
    node.ok(&["create", "packed"]);
    let (status, release) = released(&node, "packed", "slug.tgz");
    assert_eq!(
        (status, &release["slug"]),
        (201, &built["slug"]),
        "the same files are the same slug: {release}"
    );
    eventually("it serves", || node.get("packed", "/").0 == 200);

    // The same with what no slug should have: it stays outside, or nothing is released.
    let make = |script: &str| {
        let made = Command::new("sh").args(["-ec", script]).current_dir(&node.root).status().unwrap();
        assert!(made.success(), "{script}");
    };
    make(
        "mkdir other && cd other && tar -xzf ../slug.tgz && echo x > app/more && chmod 6755 app/more && echo x > beside && tar -czf ../beside.tgz .",
    );
    let (status, release) = released(&node, "packed", "beside.tgz");
    assert_eq!((status, &release["version"]), (201, &json!(4)), "{release}");
    assert!(release["slug"] != built["slug"]);
    let seen = node.ok(&["run", "-a", "packed", "ls -la / /app"]);
    assert!(
        seen.contains("-rwxr-xr-x")
            && seen.contains("more")
            && !seen.contains("beside")
            && !seen.contains("rws"),
        "{seen}"
    );
    make(
        "mkdir device && mkdir device/app && mknod device/app/null c 1 3 && tar -C device -czf device.tgz ./app",
    );
    make(
        "mkdir -p out/app && echo x > out/app/x && tar -C out --transform='s,^./app/x,app/../../../../tmp/escaped-slug,' -P -czf out.tgz ./app",
    );
    make("mkdir -p none/app && tar -C none -czf none.tgz ./app; echo no archive > text.tgz");
    for (archive, why) in [
        ("device.tgz", "decompress"),
        ("out.tgz", "decompress"),
        ("none.tgz", "nothing in ./app"),
        ("text.tgz", "decompress"),
    ] {
        let (status, refused) = released(&node, "packed", archive);
        assert_eq!(status, 422, "{archive}: {refused}");
        assert!(refused["message"].as_str().unwrap().contains(why), "{archive}: {refused}");
    }
    assert!(!fs::exists("/tmp/escaped-slug").unwrap());
    let (_, releases) = node.api("GET /apps/packed/releases", "", "");
    assert_eq!(releases.as_array().unwrap().len(), 4, "{releases}");
    let slugs = fs::read_dir(node.root.join("lib/slugs")).unwrap().count();
    assert_eq!(slugs, 2, "nothing is left of those that were refused");
}
