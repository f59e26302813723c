//! Connections: kept, dropped, slow, and at the router's end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dyno::domain::WebState;
use dyno::router::{Ends, ListenError, LoopbackConnector, Router, RouterConfig, RouterLog};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::bench::Act::{Again, Hold, Pause, Read, Send};
use crate::bench::{Bench, Dyno, field, quick, route, status};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_kept_connection_is_closed_when_its_dyno_leaves() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = Bench::of(&[&dyno]).await;
    bench.get("/").await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(dyno.closed.load(Ordering::SeqCst), 0, "it is kept while the dyno is there");
    bench.publish(route(WebState::Booting));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(dyno.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn connections_of_one_dyno_are_never_used_for_another() {
    let old = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let new = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = Bench::of(&[&old]).await;
    bench.get("/").await;
    bench.publish(route(WebState::Up(vec![new.backend.clone()])));
    bench.get("/").await;
    assert_eq!((old.taken(), new.taken()), (1, 1));
}

#[tokio::test]
async fn a_connection_the_dyno_has_closed_is_not_used_again() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK)]).await;
    let bench = Bench::of(&[&dyno]).await;
    for _ in 0..20 {
        assert_eq!(status(&bench.get("/").await), 200);
    }
    assert_eq!(dyno.taken(), 20);
}

#[tokio::test]
async fn requests_spread_over_all_dynos() {
    let (one, two) = (
        Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await,
        Dyno::play(2, vec![Read("\r\n\r\n"), Send(OK), Again]).await,
    );
    let bench = Bench::of(&[&one, &two]).await;
    for _ in 0..60 {
        bench.get("/").await;
    }
    let lines = bench.lines(60).await;
    let ones = lines.iter().filter(|line| field(line, "dyno") == "web.1").count();
    assert!((10..=50).contains(&ones), "{ones} of 60");
}

#[tokio::test]
async fn slow_heads_and_unused_connections_are_closed() {
    let bench = Bench::with(quick(), WebState::Blank).await;
    for text in ["", "GET / HTTP/1.1\r\nHo"] {
        let start = Instant::now();
        let mut client = bench.client().await;
        client.send(text).await;
        assert_eq!(client.rest().await, "");
        assert!(start.elapsed() >= Duration::from_millis(450) && start.elapsed() < Duration::from_secs(3));
    }
    bench.lines(0).await;
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_slot() {
    let mut config = quick();
    config.limits.connections = 1;
    let bench = Bench::with(config, WebState::Crashed).await;
    let mut first = bench.client().await;
    // One that says nothing is in nobody's way for a while.
    first.send("GET").await;
    sleep(Duration::from_millis(50)).await;
    let mut second = bench.client().await;
    second.send("GET / HTTP/1.1\r\nHost: example.localhost\r\nConnection: close\r\n\r\n").await;
    sleep(Duration::from_millis(100)).await;
    bench.lines(0).await;
    drop(first);
    assert_eq!(status(&second.rest().await), 503);
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Pause(150), Send(OK), Hold]).await;
    let mut bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    client.send("GET / HTTP/1.1\r\nHost: example.localhost\r\n\r\n").await;
    sleep(Duration::from_millis(50)).await;
    bench.stop();
    let answer = client.rest().await;
    assert_eq!(status(&answer), 200);
    assert!(answer.ends_with("ok"), "{answer}");
    bench.stopped().await;
    assert!(tokio::net::TcpStream::connect(bench.address).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let mut config = quick();
    config.timers.first_byte = Duration::from_secs(60);
    let dyno = Dyno::play(1, vec![Hold]).await;
    let mut bench = Bench::with(config, WebState::Up(vec![dyno.backend.clone()])).await;
    let mut client = bench.client().await;
    client.send("GET / HTTP/1.1\r\nHost: example.localhost\r\n\r\n").await;
    sleep(Duration::from_millis(50)).await;
    bench.stop();
    bench.stopped().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(field(&bench.line().await, "code"), "H24");
}

#[tokio::test]
async fn the_last_table_is_served_when_its_publisher_is_gone() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let mut bench = Bench::of(&[&dyno]).await;
    let (other, _) = watch::channel(Arc::default());
    drop(std::mem::replace(&mut bench.table, other));
    sleep(Duration::from_millis(50)).await;
    assert_eq!(status(&bench.get("/").await), 200);
}

struct Nowhere;

impl RouterLog for Nowhere {
    fn line(&self, _: &dyno::domain::AppId, _: &dyno::wire::router_line::RouterLine<'_>) {}
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().unwrap();
    let config = RouterConfig { listen: vec![address], ..quick() };
    let (_table, receiver) = watch::channel(Arc::default());
    let ends = Ends {
        table: receiver,
        certificates: watch::channel(Arc::default()).1,
        log: Arc::new(Nowhere),
        connector: Arc::new(LoopbackConnector),
    };
    let bound = Router::bind(config, ends).await;
    let error = bound.err().unwrap();
    assert!(matches!(error, ListenError::Taken(taken) if taken == address));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {address}: another program uses this port; stop it (`ss -ltnp` names it) or give the \
             router another address"
        )
    );
}
