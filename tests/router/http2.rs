//! HTTP/2 at the router's door, by a client that keeps to it and by frames of clients that do not; gRPC's way to a dyno.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dyno::domain::{Backend, DynoProtocol, Http2, Route, RouteOptions, RouteTable, WebState};
use dyno::router::RouterConfig;
use futures_util::future::join_all;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use crate::bench::Act::{Again, Hold, Pause, Read, Send, SendBytes};
use crate::bench::{Bench, Dyno, PATIENCE, backend, field, quick, route, status};
use crate::secured::Secured;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HOST: &str = "example.localhost";
const GIVEN: [&str; 4] = [HOST, "alias.localhost", "other.localhost", "www.example.com"];

type Body = BoxBody<Bytes, Infallible>;

/// A bench whose app has chosen this, and is that of all names.
async fn bench(config: RouterConfig, web: WebState, options: RouteOptions) -> Bench {
    let config = RouterConfig { secure: vec!["127.0.0.1:0".parse().unwrap()], ..config };
    let bench = Bench::with(config, web.clone()).await;
    bench.certificates.send_replace(Arc::new(Secured::certificates()));
    let route = Arc::new(Route { options, ..route(web) });
    let mut table = RouteTable::default();
    for name in GIVEN {
        table.routes.insert(name.parse().unwrap(), Arc::clone(&route));
    }
    bench.table.send_replace(Arc::new(table));
    bench
}

/// Times that a busy machine keeps to, too.
fn patient() -> RouterConfig {
    let mut config = quick();
    config.timers.first_byte = PATIENCE;
    config.timers.idle = PATIENCE;
    config
}

fn always() -> RouteOptions {
    RouteOptions { http2: Http2::Always, ..RouteOptions::default() }
}

fn up(backend: &Backend) -> WebState {
    WebState::Up(vec![backend.clone()])
}

async fn shake(address: Option<SocketAddr>, name: &str, offered: &[&str]) -> TlsStream<TcpStream> {
    let protocols = offered.iter().map(|name| (*name).to_owned()).collect();
    let secured = Secured { name: name.to_owned(), protocols, ..Secured::default() };
    secured.shake(TcpStream::connect(address.unwrap()).await.unwrap()).await.unwrap()
}

/// A connection of a client that keeps to the protocol.
async fn client(bench: &Bench) -> SendRequest<Body> {
    let stream = shake(bench.secure, HOST, &["h2"]).await;
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(64 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(async move { drop(connection.await) });
    sender
}

fn get(path: &str) -> Request<Body> {
    Request::builder().uri(format!("https://{HOST}{path}")).body(Empty::new().boxed()).unwrap()
}

fn post(body: impl Into<Bytes>) -> Request<Body> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("https://{HOST}/"))
        .body(Full::new(body.into()).boxed())
        .unwrap()
}

async fn ask(
    client: &mut SendRequest<Body>,
    request: Request<Body>,
) -> (u16, HeaderMap, Bytes, Option<HeaderMap>) {
    let answer = timeout(PATIENCE, client.send_request(request)).await.expect("it comes in time").unwrap();
    let (parts, body) = answer.into_parts();
    let whole = body.collect().await.unwrap();
    let trailers = whole.trailers().cloned();
    (parts.status.as_u16(), parts.headers, whole.to_bytes(), trailers)
}

#[tokio::test]
async fn a_request_goes_the_way_of_all_others_and_says_what_it_came_by() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let mut client = client(&bench).await;
    let mut request = get("/a%2Fb?c=d");
    for piece in ["a=1", "b=2"] {
        request.headers_mut().append("cookie", HeaderValue::from_static(piece));
    }
    let (status, headers, body, _) = ask(&mut client, request).await;
    assert_eq!((status, body.as_ref()), (200, b"ok".as_slice()));
    assert_eq!(
        (&headers["via"], &headers["server"]),
        (&HeaderValue::from_static("2.0 heroku-router"), &HeaderValue::from_static("Heroku"))
    );
    let seen = dyno.seen();
    assert!(seen.starts_with("GET /a%2Fb?c=d HTTP/1.1\r\n"), "{seen}");
    for line in
        ["Host: example.localhost", "X-Forwarded-Proto: https", "Via: 2.0 heroku-router", "Cookie: a=1; b=2"]
    {
        assert_eq!(seen.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line}: {seen}");
    }
    let line = bench.line().await;
    assert!(line.ends_with("status=200 bytes=2 protocol=http2.0 tls=true tls_version=tls1.3"), "{line}");
    assert_eq!(field(&line, "host"), HOST);
}

