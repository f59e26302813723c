//! What a dyno sees of a request, and a client of an answer, byte for byte.

use std::time::Duration;

use tokio::time::sleep;

use crate::bench::Act::{Again, Hold, Pause, Read, Send, SendBytes};
use crate::bench::{Bench, Dyno, field, mask, status};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn answering(answer: &'static str) -> Vec<crate::bench::Act> {
    vec![Read("\r\n\r\n"), Send(answer), Hold]
}

#[tokio::test]
async fn a_request_arrives_as_promised() {
    let dyno = Dyno::play(1, answering(OK)).await;
    let bench = Bench::of(&[&dyno]).await;
    bench
        .ask(
            "GET /a%2Fb//../c?d=%20&e HTTP/1.1\r\nHost: Example.localhost:80\r\nconnection: close, x-gone\r\n\
             X-Gone: 1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Request-Id: 8601b555-6a83-4c12-8269-97c8e32cdb22\r\n\
             Cookie: a=b\r\nAccept-Encoding: gzip\r\nX-Forwarded-Proto: https\r\n\r\n",
        )
        .await;
    let seen = dyno.seen();
    let (line, rest) = seen.split_once("\r\n").unwrap();
    assert_eq!(line, "GET /a%2Fb//../c?d=%20&e HTTP/1.1");
    assert!(seen.contains("X-Request-Id: 8601b555-6a83-4c12-8269-97c8e32cdb22\r\n"), "{seen}");
    let masked = mask(rest);
    let mut headers: Vec<_> = masked.trim_end().split("\r\n").collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            "Accept-Encoding: gzip",
            "Cookie: a=b",
            "Host: Example.localhost:80",
            "Via: 1.1 heroku-router",
            "X-Forwarded-For: 10.0.0.1, 127.0.0.1",
            "X-Forwarded-Port: PORT",
            "X-Forwarded-Proto: http",
            "X-Request-Id: ID",
            "X-Request-Start: NOW",
        ]
    );
    assert_eq!(
        bench.line().await,
        "at=info method=GET path=\"/a%2Fb//../c?d=%20&e\" host=Example.localhost:80 request_id=ID \
         fwd=\"10.0.0.1, 127.0.0.1\" dyno=web.1 connect=Nms service=Nms status=200 bytes=2 protocol=http1.1 tls=false"
    );
}

#[tokio::test]
async fn an_answer_arrives_as_promised() {
    let dyno = Dyno::play(
        1,
        answering(
            "HTTP/1.1 299 Nearly Fine\r\nServer: mine\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: x-hop\r\n\
             X-Hop: 1\r\nKeep-Alive: timeout=5\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 4\r\n\r\n\x00\x01\r\n",
        ),
    )
    .await;
    let bench = Bench::of(&[&dyno]).await;
    let answer = bench.get("/").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.split("\r\n").collect();
    assert_eq!(lines.remove(0), "HTTP/1.1 299 Nearly Fine");
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "Connection: close",
            "Content-Length: 4",
            "Date: Thu, 01 Jan 1970 00:00:00 GMT",
            "Server: mine",
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "Via: 1.1 heroku-router",
        ]
    );
    assert_eq!(body, "\x00\x01\r\n");
}

#[tokio::test]
async fn what_an_answer_lacks_is_added() {
    let dyno = Dyno::play(1, answering(OK)).await;
    let bench = Bench::of(&[&dyno]).await;
    let answer = bench.get("/").await;
    assert!(answer.contains("Server: Heroku\r\n") && answer.contains("Date: "), "{answer}");
    assert!(!answer.contains("X-Request-Id"), "{answer}");
}

#[tokio::test]
async fn a_sized_body_goes_up_as_it_is() {
    let dyno = Dyno::play(1, vec![Read("hello"), Send(OK), Hold]).await;
    let bench = Bench::of(&[&dyno]).await;
    let request =
        "POST / HTTP/1.1\r\nHost: example.localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    assert_eq!(status(&bench.ask(request).await), 200);
    assert!(
        dyno.seen().contains("Content-Length: 5\r\n") && dyno.seen().ends_with("\r\n\r\nhello"),
        "{}",
        dyno.seen()
    );
}

