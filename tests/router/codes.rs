//! Each way to fail: what the client gets, and what the line says.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dyno::domain::{Backend, Route, WebState};
use dyno::router::{Connector, Limits, RouterConfig, Timers};
use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::bench::Act::{self, Hold, Pause, Read, Send, SendBytes};
use crate::bench::{Bench, Dyno, backend, dead_port, field, quick, route, status};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Asks a router over one dyno, and gives the answer and the line.
async fn outcome(acts: Vec<Act>) -> (String, String) {
    let dyno = Dyno::play(1, acts).await;
    let bench = Bench::of(&[&dyno]).await;
    let answer = bench.get("/").await;
    (answer, bench.line().await)
}

async fn refused(route: Route) -> (String, String) {
    let bench = Bench::with(quick(), WebState::Blank).await;
    bench.publish(route);
    let answer = bench.get("/").await;
    (answer, bench.line().await)
}

#[tokio::test]
async fn an_unknown_host_gets_a_page_and_no_line() {
    let bench = Bench::with(quick(), WebState::Blank).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let answer = bench.ask(request).await;
        assert_eq!(status(&answer), 404, "{request}");
        assert!(answer.contains("<title>No such app</title>"), "{answer}");
    }
    bench.lines(0).await;
}

#[tokio::test]
async fn an_app_that_cannot_serve_says_why() {
    for (web, code, title) in [
        (WebState::Crashed, "H10", "Application Error"),
        (WebState::NoneWanted, "H14", "Application Error"),
        (WebState::Blank, "H81", "Welcome to your new app!"),
    ] {
        let (answer, line) = refused(route(web)).await;
        assert_eq!((status(&answer), field(&line, "code")), (503, code));
        assert!(answer.contains(&format!("<title>{title}</title>")), "{answer}");
        assert!(answer.contains("Content-Type: text/html; charset=utf-8\r\n"), "{answer}");
        assert!(answer.contains("Cache-Control: no-cache, no-store\r\n"), "{answer}");
        assert!(line.contains("dyno= connect= service= status=503 bytes= protocol=http1.1"), "{line}");
    }
}

#[tokio::test]
async fn maintenance_is_no_error() {
    let (answer, line) = refused(Route { maintenance: true, ..route(WebState::Blank) }).await;
    assert_eq!((status(&answer), field(&line, "at"), field(&line, "code")), (503, "info", "H80"));
    assert!(answer.contains("Offline for Maintenance"), "{answer}");
}

#[tokio::test]
async fn an_apps_own_pages_replace_ours() {
    let own = |web| Route {
        error_page: Some("https://pages.example/error.html".to_owned()),
        maintenance_page: Some("https://pages.example/maintenance.html".to_owned()),
        ..route(web)
    };
    let (answer, _) = refused(own(WebState::Crashed)).await;
    assert!(answer.contains("<iframe src=\"https://pages.example/error.html\">"), "{answer}");
    let (answer, _) = refused(Route { maintenance: true, ..own(WebState::Crashed) }).await;
    assert!(answer.contains("<iframe src=\"https://pages.example/maintenance.html\">"), "{answer}");
}

#[tokio::test]
async fn too_many_in_flight_is_h11() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Pause(200), Send(OK), Act::Again]).await;
    let config = RouterConfig { limits: Limits { in_flight_per_dyno: 2, ..Limits::default() }, ..quick() };
    let bench = Bench::with(config, WebState::Up(vec![dyno.backend.clone()])).await;
    let late = async {
        sleep(Duration::from_millis(60)).await;
        bench.get("/late").await
    };
    let (first, second, late) = tokio::join!(bench.get("/1"), bench.get("/2"), late);
    assert_eq!((status(&first), status(&second), status(&late)), (200, 200, 503));
    let lines = bench.lines(3).await;
    assert_eq!(field(lines.iter().find(|line| line.contains("/late")).unwrap(), "code"), "H11");
    assert_eq!(status(&bench.get("/after").await), 200, "those that are over count no more");
}

