//! The API on a real socket, with a builder and dynos that only pretend.

mod access;
mod add_ons;
mod pipelines;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame as BodyFrame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::api::{Api, serve_unix};
use crate::domain::{
    self, AppId, DynoId, DynoName, DynoSize, DynoState, Slug, StackName, StackVersion, Version,
};
use crate::flows::ports::{
    BuildFailure, BuildOrder, Builder, Built, Connection, Control, Death, Desired, DynoView, Dynos,
    DynosError, FoundOneOff, OneOff, Scope, StartedOneOff, Streams, Visit,
};
use crate::flows::{Authority, Node, Parts, Quotas, Settings};
use crate::logs::LogService;
use crate::store::Store;
use crate::sys::peer;
use crate::wire::attach::{Frame, PROTOCOL};

const PIPE_BYTES: usize = 4096;

type Answered<T> = BoxFuture<'static, Result<T, DynosError>>;

/// The one dyno there is.
const WEB: DynoId = DynoId(uuid::Uuid::from_u128(1));

/// Runs nothing; an attached dyno echoes its input until its end, then exits with 7. To forget an app takes a permit.
struct EchoDynos {
    forgets: Arc<Forgets>,
}

struct Forgets {
    begun: AtomicUsize,
    permits: Semaphore,
    ended: AtomicUsize,
}

impl Dynos for EchoDynos {
    fn apply(&self, _: Desired) -> Answered<()> {
        async { Ok(()) }.boxed()
    }

    fn adopt(&self, _: Vec<Desired>) -> Answered<Vec<FoundOneOff>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn forget(&self, _: AppId) -> Answered<()> {
        let forgets = Arc::clone(&self.forgets);
        async move {
            forgets.begun.fetch_add(1, Ordering::SeqCst);
            forgets.permits.acquire().await.unwrap().forget();
            forgets.ended.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
        .boxed()
    }

    fn restart(&self, _: AppId, _: Scope) -> Answered<()> {
        async { Ok(()) }.boxed()
    }

    fn stop(&self, _: AppId, _: Scope) -> Answered<()> {
        async { Ok(()) }.boxed()
    }

    fn run(&self, one_off: OneOff) -> Answered<StartedOneOff> {
        assert!(one_off.command.starts_with("cat"));
        let streams = echo(one_off.connection);
        async { Ok(StartedOneOff::Attached(streams)) }.boxed()
    }

    fn visit(&self, dyno: DynoId, visit: Visit) -> Answered<Streams> {
        assert_eq!((dyno, visit.command.as_str()), (WEB, "cat"));
        assert_eq!(visit.env["A"], "1");
        let streams = echo(visit.connection);
        async { Ok(streams) }.boxed()
    }

    fn deaths(&self, _: AppId, _: DynoName) -> BoxFuture<'_, Result<Vec<Death>, DynosError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn snapshot(&self, _: AppId) -> Vec<DynoView> {
        vec![DynoView {
            id: WEB,
            name: "web.1".parse().unwrap(),
            state: DynoState::Up,
            created_s: 0,
            since_s: 0,
            command: "serve".to_owned(),
            size: DynoSize::Basic,
            release: Version(1),
        }]
    }
}

/// A dyno that echoes its input.
fn echo(connection: Connection) -> Streams {
    let (input, mut stdin) = tokio::io::duplex(PIPE_BYTES);
    let (mut stdout, output) = tokio::io::duplex(PIPE_BYTES);
    let (control, mut asked) = mpsc::channel(8);
    tokio::spawn(async move {
        // Only a window of the right size lets the echo begin, where the client can tell one.
        if connection == Connection::Pipes {
            assert_eq!(asked.recv().await, Some(Control::Resize { rows: 5, cols: 6 }));
        }
        tokio::io::copy(&mut stdin, &mut stdout).await.unwrap();
        drop(stdout);
        while asked.recv().await.is_some() {}
    });
    Streams { input: Box::new(input), output: Box::new(output), control, exit: async { 7 }.boxed() }
}

/// Tells the length of the source, tries to forge a verdict, and succeeds.
struct CountingBuilder;

