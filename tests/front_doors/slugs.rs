//! Slugs that clients pack themselves: named, sent, released.

use serde_json::{Value, json};

use crate::{Stage, TOKEN};

impl Stage {
    /// A call of the API with the administrator's token.
    async fn call(&self, line: &str, body: &str) -> (u16, Value) {
        let headers = format!(
            "Authorization: Bearer {TOKEN}\r\nAccept: application/vnd.heroku+json; version=3\r\n\
             Content-Type: application/json\r\n"
        );
        let (status, answer) = self.http(line, &headers, body.as_bytes()).await;
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// Names a slug of the app: its identity, and the path to which it is sent.
    async fn named(&self, said: &Value) -> (String, String) {
        let (status, slug) = self.call("POST /apps/example/slugs", &said.to_string()).await;
        assert_eq!((status, &slug["blob"]["method"]), (201, &json!("put")), "{slug}");
        let url = slug["blob"]["url"].as_str().unwrap();
        (slug["id"].as_str().unwrap().to_owned(), url[url.find("/sources/").unwrap()..].to_owned())
    }

    async fn released(&self, slug: &str) -> (u16, Value) {
        self.call("POST /apps/example/releases", &json!({ "slug": slug }).to_string()).await
    }

    /// An archive with gzip of one file.
    async fn packed(&self, path: &str) -> Vec<u8> {
        let file = self.dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let mut tar = tokio::process::Command::new("tar");
        let top = path.split('/').next().unwrap();
        tar.arg("-C").arg(self.dir.path()).args(["-czf", "-", &format!("./{top}")]);
        tar.output().await.unwrap().stdout
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_is_named_sent_and_released() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let archive = stage.packed("app/serve").await;
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&archive);
    let said = json!({
        "process_types": { "web": "./serve -p $PORT" },
        "buildpack_provided_description": "Shell",
        "checksum": format!("SHA256:{}", hex::encode(digest)),
        "commit": "60883d9e8947a57e04dc9124f25df004866a2051",
        "commit_description": "fixed a bug",
        "stack": stage.call("GET /stacks", "").await.1[0]["id"],
    });
    let (id, put) = stage.named(&said).await;
    let (status, early) = stage.released(&id).await;
    assert_eq!(status, 422, "{early}");
    assert!(early["message"].as_str().unwrap().contains("has not been sent yet"), "{early}");
    assert_eq!(stage.http(&format!("PUT {put}x"), "", &archive).await.0, 404, "a link of nobody's");
    assert_eq!(stage.http(&format!("PUT {put}"), "", &archive).await.0, 200);
    assert_eq!(stage.http(&format!("PUT {put}"), "", &archive).await.0, 409, "it is sent once");
    let (status, shown) = stage.call(&format!("GET /apps/example/slugs/{id}"), "").await;
    assert_eq!(status, 200, "{shown}");
    for field in
        ["process_types", "buildpack_provided_description", "checksum", "commit", "commit_description"]
    {
        assert_eq!(shown[field], said[field], "{field}");
    }
    assert_eq!((&shown["blob"]["method"], &shown["size"]), (&json!("get"), &json!(null)));
    let url = shown["blob"]["url"].as_str().unwrap();
    let fetched = stage.http(&format!("GET {}", &url[url.find("/sources/").unwrap()..]), "", b"").await;
    assert!(fetched == (200, archive), "what was sent is what is fetched");

    let (status, release) = stage.released(&id).await;
    assert_eq!(
        (status, &release["version"], &release["description"]),
        (201, &json!(3), &json!("Deploy 60883d9e"))
    );
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    let wanted = stage.dynos.of(app.id).unwrap();
    assert_eq!(wanted.release.slug.unwrap().to_string(), hex::encode([9; 32]));
    assert_eq!(wanted.release.process_types[&"web".parse().unwrap()], "./serve -p $PORT");
    assert_eq!(
        wanted.formation.entry(&"web".parse().unwrap()).unwrap().quantity,
        1,
        "a first deploy begins one"
    );
    let lasting = release["slug"]["id"].as_str().unwrap();
    let (_, kept) = stage.call(&format!("GET /apps/example/slugs/{lasting}"), "").await;
    assert_eq!((&kept["commit"], &kept["size"]), (&said["commit"], &json!(43)), "{kept}");
    let logs = stage.dyno(&["logs", "-a", "example", "-n", "50"]).await;
    assert!(crate::out(&logs).contains("Warning: Your slug size (301 MB)"), "{}", crate::out(&logs));
    let left: Vec<_> = std::fs::read_dir(stage.dir.path().join("lib/sources")).unwrap().collect();
    assert_eq!(left.len(), 1, "what was sent, for its hour: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_that_is_no_good_changes_nothing() {
    let stage = Stage::open().await;
    for app in ["example", "other"] {
        assert!(stage.dyno(&["create", app]).await.status.success());
    }
    for (said, status) in [
        (json!({}), 400),
        (json!({ "process_types": { "we b": "x" } }), 422),
        (json!({ "process_types": { "web": "" } }), 422),
        (json!({ "process_types": {}, "checksum": "SHA256:1" }), 422),
        (json!({ "process_types": {}, "commit": "x".repeat(1001) }), 422),
        (json!({ "process_types": {}, "stack": "no-such" }), 404),
    ] {
        let (told, answer) = stage.call("POST /apps/example/slugs", &said.to_string()).await;
        assert_eq!(told, status, "{said}: {answer}");
    }
    let other = json!({ "process_types": { "web": "x" }, "checksum": format!("SHA256:{}", "0".repeat(64)) });
    let beside = json!({ "process_types": { "web": "x" } });
    for (said, archive, why) in [
        (other, stage.packed("app/serve").await, "is not the one that its checksum names"),
        (beside, stage.packed("beside/serve").await, "there is nothing in ./app of the archive"),
    ] {
        let (id, put) = stage.named(&said).await;
        assert_eq!(stage.http(&format!("PUT {put}"), "", &archive).await.0, 200);
        let (status, refused) = stage.released(&id).await;
        assert_eq!(status, 422, "{refused}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(why) && !message.contains("Push"), "{message}");
        let elsewhere = json!({ "slug": id }).to_string();
        assert_eq!(stage.call("POST /apps/other/releases", &elsewhere).await.0, 404, "it is of another app");
        assert_eq!(stage.call(&format!("GET /apps/other/slugs/{id}"), "").await.0, 404);
    }
    let (_, releases) = stage.call("GET /apps/example/releases", "").await;
    assert_eq!(releases.as_array().unwrap().len(), 2, "those of a new app: {releases}");
    // As many as a user's sources may be; then the oldest goes.
    let (first, _) = stage.named(&json!({ "process_types": {} })).await;
    for _ in 0..8 {
        stage.named(&json!({ "process_types": {} })).await;
    }
    assert_eq!(stage.call(&format!("GET /apps/example/slugs/{first}"), "").await.0, 404);
}
