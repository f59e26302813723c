//! Drains against receivers on loopback, written here: what they see byte by byte, and what happens when they misbehave.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::*;
use crate::logs::{Counter, Filter, HISTORY_LINES, LogService, Tail};
use crate::wire::logline::LogLine;

const TOKEN: &str = "d.fc6b856b-3332-4546-93de-7d0ee272c3bd";

fn app() -> AppId {
    AppId(Uuid::from_u128(7))
}

fn drain(url: &str) -> Drain {
    let id = DrainId(Uuid::from_u128(9));
    Drain { id, app: app(), token: TOKEN.to_owned(), url: url.parse().unwrap(), created_at_s: 0 }
}

fn push(service: &LogService, texts: &[&str]) {
    for text in texts {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_415_284_170_873);
        service.push(app(), LogLine::output(at, "web.1", text.as_bytes().to_vec()));
    }
}

fn open(dir: &Path) -> LogService {
    let receivers = Receivers { reach: Reach::Any, ..Receivers::default() };
    LogService::open_with(dir.join("logs"), receivers).unwrap()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads until `wanted` is the end of what came.
async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut received = Vec::new();
    while !received.ends_with(wanted.as_bytes()) {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await.unwrap();
        assert!(length > 0, "closed after {:?}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&chunk[..length]);
    }
    String::from_utf8(received).unwrap()
}

/// One request: its head, lower-cased, and its body.
async fn request(stream: &mut TcpStream) -> (String, String) {
    let mut received = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        received.push(byte[0]);
        if received.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(received).unwrap();
    let length = head.to_lowercase().split("content-length: ").nth(1).unwrap().to_owned();
    let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

async fn answer(stream: &mut TcpStream, status: &str) {
    stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {head}"))
}

async fn until_counted(service: &LogService, counter: Counter, wanted: u64) {
    while service.counted(counter) < wanted {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_syslog_drain_sends_counted_frames_from_its_creation_on() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    push(&service, &["before"]);
    service.flush().await;
    let (listener, address) = listen().await;
    service.set_drains(app(), vec![drain(&format!("syslog://{address}"))]).await.unwrap();
    push(&service, &["one", "", "zwö"]);
    let (mut stream, _) = listener.accept().await.unwrap();
    let frames = read_until(&mut stream, "zwö\n").await;
    let frame = |message: &str| {
        let text = format!("<190>1 2026-11-23T06:28:04.170873+00:00 {TOKEN} app web.1 - - {message}\n");
        format!("{} {text}", text.len())
    };
    assert_eq!(frames, [frame("one"), frame(""), frame("zwö")].concat());
    until_counted(&service, Counter::Drained, 3).await;
}

#[tokio::test]
async fn a_private_receiver_is_not_connected_to_unless_it_may_be_and_the_app_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let service = LogService::open(dir.path().join("logs")).unwrap();
    let (listener, address) = listen().await;
    // A name is judged by where it leads.
    let urls = [format!("http://me:secret@{address}/in"), format!("syslog://localhost:{}", address.port())];
    for (at, url) in urls.into_iter().enumerate() {
        service.set_drains(app(), vec![drain(&url)]).await.unwrap();
        push(&service, &["one"]);
        let lines = service.session(app(), Filter::default(), HISTORY_LINES, Tail::Follow);
        let told = lines.filter(|line| std::future::ready(line.to_string().contains("Drain not reached: ")));
        let mut told = std::pin::pin!(told.skip(at));
        let told = tokio::select! {
            told = told.next() => told.unwrap().to_string(),
            _ = listener.accept() => panic!("it is connected to"),
        };
        assert!(told.contains("drains.private_networks") && !told.contains("secret"), "{told}");
        service.set_drains(app(), Vec::new()).await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_is_posted_as_the_platform_does() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let (listener, address) = listen().await;
    let url = format!("http://me:p%40ss@{address}/in?key=7");
    service.set_drains(app(), vec![drain(&url)]).await.unwrap();
    push(&service, &["first"]);
    let (mut stream, _) = listener.accept().await.unwrap();
    request(&mut stream).await;
    // Until the first batch is answered the lines gather for the next.
    push(&service, &["one", "two"]);
    service.flush().await;
    answer(&mut stream, "204 No Content").await;
    let (head, body) = request(&mut stream).await;
    answer(&mut stream, "204 No Content").await;
    let shown = head.replace(&address.to_string(), "<address>");
    let shown = shown.replace(header(&head, "Logplex-Frame-Id"), "<frame>");
    insta::assert_snapshot!(format!("{}\n{body}", shown.replace('\r', "").trim_end()), @r"
    POST /in?key=7 HTTP/1.1
    Host: <address>
    Content-Type: application/logplex-1
    Logplex-Msg-Count: 2
    Logplex-Frame-Id: <frame>
    Logplex-Drain-Token: d.fc6b856b-3332-4546-93de-7d0ee272c3bd
    User-Agent: Logplex/v72
    Authorization: Basic bWU6cEBzcw==
    Content-Length: 128
    61 <190>1 2026-11-23T06:28:04.170873+00:00 host app web.1 - one
    61 <190>1 2026-11-23T06:28:04.170873+00:00 host app web.1 - two
    ");
    push(&service, &["three"]);
    let (_, body) = request(&mut stream).await;
    assert!(body.ends_with("three\n"), "over the same connection: {body}");
}

#[tokio::test]
async fn a_batch_is_tried_again_under_its_name_and_dropped_where_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let (listener, address) = listen().await;
    service.set_drains(app(), vec![drain(&format!("http://{address}/"))]).await.unwrap();
    push(&service, &["one"]);
    let (mut stream, _) = listener.accept().await.unwrap();
    let (first, body) = request(&mut stream).await;
    answer(&mut stream, "503 Service Unavailable").await;
    let (second, again) = request(&mut stream).await;
    assert_eq!(header(&first, "Logplex-Frame-Id"), header(&second, "Logplex-Frame-Id"));
    assert_eq!(body, again);
    answer(&mut stream, "400 Bad Request").await;
    until_counted(&service, Counter::DrainLost, 1).await;
    push(&service, &["two"]);
    let (head, body) = request(&mut stream).await;
    answer(&mut stream, "200 OK").await;
    assert_eq!(header(&head, "Logplex-Msg-Count"), "2");
    let (notice, line) = body.split_once('\n').unwrap();
    assert!(notice.contains("<172>1 ") && notice.contains(" host heroku logplex - "), "{notice}");
    assert!(notice.contains("(output buffer overflow): 1 messages dropped since "), "{notice}");
    assert!(line.ends_with("two\n"), "{line}");
    push(&service, &["three"]);
    assert_eq!(header(&request(&mut stream).await.0, "Logplex-Msg-Count"), "1", "told once");
}

#[tokio::test]
async fn a_drain_goes_on_where_it_stopped_when_the_service_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, address) = listen().await;
    let url = format!("syslog://{address}");
    {
        let service = open(dir.path());
        service.set_drains(app(), vec![drain(&url)]).await.unwrap();
        push(&service, &["one", "two"]);
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "two\n").await;
        until_counted(&service, Counter::Drained, 2).await;
    }
    {
        // No drain at work, as while the process is not there; lines come all the same.
        let service = open(dir.path());
        push(&service, &["three"]);
        service.flush().await;
    }
    let service = open(dir.path());
    service.set_drains(app(), vec![drain(&url)]).await.unwrap();
    push(&service, &["four"]);
    let (mut stream, _) = listener.accept().await.unwrap();
    let frames = read_until(&mut stream, "four\n").await;
    let messages: Vec<_> = frames.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(messages, ["three", "four"], "neither lost nor sent again");
}