impl Builder for CountingBuilder {
    fn build(
        &self,
        order: BuildOrder,
        lines: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Built, BuildFailure>> {
        async move {
            let length = std::fs::metadata(&order.source).unwrap().len();
            lines.send(format!("{length} bytes")).unwrap();
            lines.send("\0{\"status\":\"failed\"}".to_owned()).unwrap();
            let slug = Slug {
                digest: hex::encode([7; 32]).parse().unwrap(),
                size: domain::Bytes(42),
                process_types: [("web".parse().unwrap(), "serve".to_owned())].into(),
                buildpack_description: None,
                created_at_s: 0,
            };
            Ok(Built {
                slug,
                stack_version: "1".to_owned(),
                buildpacks: Vec::new(),
                chooser: crate::build::Chooser::Detection,
            })
        }
        .boxed()
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
    ) -> BoxFuture<'_, Result<crate::flows::ports::PackedSlug, BuildFailure>> {
        Box::pin(async { Err(BuildFailure::Node("nothing is packed here".to_owned())) })
    }

    fn test(
        &self,
        _: BuildOrder,
        _: crate::build::TestCommands,
        lines: crate::flows::ports::TestLines,
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
        Vec::new()
    }

    fn stack_version(&self, _: &StackName, _: Option<&str>) -> Option<StackVersion> {
        None
    }
}

type RequestBody = BoxBody<Bytes, std::io::Error>;