#[tokio::test]
async fn a_chunked_body_is_streamed_in_chunks_both_ways() {
    let acts = vec![
        Read("3\r\nabc\r\n"),
        Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n"),
        Read("0\r\n\r\n"),
        Send("2\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n"),
        Hold,
    ];
    for method in ["POST", "GET"] {
        let dyno = Dyno::play(1, acts.clone()).await;
        let bench = Bench::of(&[&dyno]).await;
        let mut client = bench.client().await;
        client
            .send(&format!(
                "{method} / HTTP/1.1\r\nHost: example.localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n"
            ))
            .await;
        // The first chunk of the answer is here before the request has ended: nothing waits for a whole.
        let head = client.read("xyz").await;
        assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
        client.send("0\r\nX-T: 1\r\n\r\n").await;
        let rest = client.read("0\r\n\r\n").await;
        assert_eq!(rest, "\r\n2\r\nok\r\n0\r\n\r\n".trim_start_matches("\r\n").to_owned(), "{method}");
        assert!(!dyno.seen().contains("X-T"), "{}", dyno.seen());
        let line = bench.line().await;
        assert_eq!((field(&line, "status"), field(&line, "bytes")), ("200", "5"));
    }
}

#[tokio::test]
async fn an_answer_may_end_with_its_connection() {
    let dyno = Dyno::play(
        1,
        vec![Read("\r\n\r\n"), Send("HTTP/1.0 200 OK\r\n\r\nuntil"), Pause(20), Send(" the end")],
    )
    .await;
    let bench = Bench::of(&[&dyno]).await;
    let answer = bench.get("/").await;
    assert!(answer.contains("Transfer-Encoding: chunked\r\n"), "{answer}");
    assert!(answer.ends_with("5\r\nuntil\r\n8\r\n the end\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(field(&bench.line().await, "bytes"), "13");
}

#[tokio::test]
async fn an_http_1_0_client_gets_an_answer_without_chunks() {
    let dyno = Dyno::play(
        1,
        answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    )
    .await;
    let bench = Bench::of(&[&dyno]).await;
    let answer = bench.ask("GET / HTTP/1.0\r\nHost: example.localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nabc"), "{answer}");
    assert!(!answer.contains("Transfer-Encoding"), "{answer}");
    assert!(dyno.seen().starts_with("GET / HTTP/1.1\r\n"), "{}", dyno.seen());
    assert!(bench.line().await.ends_with("protocol=http1.0 tls=false"));
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    for (method, answer, keeps_length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", true),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", false),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", false),
    ] {
        let dyno = Dyno::play(1, answering(answer)).await;
        let bench = Bench::of(&[&dyno]).await;
        let got = bench
            .ask(&format!("{method} / HTTP/1.1\r\nHost: example.localhost\r\nConnection: close\r\n\r\n"))
            .await;
        assert!(got.ends_with("\r\n\r\n"), "{got:?}");
        assert_eq!(got.contains("Content-Length: 10\r\n"), keeps_length, "{got}");
        assert!(!got.contains("Transfer-Encoding"), "{got}");
        let line = bench.line().await;
        assert_eq!((field(&line, "at"), field(&line, "bytes")), ("info", "0"));
    }
}

