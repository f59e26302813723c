//! Certificates that the node gets by itself, of a real authority: Pebble, which asks the node's own router for its proofs.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::is_possible;
use crate::support::node::{TestNode, eventually, free_port};
use crate::support::pebble::{Asked, Pebble};
use crate::support::skip::skip;

/// How long certificates hold whose renewal nobody waits for, seconds.
const LONG_S: u64 = 90 * 24 * 3600;
/// How long certificates hold whose renewal is waited for, seconds: a third of it before its end.
const SHORT_S: u64 = 60;

/// A node with an authority; `None` where there can be none.
fn node(test: &str, number: u32, (challenge, life_s): (&str, u64)) -> Option<(TestNode, Pebble, u16)> {
    if !is_possible(test) {
        return None;
    }
    let root = std::path::PathBuf::from(format!("/var/tmp/dyno-test-{challenge}-ca-{}", std::process::id()));
    let (http, tls) = (free_port(), free_port());
    let pebble = match Pebble::start(&root, &Asked { http, tls, life_s }) {
        Ok(pebble) => pebble,
        Err(reason) => {
            skip(test, &reason);
            return None;
        }
    };
    let config = format!("[router]\nhttps = [\"127.0.0.1:{tls}\"]\n{}", pebble.section(challenge));
    let node = TestNode::at_port(challenge, number, (&config, http));
    Some((node, pebble, tls))
}

fn domains(node: &TestNode) -> Vec<Value> {
    let all = node.api("GET /apps/echo/domains", "", "").1;
    all.as_array().unwrap().iter().filter(|domain| domain["kind"] == "custom").cloned().collect()
}

/// How far the certificate of a name is, and why no further.
fn status(node: &TestNode, name: &str) -> (String, String) {
    let domain = domains(node).into_iter().find(|domain| domain["hostname"] == name).unwrap();
    let text = |field: &str| domain[field].as_str().unwrap_or_default().to_owned();
    (text("acm_status"), text("acm_status_reason"))
}

fn curl(root: &Path, name: &str, port: u16) -> Output {
    let mut command = Command::new("curl");
    for name in ["CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name);
    }
    command.args(["-sS", "--noproxy", "*", "--resolve", &format!("{name}:{port}:127.0.0.1"), "--cacert"]);
    command.arg(root).arg(format!("https://{name}:{port}/")).output().unwrap()
}

/// An app that answers `ok`.
fn deployed(node: &TestNode) {
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps");
    let source = node.app("echo", &apps.join("echo"));
    let pack = json!({"updates": [{"buildpack": apps.join("teller/pack")}]}).to_string();
    assert_eq!(node.api("PUT /apps/echo/buildpack-installations", "", &pack).0, 200);
    node.deploy(&source);
    eventually("the app answers", || node.get("echo", "/") == (200, "ok".to_owned()));
}

fn ok(output: &Output) -> bool {
    output.status.success() && output.stdout == b"ok"
}

