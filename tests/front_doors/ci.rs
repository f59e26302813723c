//! Test runs of pipelines: recorded, shown again, cancelled, and cut off with the node.

use std::time::Duration;

use crate::{Stage, TOKEN, err, out};

impl Stage {
    /// A pipeline with an app in it.
    async fn with_pipeline() -> Self {
        let stage = Self::open().await;
        for line in
            [&["create", "example"][..], &["pipelines:create", "line", "-a", "example", "-s", "staging"]]
        {
            let done = stage.dyno(line).await;
            assert!(done.status.success(), "{line:?}: {}", err(&done));
        }
        stage
    }

    /// A request of somebody with the node's token: status and body.
    async fn asked(&self, line: &str, body: &str) -> (u16, serde_json::Value) {
        let headers = format!(
            "Authorization: Bearer {TOKEN}\r\nAccept: application/vnd.heroku+json; version=3\r\n\
             Content-Type: application/json\r\n"
        );
        let (status, answer) = self.http(line, &headers, body.as_bytes()).await;
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// Calls this program in a work tree.
    async fn dyno_at(&self, at: &std::path::Path, args: &[&str]) -> std::process::Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_dyno"));
        command.current_dir(at).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("DYNO_SOCKET", self.dir.path().join("api.sock")).args(args).output().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipelines_tests_are_kept_and_shown_again() {
    let stage = Stage::with_pipeline().await;
    let none = stage.dyno(&["ci:last", "-p", "line"]).await;
    assert!(!none.status.success() && err(&none).contains("has no test runs"), "{}", err(&none));
    let set = stage.dyno(&["ci:config:set", "FOO=of the pipeline", "-a", "example"]).await;
    assert_eq!(
        (out(&set), err(&set)),
        ("FOO: of the pipeline\n".to_owned(), "Setting FOO... done\n".to_owned())
    );
    let good = stage.source("good", &[("Procfile", "web: x\n")]).await;
    let ran = stage.dyno_at(&good, &["ci:run", "-a", "example"]).await;
    let said = out(&ran);
    assert!(ran.status.success(), "{said}{}", err(&ran));
    let commit = out(&stage.git(&good, &["rev-parse", "HEAD"]).await);
    for part in
        ["of the pipeline", "The tests have succeeded", &format!("#1 main:{} succeeded", &commit[..7])]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(err(&ran).contains("Starting test run... done, #1"), "{}", err(&ran));

    let bad = stage.source("bad", &[("broken", "")]).await;
    let ran = stage.dyno_at(&bad, &["ci:run", "-p", "line"]).await;
    assert_eq!(ran.status.code(), Some(7), "{}{}", out(&ran), err(&ran));
    let shown = stage.dyno(&["ci:info", "2", "-p", "line"]).await;
    assert_eq!((shown.status.code(), out(&shown)), (Some(7), out(&ran)), "it is kept: {}", err(&shown));
    assert_eq!(out(&stage.dyno(&["ci:last", "-a", "example"]).await), out(&ran));
    let listed = out(&stage.dyno(&["ci", "-p", "line"]).await);
    assert!(listed.contains("failed") && listed.find("failed") < listed.find("succeeded"), "{listed}");

    let again = stage.dyno_at(&good, &["ci:rerun", "1", "-p", "line"]).await;
    assert!(again.status.success() && out(&again).contains("#3 main:"), "{}{}", out(&again), err(&again));
    let elsewhere = stage.dyno_at(&bad, &["ci:rerun", "1", "-p", "line"]).await;
    assert!(err(&elsewhere).contains("is not in a repository here"), "{}", err(&elsewhere));

    let unset = stage.dyno(&["ci:config:unset", "FOO", "-p", "line"]).await;
    assert!(unset.status.success(), "{}", err(&unset));
    assert_eq!(out(&stage.dyno(&["ci:config:get", "FOO", "-p", "line"]).await), "\n");
    let builds = stage.dyno(&["builds", "-a", "example"]).await;
    assert!(out(&builds).contains("has no builds"), "tests are no builds: {}", out(&builds));
    assert!(stage.dyno(&["pipelines:destroy", "line"]).await.status.success());
    let left = std::fs::read_dir(stage.dir.path().join("lib/test-runs")).unwrap().count();
    assert_eq!(left, 0, "what they have said goes with the pipeline");
}

/// Begins a run of a source whose tests wait, and returns when they run.
async fn waiting(stage: &Stage) -> serde_json::Value {
    let source = stage.source("slow", &[("wait", "")]).await;
    let archive = stage.git(&source, &["archive", "HEAD"]).await.stdout;
    let made = stage.api("/sources", "").await;
    let url = made["source_blob"]["put_url"].as_str().unwrap();
    let path = &url[url.find("/sources/").unwrap()..];
    assert_eq!(stage.http(&format!("PUT {path}"), "", &archive).await.0, 200);
    let body = serde_json::json!({
        "commit_branch": "main", "commit_message": "A change", "commit_sha": "1a".repeat(20), "organization": null,
        "pipeline": "line", "source_blob_url": made["source_blob"]["get_url"],
    });
    let run = stage.api("/test-runs", &body.to_string()).await;
    for _ in 0..300 {
        let (_, now) = stage.asked("GET /pipelines/line/test-runs/1", "").await;
        if now["status"] == "running" {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the tests do not begin: {run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_by_itself_until_it_is_cancelled() {
    let stage = Stage::with_pipeline().await;
    let run = waiting(&stage).await;
    let id = run["id"].as_str().unwrap();
    let (_, nodes) = stage.asked(&format!("GET /test-runs/{id}/test-nodes"), "").await;
    let setup = nodes[0]["setup_stream_url"].as_str().unwrap();
    assert!(setup.starts_with("https://"), "the stock command reads it under TLS alone: {setup}");
    let path = &setup[setup.find("/test-outputs/").unwrap()..];
    let (status, _) = stage.http(&format!("GET {path}"), "", b"").await;
    assert_eq!(
        status, 200,
        "what is said before the tests has its end when they begin, and needs no credentials"
    );
    let cancel = format!("PATCH /test-runs/{id}");
    let (status, refused) = stage.asked(&cancel, r#"{"status": "succeeded"}"#).await;
    assert_eq!((status, &refused["id"]), (422, &"invalid_params".into()));
    let (status, over) = stage.asked(&cancel, r#"{"status": "cancelled", "message": "x"}"#).await;
    assert_eq!((status, &over["status"]), (200, &"cancelled".into()), "{over}");
    assert_eq!(over["message"], "Cancelled by me@example.com.");
    let (status, refused) = stage.asked(&cancel, r#"{"status": "cancelled"}"#).await;
    assert_eq!((status, &refused["id"]), (409, &"conflict".into()), "{refused}");
    let shown = stage.dyno(&["ci:info", "1", "-p", "line"]).await;
    assert!(!shown.status.success() && out(&shown).contains("The tests were not run."), "{}", out(&shown));
    assert_eq!(
        std::fs::read_dir(stage.dir.path().join("lib/sources")).unwrap().count(),
        1,
        "the upload alone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_nodes_end_cuts_off_is_errored() {
    let stage = Stage::with_pipeline().await;
    let run = waiting(&stage).await;
    let id = run["id"].as_str().unwrap().parse().unwrap();
    let again = stage.restarted();
    dyno::flows::resume(&again).await.unwrap();
    let caller = dyno::flows::Caller::administrator(&again);
    let found = dyno::flows::test_run(&again, &caller, id).await.unwrap().run;
    assert_eq!(found.status, dyno::domain::TestStatus::Errored);
    assert!(found.message.unwrap().contains("Run the tests again"));
}
