//! Builds of sources that are sent or fetched, without git.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{Stage, TOKEN, err, out};

/// Where a source is sent and fetched.
struct Place {
    url: String,
    get: String,
    put: String,
}

impl Stage {
    /// A directory with these files.
    fn directory(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let at = self.dir.path().join(name);
        std::fs::create_dir(&at).unwrap();
        for (file, text) in files {
            std::fs::write(at.join(file), text).unwrap();
        }
        at
    }

    /// One request over TCP with these further headers: status and body.
    pub(super) async fn http(&self, line: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.git).await.unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Who is refused early may not be read to the end.
        let _refused = stream.write_all(body).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer.split_off(at + 4))
    }

    /// The links of a place for a source: what a build is asked for with, and the paths at which it is fetched and sent.
    async fn place(&self) -> Place {
        let made = self.api("/sources", "").await;
        let link = |which: &str| made["source_blob"][which].as_str().unwrap().to_owned();
        let path = |url: &str| url[url.find("/sources/").unwrap()..].to_owned();
        let url = link("get_url");
        Place { get: path(&url), put: path(&link("put_url")), url }
    }

    /// The app's newest build, once it has ended.
    async fn ended(&self, app: &str) -> serde_json::Value {
        for _ in 0..500 {
            let builds = self.dyno(&["builds", "-a", app, "--json"]).await;
            let builds: serde_json::Value = serde_json::from_slice(&builds.stdout).unwrap();
            if builds[0]["status"] != "pending" {
                return builds[0].clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the build of {app} does not end");
    }
}

/// An archive with gzip, all in one directory as code hosts pack it where `top` names one.
async fn tgz(dir: &Path, top: Option<&str>) -> Vec<u8> {
    let mut tar = tokio::process::Command::new("tar");
    tar.arg("-C").arg(dir.parent().unwrap()).args(["-czf", "-"]);
    let name = dir.file_name().unwrap().to_str().unwrap();
    match top {
        Some(top) => tar.arg(format!("--transform=s,^{name},{top},")).arg(name),
        None => tar.arg("-C").arg(dir).arg("."),
    };
    let output = tar.output().await.unwrap();
    assert!(output.status.success(), "{}", err(&output));
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_deployed_and_its_build_told() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let dir = stage.directory("src", &[("Procfile", "web: serve\n")]);
    let dir = dir.to_str().unwrap();
    let deployed = stage.dyno(&["deploy", dir, "-a", "example", "--version-name", "v1.2"]).await;
    assert!(deployed.status.success(), "{}", err(&deployed));
    let shown = out(&deployed);
    assert!(shown.contains("-----> It builds\n") && shown.contains("Released v3\n"), "{shown}");
    assert_eq!(out(&stage.dyno(&["builds:output", "-a", "example"]).await), shown, "it is kept");
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    assert_eq!(stage.dynos.of(app.id).unwrap().release.description, "Deploy v1.2");
    let build = stage.ended("example").await;
    assert_eq!((&build["status"], &build["source_blob"]["version"]), (&"succeeded".into(), &"v1.2".into()));
    assert_eq!(build["timings"].as_array().unwrap().len(), 2, "the source and the release: {build}");
    let id = build["id"].as_str().unwrap();
    let info = out(&stage.dyno(&["builds:info", &id[..8], "-a", "example"]).await);
    assert!(info.contains(&format!("=== Build {id}")) && info.contains("Status:  succeeded"), "{info}");
    let result = stage
        .http(
            &format!("GET /apps/example/builds/{id}/result"),
            &format!("Authorization: Bearer {TOKEN}\r\nAccept: application/vnd.heroku+json; version=3\r\n"),
            b"",
        )
        .await;
    let result: serde_json::Value = serde_json::from_slice(&result.1).unwrap();
    assert_eq!((&result["exit_code"], &result["build"]["id"]), (&0.into(), &build["id"]));
    let lines = result["lines"].as_array().unwrap().iter().map(|line| line["line"].as_str().unwrap());
    assert_eq!(lines.collect::<String>(), shown);
    assert_eq!(
        std::fs::read_dir(stage.dir.path().join("lib/sources")).unwrap().count(),
        1,
        "the upload alone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_does_not_build_fails_and_makes_no_release() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let dir = stage.directory("src", &[("README", "nothing")]);
    let deployed = stage.dyno(&["deploy", dir.to_str().unwrap(), "-a", "example"]).await;
    assert_eq!(deployed.status.code(), Some(1));
    assert!(out(&deployed).contains("No Procfile, no app."), "{}", out(&deployed));
    assert!(err(&deployed).contains("The build failed. See `dyno builds:output "), "{}", err(&deployed));
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    assert_eq!(stage.dynos.of(app.id).unwrap().release.version.0, 2);
    let missing = stage.dyno(&["deploy", "nowhere", "-a", "example"]).await;
    assert!(err(&missing).contains("nowhere is no directory."), "{}", err(&missing));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_sent_once_by_whoever_knows_its_name() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let archive = tgz(&stage.directory("src", &[("Procfile", "web: serve\n")]), None).await;
    let (Place { url, get, put }, other) = (stage.place().await, stage.place().await);
    assert_eq!(stage.http(&format!("GET {get}"), "", b"").await.0, 404, "nothing is there yet");
    let query = |link: &str| link.split_once('?').unwrap().1.to_owned();
    let bare = put.split_once('?').unwrap().0;
    let later = put.replace("expires=1", "expires=2");
    assert_ne!(later, put);
    for wrong in [bare, &get, &later, &format!("{bare}?{}", query(&other.put)), &format!("{put}0")] {
        assert_eq!(
            stage.http(&format!("PUT {wrong}"), "", &archive).await.0,
            404,
            "no link to send it: {wrong}"
        );
    }
    assert_eq!(stage.http(&format!("PUT {put}"), "", &archive).await.0, 200);
    assert_eq!(stage.http(&format!("PUT {put}"), "", b"another").await.0, 409);
    for wrong in [bare, &put, &format!("{bare}?{}", query(&other.get))] {
        assert_eq!(stage.http(&format!("GET {wrong}"), "", b"").await.0, 404, "no link to fetch it: {wrong}");
    }
    assert_eq!(stage.http(&format!("GET {get}"), "", b"").await, (200, archive.clone()));
    for unknown in ["/sources/x", "/sources/00000000-0000-0000-0000-000000000000"] {
        assert_eq!(stage.http(&format!("PUT {unknown}"), "", b"x").await.0, 404);
    }
    assert_eq!(stage.http("POST /sources", "", b"").await.0, 401, "a name is for users");
    // Whoever knows no name is read only a little of.
    let mut stranger = TcpStream::connect(stage.git).await.unwrap();
    let head = format!("PUT /sources/x HTTP/1.1\r\nHost: node\r\nContent-Length: {}\r\n\r\n", 1 << 30);
    stranger.write_all(head.as_bytes()).await.unwrap();
    // It may have hung up before all of this is written; what it said is there to read all the same.
    let _ = stranger.write_all(&vec![0; 5 << 20]).await;
    let mut status = [0; 12];
    stranger.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 404");

    let wrong = format!(r#"{{"source_blob":{{"url":"{url}","checksum":"SHA256:{}"}}}}"#, "0".repeat(64));
    assert_eq!(stage.api("/apps/example/builds", &wrong).await["status"], "pending");
    assert_eq!(stage.ended("example").await["status"], "failed");
    let said = out(&stage.dyno(&["builds:output", "-a", "example"]).await);
    assert!(said.contains("it does not have the checksum that was named"), "{said}");
    use sha2::Digest as _;
    let digest = hex::encode(sha2::Sha256::digest(&archive));
    let right = format!(r#"{{"source_blob":{{"url":"{url}","checksum":"SHA256:{digest}"}}}}"#);
    stage.api("/apps/example/builds", &right).await;
    let build = stage.ended("example").await;
    assert_eq!(build["status"], "succeeded", "{build}");
    assert_eq!(build["source_blob"]["url"], "", "a name that opens a door is shown to nobody");
    for (body, told) in [
        (r#"{"source_blob":{"url":"file:///etc/passwd"}}"#, "Invalid source URL"),
        (r#"{"source_blob":{"url":"http://example.com/","checksum":"MD5:x"}}"#, "Invalid checksum"),
        (r#"{"source_blob":{"url":"http://example.com/"},"buildpacks":[{}]}"#, "A buildpack has a"),
        (r#"{"source_blob":{}}"#, "url"),
    ] {
        let refused = stage.api("/apps/example/builds", body).await;
        assert!(refused["message"].as_str().unwrap().contains(told), "{body}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_fetched_from_where_it_is() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let archive = tgz(&stage.directory("src", &[("Procfile", "web: serve\n")]), None).await;
    let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a.tgz?token=secret", host.local_addr().unwrap());
    tokio::spawn(async move {
        for status in ["200 OK", "403 Forbidden"] {
            let (mut stream, _) = host.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut head).await.unwrap();
            }
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", archive.len());
            stream.write_all(&[head.as_bytes(), &archive].concat()).await.unwrap();
        }
    });
    let deployed = stage.dyno(&["deploy", "--source-url", &url, "-a", "example"]).await;
    assert!(deployed.status.success(), "{}", err(&deployed));
    let build = stage.ended("example").await.to_string();
    assert!(build.contains("/a.tgz") && !build.contains("secret"), "{build}");
    let refused = stage.dyno(&["deploy", "--source-url", &url, "-a", "example"]).await;
    assert!(out(&refused).contains("cannot be fetched: its server answers 403."), "{}", out(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_cancelled_and_changes_nothing() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let none = stage.dyno(&["builds:cancel", "-a", "example"]).await;
    assert!(err(&none).contains("has no builds"), "{}", err(&none));
    let slow = stage.directory("slow", &[("Procfile", "web: serve\n"), ("wait", "")]);
    let args = ["deploy", slow.to_str().unwrap(), "-a", "example"];
    let cancel = async {
        loop {
            let cancelled = stage.dyno(&["builds:cancel", "-a", "example"]).await;
            if cancelled.status.success() {
                return cancelled;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (deployed, cancelled) = tokio::join!(stage.dyno(&args), cancel);
    assert!(err(&cancelled).ends_with("... done\n"), "{}", err(&cancelled));
    assert_eq!(deployed.status.code(), Some(1));
    let said = out(&deployed);
    assert!(said.contains("the build was cancelled by me@example.com."), "{said}");
    assert_eq!(stage.ended("example").await["status"], "failed");
    let again = stage.dyno(&["builds:cancel", "-a", "example"]).await;
    assert!(err(&again).contains("The build does not run any more: it has failed."), "{}", err(&again));
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    assert_eq!(stage.dynos.of(app.id).unwrap().release.version.0, 2);
    let purged = stage.dyno(&["builds:cache:purge", "-a", "example"]).await;
    assert!(purged.status.success(), "the app can be built again: {}", err(&purged));
}

/// Waits until the app runs this release.
async fn runs(stage: &Stage, app: &str, version: u64) {
    let app = dyno::flows::find(&stage.node, app).await.unwrap();
    for _ in 0..1000 {
        if stage.dynos.of(app.id).unwrap().release.version.0 == version {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("v{version} of {} does not come", app.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_deployed_whenever_it_has_changed() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let dir = stage.directory("src", &[("Procfile", "web: serve\n")]);
    std::fs::create_dir(dir.join(".git")).unwrap();
    let mut sync = tokio::process::Command::new(env!("CARGO_BIN_EXE_dyno"));
    sync.args(["sync", "--now", "--settle", "1", "-a", "example"]).arg(&dir).env_clear();
    sync.env("DYNO_SOCKET", stage.dir.path().join("api.sock")).env("PATH", std::env::var_os("PATH").unwrap());
    sync.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let mut sync = sync.spawn().unwrap();
    let pid = rustix::process::Pid::from_raw(sync.id().unwrap().try_into().unwrap()).unwrap();
    runs(&stage, "example", 3).await;
    // One that does not build is told, and the next change tries again.
    std::fs::remove_file(dir.join("Procfile")).unwrap();
    while stage.ended("example").await["status"] != "failed" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::create_dir(dir.join("new")).unwrap();
    std::fs::write(dir.join("Procfile"), "web: serve\nworker: work\n").unwrap();
    runs(&stage, "example", 4).await;
    std::fs::write(dir.join(".git/HEAD"), "x").unwrap();
    std::fs::write(dir.join("new/file"), "x").unwrap();
    runs(&stage, "example", 5).await;
    let (mut lines, mut shown) = (sync.stdout.take().unwrap(), Vec::new());
    while !String::from_utf8_lossy(&shown).contains("Released v5") {
        assert!(lines.read_buf(&mut shown).await.unwrap() > 0, "it tells what it has deployed");
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = sync.wait_with_output().await.unwrap();
    let said = err(&ended);
    assert!(ended.status.success(), "{said}");
    for told in ["Watching ", "Sending the source... done", "The build failed.", "Syncing has ended."] {
        assert!(said.contains(told), "{told} in {said}");
    }
}

const TESTED: &str = r#"{"env": {"FOO": "all"}, "addons": ["heroku-postgresql"],
    "environments": {"test": {"env": {"FOO": "tests"}, "scripts": {"test": "make check"}}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn tests_run_as_app_json_says_and_end_with_their_status() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let run = async |name: &str, files: &[(&str, &str)]| {
        let dir = stage.directory(name, files);
        stage.dyno(&["ci:run", dir.to_str().unwrap(), "-a", "example"]).await
    };
    let good = run("good", &[("app.json", TESTED)]).await;
    let shown = out(&good);
    assert_eq!(good.status.code(), Some(0), "{shown}{}", err(&good));
    for part in ["make check", "\"tests\"", "left out: heroku-postgresql", "The tests have succeeded"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let bad = run("bad", &[("broken", ""), ("app.json", TESTED)]).await;
    assert_eq!(bad.status.code(), Some(7));
    assert!(out(&bad).contains("The tests have failed (exit status 7)."), "{}", out(&bad));
    let lacking = run("lacking", &[("app.json", r#"{"env": {"KEY": {"description": "x"}}}"#)]).await;
    assert_eq!(lacking.status.code(), Some(1));
    assert!(out(&lacking).contains("config var KEY is required"), "{}", out(&lacking));
    let nonsense = run("nonsense", &[("app.json", "{")]).await;
    assert!(!nonsense.status.success() && out(&nonsense).contains("no JSON"), "{}", out(&nonsense));
    assert_eq!(std::fs::read_dir(stage.dir.path().join("lib/sources")).unwrap().count(), 0);
    let builds = stage.dyno(&["builds", "-a", "example"]).await;
    assert!(out(&builds).contains("has no builds"), "tests are no builds: {}", out(&builds));
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_end_when_their_client_goes() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let (slow, quick) = (stage.directory("slow", &[("wait", "")]), stage.directory("quick", &[("a", "")]));
    let args = |dir: &Path| ["ci:run", dir.to_str().unwrap(), "-a", "example"].map(str::to_owned);
    let mut waiting = tokio::process::Command::new(env!("CARGO_BIN_EXE_dyno"));
    waiting.env("DYNO_SOCKET", stage.dir.path().join("api.sock")).args(args(&slow));
    let mut client = waiting.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    // Its first line: it runs.
    let mut first = [0; 1];
    client.stdout.as_mut().unwrap().read_exact(&mut first).await.unwrap();
    let second = stage.dyno(&args(&quick).each_ref().map(String::as_str)).await;
    assert!(err(&second).contains("build"), "one at a time: {}", err(&second));
    client.kill().await.unwrap();
    for _ in 0..100 {
        let third = stage.dyno(&args(&quick).each_ref().map(String::as_str)).await;
        if third.status.success() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the tests go on though nobody waits for them");
}

const SET_UP: &str = r#"{"success_url": "/welcome", "env": {"KEY": {"description": "x"}, "SECRET": {"generator": "secret"}},
    "formation": {"worker": {"quantity": 2}}, "addons": ["heroku-postgresql"], "buildpacks": [{"url": "heroku/go"}]}"#;

impl Stage {
    /// Asks for an app to be set up from these files, and waits until that has ended.
    async fn set_up(&self, name: &str, files: &[(&str, &str)], more: &str) -> serde_json::Value {
        let archive = tgz(&self.directory(name, files), Some("project-main")).await;
        let Place { url, put, .. } = self.place().await;
        assert_eq!(self.http(&format!("PUT {put}"), "", &archive).await.0, 200);
        let body =
            format!("{{\"source_blob\": {{\"url\": \"{url}\"}}, \"app\": {{\"name\": \"{name}\"}}{more}}}");
        let asked = self.api("/app-setups", &body).await;
        assert_eq!((&asked["status"], &asked["app"]["name"]), (&"pending".into(), &name.into()), "{asked}");
        let headers =
            format!("Authorization: Bearer {TOKEN}\r\nAccept: application/vnd.heroku+json; version=3\r\n");
        for _ in 0..600 {
            let line = format!("GET /app-setups/{}", asked["id"].as_str().unwrap());
            let (status, body) = self.http(&line, &headers, b"").await;
            let shown: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(status, 200, "{shown}");
            if shown["status"] != "pending" {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it goes on for ever");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_set_up_as_its_source_says() {
    let stage = Stage::open().await;
    let files = [("Procfile", "web: serve\nworker: work\n"), ("app.json", SET_UP)];
    let overrides = ", \"overrides\": {\"env\": {\"KEY\": \"given\"}}";
    let setup = stage.set_up("example", &files, overrides).await;
    assert_eq!(
        (&setup["status"], &setup["build"]["status"]),
        (&"succeeded".into(), &"succeeded".into()),
        "{setup}"
    );
    assert_eq!(setup["resolved_success_url"], "http://example.localhost:8080/welcome");
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    let wanted = stage.dynos.of(app.id).unwrap();
    let config = &wanted.release.config;
    assert_eq!((config.get("KEY"), config.get("SECRET").map(str::len)), (Some("given"), Some(64)));
    assert!(config.get("DATABASE_URL").is_some(), "the add-on was there before the build");
    let worker = wanted.formation.entry(&"worker".parse().unwrap()).unwrap().quantity;
    assert_eq!(worker, 2);
    let buildpacks = stage.dyno(&["buildpacks", "-a", "example"]).await;
    assert!(out(&buildpacks).contains("heroku/go"), "{}", out(&buildpacks));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_source_says_nonsense_is_not_set_up() {
    let stage = Stage::open().await;
    let lacking = stage.set_up("lacking", &[("Procfile", "web: x\n"), ("app.json", SET_UP)], "").await;
    assert_eq!(lacking["manifest_errors"], serde_json::json!(["config var KEY is required"]), "{lacking}");
    let none = stage.set_up("none", &[("Procfile", "web: x\n")], "").await;
    assert!(
        none["status"] == "failed" && none["manifest_errors"][0].as_str().unwrap().contains("no app.json")
    );
    for gone in ["lacking", "none"] {
        assert!(dyno::flows::find(&stage.node, gone).await.is_err(), "{gone} is not left over");
    }
    let failing = stage.set_up("failing", &[("app.json", "{}")], "").await;
    assert_eq!(
        (&failing["status"], &failing["build"]["status"]),
        (&"failed".into(), &"failed".into()),
        "{failing}"
    );
    assert!(failing["failure_message"].as_str().unwrap().contains("build failed"));
    assert!(dyno::flows::find(&stage.node, "failing").await.is_ok(), "it stays, to be looked at");
    assert_eq!(
        std::fs::read_dir(stage.dir.path().join("lib/sources")).unwrap().count(),
        3,
        "the uploads alone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_is_fetched_as_the_platform_packs_it() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let none = stage.dyno(&["slugs:download", "-a", "example"]).await;
    assert!(err(&none).contains("has no slug"), "{}", err(&none));
    let dir = stage.directory("app", &[("Procfile", "web: serve\n")]);
    let deployed = stage.dyno(&["deploy", dir.to_str().unwrap(), "-a", "example"]).await;
    assert!(deployed.status.success(), "{}", err(&deployed));
    let place = stage.dir.path().join("lib/slugs").join(hex::encode([7; 32]));
    std::fs::create_dir_all(&place).unwrap();
    let mut tar = tokio::process::Command::new("tar");
    let tar = tar.arg("-C").arg(stage.dir.path()).args(["-cf", "-", "./app"]).output().await.unwrap().stdout;
    std::fs::write(place.join("slug.tar.zst"), zstd::encode_all(&tar[..], 1).unwrap()).unwrap();
    let fetched = stage.dyno(&["slugs:download", "-a", "example"]).await;
    assert!(fetched.status.success(), "{}", err(&fetched));
    let file = stage.dir.path().join("slug.tgz");
    let list = tokio::process::Command::new("tar").arg("-tzf").arg(&file).output().await.unwrap();
    assert_eq!(out(&list), "./app/\n./app/Procfile\n");
    let again = stage.dyno(&["slugs:download", "-a", "example"]).await;
    assert!(err(&again).contains("slug.tgz is there already"), "{}", err(&again));
    assert!(!file.with_extension("tgz.part").exists());
    std::fs::remove_dir_all(&place).unwrap();
    let gone = stage.dyno(&["slugs:download", "v3", "-a", "example", "-o", "other.tgz"]).await;
    assert!(!gone.status.success() && !stage.dir.path().join("other.tgz").exists());
}