#[test]
fn an_authority_that_asks_in_plain_http_gives_certificates() {
    let test = "an_authority_that_asks_in_plain_http_gives_certificates";
    let Some((mut node, pebble, tls)) = node(test, 5, ("http-01", LONG_S)) else { return };
    deployed(&node);
    for name in ["www.one.example", "*.one.example", "astray.one.example", "nowhere.one.example"] {
        node.ok(&["domains:add", name, "-a", "echo"]);
    }
    node.ok(&["domains:add", "refused.example", "-a", "echo"]);
    pebble.leads("astray.one.example", "127.0.0.2");
    pebble.forgets("nowhere.one.example");
    let shown = node.ok(&["certs:auto", "-a", "echo"]);
    assert!(shown.contains("is disabled on"), "{shown}");
    node.ok(&["certs:auto:enable", "-a", "echo"]);
    eventually("the certificate is issued", || status(&node, "www.one.example").0 == "cert issued");
    assert!(ok(&curl(&pebble.root(), "www.one.example", tls)), "{}", pebble.log());
    let path = "/.well-known/acme-challenge/what-nobody-asked-for";
    assert_eq!(node.get("echo", path), (200, "ok".to_owned()), "such a path is the app's");
    for (name, word, reason) in [
        ("*.one.example", "failed", "certs:add"),
        ("astray.one.example", "failing", "does not reach the name on port 80"),
        ("nowhere.one.example", "failing", "could not resolve"),
        ("refused.example", "failed", "gives no certificate for this name"),
    ] {
        eventually(name, || status(&node, name).0 == word);
        let told = status(&node, name).1;
        assert!(told.contains(reason), "{name}: {told}");
    }
    let shown = node.ok(&["certs:auto", "-a", "echo"]);
    for text in ["is enabled on", "Cert issued", "Failing", "Failed", "open the port", "certs:auto:refresh"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(node.ok(&["certs", "-a", "echo"]).contains("ACM"));
    assert!(node.ok(&["domains", "-a", "echo"]).contains("ACM Status"));
    let held = node.refused(&["certs:remove", "-a", "echo"]);
    assert!(held.contains("certs:auto:disable"), "{held}");

    // What was in the way is mended.
    pebble.leads("astray.one.example", "127.0.0.1");
    node.ok(&["certs:auto:refresh", "-a", "echo"]);
    eventually("it is tried again", || status(&node, "astray.one.example").0 == "cert issued");
    node.ok(&["domains:remove", "astray.one.example", "-a", "echo"]);
    let shown = node.ok(&["certs", "-a", "echo"]);
    assert!(!shown.contains("astray"), "its certificate goes with the domain: {shown}");

    killed_in_the_middle(&mut node, &pebble, tls);

    assert!(!node.log().contains("key_pkcs8"), "the account's key is in the database alone");
    node.ok(&["certs:auto:disable", "--confirm", "echo", "-a", "echo"]);
    eventually("what it got is shown no more", || !ok(&curl(&pebble.root(), "www.one.example", tls)));
    assert!(node.ok(&["certs", "-a", "echo"]).contains("no SSL certificates"));
}

/// The node's process is killed when the authority has an order; the next one goes on with that order.
fn killed_in_the_middle(node: &mut TestNode, pebble: &Pebble, tls: u16) {
    let name = "late.one.example";
    node.ok(&["domains:add", name, "-a", "echo"]);
    eventually("the order is placed", || status(node, name).0 != "pending");
    let (word, reason) = status(node, name);
    assert_eq!(word, "verified", "{reason}");
    node.kill();
    assert!(ok(&curl(&pebble.root(), "www.one.example", tls)), "the router goes on alone");
    node.serve();
    eventually("the order is pursued to its end", || status(node, name).0 == "cert issued");
    assert!(ok(&curl(&pebble.root(), name, tls)), "{}", pebble.log());
    let log = node.log();
    let placed = |line: &&str| line.contains("a certificate is ordered") && line.contains(name);
    assert_eq!(log.lines().filter(placed).count(), 1, "it is the same order: {log}");
}

#[test]
fn an_authority_that_asks_under_tls_gives_certificates_and_renews_them() {
    let test = "an_authority_that_asks_under_tls_gives_certificates_and_renews_them";
    let Some((node, pebble, tls)) = node(test, 6, ("tls-alpn-01", SHORT_S)) else { return };
    deployed(&node);
    node.ok(&["domains:add", "www.two.example", "-a", "echo"]);
    node.ok(&["certs:auto:enable", "--wait", "-a", "echo"]);
    assert!(ok(&curl(&pebble.root(), "www.two.example", tls)), "{}", pebble.log());
    let shown = || node.api("GET /apps/echo/sni-endpoints", "", "").1[0].clone();
    let first = shown();
    assert_eq!(first["ssl_cert"]["acm"], true);
    eventually("it is renewed before its end", || {
        assert!(ok(&curl(&pebble.root(), "www.two.example", tls)), "the old one is shown until then");
        shown()["ssl_cert"]["id"] != first["ssl_cert"]["id"]
    });
    let second = shown();
    assert_eq!((&second["id"], &second["name"]), (&first["id"], &first["name"]), "it has taken its place");
    assert!(second["ssl_cert"]["expires_at"].as_str() > first["ssl_cert"]["expires_at"].as_str());
    eventually("the new one is shown", || ok(&curl(&pebble.root(), "www.two.example", tls)));
}