#[tokio::test]
async fn the_app_of_the_name_decides_whether_it_is_spoken() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    for (http2, name, agreed) in [
        (Http2::OwnDomains, HOST, "http/1.1"),
        (Http2::OwnDomains, "www.example.com", "h2"),
        (Http2::Always, HOST, "h2"),
        (Http2::Never, "www.example.com", "http/1.1"),
    ] {
        let bench =
            bench(patient(), up(&dyno.backend), RouteOptions { http2, ..RouteOptions::default() }).await;
        let secured = Secured {
            name: name.to_owned(),
            protocols: vec!["h2".to_owned(), "http/1.1".to_owned()],
            ..Secured::default()
        };
        let stream = TcpStream::connect(bench.secure.unwrap()).await.unwrap();
        let told = Secured::told(&secured.shake(stream).await);
        assert_eq!(told, format!("TLS 1.3, {agreed}"), "{http2:?} {name}");
    }
}

#[tokio::test]
async fn many_streams_share_one_connection() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Pause(20), Send(OK), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let client = client(&bench).await;
    let asked = (0..150).map(|number| {
        let mut client = client.clone();
        async move { ask(&mut client, get(&format!("/{number}"))).await.0 }
    });
    assert!(join_all(asked).await.iter().all(|status| *status == 200));
    assert_eq!(bench.lines(150).await.len(), 150);
}

#[tokio::test]
async fn bodies_go_both_ways_with_and_without_a_length() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n";
    let dyno = Dyno::play(1, vec![Read("sent"), Send(answer), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let mut client = client(&bench).await;
    let (status, headers, body, trailers) = ask(&mut client, post("is sent")).await;
    assert_eq!(
        (status, body.as_ref(), trailers),
        (200, b"hello".as_slice(), None),
        "trailers of HTTP/1 stay behind"
    );
    assert!(!headers.contains_key("transfer-encoding"));
    let frames = ["is ", "sent"].map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))));
    let unsized_body = StreamBody::new(stream::iter(frames)).boxed();
    ask(&mut client, post("").map(|_| unsized_body)).await;
    let seen = dyno.seen();
    assert!(
        seen.contains("Content-Length: 7\r\n") && seen.contains("Transfer-Encoding: chunked\r\n"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_large_answer_comes_whole_through_small_windows() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n";
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(head), SendBytes(3_000_000), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let (_, _, body, _) = ask(&mut client(&bench).await, get("/")).await;
    assert_eq!(body.len(), 3_000_000);
    assert_eq!(field(&bench.line().await, "bytes"), "3000000");
}

#[tokio::test]
async fn failures_have_their_pages_and_a_head_has_none() {
    let bench = bench(patient(), WebState::Crashed, always()).await;
    let mut client = client(&bench).await;
    let (status, headers, body, _) = ask(&mut client, get("/")).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (503, &HeaderValue::from_static("text/html; charset=utf-8"))
    );
    let mut head = get("/");
    *head.method_mut() = Method::HEAD;
    let (_, headers, none, _) = ask(&mut client, head).await;
    assert_eq!(
        (headers["content-length"].to_str().unwrap(), none.len()),
        (body.len().to_string().as_str(), 0)
    );
    let lines = bench.lines(2).await;
    assert!(lines.iter().all(|line| field(line, "code") == "H10"), "{lines:#?}");
}

