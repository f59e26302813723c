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

    brought(&node, port);

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

/// A certificate that the app's owner brings, for a name of the app's own.
fn brought(node: &TestNode, port: u16) {
    let url = format!("https://www.example.test:{port}/");
    let resolve = format!("www.example.test:{port}:127.0.0.1");
    let visit = |trusted: &str| curl(&["--cacert", trusted, "--resolve", &resolve, &url]);
    node.ok(&["domains:add", "www.example.test", "-a", "echo"]);
    for name in ["first", "second", "other"] {
        let subject = if name == "other" { "other.test" } else { "www.example.test" };
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "20",
            ])
            .args([
                "-subj",
                &format!("/O=Example/CN={subject}"),
                "-addext",
                &format!("subjectAltName=DNS:{subject}"),
            ])
            .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")])
            .current_dir(&node.root)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let file = |name: &str| node.root.join(name).to_str().unwrap().to_owned();
    let failed = node.refused(&["certs:add", &file("first.crt"), &file("second.key"), "-a", "echo"]);
    assert!(failed.contains("the key is for none of the certificates"), "{failed}");
    let added = node.ok(&["certs:add", &file("first.crt"), &file("first.key"), "-a", "echo"]);
    for told in ["www.example.test", "O=Example", "days)", "SSL certificate is self signed."] {
        assert!(added.contains(told), "{told}: {added}");
    }
    eventually("it is shown", || text(&visit(&file("first.crt"))) == "ok");
    let spoken = || {
        let asked = ["--resolve", &resolve, "-o", "/dev/null", "-w", "%{http_version}", &url];
        text(&curl(&[&["--cacert", &file("first.crt")], &asked[..]].concat()))
    };
    assert_eq!(spoken(), "2", "an app's own domain has HTTP/2");
    eventually("its line tells", || {
        node.ok(&["logs", "-a", "echo", "-n", "100"]).contains("protocol=http2.0")
    });
    node.ok(&["routing", "http2=off", "-a", "echo"]);
    eventually("it is not offered any more", || spoken() == "1.1");
    let domains = node.ok(&["domains", "--json", "-a", "echo"]);
    let listed: serde_json::Value = serde_json::from_str(&domains).unwrap();
    let name = listed[1]["sni_endpoint"]["name"].as_str().unwrap().to_owned();
    let secret = fs::read_to_string(node.root.join("first.key")).unwrap();
    let secret = secret.lines().nth(1).unwrap();
    for shown in
        [node.ok(&["certs:info", "--json", "-a", "echo"]), node.ok(&["certs", "-a", "echo"]), node.log()]
    {
        assert!(!shown.contains(secret) && !shown.contains("PRIVATE"), "a key is never shown");
    }
    let failed = node.refused(&["certs:update", &file("other.crt"), &file("other.key"), "-a", "echo"]);
    assert!(failed.contains("does not cover www.example.test"), "{failed}");
    node.ok(&["certs:update", &file("second.crt"), &file("second.key"), "--name", &name, "-a", "echo"]);
    eventually("another takes its place", || text(&visit(&file("second.crt"))) == "ok");
    assert_eq!(visit(&file("first.crt")).status.code(), Some(UNTRUSTED));
    node.ok(&["certs:remove", "-a", "echo"]);
    eventually("it is shown no more", || visit(&file("second.crt")).status.code() == Some(UNTRUSTED));
    let listed = node.ok(&["certs", "-a", "echo"]);
    assert!(listed.contains("no SSL certificates"), "{listed}");
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
