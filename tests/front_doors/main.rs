//! The front doors with nothing real behind them: git itself pushes over HTTP, the hook is this program, the API answers on
//! its socket; only the builder and the dynos are stand-ins, so neither root nor a kernel's favour is needed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may say so by a panic")]

mod add_ons;
mod builds;
mod certificates;
mod ci;
mod elsewhere;
mod packs;
mod repositories;
#[path = "../support/skip.rs"]
#[expect(dead_code, unreachable_pub, reason = "the other binaries that include it use more of it")]
mod skip;
mod slugs;
mod ssh;
mod visits;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use dyno::api::{Api, Door, Front};
use dyno::domain::{AppId, Bytes, DynoId, DynoName, DynoState, Reach, Slug};
use dyno::flows::ports::{
    BuildFailure, BuildOrder, Builder, Built, Death, Desired, DynoView, Dynos, DynosError, FoundOneOff,
    OneOff, PretendedServices, Scope, StartedOneOff, Streams, TestLines, Visit,
};
use dyno::flows::{Node, Parts, Settings, Token, resume};
use dyno::git::{GitState, HostKey, Repositories, SshDoor};
use dyno::logs::{LogService, Receivers};
use dyno::store::Store;
use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, mpsc, watch};

const TOKEN: &str = "a-token";

/// Remembers what is wanted, and shows it as if it ran.
#[derive(Default)]
struct FakeDynos {
    wanted: Mutex<Vec<Desired>>,
    /// Told when the client of a visit has gone.
    hung_up: Arc<Notify>,
}

impl FakeDynos {
    fn of(&self, app: AppId) -> Option<Desired> {
        self.wanted.lock().unwrap().iter().rev().find(|desired| desired.app.id == app).cloned()
    }
}

impl Dynos for FakeDynos {
    fn apply(&self, desired: Desired) -> BoxFuture<'_, Result<(), DynosError>> {
        self.wanted.lock().unwrap().push(desired);
        Box::pin(async { Ok(()) })
    }

    fn adopt(&self, desired: Vec<Desired>) -> BoxFuture<'_, Result<Vec<FoundOneOff>, DynosError>> {
        self.wanted.lock().unwrap().extend(desired);
        Box::pin(async { Ok(Vec::new()) })
    }

    fn forget(&self, app: AppId) -> BoxFuture<'_, Result<(), DynosError>> {
        self.wanted.lock().unwrap().retain(|desired| desired.app.id != app);
        Box::pin(async { Ok(()) })
    }

    fn restart(&self, _: AppId, _: Scope) -> BoxFuture<'_, Result<(), DynosError>> {
        Box::pin(async { Ok(()) })
    }

    fn stop(&self, _: AppId, _: Scope) -> BoxFuture<'_, Result<(), DynosError>> {
        Box::pin(async { Ok(()) })
    }

    fn run(&self, _: OneOff) -> BoxFuture<'_, Result<StartedOneOff, DynosError>> {
        Box::pin(async { Ok(StartedOneOff::Detached(Box::pin(std::future::pending()))) })
    }

    fn visit(&self, _: DynoId, visit: Visit) -> BoxFuture<'_, Result<Streams, DynosError>> {
        let streams = visits::streams(visit, Arc::clone(&self.hung_up));
        Box::pin(async { Ok(streams) })
    }

    fn deaths(&self, _: AppId, _: DynoName) -> BoxFuture<'_, Result<Vec<Death>, DynosError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn snapshot(&self, app: AppId) -> Vec<DynoView> {
        let Some(desired) = self.of(app) else { return Vec::new() };
        let entries = desired.formation.entries().iter();
        let dynos = entries.flat_map(|entry| (1..=entry.quantity).map(move |index| (entry, index)));
        dynos
            .map(|(entry, index)| DynoView {
                id: DynoId(uuid::Uuid::new_v4()),
                name: DynoName::new(entry.process_type.clone(), index),
                state: DynoState::Up,
                created_s: 0,
                since_s: 0,
                command: desired.release.process_types[&entry.process_type].clone(),
                size: entry.size,
                release: desired.release.version,
            })
            .collect()
    }
}

