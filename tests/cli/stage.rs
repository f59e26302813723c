//! A node with nothing real behind it, and this program as its client. Builds and dynos are stand-ins, so neither root nor a
//! kernel's favour is needed.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use dyno::api::Api;
use dyno::domain::{App, AppId, Bytes, DynoId, DynoName, DynoState, Reach, Slug, StackName, StackVersion};
use dyno::flows::ports::{
    BuildFailure, BuildOrder, Builder, Built, Connection, Death, Desired, DynoView, Dynos, DynosError,
    FoundOneOff, OneOff, PretendedServices, Scope, StartedOneOff, Streams, TestLines, Visit,
};
use dyno::flows::{self, Actor, NewAppRequest, Node, Parts, Push, Settings, Transcript, resume};
use dyno::logs::LogService;
use dyno::store::Store;
use dyno::supervisor::postmortem::{Ending, Kind, MemoryFacts, Passage, PressureFacts, TaskFacts};
use futures_util::future::BoxFuture;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// The owner of the node.
const OWNER: &str = "me@example.com";
/// The app of most calls: deployed, configured and scaled.
const APP: &str = "example";
/// An app to which nothing has been deployed.
const BARE: &str = "bare";
/// The node's own token.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// The key in the file `id.pub`.
const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@laptop\n";
/// Bytes of a one-off's output that wait to be read.
const PIPE_BYTES: usize = 4096;

/// What a dyno says that a file of one line is copied from.
const COPY: &str =
    "\ndyno-copy 835d6cf6c9f0682fe9752e5543b91496d9ecba7f156d5ab6f5fed61fcd8879e0 9\nthe file\n";

/// Shows what is wanted as if it ran. One-off dynos say a line and end with status 3.
#[derive(Default)]
struct FakeDynos(Mutex<Vec<Desired>>);

impl FakeDynos {
    fn of(&self, app: AppId) -> Option<Desired> {
        self.0.lock().unwrap().iter().rev().find(|desired| desired.app.id == app).cloned()
    }
}

impl Dynos for FakeDynos {
    fn apply(&self, desired: Desired) -> BoxFuture<'_, Result<(), DynosError>> {
        self.0.lock().unwrap().push(desired);
        Box::pin(async { Ok(()) })
    }

    fn adopt(&self, desired: Vec<Desired>) -> BoxFuture<'_, Result<Vec<FoundOneOff>, DynosError>> {
        self.0.lock().unwrap().extend(desired);
        Box::pin(async { Ok(Vec::new()) })
    }

    fn forget(&self, app: AppId) -> BoxFuture<'_, Result<(), DynosError>> {
        self.0.lock().unwrap().retain(|desired| desired.app.id != app);
        Box::pin(async { Ok(()) })
    }

    fn restart(&self, app: AppId, scope: Scope) -> BoxFuture<'_, Result<(), DynosError>> {
        self.stop(app, scope)
    }

    fn stop(&self, app: AppId, scope: Scope) -> BoxFuture<'_, Result<(), DynosError>> {
        let missing = match scope {
            Scope::Dyno(name) if self.snapshot(app).iter().all(|dyno| dyno.name != name) => Some(name),
            Scope::All | Scope::Type(_) | Scope::Dyno(_) => None,
        };
        let refused = |name| Err(DynosError::Refused(format!("There is no dyno named {name}.")));
        Box::pin(async move { missing.map_or(Ok(()), refused) })
    }

    fn run(&self, one_off: OneOff) -> BoxFuture<'_, Result<StartedOneOff, DynosError>> {
        Box::pin(async move {
            if one_off.connection == Connection::Log {
                return Ok(StartedOneOff::Detached(Box::pin(std::future::pending())));
            }
            Ok(StartedOneOff::Attached(streams(format!("{} is run\n", one_off.command), 3)))
        })
    }

    fn visit(&self, _: DynoId, visit: Visit) -> BoxFuture<'_, Result<Streams, DynosError>> {
        // What a copy asks for names the file last.
        let is_copy = visit.command.contains("sha256sum");
        let said = match is_copy {
            true => format!("a profile speaks\n{COPY}"),
            false => format!("{} is run in a dyno\n", visit.command),
        };
        Box::pin(async move { Ok(streams(said, if is_copy { 0 } else { 4 })) })
    }

    fn deaths(&self, _: AppId, name: DynoName) -> BoxFuture<'_, Result<Vec<Death>, DynosError>> {
        let deaths = if name.to_string() == "web.1" { vec![death()] } else { vec![] };
        Box::pin(async { Ok(deaths) })
    }

    fn snapshot(&self, app: AppId) -> Vec<DynoView> {
        let Some(desired) = self.of(app) else { return Vec::new() };
        let entries = desired.formation.entries().iter();
        let dynos = entries.flat_map(|entry| (1..=entry.quantity).map(move |index| (entry, index)));
        dynos
            .map(|(entry, index)| DynoView {
                id: DynoId(Uuid::from_u128(index.into())),
                name: DynoName::new(entry.process_type.clone(), index),
                state: if index == 1 { DynoState::Up } else { DynoState::Starting },
                created_s: 0,
                since_s: 0,
                command: desired.release.process_types[&entry.process_type].clone(),
                size: entry.size,
                release: desired.release.version,
            })
            .collect()
    }
}