#[tokio::test]
async fn a_connection_that_is_used_for_another_certificates_host_is_misdirected() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let mut client = client(&bench).await;
    for (name, due) in [("alias.localhost", 200), ("other.localhost", 421)] {
        let request = Request::builder().uri(format!("https://{name}/")).header("user-agent", "test");
        assert_eq!(ask(&mut client, request.body(Empty::new().boxed()).unwrap()).await.0, due, "{name}");
    }
    let line = bench.lines(2).await.pop().unwrap();
    assert_eq!((field(&line, "code"), field(&line, "agent")), ("H31", "\"test\""), "{line}");
}

#[tokio::test]
async fn a_stream_that_is_taken_back_ends_its_request_and_no_other() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Pause(500), Send(OK), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let client = client(&bench).await;
    let asked = |path: &'static str| {
        let mut client = client.clone();
        tokio::spawn(async move { ask(&mut client, get(path)).await.0 })
    };
    let (left, other) = (asked("/left"), asked("/other"));
    while !(dyno.seen().contains("/left") && dyno.seen().contains("/other")) {
        sleep(Duration::from_millis(5)).await;
    }
    left.abort();
    assert_eq!(other.await.unwrap(), 200);
    let lines = bench.lines(2).await;
    let line = lines.iter().find(|line| field(line, "path") == "\"/left\"").unwrap();
    let told = ["sock", "code", "status"].map(|name| field(line, name));
    assert_eq!(told, ["client", "H27", "499"], "{line}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_one_answer_is_given_up_for_that_one() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n";
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(head), SendBytes(50_000_000), Hold]).await;
    let bench = bench(quick(), up(&dyno.backend), always()).await;
    let mut client = client(&bench).await;
    // Nobody reads the body, so its window stays shut.
    let untaken = client.send_request(get("/")).await.unwrap();
    let line = bench.line().await;
    assert_eq!((field(&line, "code"), field(&line, "sock")), ("H28", "client"), "{line}");
    assert!(untaken.into_body().collect().await.is_err(), "it was told so");
}

#[tokio::test]
async fn an_unused_connection_is_let_go_and_a_stop_lets_requests_end() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Pause(150), Send(OK), Again]).await;
    let mut config = patient();
    config.timers.shutdown = PATIENCE;
    config.timers.client_keep_alive = Duration::from_millis(200);
    let mut bench = bench(config, up(&dyno.backend), always()).await;
    let mut idle = client(&bench).await;
    assert_eq!(ask(&mut idle, get("/")).await.0, 200);
    timeout(PATIENCE, async {
        while !idle.is_closed() {
            sleep(Duration::from_millis(5)).await
        }
    })
    .await
    .expect("it is let go");
    let mut client = client(&bench).await;
    let under_way = tokio::spawn({
        let mut client = client.clone();
        async move { ask(&mut client, get("/")).await.0 }
    });
    while dyno.seen().matches("GET").count() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    bench.stop();
    assert_eq!(under_way.await.unwrap(), 200);
    bench.stopped().await;
    assert!(client.send_request(get("/")).await.is_err());
}