#[tokio::test]
async fn silence_before_the_first_byte_is_h12() {
    let (answer, line) = outcome(vec![Hold]).await;
    assert_eq!((status(&answer), field(&line, "code"), field(&line, "status")), (503, "H12", "503"));
    assert!(
        line.contains("desc=\"Request timeout\"") && line.contains("dyno=web.1") && line.contains("bytes=0 ")
    );
}

#[tokio::test]
async fn the_first_byte_is_due_after_the_last_of_the_upload() {
    let dyno = Dyno::play(1, vec![Read("12345"), Pause(150), Send(OK), Hold]).await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: example.localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
        .await;
    for byte in ["1", "2", "3", "4", "5"] {
        sleep(Duration::from_millis(150)).await;
        client.send(byte).await;
    }
    assert_eq!(status(&client.rest().await), 200, "900 ms in all, but never 300 ms of the dyno's");
}

#[tokio::test]
async fn closing_without_a_byte_is_h13() {
    let (answer, line) = outcome(vec![Read("\r\n\r\n")]).await;
    assert_eq!((status(&answer), field(&line, "code")), (503, "H13"));
}

#[tokio::test]
async fn silence_in_the_middle_is_h15() {
    let (answer, line) =
        outcome(vec![Read("\r\n\r\n"), Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), Hold]).await;
    assert!(answer.ends_with("\r\n\r\nabc"), "{answer}");
    assert_eq!((field(&line, "code"), field(&line, "status"), field(&line, "bytes")), ("H15", "503", "3"));
}

#[tokio::test]
async fn a_byte_now_and_then_keeps_an_answer_alive() {
    let mut acts = vec![Read("\r\n\r\n"), Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")];
    acts.extend([Pause(180), Send("x")].into_iter().cycle().take(10));
    let (answer, line) = outcome(acts).await;
    assert!(answer.ends_with("xxxxx"), "{answer}");
    assert_eq!(field(&line, "at"), "info");
}

#[tokio::test]
async fn what_is_not_http_is_h17() {
    for nonsense in
        ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"]
    {
        let (answer, line) = outcome(vec![Read("\r\n\r\n"), Send(nonsense), Hold]).await;
        assert_eq!((status(&answer), field(&line, "code")), (503, "H17"), "{nonsense}");
    }
}

#[tokio::test]
async fn a_dyno_that_breaks_off_is_h18() {
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let (answer, line) = outcome(vec![Read("\r\n\r\n"), Send(cut)]).await;
        assert!(answer.contains("abc") && !answer.contains("0\r\n\r\n"), "{answer}");
        assert!(line.starts_with("sock=backend at=error code=H18 "), "{line}");
    }
}

#[tokio::test]
async fn limits_on_answers_are_h25() {
    let cookie: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\nSet-Cookie: {}\r\n\r\n", "a".repeat(8200)).into_boxed_str());
    let header: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(530_000)).into_boxed_str());
    for (answer, detail) in [
        (cookie, "oversized cookie"),
        (header, "oversized header"),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "invalid content length"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "invalid content length"),
    ] {
        let (got, line) = outcome(vec![Read("\r\n\r\n"), Send(answer), Hold]).await;
        assert_eq!(status(&got), 502, "{detail}: {line}");
        assert!(line.contains(&format!("code=H25 desc=\"HTTP restriction: {detail}\"")), "{line}");
    }
}

#[tokio::test]
async fn expectations_that_cannot_be_met_are_h26() {
    let bench = Bench::with(quick(), WebState::Crashed).await;
    let answer = bench.ask("GET / HTTP/1.1\r\nHost: example.localhost\r\nExpect: a-pony\r\n\r\n").await;
    assert_eq!(status(&answer), 417);
}