/// A dyno that says this, and ends with this status.
fn streams(said: String, status: u8) -> Streams {
    let (input, _stdin) = tokio::io::duplex(PIPE_BYTES);
    let (mut stdout, output) = tokio::io::duplex(PIPE_BYTES);
    let (control, mut asked) = mpsc::channel(8);
    tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut stdout, said.as_bytes()).await.unwrap();
        drop(stdout);
        while asked.recv().await.is_some() {}
    });
    let exit = Box::pin(async move { status });
    Streams { input: Box::new(input), output: Box::new(output), control, exit }
}

/// A web dyno that failed at its start.
fn death() -> Death {
    let launched = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_415_284);
    Death {
        id: Uuid::nil(),
        name: "web.1".to_owned(),
        kind: Kind::Web,
        release: 3,
        command: "serve".to_owned(),
        size: "Standard-1X".to_owned(),
        port: 12345,
        launched,
        at: launched + Duration::from_secs(60),
        ending: Ending::Code(1),
        passage: Passage::Booting,
        memory: MemoryFacts { quota: 512 << 20, limit: 1 << 30, peak: 40 << 20, ..MemoryFacts::default() },
        tasks: TaskFacts { limit: 256, refused: 0 },
        refused_calls: vec![],
        pressure: PressureFacts::default(),
        listened: Some(vec![]),
        last_lines: Some(vec!["ModuleNotFoundError: No module named 'flask'".to_owned()]),
    }
}

/// Makes the same slug of every source.
struct FakeBuilder;