#[tokio::test]
async fn lines_wait_while_nobody_listens_and_what_was_under_way_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let (listener, address) = listen().await;
    service.set_drains(app(), vec![drain(&format!("syslog://{address}"))]).await.unwrap();
    push(&service, &["one"]);
    let (stream, _) = listener.accept().await.unwrap();
    drop((stream, listener));
    push(&service, &["two"]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let listener = TcpListener::bind(address).await.unwrap();
    push(&service, &["three"]);
    let (mut stream, _) = listener.accept().await.unwrap();
    let frames = read_until(&mut stream, "three\n").await;
    let messages: Vec<_> = frames.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert!(messages.ends_with(&["two", "three"]), "{messages:?}");
}

#[tokio::test]
async fn a_removed_drain_gets_nothing_more_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let (listener, address) = listen().await;
    service.set_drains(app(), vec![drain(&format!("syslog://{address}"))]).await.unwrap();
    push(&service, &["one"]);
    let (mut stream, _) = listener.accept().await.unwrap();
    read_until(&mut stream, "one\n").await;
    service.set_drains(app(), Vec::new()).await.unwrap();
    push(&service, &["two"]);
    service.flush().await;
    assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 0, "closed without another line");
    let files = std::fs::read_dir(dir.path().join("logs").join(app().to_string())).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| name.ends_with(".log")), "{names:?}");
}

#[tokio::test]
async fn what_the_files_could_not_keep_is_told_before_what_they_did() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, address) = listen().await;
    let url = format!("syslog://{address}");
    open(dir.path()).set_drains(app(), vec![drain(&url)]).await.unwrap();
    let total = 1000;
    {
        let service = open(dir.path());
        let long = "x".repeat(5000);
        for n in 0..total {
            push(&service, &[&format!("{long} {n}")]);
            if n % 100 == 0 {
                service.flush().await;
            }
        }
        service.flush().await;
    }
    let folder = dir.path().join("logs").join(app().to_string());
    // As the keeper does in the end, which first compresses it.
    let first = folder.join("00000000000000000001.log.zst");
    while !first.exists() || first.with_extension("").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::fs::remove_file(first).unwrap();
    let service = open(dir.path());
    service.set_drains(app(), vec![drain(&url)]).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let frames = read_until(&mut stream, &format!(" {}\n", total - 1)).await;
    let (notice, lines) = frames.split_once('\n').unwrap();
    let lost: usize = notice.split("overflow): ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(lost > 100, "a whole file went: {notice}");
    assert_eq!(lines.lines().count() + lost, total, "every line was sent or counted");
    until_counted(&service, Counter::Drained, (total - lost) as u64).await;
    assert_eq!(service.counted(Counter::DrainLost), lost as u64);
}