/// A server of HTTP/2 that sends back what it gets, with what came after it, and keeps the heads.
async fn speaker() -> (Backend, Arc<Mutex<Vec<Request<()>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = backend(1, listener.local_addr().unwrap().port());
    let heads = Arc::<Mutex<Vec<Request<()>>>>::default();
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let service = service_fn(move |request: Request<Incoming>| {
                let (parts, body) = request.into_parts();
                seen.lock().unwrap().push(Request::from_parts(parts, ()));
                async move {
                    let whole = body.collect().await.unwrap();
                    let after = whole.trailers().cloned();
                    let mut late = HeaderMap::new();
                    late.insert("grpc-status", HeaderValue::from_static("0"));
                    late.extend(after.unwrap_or_default());
                    let frames =
                        [Frame::data(whole.to_bytes()), Frame::trailers(late)].map(Ok::<_, Infallible>);
                    Ok::<_, Infallible>(Response::new(StreamBody::new(stream::iter(frames))))
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (backend, heads)
}

#[tokio::test]
async fn an_app_that_asks_for_it_is_spoken_to_as_grpc_is() {
    let (backend, heads) = speaker().await;
    let options = RouteOptions { dyno_protocol: DynoProtocol::Http2, ..always() };
    let bench = bench(patient(), up(&backend), options).await;
    let mut client = client(&bench).await;
    for number in 0..3 {
        let mut late = HeaderMap::new();
        late.insert("x-late", HeaderValue::from(number));
        let frames = [Frame::data(Bytes::from_static(b"hello")), Frame::trailers(late)].map(Ok);
        let mut request = post("").map(|_| StreamBody::new(stream::iter(frames)).boxed());
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let (status, headers, body, trailers) = ask(&mut client, request).await;
        let trailers = trailers.expect("there are trailers");
        assert_eq!((status, body.as_ref()), (200, b"hello".as_slice()));
        assert_eq!(
            (&trailers["grpc-status"], &trailers["x-late"]),
            (&HeaderValue::from_static("0"), &HeaderValue::from(number))
        );
        assert!(!headers.contains_key("te"));
    }
    assert_eq!(
        bench.get("/plain").await.matches("HTTP/1.1 200 OK").count(),
        1,
        "a client of HTTP/1 is served, too"
    );
    let heads = std::mem::take(&mut *heads.lock().unwrap());
    assert_eq!(heads.len(), 4);
    for head in &heads {
        assert_eq!(
            (head.version(), &head.headers()["te"]),
            (Version::HTTP_2, &HeaderValue::from_static("trailers"))
        );
        assert_eq!(head.uri().authority().unwrap().as_str(), HOST);
        assert!(head.headers().contains_key("x-request-id") && !head.headers().contains_key("host"));
    }
    let line = bench.lines(4).await.remove(1);
    assert_eq!(field(&line, "bytes"), "5", "{line}");
}

#[tokio::test]
async fn a_dyno_that_speaks_no_http2_where_that_is_asked_is_no_answer() {
    let dyno = Dyno::play(
        1,
        vec![Read("\r\n\r\n"), Send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), Hold],
    )
    .await;
    let options = RouteOptions { dyno_protocol: DynoProtocol::Http2, ..RouteOptions::default() };
    let bench = bench(patient(), up(&dyno.backend), options).await;
    assert_eq!(status(&bench.get("/").await), 503);
    assert_eq!(field(&bench.line().await, "code"), "H13");
}

#[tokio::test]
async fn a_switch_of_protocols_goes_by_http1_whatever_the_dyno_is_spoken_to_in() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello";
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(switch)]).await;
    let options = RouteOptions { dyno_protocol: DynoProtocol::Http2, ..RouteOptions::default() };
    let bench = bench(patient(), up(&dyno.backend), options).await;
    let request = "GET / HTTP/1.1\r\nHost: example.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let answer = bench.ask(request).await;
    assert_eq!((status(&answer), answer.ends_with("\r\n\r\nhello")), (101, true), "{answer}");
}

// === frames ===

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field as it stands, in no table (RFC 7541 section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// GET https://example.localhost/, and more.
fn head(more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x84];
    block.extend(literal(":authority", HOST));
    for (name, value) in more {
        block.extend(literal(name, value));
    }
    block
}

/// A connection of a client that sends frames as it likes, and all that came back until its end.
struct Raw(TlsStream<TcpStream>);

#[derive(Debug)]
struct Got {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Raw {
    async fn begun(bench: &Bench) -> Self {
        let mut raw = Self(shake(bench.secure, HOST, &["h2"]).await);
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        raw
    }

    /// Whether it went; a router that has cut it off takes no more.
    async fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = async {
            self.0.write_all(bytes).await?;
            self.0.flush().await
        };
        timeout(PATIENCE, sent).await.is_ok_and(|sent| sent.is_ok())
    }

    /// All that comes until the router closes.
    async fn rest(mut self) -> Vec<Got> {
        let mut all = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut all)).await;
        assert!(read.is_ok(), "the router closes in time");
        frames(&all)
    }
}

fn frames(mut bytes: &[u8]) -> Vec<Got> {
    let mut got = Vec::new();
    while let Some((header, after)) = bytes.split_at_checked(9) {
        let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        let Some((payload, after)) = after.split_at_checked(length) else { break };
        let stream = u32::from_be_bytes(header[5..9].try_into().unwrap());
        got.push(Got { kind: header[3], stream, payload: payload.to_owned() });
        bytes = after;
    }
    got
}