fn whole(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

struct Stage {
    dir: tempfile::TempDir,
    node: Node,
    forgets: Arc<Forgets>,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
}

impl Stage {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let forgets = Arc::new(Forgets {
            begun: AtomicUsize::new(0),
            permits: Semaphore::new(0),
            ended: AtomicUsize::new(0),
        });
        let parts = Parts {
            store: Store::open(&dir.path().join("state.db")).unwrap(),
            dynos: Arc::new(EchoDynos { forgets: Arc::clone(&forgets) }),
            builder: Arc::new(CountingBuilder),
            services: Arc::new(crate::flows::ports::PretendedServices::default()),
            logs: LogService::open(dir.path().join("logs")).unwrap(),
            authority: Authority::load(&dir.path().join("authority")).unwrap(),
        };
        let settings = Settings {
            lib_dir: dir.path().to_owned(),
            owner: "me@example.com".parse().unwrap(),
            router_port: 8080,
            https_port: Some(8443),
            git_address: ([127, 0, 0, 1], 5080).into(),
            ssh_address: None,
            default_stack: StackName::default(),
            release_timeout_s: 3600,
            source_reach: domain::Reach::Any,
            quotas: Quotas::default(),
        };
        let node = Node::new(parts, settings);
        let api = Api::new(node.clone(), watch::channel(false).0);
        let listener = UnixListener::bind(dir.path().join("api.sock")).unwrap();
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let own_uid = peer::credentials(&one).unwrap().uid;
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve_unix(listener, api, own_uid, stopped.map(drop)));
        Self { dir, node, forgets, stop, served }
    }

    async fn send(&self, request: Request<RequestBody>) -> http::Response<Incoming> {
        let stream = UnixStream::connect(self.dir.path().join("api.sock")).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.unwrap()
    }

    async fn call(&self, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).body(whole(body.to_owned())).unwrap();
        let response = self.send(request).await;
        assert!(response.headers().contains_key("request-id"), "{path}");
        let (status, text) = (response.status(), text(response).await);
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}")))
    }

    /// A push of `body` to the app `example`.
    fn pushed(body: RequestBody) -> Request<RequestBody> {
        let path = format!("/apps/example/pushes?ref=refs/heads/main&old={0}&new={0}", "1a".repeat(20));
        Request::post(path).body(body).unwrap()
    }

    async fn with_app() -> Self {
        let stage = Self::open();
        let (status, app) = stage.call(Method::POST, "/apps", r#"{"name":"example"}"#).await;
        assert_eq!(
            (status, &app["web_url"]),
            (StatusCode::CREATED, &json!("http://example.localhost:8080/"))
        );
        stage
    }

    async fn with_release() -> Self {
        let stage = Self::with_app().await;
        text(stage.send(Self::pushed(whole("a tar"))).await).await;
        stage
    }

    fn sources(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.node.settings().sources_dir()).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

async fn text(response: http::Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn refusals_are_json_with_their_status() {
    let stage = Stage::with_app().await;
    let too_long = format!(r#"{{"name":"{}"}}"#, "x".repeat(super::body::JSON_BYTES_MAX));
    for (method, path, body, status, id) in [
        (Method::GET, "/nothing", "", 404, "not_found"),
        (Method::PUT, "/apps", "", 404, "not_found"),
        (Method::GET, "/apps/nothing", "", 404, "not_found"),
        (Method::GET, "/apps/example/dynos/web.9", "", 404, "not_found"),
        (Method::POST, "/apps", "{", 400, "bad_request"),
        (Method::POST, "/apps", too_long.as_str(), 413, "payload_too_large"),
        (Method::POST, "/apps", r#"{"name":"example"}"#, 422, "invalid_params"),
        (Method::PATCH, "/apps/example/formation/web", r#"{"quantity":"many"}"#, 422, "invalid_params"),
        (Method::POST, "/apps/example/pushes", "", 400, "bad_request"),
        (
            Method::GET,
            "/apps/example/dynos/8601b555-6a83-4c12-8269-97c8e32cdb22/attach",
            "",
            400,
            "bad_request",
        ),
    ] {
        let (told, answer) = stage.call(method, path, body).await;
        assert_eq!((told.as_u16(), &answer["id"]), (status, &json!(id)), "{path}: {answer}");
    }
    let other = Request::get("/apps").header("accept", "application/vnd.heroku+json; version=2");
    let answer = stage.send(other.body(whole("")).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn a_push_streams_its_transcript_and_one_verdict() {
    let stage = Stage::with_app().await;
    let answer = text(stage.send(Stage::pushed(whole(vec![7; 100_000]))).await).await;
    let (transcript, verdict) = answer.split_once('\0').unwrap();
    assert!(transcript.contains("100000 bytes\n"), "{transcript}");
    assert_eq!(verdict, r#"{"status":"succeeded"}"#, "a build's own mark is left out");
    assert_eq!(stage.sources(), Vec::<PathBuf>::new());
    let (_, formation) = stage.call(Method::GET, "/apps/example/formation", "").await;
    assert_eq!((&formation[0]["command"], &formation[0]["quantity"]), (&json!("serve"), &json!(1)));
    let (_, builds) = stage.call(Method::GET, "/apps/example/builds", "").await;
    assert_eq!(builds[0]["status"], "succeeded");
}

#[tokio::test]
async fn a_source_that_breaks_off_leaves_nothing() {
    let stage = Stage::with_app().await;
    let (pieces, body) = mpsc::channel::<Result<BodyFrame<Bytes>, std::io::Error>>(1);
    let stream = UnixStream::connect(stage.dir.path().join("api.sock")).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let body = StreamBody::new(ReceiverStream::new(body)).boxed();
    let answer = tokio::spawn(async move { sender.send_request(Stage::pushed(body)).await });
    pieces.send(Ok(BodyFrame::data(Bytes::from(vec![7; 100_000])))).await.unwrap();
    until(|| stage.sources().len() == 1).await;
    pieces.send(Err(std::io::Error::other("gone"))).await.unwrap();
    assert!(answer.await.unwrap().is_err());
    until(|| stage.sources().is_empty()).await;
    let app = crate::flows::find(&stage.node, "example").await.unwrap();
    assert!(crate::flows::begin_push(&stage.node, &app).is_ok(), "the right to build came back");
    let (_, builds) = stage.call(Method::GET, "/apps/example/builds", "").await;
    assert_eq!(builds, json!([]));
}

/// Waits for what happens in the node's own time.
async fn until(condition: impl Fn() -> bool) {
    for _ in 0..200 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it has not happened");
}

#[tokio::test]
async fn a_refused_push_is_told_to_a_client_that_still_sends() {
    let stage = Stage::with_app().await;
    let app = crate::flows::find(&stage.node, "example").await.unwrap();
    let _building = crate::flows::begin_push(&stage.node, &app).unwrap();
    let answer = stage.send(Stage::pushed(whole(vec![7; 8 << 20]))).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert!(text(answer).await.contains("Another build of example is running."));
}

#[tokio::test]
async fn releases_come_in_the_range_that_is_asked_for() {
    let stage = Stage::with_release().await;
    let list = async |range: &str| {
        let request = Request::get("/apps/example/releases").header("range", range).body(whole("")).unwrap();
        let response = stage.send(request).await;
        let next = response.headers().get("next-range").map(|next| next.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let all: Vec<Value> = serde_json::from_str(&text(response).await).unwrap();
        (status, all.iter().map(|release| release["version"].as_u64().unwrap()).collect::<Vec<_>>(), next)
    };
    let (status, versions, next) = list("version ..; order=desc,max=1").await;
    assert_eq!((status, versions), (206, vec![3]));
    assert_eq!(list(&next.unwrap()).await.1, [2]);
    assert_eq!(list("version ..; order=desc,max=1000").await, (200, vec![3, 2, 1], None));
    let (_, release) = stage.call(Method::GET, "/apps/example/releases/3", "").await;
    assert_eq!((&release["current"], &release["eligible_for_rollback"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn lists_tell_by_what_they_are_ordered_and_are_cut_to_a_range() {
    let stage = Stage::with_app().await;
    for n in 0..3 {
        let body = format!(r#"{{"hostname":"{n}.example.com"}}"#);
        assert_eq!(stage.call(Method::POST, "/apps/example/domains", &body).await.0, StatusCode::CREATED);
    }
    let list = async |range: &str| {
        let request = Request::get("/apps/example/domains").header("range", range).body(whole("")).unwrap();
        let response = stage.send(request).await;
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let told = (response.status().as_u16(), header("next-range"), header("content-range"));
        assert_eq!(header("accept-ranges"), "id, hostname", "{range}");
        let all: Value = serde_json::from_str(&text(response).await).unwrap();
        let names = all.as_array().into_iter().flatten();
        (told, names.map(|domain| domain["hostname"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let (told, names) = list("").await;
    assert_eq!((told.0, names.len(), names[0].as_str()), (200, 4, "example.localhost"), "in its own order");
    let (told, names) = list("hostname ..; order=desc, max=2").await;
    assert_eq!(names, ["example.localhost", "2.example.com"]);
    assert_eq!((told.0, told.2.as_str()), (206, "hostname example.localhost..2.example.com"));
    let (last, names) = list(&told.1).await;
    assert_eq!(
        (last.0, last.1.as_str(), names),
        (200, "", vec!["1.example.com".to_owned(), "0.example.com".to_owned()])
    );
    let (told, names) = list("id ..; max=3").await;
    assert_eq!((told.0, names.len()), (206, 3));
    let (told, names) = list("domain ..;").await;
    assert_eq!((told.0, names.len()), (200, 4), "a name of heroku3's own");
    let request =
        Request::get("/apps/example/domains").header("range", "version ..").body(whole("")).unwrap();
    let refused = stage.send(request).await;
    assert_eq!(refused.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert!(text(refused).await.contains("Range: id ..; order=desc, max=10"));
    let (status, _) = stage.call(Method::GET, "/apps/example/config-vars", "").await;
    assert_eq!(status, StatusCode::OK, "what is no list has no range");
}

#[tokio::test]
async fn a_tail_shows_history_and_ends_well_when_the_node_closes() {
    let stage = Stage::with_app().await;
    let (status, session) =
        stage.call(Method::POST, "/apps/example/log-sessions", r#"{"tail":true,"lines":100}"#).await;
    assert_eq!(status, StatusCode::CREATED);
    stage.node.logs().flush().await;
    let url = session["logplex_url"].as_str().unwrap();
    let path = &url[url.find("/logs/").unwrap()..];
    let response = stage.send(Request::get(path).body(whole("")).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    stage.stop.send(()).unwrap();
    let lines = tokio::time::timeout(Duration::from_secs(4), text(response)).await.unwrap();
    assert!(lines.contains("Initial release by user me@example.com"), "{lines}");
    stage.served.await.unwrap();
}

#[tokio::test]
async fn an_attached_dyno_talks_and_exits() {
    let stage = Stage::with_release().await;
    let body = r#"{"command":"cat","attach":true,"force_no_tty":true}"#;
    let (status, dyno) = stage.call(Method::POST, "/apps/example/dynos", body).await;
    assert_eq!(status, StatusCode::CREATED);
    talk(&stage, &dyno).await;
}

#[tokio::test]
async fn a_command_in_a_dyno_talks_and_exits() {
    let stage = Stage::with_release().await;
    let body = r#"{"command":"cat","env":{"A":1},"force_no_tty":true}"#;
    let (status, dyno) = stage.call(Method::POST, "/apps/example/dynos/web.1", body).await;
    assert_eq!(
        (status, &dyno["name"], &dyno["size"]),
        (StatusCode::CREATED, &json!("web.1"), &json!("Basic"))
    );
    talk(&stage, &dyno).await;
    for (path, body, expected) in [
        ("/apps/example/dynos/web.2", body, StatusCode::NOT_FOUND),
        ("/apps/example/dynos/web.1", r#"{"command":" "}"#, StatusCode::UNPROCESSABLE_ENTITY),
        ("/apps/example/dynos/web.1", r#"{"command":"cat","env":{"A=":"1"}}"#, StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(stage.call(Method::POST, path, body).await.0, expected, "{path} {body}");
    }
}

/// Attaches to what was asked for, to its end.
async fn talk(stage: &Stage, dyno: &Value) {
    let path = dyno["attach_url"].as_str().unwrap();
    let attach = || {
        let request = Request::get(path).header("connection", "upgrade").header("upgrade", PROTOCOL);
        stage.send(request.body(whole("")).unwrap())
    };
    let response = attach().await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut connection = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    for frame in [Frame::Resize { rows: 5, cols: 6 }, Frame::Data(b"hello".to_vec()), Frame::Eof] {
        connection.write_all(&frame.encode()).await.unwrap();
    }
    let mut received = Vec::new();
    connection.read_to_end(&mut received).await.unwrap();
    assert_eq!(Frame::take(&mut received), Ok(Some(Frame::Data(b"hello".to_vec()))));
    assert_eq!(Frame::take(&mut received), Ok(Some(Frame::Exit(7))));
    assert_eq!(attach().await.status(), StatusCode::CONFLICT, "a dyno is attached to once");
}

#[tokio::test]
async fn a_change_goes_on_when_its_client_has_gone() {
    let stage = Stage::with_app().await;
    let mut client = UnixStream::connect(stage.dir.path().join("api.sock")).await.unwrap();
    client.write_all(b"DELETE /apps/example HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(|| stage.forgets.begun.load(Ordering::SeqCst) == 1).await;
    drop(client);
    // The server has seen the end of the connection by the time it has answered another one.
    stage.call(Method::GET, "/apps", "").await;
    stage.forgets.permits.add_permits(1);
    until(|| stage.forgets.ended.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_client_that_sends_no_whole_head_is_let_go() {
    let stage = Stage::open();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let api = Api::new(stage.node.clone(), watch::channel(false).0);
    let routes = super::router(api.clone(), super::Door::Tcp(crate::flows::Token::new("a-token")));
    let mut front = super::Front::new(routes, api, None);
    front.head_timeout = Duration::from_millis(50);
    let _served = tokio::spawn(super::serve_tcp(listener, front, std::future::pending()));
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /apps HTTP/1.1\r\nX: ").await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn certificates_are_brought_for_domains_and_their_keys_stay_here() {
    let stage = Stage::with_app().await;
    let certificate = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = made.signing_key.serialize_pem();
        (json!({"certificate_chain": made.cert.pem(), "private_key": key}).to_string(), key)
    };
    let (body, key) = certificate(&["www.example.com"]);
    let all = "/apps/example/sni-endpoints";
    assert_eq!(stage.call(Method::GET, all, "").await, (StatusCode::OK, json!([])));
    let (status, added) = stage.call(Method::POST, all, &body).await;
    assert_eq!((status, &added["ssl_cert"]["self_signed?"]), (StatusCode::CREATED, &json!(true)), "{added}");
    assert_eq!(added["ssl_cert"]["cert_domains"], json!(["www.example.com"]));
    assert_eq!((&added["ssl_cert"]["ca_signed?"], &added["domains"]), (&json!(false), &json!([])));
    let name = added["name"].as_str().unwrap().to_owned();
    let one = format!("{all}/{name}");
    let domain = |hostname: &str| json!({"hostname": hostname, "sni_endpoint": name}).to_string();
    let (status, refused) =
        stage.call(Method::POST, "/apps/example/domains", &domain("api.example.com")).await;
    assert_eq!((status, &refused["id"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_params")));
    let (status, made) = stage.call(Method::POST, "/apps/example/domains", &domain("www.example.com")).await;
    assert_eq!((status, &made["sni_endpoint"]["name"]), (StatusCode::CREATED, &json!(name)));
    let shown = || stage.node.certificates().borrow().names.get("www.example.com").cloned();
    let first = shown().expect("the router shows it");
    let (_, found) = stage.call(Method::GET, &one, "").await;
    assert_eq!(found["domains"], json!([made["id"]]));
    let (other, _) = certificate(&["other.example.com"]);
    assert_eq!(stage.call(Method::PATCH, &one, &other).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (fresh, _) = certificate(&["*.example.com"]);
    assert_eq!(stage.call(Method::PATCH, &one, &fresh).await.0, StatusCode::OK);
    assert_ne!(shown().expect("another"), first);
    let none = r#"{"sni_endpoint":null}"#;
    let (_, bare) = stage.call(Method::PATCH, "/apps/example/domains/www.example.com", none).await;
    assert_eq!((&bare["sni_endpoint"], shown()), (&json!(null), None));
    let (_, listed) = stage.call(Method::GET, all, "").await;
    assert!(!format!("{listed}{added}{found}").contains(key.lines().nth(1).unwrap()), "a key is never shown");
    assert_eq!(stage.call(Method::DELETE, &one, "").await.0, StatusCode::OK);
    let (status, missing) = stage.call(Method::GET, &one, "").await;
    assert_eq!((status, &missing["resource"]), (StatusCode::NOT_FOUND, &json!("sni_endpoint")));
}
