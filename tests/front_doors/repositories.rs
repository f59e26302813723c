//! Deploys from a branch of a repository elsewhere, told by messages that its host signs.

use std::time::Duration;

use ring::hmac;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Stage, err, out};

/// An app that is connected to a branch, and what its host knows of it.
struct Connected {
    path: String,
    secret: String,
}

impl Stage {
    async fn connect(&self, app: &str, url: &str, branch: &str) -> Connected {
        let made =
            self.dyno(&["github:connect", "-a", app, "--repo", url, "--branch", branch, "--json"]).await;
        assert!(made.status.success(), "{}", err(&made));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let url = made["webhook_url"].as_str().unwrap();
        let path = url[url.find("/repository-events/").unwrap()..].to_owned();
        Connected { path, secret: made["secret"].as_str().unwrap().to_owned() }
    }

    /// Has the host tell of something: status and answer.
    async fn told(&self, to: &Connected, event: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, to.secret.as_bytes());
        let signature = hex::encode(hmac::sign(&key, body.as_bytes()));
        let headers = format!("X-GitHub-Event: {event}\r\nX-Hub-Signature-256: sha256={signature}\r\n");
        let (status, answer) = self.http(&format!("POST {}", to.path), &headers, body.as_bytes()).await;
        (status, serde_json::from_slice(&answer).unwrap())
    }

    /// What is known of the branch, once no deploy is under way.
    async fn settled(&self, app: &str) -> Value {
        for _ in 0..500 {
            let found = self.dyno(&["github", "-a", app, "--json"]).await;
            let found: Value = serde_json::from_slice(&found.stdout).unwrap();
            if found["pending"] == false {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the deploy of {app} does not end");
    }

    async fn version(&self, app: &str) -> u64 {
        let app = dyno::flows::find(&self.node, app).await.unwrap();
        self.dynos.of(app.id).unwrap().release.version.0
    }

    /// Two apps, one of whose repository is elsewhere for the other, and the commit that is in it.
    async fn with_upstream() -> (Self, std::path::PathBuf, String) {
        let stage = Self::open().await;
        for app in ["upstream", "example"] {
            assert!(stage.dyno(&["create", app]).await.status.success());
        }
        let at = stage
            .source("src", &[("Procfile", "web: serve\n"), (".gitattributes", "* export-ignore\n")])
            .await;
        let pushed = stage.push(&at, "upstream", "main").await;
        assert!(pushed.status.success(), "{}", err(&pushed));
        let commit = out(&stage.git(&at, &["rev-parse", "main"]).await).trim().to_owned();
        (stage, at, commit)
    }
}

fn pushed(branch: &str, after: &str) -> Value {
    json!({"ref": format!("refs/heads/{branch}"), "after": after, "deleted": false, "commits": []})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_elsewhere_is_deployed_once() {
    let (stage, at, commit) = Stage::with_upstream().await;
    let host = stage.connect("example", &stage.remote("upstream"), "main").await;
    let shown = out(&stage.dyno(&["github", "-a", "example"]).await);
    assert!(!shown.contains(&host.secret) && !shown.contains(crate::TOKEN), "{shown}");
    let (status, _) = stage.told(&host, "ping", &json!({"zen": "x"})).await;
    assert_eq!(status, 200);
    let (status, answer) = stage.told(&host, "push", &pushed("main", &commit)).await;
    assert_eq!(status, 202, "{answer}");
    let found = stage.settled("example").await;
    assert_eq!(found["commit"], commit, "{found}");
    assert_eq!(stage.version("example").await, 3);
    let builds = out(&stage.dyno(&["builds", "-a", "example", "--json"]).await);
    assert!(builds.contains(&commit) && !builds.contains(crate::TOKEN), "{builds}");

    let (status, answer) = stage.told(&host, "push", &pushed("main", &commit)).await;
    assert_eq!((status, &answer["message"]), (200, &"That commit was deployed last.".into()));
    // One that is made up leads to what is there, which runs already.
    assert_eq!(stage.told(&host, "push", &pushed("main", &"1a".repeat(20))).await.0, 202);
    let found = stage.settled("example").await;
    assert!(found["outcome"].as_str().unwrap().ends_with("was deployed already."), "{found}");
    assert_eq!(stage.version("example").await, 3);

    std::fs::write(at.join("Procfile"), "web: serve\nworker: work\n").unwrap();
    assert!(stage.git(&at, &["commit", "-qam", "2"]).await.status.success());
    assert!(stage.push(&at, "upstream", "main").await.status.success());
    let newer = out(&stage.git(&at, &["rev-parse", "main"]).await).trim().to_owned();
    let off = stage.dyno(&["github:deploys", "disable", "-a", "example"]).await;
    assert!(off.status.success(), "{}", err(&off));
    let (status, answer) = stage.told(&host, "push", &pushed("main", &newer)).await;
    assert!(status == 200 && answer["message"].as_str().unwrap().contains("disabled"), "{answer}");
    assert!(stage.dyno(&["github:deploys", "enable", "-a", "example"]).await.status.success());
    assert_eq!(stage.told(&host, "push", &pushed("main", &newer)).await.0, 202);
    assert_eq!(stage.settled("example").await["commit"], newer);
    assert_eq!(stage.version("example").await, 4);
    assert!(stage.dyno(&["github:disconnect", "-a", "example"]).await.status.success());
    assert_eq!(stage.told(&host, "push", &pushed("main", &newer)).await.0, 404);
    let left = std::fs::read_dir(stage.dir.path().join("lib/sources")).unwrap().count();
    assert_eq!(left, 0, "clones are removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_the_right_to_deploy_does_so_by_no_link_either() {
    let (stage, _, commit) = Stage::with_upstream().await;
    for args in [
        &["users:create", "friend@example.com"][..],
        &["access:add", "friend@example.com", "-a", "example", "-p", "operate"],
    ] {
        assert!(stage.dyno(args).await.status.success());
    }
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    let friend = dyno::flows::Actor("friend@example.com".to_owned());
    let upstream = stage.remote("upstream");
    let link =
        dyno::flows::connect_repository(&stage.node, &app, (&upstream, "main"), &friend).await.unwrap();
    let host = Connected {
        path: format!("/repository-events/{}", link.id),
        secret: link.secret.reveal().to_owned(),
    };
    let removed = stage.dyno(&["access:remove", "friend@example.com", "-a", "example"]).await;
    assert!(removed.status.success(), "{}", err(&removed));
    assert_eq!(stage.told(&host, "push", &pushed("main", &commit)).await.0, 202);
    let found = stage.settled("example").await;
    assert!(found["outcome"].as_str().unwrap().contains("may not deploy this app any more"), "{found}");
    assert_eq!(stage.version("example").await, 2);
    let (status, answer) = stage.told(&host, "push", &pushed("main", &commit)).await;
    assert!(status == 200 && answer["message"].as_str().unwrap().contains("disabled"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_not_meant_changes_nothing() {
    let (stage, _, commit) = Stage::with_upstream().await;
    let host = stage.connect("example", &stage.remote("upstream"), "main").await;
    let line = format!("POST {}", host.path);
    let body = pushed("main", &commit).to_string();
    for headers in ["", "X-Hub-Signature-256: sha256=00\r\n", "X-Hub-Signature: sha1=00\r\n"] {
        let headers = format!("X-GitHub-Event: push\r\n{headers}");
        assert_eq!(stage.http(&line, &headers, body.as_bytes()).await.0, 401, "{headers}");
    }
    let other = Connected { secret: "another".to_owned(), path: host.path.clone() };
    assert_eq!(stage.told(&other, "push", &pushed("main", &commit)).await.0, 401);
    let unknown = Connected {
        path: format!("/repository-events/{}", uuid::Uuid::new_v4()),
        secret: host.secret.clone(),
    };
    assert_eq!(stage.told(&unknown, "push", &pushed("main", &commit)).await.0, 404);
    // Nothing is read for it, so what does not come is not waited for.
    let mut stream = TcpStream::connect(stage.git).await.unwrap();
    let head = format!("POST {} HTTP/1.1\r\nHost: node\r\nContent-Length: 1000\r\n\r\n", unknown.path);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 404");
    assert_eq!(stage.told(&host, "push", &pushed("topic", &commit)).await.0, 200);
    let deleted = json!({"ref": "refs/heads/main", "after": "0".repeat(40), "deleted": true});
    assert_eq!(stage.told(&host, "push", &deleted).await.0, 200);
    assert_eq!(stage.told(&host, "push", &json!({"x": 1})).await.0, 400);
    let long = json!({"x": "y".repeat(9 << 20)});
    assert_eq!(stage.told(&host, "push", &long).await.0, 413);
    // A new connection makes the old one's messages worthless.
    stage.connect("example", &stage.remote("upstream"), "main").await;
    assert_eq!(stage.told(&host, "push", &pushed("main", &commit)).await.0, 404);
    assert_eq!(stage.settled("example").await["commit"], Value::Null);
    assert_eq!(stage.version("example").await, 2);
    for (url, branch, why) in [
        ("file:///srv/repo", "main", "Invalid repository URL"),
        ("ext::sh -c id", "main", "Invalid repository URL"),
        ("https://example.com/r.git", "--upload-pack=id", "Invalid branch"),
    ] {
        let repo = format!("--repo={url}");
        let branch = format!("--branch={branch}");
        let refused = stage.dyno(&["github:connect", "-a", "example", &repo, &branch]).await;
        assert!(err(&refused).contains(why), "{}", err(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_cannot_be_had_is_told() {
    let (stage, _, commit) = Stage::with_upstream().await;
    let host = stage.connect("example", &stage.remote("upstream"), "nothing").await;
    assert_eq!(stage.told(&host, "push", &pushed("nothing", &commit)).await.0, 202);
    let found = stage.settled("example").await;
    let outcome = found["outcome"].as_str().unwrap();
    assert!(outcome.starts_with("The branch could not be fetched: git says: "), "{outcome}");
    assert_eq!(stage.version("example").await, 2);
}