/// Whether a stream was answered with 200, which heads begin with (RFC 7541 appendix A).
fn served(got: &[Got], stream: u32) -> bool {
    got.iter()
        .any(|frame| frame.kind == HEADERS && frame.stream == stream && frame.payload.first() == Some(&0x88))
}

/// Whether the connection's end was told in order, with nothing held against its client (RFC 9113 section 6.8).
fn was_let_go(got: &[Got]) -> bool {
    got.iter().any(|frame| frame.kind == GOAWAY && frame.payload.get(4..8) == Some(&[0; 4]))
}

#[tokio::test]
async fn floods_of_frames_that_carry_nothing_are_cut_off() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let opened = frame(HEADERS, END_HEADERS, 1, &head(&[]));
    for (name, before, one) in [
        ("pings", vec![], frame(PING, 0, 0, &[0; 8])),
        ("settings", vec![], frame(SETTINGS, 0, 0, &[])),
        ("priorities", vec![], frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 7])),
        ("empty data", opened, frame(DATA, 0, 1, &[])),
        ("what nobody knows", vec![], frame(0xee, 0, 0, &[])),
    ] {
        let mut raw = Raw::begun(&bench).await;
        raw.send(&before).await;
        for _ in 0..30 {
            if !raw.send(&one.repeat(50)).await {
                break;
            }
        }
        let got = raw.rest().await;
        assert!(!was_let_go(&got), "it was cut off for {name}, not left alone until it was idle: {got:?}");
        assert_eq!(ask(&mut client(&bench).await, get("/")).await.0, 200, "others are served after {name}");
    }
}

#[tokio::test]
async fn streams_that_are_taken_back_at_once_cut_their_client_off_soon() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Pause(50), Send(OK), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let mut raw = Raw::begun(&bench).await;
    let pair = |number: u32| {
        let stream = 2 * number + 1;
        [
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(&[])),
            frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat()
    };
    let mut sent = 0;
    while sent < 10_000 && raw.send(&pair(sent)).await {
        sent += 1;
        if sent % 10 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(!was_let_go(&raw.rest().await));
    assert!(sent < 2_000, "{sent} were taken");
    assert!(dyno.taken() <= 300, "{} reached the dyno", dyno.taken());
    assert_eq!(ask(&mut client(&bench).await, get("/")).await.0, 200);
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let bench = bench(patient(), WebState::Crashed, always()).await;
    let mut raw = Raw::begun(&bench).await;
    raw.send(&frame(HEADERS, 0, 1, &head(&[]))).await;
    let more = frame(CONTINUATION, 0, 1, &literal("x", &"a".repeat(120)).repeat(100));
    let mut sent = 0;
    while sent < 10_000 && raw.send(&more).await {
        sent += 1;
    }
    assert!(!was_let_go(&raw.rest().await));
    assert!(sent < 1_000, "{sent} parts of 12 kB were taken");
    bench.lines(0).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let mut client = client(&bench).await;
    let mut large = get("/");
    for number in 0..10 {
        let name: http::HeaderName = format!("x-{number}").parse().unwrap();
        large.headers_mut().insert(name, HeaderValue::from_str(&"a".repeat(8000)).unwrap());
    }
    let refused = client.send_request(large).await;
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status() == 431));
    let mut line = get("/");
    line.headers_mut().insert("x", HeaderValue::from_str(&"a".repeat(8192)).unwrap());
    assert_eq!(ask(&mut client, line).await.0, 431, "one line of it has the limit of any request");
    assert_eq!(ask(&mut client, get("/")).await.0, 200);
    assert_eq!(bench.lines(1).await.len(), 1, "what was not understood is nobody's");
}