#[tokio::test]
async fn malformed_chunks_are_h26() {
    let dyno = Dyno::play(1, vec![Hold]).await;
    let bench = Bench::of(&[&dyno]).await;
    let answer = bench
        .ask("POST / HTTP/1.1\r\nHost: example.localhost\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
        .await;
    assert_eq!(status(&answer), 400, "{answer}");
    assert!(bench.line().await.contains("code=H26 desc=\"Request Error\" cause=\"bad chunk\""));
}

#[tokio::test]
async fn a_client_that_leaves_is_h27() {
    let head = "POST / HTTP/1.1\r\nHost: example.localhost\r\nContent-Length: 9\r\n\r\nabc";
    let get = "GET / HTTP/1.1\r\nHost: example.localhost\r\n\r\n";
    let stream = vec![Read("\r\n\r\n"), Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), Hold];
    for (request, acts, wait_for) in
        [(head, vec![Hold], None), (get, vec![Hold], None), (get, stream, Some("abc"))]
    {
        let dyno = Dyno::play(1, acts).await;
        let bench = Bench::of(&[&dyno]).await;
        let mut client = bench.client().await;
        client.send(request).await;
        if let Some(text) = wait_for {
            client.read(text).await;
        }
        sleep(Duration::from_millis(50)).await;
        drop(client);
        let line = bench.line().await;
        assert!(
            line.starts_with("sock=client at=warning code=H27 desc=\"Client Request Interrupted\""),
            "{line}"
        );
        assert_eq!((field(&line, "status"), field(&line, "dyno")), ("499", "web.1"));
    }
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_is_h27_too() {
    let bench = Bench::with(quick(), WebState::Booting).await;
    let mut client = bench.client().await;
    client.send("GET / HTTP/1.1\r\nHost: example.localhost\r\n\r\n").await;
    sleep(Duration::from_millis(50)).await;
    drop(client);
    let line = bench.line().await;
    assert_eq!((field(&line, "code"), field(&line, "status"), field(&line, "dyno")), ("H27", "499", ""));
}

#[tokio::test]
async fn a_client_that_falls_silent_is_h28() {
    let dyno = Dyno::play(1, vec![Hold]).await;
    let bench = Bench::of(&[&dyno]).await;
    bench.ask("POST / HTTP/1.1\r\nHost: example.localhost\r\nContent-Length: 9\r\n\r\nabc").await;
    let line = bench.line().await;
    assert!(line.starts_with("sock=client at=warning code=H28 "), "{line}");
    assert_eq!(field(&line, "status"), "499");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_h28() {
    let acts = vec![
        Read("\r\n\r\n"),
        Send("HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n"),
        SendBytes(90_000_000),
        Hold,
    ];
    let dyno = Dyno::play(1, acts).await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    client.send("GET / HTTP/1.1\r\nHost: example.localhost\r\n\r\n").await;
    let line = bench.line().await;
    assert!(line.starts_with("sock=client at=warning code=H28 "), "{line}");
}

/// A connector to dynos that never take a connection.
struct Silent;

impl Connector for Silent {
    fn connect<'a>(&'a self, _: &'a Backend) -> BoxFuture<'a, io::Result<TcpStream>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn no_connection_in_time_is_h19() {
    let bench =
        Bench::reaching(quick(), WebState::Up(vec![backend(1, 1), backend(2, 1)]), Arc::new(Silent)).await;
    let start = Instant::now();
    let answer = bench.get("/").await;
    assert_eq!((status(&answer), field(&bench.line().await, "code")), (503, "H19"));
    assert!(start.elapsed() >= Duration::from_millis(400), "both dynos were given their time");
}

#[tokio::test]
async fn no_connection_at_all_is_h21() {
    let bench = Bench::with(quick(), WebState::Up(vec![backend(1, dead_port().await)])).await;
    let answer = bench.get("/").await;
    let line = bench.line().await;
    assert_eq!((status(&answer), field(&line, "code"), field(&line, "dyno")), (503, "H21", ""));
}

#[tokio::test]
async fn a_dyno_that_refused_is_left_alone_for_a_while() {
    let good = Dyno::play(2, vec![Read("\r\n\r\n"), Send(OK), Act::Again]).await;
    let bad = backend(1, dead_port().await);
    let bench = Bench::with(quick(), WebState::Up(vec![bad, good.backend.clone()])).await;
    for _ in 0..30 {
        assert_eq!(status(&bench.get("/").await), 200);
    }
    let lines = bench.lines(30).await;
    assert!(lines.iter().all(|line| field(line, "dyno") == "web.2"));
}

#[tokio::test]
async fn a_request_waits_out_a_quarantine() {
    let port = dead_port().await;
    let bench = Bench::with(quick(), WebState::Up(vec![backend(1, port)])).await;
    assert_eq!(status(&bench.get("/1").await), 503);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, OK.as_bytes()).await.unwrap();
        sleep(Duration::from_secs(5)).await;
    });
    let start = Instant::now();
    assert_eq!(status(&bench.get("/2").await), 200);
    assert!(start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());
}