impl Builder for FakeBuilder {
    fn build(
        &self,
        _: BuildOrder,
        lines: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Built, BuildFailure>> {
        Box::pin(async move {
            lines.send("-----> It builds".to_owned()).unwrap();
            let types = [("web", "serve -p $PORT"), ("worker", "work")];
            let slug = Slug {
                digest: hex::encode([7; 32]).parse().unwrap(),
                size: Bytes::mib(42),
                process_types: types
                    .into_iter()
                    .map(|(name, command)| (name.parse().unwrap(), command.to_owned()))
                    .collect(),
                buildpack_description: Some("Test".to_owned()),
                created_at_s: 0,
            };
            Ok(Built {
                slug,
                stack_version: "1".to_owned(),
                buildpacks: vec!["heroku/python".to_owned()],
                chooser: dyno::build::Chooser::Detection,
            })
        })
    }

    fn manifest(
        &self,
        _: BuildOrder,
        _: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Vec<u8>, BuildFailure>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn pack(
        &self,
        _: BuildOrder,
        _: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<flows::ports::PackedSlug, BuildFailure>> {
        Box::pin(async { Err(BuildFailure::Node("nothing is packed here".to_owned())) })
    }

    fn test(
        &self,
        _: BuildOrder,
        _: dyno::build::TestCommands,
        lines: TestLines,
    ) -> BoxFuture<'_, Result<u8, BuildFailure>> {
        Box::pin(async move {
            lines.setup.send("-----> It compiles".to_owned()).unwrap();
            lines.tests.send("ok 1".to_owned()).unwrap();
            Ok(0)
        })
    }

    fn check_buildpack(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn stacks(&self) -> Vec<StackName> {
        vec![StackName::default()]
    }

    fn stack_version(&self, _: &StackName, version: Option<&str>) -> Option<StackVersion> {
        let id = version.unwrap_or("2").to_owned();
        Some(StackVersion { id, built_at_s: None })
    }
}

/// A node, and the directory in which its client is called.
pub struct Stage {
    pub dir: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Stage {
    /// A node watches files, for which the kernel gives a user 128 instances: one that nobody calls any more has none.
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What a call has done.
pub struct Called {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Stage {
    /// A node with two apps.
    pub async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("lib");
        std::fs::create_dir_all(&lib).unwrap();
        let parts = Parts {
            store: Store::open(&lib.join("state.db")).unwrap(),
            dynos: Arc::new(FakeDynos::default()),
            builder: Arc::new(FakeBuilder),
            services: Arc::new(PretendedServices::default()),
            logs: LogService::open(lib.join("logs")).unwrap(),
            authority: flows::Authority::load(&lib.join("authority")).unwrap(),
        };
        let settings = Settings {
            lib_dir: lib.clone(),
            owner: OWNER.parse().unwrap(),
            router_port: 8080,
            https_port: Some(8443),
            git_address: "127.0.0.1:5080".parse().unwrap(),
            ssh_address: Some("127.0.0.1:5022".parse().unwrap()),
            default_stack: StackName::default(),
            release_timeout_s: 3600,
            source_reach: Reach::Public,
            quotas: flows::Quotas::default(),
        };
        std::fs::write(lib.join("token"), TOKEN).unwrap();
        std::fs::write(dir.path().join("id.pub"), PUBLIC_KEY).unwrap();
        let node = Node::new(parts, settings);
        resume(&node).await.unwrap();
        create(&node, BARE).await;
        let app = create(&node, APP).await;
        deploy(&node, &app, &lib).await;
        let (shutdown, _) = watch::channel(false);
        std::fs::create_dir(dir.path().join("run")).unwrap();
        let unix = UnixListener::bind(dir.path().join("run/api.sock")).unwrap();
        let own_uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(dir.path()).unwrap());
        let api = Api::new(node, shutdown);
        let serving = tokio::spawn(dyno::api::serve_unix(unix, api, own_uid, std::future::pending()));
        // What is said of the apps so far is settled before anybody reads it.
        let stage = Self { dir, serving };
        stage.call(&["config:set", "GREETING=hello", "EMPTY=", "-a", APP]).await;
        stage.call(&["ps:scale", "web=2", "worker=1:standard-2x", "-a", APP]).await;
        stage
    }

    /// Calls git in the directory.
    pub async fn git(&self, args: &[&str]) -> Called {
        self.run(tokio::process::Command::new("git"), args).await
    }

    /// The identity of the first of what a command lists.
    pub async fn first_id(&self, lists: &[&str]) -> String {
        let listed = self.call(lists).await.out;
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        listed[0]["id"].as_str().unwrap().to_owned()
    }

    /// Calls this program with nothing but the node in its environment, and nobody at its terminal.
    pub async fn call(&self, args: &[&str]) -> Called {
        self.run(tokio::process::Command::new(env!("CARGO_BIN_EXE_dyno")), args).await
    }

    async fn run(&self, mut command: tokio::process::Command, args: &[&str]) -> Called {
        let path = std::env::var_os("PATH").unwrap();
        command.current_dir(self.dir.path()).env_clear().env("TZ", "UTC").env("PATH", path);
        command.env("HOME", self.dir.path()).env("DYNO_ROOT", self.dir.path());
        let output = command.args(args).stdin(std::process::Stdio::null()).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let status = output.status.code().unwrap();
        Called { status, out: text(output.stdout), err: text(output.stderr) }
    }
}

async fn create(node: &Node, name: &str) -> App {
    let request = NewAppRequest { name: Some(name.to_owned()), stack: None, owner: None };
    flows::create(node, request, &Actor(OWNER.to_owned())).await.unwrap().app
}

async fn deploy(node: &Node, app: &App, lib: &Path) {
    let source = lib.join("source.tar");
    std::fs::write(&source, "").unwrap();
    let permit = flows::begin_push(node, app).unwrap();
    let push = Push { app: app.clone(), source, commit: "1a".repeat(20), actor: Actor(OWNER.to_owned()) };
    flows::push(node, push, &Transcript::new().0, permit).await;
}