#[tokio::test]
async fn what_would_be_another_request_to_a_dyno_never_gets_there() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let end = END_HEADERS | END_STREAM;
    let smuggled = "GET /smuggled HTTP/1.1\r\n\r\n";
    let method =
        |name: &str| [&[0x87, 0x84][..], &literal(":method", name), &literal(":authority", HOST)].concat();
    let path =
        |path: &str| [&[0x82, 0x87][..], &literal(":path", path), &literal(":authority", HOST)].concat();
    let authority = |name: &str| [&[0x82, 0x87, 0x84][..], &literal(":authority", name)].concat();
    for (name, sent) in [
        ("nothing of the kind", frame(HEADERS, end, 1, &head(&[]))),
        ("a length without a body", frame(HEADERS, end, 1, &head(&[("content-length", "26")]))),
        (
            "a length that is too short",
            [
                frame(HEADERS, END_HEADERS, 1, &head(&[("content-length", "1")])),
                frame(DATA, END_STREAM, 1, smuggled.as_bytes()),
            ]
            .concat(),
        ),
        (
            "chunks",
            [
                frame(HEADERS, END_HEADERS, 1, &head(&[("transfer-encoding", "chunked")])),
                frame(DATA, END_STREAM, 1, b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
            ]
            .concat(),
        ),
        ("a line's end in a value", frame(HEADERS, end, 1, &head(&[("x", "a\r\nX-Smuggled: 1")]))),
        ("a line's end in a name", frame(HEADERS, end, 1, &head(&[("x: a\r\nsmuggled", "1")]))),
        ("a colon in a name", frame(HEADERS, end, 1, &head(&[("smuggled:", "1")]))),
        ("a name in capitals", frame(HEADERS, end, 1, &head(&[("X-Smuggled", "1")]))),
        (
            "a hop's own field",
            frame(HEADERS, end, 1, &head(&[("connection", "x-smuggled"), ("x-smuggled", "1")])),
        ),
        ("an upgrade", frame(HEADERS, end, 1, &head(&[("upgrade", "smuggled")]))),
        ("two hosts", frame(HEADERS, end, 1, &head(&[("host", "smuggled.localhost")]))),
        ("a line in the method", frame(HEADERS, end, 1, &method("GET /smuggled HTTP/1.1\r\nX:"))),
        ("a line in the path", frame(HEADERS, end, 1, &path("/smuggled HTTP/1.1\r\nX: a"))),
        ("a space in the path", frame(HEADERS, end, 1, &path("/ HTTP/1.1 smuggled"))),
        ("a user in the host", frame(HEADERS, end, 1, &authority("smuggled@example.localhost"))),
        (
            "no path",
            frame(
                HEADERS,
                end,
                1,
                &[&[0x82, 0x87][..], &literal("smuggled", "1"), &literal(":authority", HOST)].concat(),
            ),
        ),
        (
            "a field of the head after others",
            frame(HEADERS, end, 1, &[head(&[("smuggled", "1")]), literal(":path", "/")].concat()),
        ),
    ] {
        let mut raw = Raw::begun(&bench).await;
        raw.send(&sent).await;
        raw.send(&frame(HEADERS, end, 3, &head(&[]))).await;
        let got = raw.rest().await;
        assert_eq!(served(&got, 1), name == "nothing of the kind", "{name}: {got:?}");
    }
    let seen = dyno.seen();
    assert!(!seen.contains("smuggled"), "{seen}");
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Pause(200), Send(OK), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let mut raw = Raw::begun(&bench).await;
    let opened: Vec<u8> = (0..120)
        .flat_map(|number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &head(&[])))
        .collect();
    raw.send(&opened).await;
    let got = raw.rest().await;
    let refused =
        got.iter().filter(|frame| frame.kind == RST_STREAM && frame.payload == [0, 0, 0, 7]).count();
    assert_eq!(refused, 20, "REFUSED_STREAM");
    bench.lines(100).await;
}

#[tokio::test]
async fn nobody_speaks_it_without_tls() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = bench(patient(), up(&dyno.backend), always()).await;
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let mut all = Vec::new();
    let _ended = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the router closes");
    assert!(all.is_empty(), "it is no HTTP/1 either: {all:?}");
    assert_eq!(dyno.taken(), 0);
    bench.lines(0).await;
}
