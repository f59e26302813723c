//! Apps under TLS, as people meet them: curl, the node's own authority, and what the machine trusts.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::is_possible;
use crate::support::node::{TestNode, eventually, free_port};

/// curl's status where it does not believe a certificate.
const UNTRUSTED: i32 = 60;

/// What a machine with files of its own for what it trusts does, away from the real ones.
const ELSEWHERE: &str = "set -e
mkdir local certs
cp -a /usr/local/share/ca-certificates/. local
cp -a /etc/ssl/certs/. certs
mount --bind local /usr/local/share/ca-certificates
mount --bind certs /etc/ssl/certs
\"$DYNO\" trust
curl -sS \"$URL\"
echo
\"$DYNO\" trust --remove
ls local certs | grep -c dyno- || true
curl -sS \"$URL\" || echo \"curl says $?\"
\"$DYNO\" trust --remove || echo 'nothing to remove'
";

#[test]
fn an_app_answers_under_tls_to_whoever_trusts_the_node() {
    if !is_possible("an_app_answers_under_tls_to_whoever_trusts_the_node") {
        return;
    }
    let port = free_port();
    let config = format!("[router]\nhttps = [\"127.0.0.1:{port}\"]\n");
    let mut node = TestNode::configured("tls", 4, &config);
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps");
    let source = node.app("echo", &apps.join("echo"));
    let pack = json!({"updates": [{"buildpack": apps.join("teller/pack")}]}).to_string();
    assert_eq!(node.api("PUT /apps/echo/buildpack-installations", "", &pack).0, 200);
    node.deploy(&source);
    eventually("the app answers", || node.get("echo", "/") == (200, "ok".to_owned()));

    let root = node.root.join("root.pem");
    fs::write(&root, node.ok(&["trust", "--print"])).unwrap();
    let root = root.to_str().unwrap();
    let url = format!("https://echo.localhost:{port}/");
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        assert_eq!(text(&curl(&[&["--cacert", root, &url], version].concat())), "ok", "{version:?}");
    }
    assert_eq!(curl(&[&url]).status.code(), Some(UNTRUSTED), "nobody has been told to trust it");
    let elsewhere = format!("https://other.localhost:{port}/");
    let refused = curl(&["--cacert", root, &elsewhere]);
    assert_eq!(refused.status.code(), Some(UNTRUSTED), "a name of no app has no certificate that curl takes");
    let host = ["-H", "Host: echo.localhost", "-w", " %{http_code}", "-o", "/dev/null"];
    let localhost = format!("https://localhost:{port}/");
    assert_eq!(text(&curl(&[&["--cacert", root, &localhost], &host[..]].concat())), " 495");
    let log = node.ok(&["logs", "-a", "echo", "-n", "100"]);
    for told in ["tls=true tls_version=tls1.2", "tls=true tls_version=tls1.3", "code=H32"] {
        assert!(log.contains(told), "{told}: {log}");
    }

    node.ok(&["apps:rename", "other", "-a", "echo"]);
    eventually("the new name has a certificate", || text(&curl(&["--cacert", root, &elsewhere])) == "ok");
    node.kill();
    assert_eq!(text(&curl(&["--cacert", root, &elsewhere])), "ok", "the router goes on alone");
    node.serve();
    eventually("the next run has certificates of its own", || {
        text(&curl(&["--cacert", root, &elsewhere])) == "ok"
    });

    let trusted = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", ELSEWHERE])
        .current_dir(&node.root)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("DYNO", &node.binary)
        .env("DYNO_ROOT", &node.root)
        .env("URL", &elsewhere)
        .output()
        .unwrap();
    let (said, err) = (text(&trusted), String::from_utf8_lossy(&trusted.stderr));
    let expected = format!(
        "Apps answer at https://APP.localhost:{port}/ on this machine.\nok\n0\ncurl says {UNTRUSTED}\nnothing to remove\n"
    );
    assert_eq!(said, expected, "{err}");
}

fn curl(args: &[&str]) -> Output {
    let mut command = Command::new("curl");
    for name in [
        "CURL_CA_BUNDLE",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "https_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env_remove(name);
    }
    command.arg("-sS").args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