#[tokio::test]
async fn dynos_left_alone_for_too_long_are_h99() {
    let timers = Timers { quarantine: Duration::from_secs(60), ..quick().timers };
    let config = RouterConfig { timers, ..quick() };
    let bench = Bench::with(config, WebState::Up(vec![backend(1, dead_port().await)])).await;
    bench.get("/1").await;
    assert_eq!(status(&bench.get("/2").await), 503);
    assert_eq!(field(&bench.lines(2).await[1], "code"), "H99");
}

#[tokio::test]
async fn a_request_waits_for_an_app_that_boots() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Hold]).await;
    let bench = Bench::with(quick(), WebState::Booting).await;
    let boot = async {
        sleep(Duration::from_millis(250)).await;
        bench.publish(route(WebState::Up(vec![dyno.backend.clone()])));
    };
    let (answer, ()) = tokio::join!(bench.get("/"), boot);
    assert_eq!(status(&answer), 200);
    assert_eq!(field(&bench.line().await, "dyno"), "web.1");
}

#[tokio::test]
async fn an_app_that_crashes_while_it_boots_answers_at_once() {
    let bench = Bench::with(quick(), WebState::Booting).await;
    let crash = async {
        sleep(Duration::from_millis(100)).await;
        bench.publish(route(WebState::Crashed));
    };
    let (answer, ()) = tokio::join!(bench.get("/"), crash);
    // Had it waited for the boot to end, the code would be H20.
    assert_eq!((status(&answer), field(&bench.line().await, "code")), (503, "H10"));
}

#[tokio::test]
async fn an_app_that_does_not_come_up_is_h20() {
    let bench = Bench::with(quick(), WebState::Booting).await;
    let start = Instant::now();
    let answer = bench.get("/").await;
    assert_eq!((status(&answer), field(&bench.line().await, "code")), (503, "H20"));
    assert!(start.elapsed() >= Duration::from_millis(700));
}

#[tokio::test]
async fn a_client_that_still_sends_reads_why_it_was_refused() {
    /// More than the buffers between client and router hold.
    const BYTES: usize = 8 << 20;
    let head = format!("POST / HTTP/1.1\r\nHost: example.localhost\r\nContent-Length: {BYTES}\r\n\r\n");
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n")]).await;
    for (web, code) in [(WebState::Crashed, "H10"), (WebState::Up(vec![dyno.backend.clone()]), "H13")] {
        let bench = Bench::with(quick(), web).await;
        let mut client = bench.client().await;
        client.send(&head).await;
        client.send(&"x".repeat(BYTES)).await;
        let answer = client.read("</html>").await;
        assert_eq!((status(&answer), field(&bench.line().await, "code")), (503, code), "{answer}");
    }
}