/// A file of an archive.
fn member(archive: &Path, name: &str) -> Option<Vec<u8>> {
    // Archivers disagree about whether a name begins with a dot.
    let mut tar = Command::new("tar");
    let output = tar.arg("-xOf").arg(archive).args(["--no-anchored", name]).output().unwrap();
    output.status.success().then_some(output.stdout)
}

/// Declares what the Procfile declares; refuses a source without one. A file named `wait` holds it up.
struct FakeBuilder;

impl Builder for FakeBuilder {
    fn build(
        &self,
        order: BuildOrder,
        lines: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Built, BuildFailure>> {
        Box::pin(async move {
            if member(&order.source, "wait").is_some() {
                tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            }
            let Some(procfile) = member(&order.source, "Procfile") else {
                lines.send(" !     No Procfile, no app.".to_owned()).unwrap();
                return Err(BuildFailure::Source);
            };
            lines.send("-----> It builds".to_owned()).unwrap();
            if let Some(list) = member(&order.source, ".dyno-submodules") {
                lines.send(format!("Submodules: {}", String::from_utf8(list).unwrap())).unwrap();
            }
            let text = String::from_utf8(procfile).unwrap();
            let types = text.lines().filter_map(|line| line.split_once(": "));
            let slug = Slug {
                digest: hex::encode([7; 32]).parse().unwrap(),
                size: Bytes(42),
                process_types: types
                    .map(|(name, command)| (name.parse().unwrap(), command.to_owned()))
                    .collect(),
                buildpack_description: Some("Test".to_owned()),
                created_at_s: 0,
            };
            let chooser = match order.buildpacks.as_slice() {
                [] => dyno::build::Chooser::Detection,
                [_, ..] => dyno::build::Chooser::Caller,
            };
            Ok(Built { slug, stack_version: "1".to_owned(), buildpacks: Vec::new(), chooser })
        })
    }

    fn manifest(
        &self,
        order: BuildOrder,
        _: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Vec<u8>, BuildFailure>> {
        Box::pin(async move { Ok(member(&order.source, "app.json").unwrap_or_default()) })
    }

    fn pack(
        &self,
        order: BuildOrder,
        lines: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<dyno::build::PackedSlug, BuildFailure>> {
        Box::pin(async move {
            if member(&order.source, "app/serve").is_none() {
                let told = order.deed.told(dyno::wire::push_text::nothing_in_app());
                told.into_iter().for_each(|line| lines.send(line).unwrap());
                return Err(BuildFailure::Source);
            }
            lines.send(dyno::wire::push_text::slug_large(Bytes::mib(301), Bytes::mib(300))).unwrap();
            let digest = hex::encode([9; 32]).parse().unwrap();
            Ok(dyno::build::PackedSlug { digest, size: Bytes(43), stack_version: "1".to_owned() })
        })
    }

    fn test(
        &self,
        order: BuildOrder,
        commands: dyno::build::TestCommands,
        lines: TestLines,
    ) -> BoxFuture<'_, Result<u8, BuildFailure>> {
        Box::pin(async move {
            lines
                .tests
                .send(format!("-----> It tests with {:?} and {:?}", commands, order.config.get("FOO")))
                .unwrap();
            if member(&order.source, "wait").is_some() {
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            }
            Ok(u8::from(member(&order.source, "broken").is_some()) * 7)
        })
    }

    fn check_buildpack(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn stacks(&self) -> Vec<dyno::domain::StackName> {
        vec![dyno::domain::StackName::default()]
    }

    fn stack_version(
        &self,
        _: &dyno::domain::StackName,
        _: Option<&str>,
    ) -> Option<dyno::domain::StackVersion> {
        None
    }
}

struct Stage {
    dir: tempfile::TempDir,
    git: SocketAddr,
    ssh: SocketAddr,
    /// Where the stock command comes to visit a dyno.
    exec: SocketAddr,
    dynos: Arc<FakeDynos>,
    node: Node,
}

impl Stage {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("lib");
        std::fs::create_dir_all(&lib).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let git = tcp.local_addr().unwrap();
        let over_ssh = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ssh = over_ssh.local_addr().unwrap();
        let dynos = Arc::new(FakeDynos::default());
        let node = Self::node(&lib, (git, ssh), &dynos);
        resume(&node).await.unwrap();
        let (shutdown, _) = watch::channel(false);
        let exec = visits::free_address();
        let api = Api::new(node.clone(), shutdown).with_exec(exec);
        let socket = dir.path().join("api.sock");
        let repositories = Arc::new(Repositories::new(lib.join("repos"), env!("CARGO_BIN_EXE_dyno").into()));
        let state =
            GitState { node: node.clone(), token: Token::new(TOKEN), repositories, socket: socket.clone() };
        let door = SshDoor::new(state.clone(), HostKey::load(&lib).unwrap());
        tokio::spawn(dyno::git::serve_ssh(over_ssh, door, std::future::pending()));
        let over_tcp =
            dyno::git::router(state).merge(dyno::api::router(api.clone(), Door::Tcp(Token::new(TOKEN))));
        let own_uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(dir.path()).unwrap());
        let unix = UnixListener::bind(&socket).unwrap();
        let tls = node.authority().acceptor(&[]).unwrap();
        let front = Front::new(over_tcp, api.clone(), Some(tls));
        tokio::spawn(dyno::api::serve_tcp(tcp, front, std::future::pending()));
        tokio::spawn(dyno::api::serve_unix(unix, api, own_uid, std::future::pending()));
        Self { dir, git, ssh, exec, dynos, node }
    }

    /// A node as it starts, with what is on disk.
    fn node(lib: &Path, (git, ssh): (SocketAddr, SocketAddr), dynos: &Arc<FakeDynos>) -> Node {
        let near = Receivers { reach: Reach::Any, ..Receivers::default() };
        let parts = Parts {
            store: Store::open(&lib.join("state.db")).unwrap(),
            dynos: Arc::clone(dynos) as Arc<dyn Dynos>,
            builder: Arc::new(FakeBuilder),
            services: Arc::new(PretendedServices::default()),
            logs: LogService::open_with(lib.join("logs"), near).unwrap(),
            authority: dyno::flows::Authority::load(&lib.join("authority")).unwrap(),
        };
        let settings = Settings {
            lib_dir: lib.to_owned(),
            owner: "me@example.com".parse().unwrap(),
            router_port: 8080,
            https_port: Some(8443),
            git_address: git,
            ssh_address: Some(ssh),
            default_stack: dyno::domain::StackName::default(),
            release_timeout_s: 3600,
            source_reach: Reach::Any,
            quotas: dyno::flows::Quotas::default(),
        };
        Node::new(parts, settings)
    }

    fn restarted(&self) -> Node {
        Self::node(&self.dir.path().join("lib"), (self.git, self.ssh), &Arc::default())
    }

    async fn dyno(&self, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_dyno"));
        // Away from any repository: `create` makes a remote in the one it finds itself in.
        command.current_dir(self.dir.path()).env_clear();
        command.env("DYNO_SOCKET", self.dir.path().join("api.sock")).args(args);
        command.output().await.unwrap()
    }

    /// `POST` of a JSON body over TCP.
    async fn api(&self, path: &str, body: &str) -> serde_json::Value {
        let mut stream = tokio::net::TcpStream::connect(self.git).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
             Accept: application/vnd.heroku+json; version=3\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_else(|_| panic!("{answer}"))
    }

    async fn git(&self, at: &Path, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::new("git");
        let home = self.dir.path();
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home).current_dir(at);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "me").env(format!("GIT_{role}_EMAIL"), "me@example.com");
        }
        command.env("GIT_TERMINAL_PROMPT", "0").args(args).output().await.unwrap()
    }

    /// A work tree with one commit of these files.
    async fn source(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let at = self.dir.path().join(name);
        std::fs::create_dir(&at).unwrap();
        for (file, text) in files {
            std::fs::write(at.join(file), text).unwrap();
        }
        for args in
            [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "--allow-empty", "-m", "1"]]
        {
            let output = self.git(&at, args).await;
            assert!(output.status.success(), "{}", err(&output));
        }
        at
    }

    fn remote(&self, app: &str) -> String {
        format!("http://x:{TOKEN}@{}/{app}.git", self.git)
    }

    async fn push(&self, at: &Path, app: &str, refspec: &str) -> Output {
        self.git(at, &["push", &self.remote(app), refspec]).await
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_builds_and_releases_and_can_be_cloned() {
    let stage = Stage::open().await;
    let created = stage.dyno(&["create", "example"]).await;
    assert!(created.status.success(), "{}", err(&created));
    let at = stage
        .source("src", &[("Procfile", "web: serve\nworker: work\n"), (".gitattributes", "* export-ignore\n")])
        .await;
    let pushed = stage.push(&at, "example", "main").await;
    let text = err(&pushed);
    assert!(pushed.status.success(), "{text}");
    for line in [
        "remote: -----> It builds",
        "Released v3",
        "http://example.localhost:8080/",
        "Verifying deploy... done.",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    let wanted = stage.dynos.of(app.id).unwrap();
    assert_eq!(wanted.release.version.0, 3);
    assert_eq!(wanted.formation.total(), 1, "the first deploy runs one web dyno");
    let releases = stage.dyno(&["releases", "-a", "example", "--json"]).await;
    assert!(out(&releases).contains("Deploy "), "{}", out(&releases));
    let scaled = stage.dyno(&["ps:scale", "web=3", "worker=1", "-a", "example"]).await;
    assert!(scaled.status.success(), "{}", err(&scaled));
    assert_eq!(stage.dynos.of(app.id).unwrap().formation.total(), 4);
    let ps = stage.dyno(&["ps", "-a", "example"]).await;
    assert!(out(&ps).contains("web.3"), "{}", out(&ps));
    let logs = stage.dyno(&["logs", "-a", "example", "-n", "100"]).await;
    for line in [
        "Initial release by user me@example.com",
        "Release v3 created by user",
        "Build succeeded",
        "Scaled to web@3",
    ] {
        assert!(out(&logs).contains(line), "{line} in {}", out(&logs));
    }
    let clone = stage.git(stage.dir.path(), &["clone", "-q", &stage.remote("example"), "clone"]).await;
    assert!(clone.status.success(), "{}", err(&clone));
    assert!(stage.dir.path().join("clone/Procfile").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_moves_no_ref_and_makes_no_release() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let at = stage.source("src", &[("README", "nothing")]).await;
    let pushed = stage.push(&at, "example", "main").await;
    let text = err(&pushed);
    assert!(!pushed.status.success(), "{text}");
    assert!(text.contains("remote:  !     No Procfile, no app."), "{text}");
    assert!(text.contains("Push rejected to example."), "{text}");
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    assert_eq!(stage.dynos.of(app.id).unwrap().release.version.0, 2);
    let refs = stage.git(&at, &["ls-remote", &stage.remote("example")]).await;
    assert_eq!(out(&refs), "", "the ref stayed away");
    let sources = std::fs::read_dir(stage.dir.path().join("lib/sources")).unwrap().count();
    assert_eq!(sources, 0, "the source is gone");
    let empty = stage.source("empty", &[]).await;
    let pushed = stage.push(&empty, "example", "main:main").await;
    assert!(!pushed.status.success() && err(&pushed).contains("No Procfile"), "{}", err(&pushed));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_branches_are_stored_and_the_deployed_one_stays() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    let pushed = stage.push(&at, "example", "main:topic").await;
    assert!(pushed.status.success(), "{}", err(&pushed));
    assert!(err(&pushed).contains("skipping build"), "{}", err(&pushed));
    assert!(stage.push(&at, "example", "main").await.status.success());
    let deleted = stage.push(&at, "example", ":main").await;
    assert!(!deleted.status.success(), "{}", err(&deleted));
    let refs = out(&stage.git(&at, &["ls-remote", &stage.remote("example")]).await);
    assert!(refs.contains("refs/heads/main") && refs.contains("refs/heads/topic"), "{refs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_push_during_a_build_is_refused() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let slow = stage.source("slow", &[("Procfile", "web: serve\n"), ("wait", "")]).await;
    let fast = stage.source("fast", &[("Procfile", "web: serve\n")]).await;
    let second = async {
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        stage.push(&fast, "example", "main").await
    };
    let (first, second) = tokio::join!(stage.push(&slow, "example", "main"), second);
    assert!(first.status.success(), "{}", err(&first));
    assert!(!second.status.success());
    assert!(err(&second).contains("Another build of example is running"), "{}", err(&second));
    let destroyed = stage.dyno(&["apps:destroy", "-a", "example", "--confirm", "example"]).await;
    assert!(destroyed.status.success(), "{}", err(&destroyed));
    assert_eq!(std::fs::read_dir(stage.dir.path().join("lib/repos")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_told_so() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    let url = format!("http://x:wrong@{}/example.git", stage.git);
    let refused = stage.git(&at, &["push", &url, "main"]).await;
    assert!(!refused.status.success());
    let unknown = stage.push(&at, "unknown", "main").await;
    assert!(err(&unknown).contains("No such app as unknown."), "{}", err(&unknown));
    let long = "a".repeat(300);
    let created = stage.dyno(&["create", &long]).await;
    assert!(!created.status.success() && err(&created).contains("3 to 30 characters"), "{}", err(&created));
    let twice = stage.dyno(&["create", "example"]).await;
    assert!(err(&twice).contains("already taken"), "{}", err(&twice));
    let unscaled = stage.dyno(&["ps:scale", "workr=1", "-a", "example"]).await;
    assert!(err(&unscaled).contains("workr"), "{}", err(&unscaled));
    let back = stage.dyno(&["rollback", "-a", "example"]).await;
    assert!(!back.status.success(), "{}", err(&back));
}

#[tokio::test(flavor = "multi_thread")]
async fn config_is_a_release_and_can_be_rolled_back() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    assert!(stage.push(&at, "example", "main").await.status.success());
    let set = stage.dyno(&["config:set", "A=1", "B=two words", "-a", "example"]).await;
    assert!(set.status.success(), "{}", err(&set));
    let get = stage.dyno(&["config:get", "B", "-a", "example"]).await;
    assert_eq!(out(&get), "two words\n");
    let back = stage.dyno(&["rollback", "v3", "-a", "example"]).await;
    assert!(back.status.success(), "{}", err(&back));
    assert_eq!(out(&stage.dyno(&["config:get", "B", "-a", "example"]).await), "\n");
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    assert_eq!(stage.dynos.of(app.id).unwrap().release.version.0, 5);
    let failed = stage.dyno(&["run:detached", "-a", "nothing", "ls"]).await;
    assert!(err(&failed).contains("Couldn't find that app."), "{}", err(&failed));
}

#[tokio::test(flavor = "multi_thread")]
async fn drains_are_added_listed_and_removed() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    assert_eq!(out(&stage.dyno(&["drains", "-a", "example"]).await), "");
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://me:secret@{}/in?a=b#", collector.local_addr().unwrap());
    let refused = stage.dyno(&["drains:add", &url, "-a", "example"]).await;
    let text = err(&refused);
    assert!(text.contains("Invalid drain destination: ") && !text.contains("secret"), "{text}");
    let url = url.trim_end_matches('#');
    let added = stage.dyno(&["drains:add", url, "-a", "example"]).await;
    assert_eq!(out(&added), format!("Successfully added drain {url}\n"), "{}", err(&added));
    let again = stage.dyno(&["drains:add", url, "-a", "example"]).await;
    assert!(err(&again).contains("Already exists"), "{}", err(&again));
    let listed = out(&stage.dyno(&["drains", "-a", "example"]).await);
    let token = listed.rsplit_once('(').unwrap().1.trim_end_matches(")\n").to_owned();
    assert_eq!(listed, format!("=== Drains\n\n{url} ({token})\n"));
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    let line = dyno::wire::logline::LogLine::output(std::time::SystemTime::now(), "web.1", b"hello".to_vec());
    stage.node.logs().push(app.id, line);
    let (mut stream, _) = collector.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"hello\n") {
        assert!(tokio::io::AsyncReadExt::read_buf(&mut stream, &mut request).await.unwrap() > 0);
    }
    assert!(String::from_utf8(request).unwrap().contains(&format!("Logplex-Drain-Token: {token}")));
    let removed = stage.dyno(&["drains:remove", url, "-a", "example"]).await;
    assert_eq!(out(&removed), format!("Successfully removed drain {url}\n"), "{}", err(&removed));
    let gone = stage.dyno(&["drains:remove", &token, "-a", "example"]).await;
    assert!(err(&gone).contains("Couldn't find that drain."), "{}", err(&gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_several_refs_is_refused_before_anything_is_built() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    let remote = stage.remote("example");
    let both = stage.git(&at, &["push", &remote, "main", "main:master"]).await;
    assert!(!both.status.success() && err(&both).contains("both deployed"), "{}", err(&both));
    assert!(stage.push(&at, "example", "main:master").await.status.success());
    let one_gone = stage.git(&at, &["push", &remote, "main", ":master"]).await;
    assert!(!one_gone.status.success() && err(&one_gone).contains("cannot be deleted"), "{}", err(&one_gone));
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    assert_eq!(stage.dynos.of(app.id).unwrap().release.version.0, 3, "what was refused is no release");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_commit_is_built_as_it_is() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let at = stage.source("src", &[("Procfile", "web: mine\n")]).await;
    let other = stage.source("other", &[("Procfile", "web: other\n")]).await;
    let commit = out(&stage.git(&at, &["rev-parse", "main"]).await);
    let replaced = format!("main:refs/replace/{}", commit.trim());
    assert!(stage.push(&other, "example", &replaced).await.status.success());
    let pushed = stage.push(&at, "example", "main").await;
    assert!(pushed.status.success(), "{}", err(&pushed));
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    let release = stage.dynos.of(app.id).unwrap().release;
    assert_eq!(release.process_types.values().collect::<Vec<_>>(), ["mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_removes_what_nothing_needs() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    assert!(stage.push(&at, "example", "main").await.status.success());
    stage.node.logs().flush().await;
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    let lib = stage.dir.path().join("lib");
    let (slugs, logs) = (lib.join("slugs"), lib.join("logs"));
    let kept = [slugs.join(hex::encode([7; 32])), slugs.join("not-ours"), logs.join(app.id.to_string())];
    let gone = [slugs.join(hex::encode([8; 32])), logs.join(uuid::Uuid::new_v4().to_string())];
    for dir in kept.iter().chain(&gone) {
        std::fs::create_dir_all(dir).unwrap();
    }
    let again = stage.restarted();
    resume(&again).await.unwrap();
    again.logs().flush().await;
    assert_eq!(kept.map(|dir| dir.exists()), [true; 3]);
    assert_eq!(gone.map(|dir| dir.exists()), [false; 2]);
}

/// The answer to `GET` of a session's URL with these headers, once `until` has come; whole when that is empty.
async fn session(url: &str, headers: &str, until: &str) -> String {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while until.is_empty() || !String::from_utf8_lossy(&answer).contains(until) {
        if tokio::io::AsyncReadExt::read_buf(&mut stream, &mut answer).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_read_as_the_stock_tool_reads_them_and_searched() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let app = dyno::flows::find(&stage.node, "example").await.unwrap();
    let say = |text: &str| {
        let line = dyno::wire::logline::LogLine::output(
            std::time::SystemTime::now(),
            "web.1",
            text.as_bytes().to_vec(),
        );
        stage.node.logs().push(app.id, line);
    };
    for n in 1..=3 {
        say(&format!("line {n}."));
    }
    stage.node.logs().flush().await;
    let found = stage.dyno(&["logs", "-a", "example", "--grep", "line [23]", "--since", "1h"]).await;
    let text = out(&found);
    assert!(text.ends_with("line 3.\n") && text.lines().count() == 2, "{text}{}", err(&found));
    let of_release = out(&stage.dyno(&["logs", "-a", "example", "--release", "v2"]).await);
    assert!(of_release.contains("line 1."), "{of_release}");
    for (args, told) in [
        (["--release", "v9"], "Couldn't find that release."),
        (["--grep", "("], "Invalid pattern: "),
        (["--since", "soon"], "soon is no time"),
    ] {
        let refused = stage.dyno(&[&["logs", "-a", "example"][..], &args].concat()).await;
        assert!(err(&refused).contains(told), "{args:?}: {}", err(&refused));
    }

    let asked = stage.api("/apps/example/log-sessions", r#"{"dyno":"web","lines":2,"tail":true}"#).await;
    let url = asked["logplex_url"].as_str().unwrap();
    let accept = "Accept: text/event-stream\r\n";
    let seen = session(url, accept, "line 3.").await;
    assert!(seen.to_lowercase().contains("content-type: text/event-stream"), "{seen}");
    assert!(seen.contains("app[web.1]: line 2.") && !seen.contains("line 1."), "{seen}");
    say("line 4.");
    let last = seen.rsplit_once("id: ").unwrap().1.lines().next().unwrap();
    let again = session(url, &format!("{accept}Last-Event-ID: {last}\r\n"), "line 4.").await;
    assert!(again.contains("line 4.") && !again.contains("line 3."), "{again}");

    let asked = stage.api("/apps/example/log-sessions", r#"{"lines":1}"#).await;
    let seen = session(asked["logplex_url"].as_str().unwrap(), accept, "").await;
    assert!(seen.contains("retry: 1\n\n") && seen.contains("line 4."), "{seen}");
    let asked = stage.api("/apps/example/log-sessions", r#"{"lines":1,"source":"heroku"}"#).await;
    let plain = session(asked["logplex_url"].as_str().unwrap(), "Accept: */*\r\n", "").await;
    assert!(plain.to_lowercase().contains("content-type: text/plain") && !plain.contains("line"), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_rotated_and_described_by_commands() {
    let stage = Stage::open().await;
    let made = stage.dyno(&["authorizations:create", "-d", "a test", "--json"]).await;
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let id = made["id"].as_str().unwrap();
    let rotated = stage.dyno(&["authorizations:rotate", id, "--json"]).await;
    assert_eq!(err(&rotated), "Rotating OAuth Authorization... done\n");
    let rotated: serde_json::Value = serde_json::from_slice(&rotated.stdout).unwrap();
    assert_eq!(made["id"], rotated["id"]);
    assert_ne!(made["access_token"]["token"], rotated["access_token"]["token"]);
    let told = out(&stage.dyno(&["authorizations:update", id, "-d", "another"]).await);
    assert!(told.contains("Description: another"), "{told}");
    let unknown = stage.dyno(&["authorizations:rotate", &uuid::Uuid::new_v4().to_string()]).await;
    assert!(err(&unknown).contains("Couldn't find that authorization."), "{}", err(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_tells_the_build_of_its_submodules() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    let entry = format!("160000,{},vendor/lib", "1a".repeat(20));
    for args in [&["update-index", "--add", "--cacheinfo", &entry][..], &["commit", "-q", "-m", "a module"]] {
        let output = stage.git(&at, args).await;
        assert!(output.status.success(), "{}", err(&output));
    }
    let pushed = stage.push(&at, "example", "main").await;
    let told = format!("Submodules: {} vendor/lib", "1a".repeat(20));
    assert!(pushed.status.success() && err(&pushed).contains(&told), "{}", err(&pushed));
}
