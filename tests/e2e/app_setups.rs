//! An app is set up from a source that says what it needs, with a command after its first deploy.

use std::process::Command;

use serde_json::Value;

use crate::is_possible;
use crate::languages::Sketch;
use crate::support::node::{TestNode, eventually};

/// Sends the files as an archive, asks for an app of this name to be set up from it, and waits until that has ended.
fn set_up(node: &TestNode, name: &str, files: &[(&str, &str)]) -> Value {
    let sketch = Sketch::new(files);
    let archive = node.root.join(format!("{name}.tgz"));
    let packed =
        Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(sketch.path()).arg(".").status().unwrap();
    assert!(packed.success());
    let (_, source) = node.api("POST /sources", "", "");
    let url = source["source_blob"]["put_url"].as_str().unwrap();
    let path = &url[url.find("/sources/").unwrap()..];
    let place = format!("http://127.0.0.1:{}{path}", node.api_port());
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--noproxy", "*", "-T"]).arg(&archive).arg(&place);
    let sent = curl.output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let body = serde_json::json!({
        "app": {"name": name},
        "source_blob": {"url": source["source_blob"]["get_url"]},
        "overrides": {"env": {"KEY": "given"}},
    });
    let (status, asked) = node.api("POST /app-setups", "", &body.to_string());
    assert_eq!(status, 202, "{asked}");
    let request = format!("GET /app-setups/{}", asked["id"].as_str().unwrap());
    let mut shown = asked;
    eventually("it has ended", || {
        shown = node.api(&request, "", "").1;
        shown["status"] != "pending"
    });
    shown
}

#[test]
fn an_app_is_set_up_with_a_command_after_its_first_deploy() {
    if !is_possible("an_app_is_set_up_with_a_command_after_its_first_deploy") {
        return;
    }
    let node = TestNode::start("setups", 6);
    let manifest = |command: &str| {
        let json = serde_json::json!({
            "env": {"KEY": {"description": "x"}, "MADE": {"generator": "secret"}},
            "formation": {"web": {"quantity": 1}, "clock": {"quantity": 1}},
            "scripts": {"postdeploy": command},
        });
        json.to_string()
    };
    let procfile = "web: python3 -m http.server $PORT\nclock: sleep 1000\n";
    let good = manifest("echo \"$DYNO seeds with $KEY and ${#MADE} digits\"; cat");
    let setup = set_up(&node, "seeded", &[("Procfile", procfile), ("app.json", &good)]);
    assert_eq!(setup["status"], "succeeded", "{setup}");
    let printed = setup["postdeploy"]["output"].as_str().unwrap();
    assert!(
        printed.starts_with("run.") && printed.ends_with("seeds with given and 64 digits\n"),
        "{printed}"
    );
    let names: Vec<_> = node.dynos("seeded").into_iter().map(|dyno| dyno.name).collect();
    assert_eq!(names, ["clock.1", "web.1"]);

    let bad = manifest("echo no; exit 3");
    let setup = set_up(&node, "unseeded", &[("Procfile", procfile), ("app.json", &bad)]);
    assert_eq!(
        (&setup["status"], &setup["postdeploy"]["exit_code"]),
        (&"failed".into(), &3.into()),
        "{setup}"
    );
    assert!(setup["failure_message"].as_str().unwrap().contains("status 3"), "{setup}");
    assert!(node.ok(&["releases", "-a", "unseeded"]).contains("Deploy"), "it stays");
}
