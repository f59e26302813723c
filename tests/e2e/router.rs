//! The router goes on whatever becomes of the control plane, and is replaced without anybody noticing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::is_possible;
use crate::support::load::Load;
use crate::support::node::{TestNode, eventually};

/// How long the load goes on before and after each thing that happens.
const SPELL: Duration = Duration::from_secs(1);

#[test]
fn no_request_fails_and_no_tunnel_breaks_when_the_node_dies_or_is_upgraded() {
    if !is_possible("no_request_fails_and_no_tunnel_breaks_when_the_node_dies_or_is_upgraded") {
        return;
    }
    let mut node = TestNode::start("router", 3);
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps");
    let source = node.app("echo", &apps.join("echo"));
    let pack = json!({"updates": [{"buildpack": apps.join("teller/pack")}]}).to_string();
    assert_eq!(node.api("PUT /apps/echo/buildpack-installations", "", &pack).0, 200);
    node.deploy(&source);
    node.ok(&["ps:scale", "-a", "echo", "web=2"]);
    eventually("the app answers", || node.get("echo", "/") == (200, "ok".to_owned()));
    let load = Load::begin(node.router_port, "echo.localhost");
    let first = routers(&node);
    assert_eq!(first.len(), 1);
    // Beside builds, which give way to their siblings at once and to nobody else.
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", first[0].trim_end_matches(".sock"))).unwrap();
    let shares =
        |controllers: &str| controllers.is_empty() || controllers.split(',').any(|name| name == "cpu");
    let mut shared = groups.lines().filter(|line| line.split(':').nth(1).is_some_and(shares)).peekable();
    assert!(shared.peek().is_some() && shared.all(|line| line.ends_with("/.spawner")), "{groups}");

    node.kill();
    thread::sleep(SPELL);
    assert!(load.is_going_on(), "nobody but the router serves");
    node.serve();
    assert_eq!(routers(&node), first, "it is taken over as it is");
    assert!(load.is_going_on());

    // Another build, as far as its file tells.
    let program = node.root.join("dyno");
    let mut bytes = fs::read(&node.binary).unwrap();
    bytes.extend_from_slice(b"later");
    fs::write(&program, bytes).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    node.binary = program;
    node.stop();
    node.serve();
    assert_eq!(routers(&node).len(), 2, "the one before goes on with its tunnels");
    thread::sleep(SPELL);
    assert!(load.is_going_on());

    let counts = load.end();
    assert_eq!((counts.failed, counts.dropped), (Vec::<String>::new(), 0));
    eventually("the first router has ended with its last connection", || {
        let left = routers(&node);
        left.len() == 1 && left != first
    });
    let told = node.ok(&["metrics"]);
    assert!(told.contains("dyno_router_requests_total{app=\"echo\",status=\"200\"}"), "{told}");
}

/// The links of the routers that the node follows.
fn routers(node: &TestNode) -> Vec<String> {
    let entries = fs::read_dir(node.root.join("run/routers")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
