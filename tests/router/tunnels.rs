//! Upgraded connections.

use std::time::Duration;

use tokio::time::sleep;

use crate::bench::Act::{Echo, Hold, Read, Send};
use crate::bench::{Bench, Dyno, field, status};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: example.localhost\r\nConnection: keep-alive, Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n\r\n";

#[tokio::test]
async fn bytes_go_through_both_ways_and_are_told_at_the_end() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(SWITCH), Echo]).await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    client.send(UPGRADE).await;
    let head = client.read("\r\n\r\n").await;
    for part in [
        "HTTP/1.1 101 Switching Protocols\r\n",
        "Connection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "Sec-Websocket-Accept: HSm",
    ] {
        assert!(head.contains(part), "{part} in {head}");
    }
    assert!(
        dyno.seen().contains("Connection: Upgrade\r\n") && dyno.seen().contains("Upgrade: websocket\r\n")
    );
    for text in ["one", "two\0\r\n\r\n", "three"] {
        client.send(text).await;
        assert_eq!(client.read(text).await, text);
        // Longer than the idle time in all, but never at once.
        sleep(Duration::from_millis(150)).await;
    }
    bench.lines(0).await;
    drop(client);
    let line = bench.line().await;
    assert_eq!((field(&line, "at"), field(&line, "status"), field(&line, "bytes")), ("info", "101", "16"));
}

#[tokio::test]
async fn bytes_sent_along_with_the_switch_are_not_lost() {
    let early: &'static str = Box::leak(format!("{SWITCH}early").into_boxed_str());
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(early), Hold]).await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    client.send(UPGRADE).await;
    client.read("early").await;
}

#[tokio::test]
async fn a_tunnel_ends_when_the_dyno_closes() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(SWITCH), Send("bye")]).await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    client.send(UPGRADE).await;
    assert!(client.rest().await.ends_with("bye"));
    drop(client);
    assert_eq!(field(&bench.line().await, "status"), "101");
}

#[tokio::test]
async fn a_silent_tunnel_is_h15() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(SWITCH), Hold]).await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    client.send(UPGRADE).await;
    client.rest().await;
    assert_eq!(field(&bench.line().await, "code"), "H15");
}

#[tokio::test]
async fn a_dyno_may_decline() {
    let dyno = Dyno::play(
        1,
        vec![Read("\r\n\r\n"), Send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno"), Hold],
    )
    .await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    client.send(UPGRADE).await;
    assert_eq!(status(&client.read("no").await), 426);
    assert_eq!(field(&bench.line().await, "status"), "426");
}

#[tokio::test]
async fn a_wish_with_a_body_is_a_plain_request() {
    let dyno =
        Dyno::play(1, vec![Read("abc"), Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Hold]).await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    let head = "POST / HTTP/1.1\r\nHost: example.localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n";
    client.send(&format!("{head}Content-Length: 3\r\n\r\nabc")).await;
    assert_eq!(status(&client.read("ok").await), 200);
    assert!(!dyno.seen().to_lowercase().contains("upgrade"), "{}", dyno.seen());
    assert_eq!(field(&bench.line().await, "status"), "200");
}