#[tokio::test]
async fn the_router_itself_says_go_on() {
    let dyno = Dyno::play(1, vec![Read("hello"), Send(OK), Hold]).await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: example.localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(client.read("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(status(&client.rest().await), 200);
    assert!(!dyno.seen().contains("Expect"), "{}", dyno.seen());
}

#[tokio::test]
async fn a_dynos_own_go_on_is_swallowed() {
    let dyno = Dyno::play(
        1,
        answering("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    )
    .await;
    let bench = Bench::of(&[&dyno]).await;
    assert!(bench.get("/").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn an_early_answer_goes_through_and_ends_the_connection() {
    let dyno = Dyno::play(
        1,
        vec![Read("\r\n\r\n"), Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"), Hold],
    )
    .await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    client.send("POST / HTTP/1.1\r\nHost: example.localhost\r\nContent-Length: 1000000\r\n\r\nabc").await;
    let answer = client.read("big").await;
    assert_eq!(status(&answer), 413);
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    client.rest().await;
    let line = bench.line().await;
    assert_eq!((field(&line, "at"), field(&line, "status")), ("info", "413"));
}

#[tokio::test]
async fn an_absolute_target_names_the_host() {
    let dyno = Dyno::play(1, answering(OK)).await;
    let bench = Bench::of(&[&dyno]).await;
    let answer = bench
        .ask(
            "GET http://example.localhost/x?y HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert_eq!(status(&answer), 200);
    let seen = dyno.seen();
    assert!(
        seen.starts_with("GET /x?y HTTP/1.1\r\n") && seen.contains("Host: example.localhost\r\n"),
        "{seen}"
    );
    assert!(!seen.contains("other"), "{seen}");
}

#[tokio::test]
async fn a_large_body_passes_whole() {
    const BYTES: usize = 20_000_000;
    let dyno = Dyno::play(
        1,
        vec![
            Read("\r\n\r\n"),
            Send("HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n"),
            SendBytes(BYTES),
            Hold,
        ],
    )
    .await;
    let bench = Bench::of(&[&dyno]).await;
    let answer = bench.get("/").await;
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), BYTES);
    assert_eq!(field(&bench.line().await, "bytes"), BYTES.to_string());
}

#[tokio::test]
async fn ambiguous_or_oversized_requests_are_refused_without_a_line() {
    let dyno = Dyno::play(1, answering(OK)).await;
    let bench = Bench::of(&[&dyno]).await;
    let host = "Host: example.localhost\r\n";
    let long = "a".repeat(8200);
    for (request, expected) in [
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 1, 1\r\n\r\na"), 400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\na"), 400),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("GET  / HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET / HTTP/1.1\r\n{host} folded: 1\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\n{host}a\0: 1\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\n{host}Connection: upgrade\r\n\r\n"), 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_owned(), 405),
        (format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), 414),
        (format!("GET / HTTP/1.1\r\n{host}X: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "X: 1\r\n".repeat(1100)), 431),
    ] {
        let answer = bench.ask(&request).await;
        assert_eq!(status(&answer), expected, "{request:.120} {answer}");
    }
    assert_eq!(dyno.seen(), "");
    bench.lines(0).await;
}

#[tokio::test]
async fn chunks_win_over_a_length_and_the_connection_ends() {
    for headers in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let dyno = Dyno::play(1, vec![Read("0\r\n\r\n"), Send(OK), Hold]).await;
        let bench = Bench::of(&[&dyno]).await;
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: example.localhost\r\n\r\n";
        let answer = bench
            .ask(&format!("POST / HTTP/1.1\r\nHost: example.localhost\r\n{headers}\r\n0\r\n\r\n{smuggled}"))
            .await;
        assert_eq!((status(&answer), answer.matches("HTTP/1.1").count()), (200, 1), "{answer}");
        assert!(
            !dyno.seen().contains("Content-Length") && !dyno.seen().contains("smuggled"),
            "{}",
            dyno.seen()
        );
    }
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_turn() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    for path in ["/1", "/2", "/3"] {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: example.localhost\r\n\r\n")).await;
        client.read("\r\n\r\nok").await;
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(dyno.taken(), 1, "the connection to the dyno is kept");
    let lines = bench.lines(3).await;
    assert!(
        lines.iter().zip(["/1", "/2", "/3"]).all(|(line, path)| line.contains(&format!("path=\"{path}\"")))
    );
}
