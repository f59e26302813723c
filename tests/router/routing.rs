//! What an app has chosen for its requests, beside what holds for others.

use std::time::Duration;

use dyno::domain::{Choice, Route, RouteOptions, WebState};
use tokio::time::Instant;

use crate::bench::Act::{Again, Echo, Hold, Pause, Read, Send};
use crate::bench::{Bench, Dyno, field, quick, route, status};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A bench whose app has chosen this.
async fn bench(dynos: &[&Dyno], options: RouteOptions) -> Bench {
    let bench = Bench::of(dynos).await;
    let web = WebState::Up(dynos.iter().map(|dyno| dyno.backend.clone()).collect());
    bench.publish(Route { options, ..route(web) });
    bench
}

#[tokio::test]
async fn an_apps_own_time_for_the_first_byte_holds() {
    let limit = quick().timers.first_byte;
    let slow = u64::try_from(2 * limit.as_millis()).unwrap();
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Pause(slow), Send(OK), Again]).await;
    let patient = RouteOptions { first_byte: Some(20 * limit), ..RouteOptions::default() };
    let bench = bench(&[&dyno], patient).await;
    assert_eq!(status(&bench.get("/").await), 200);
    let web = WebState::Up(vec![dyno.backend.clone()]);
    let hasty = RouteOptions { first_byte: Some(limit / 3), ..RouteOptions::default() };
    for options in [RouteOptions::default(), hasty] {
        bench.publish(Route { options, ..route(web.clone()) });
        assert_eq!(status(&bench.get("/").await), 503);
        let line = bench.raw_lines().pop().unwrap();
        assert_eq!(field(&line, "code"), "H12", "{line}");
    }
}

#[tokio::test]
async fn an_apps_own_time_of_silence_holds_for_answers_uploads_and_tunnels() {
    let limit = quick().timers.idle;
    let long = u64::try_from(2 * limit.as_millis()).unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok";
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(head), Pause(long), Send("ok"), Again]).await;
    let patient = RouteOptions { rolling: Some(20 * limit), ..RouteOptions::default() };
    let one = bench(&[&dyno], patient).await;
    assert!(one.get("/").await.ends_with("okok"), "the dyno falls silent in between");

    let dyno = Dyno::play(1, vec![Read("late"), Send(OK), Again]).await;
    let other = bench(&[&dyno], patient).await;
    let mut client = other.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: example.localhost\r\nContent-Length: 4\r\nConnection: close\r\n\r\n")
        .await;
    tokio::time::sleep(2 * limit).await;
    client.send("late").await;
    assert_eq!(status(&client.rest().await), 200, "the client falls silent in between");

    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(switch), Echo]).await;
    let third = bench(&[&dyno], patient).await;
    let mut client = third.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: example.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    client.read("\r\n\r\n").await;
    tokio::time::sleep(2 * limit).await;
    client.send("hello").await;
    client.read("hello").await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up_after_the_apps_own_time() {
    let limit = quick().timers.idle;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n";
    let acts = vec![Read("\r\n\r\n"), Send(head), crate::bench::Act::SendBytes(50_000_000), Hold];
    let dyno = Dyno::play(1, acts).await;
    let patient = RouteOptions { rolling: Some(3 * limit), ..RouteOptions::default() };
    let bench = bench(&[&dyno], patient).await;
    let start = Instant::now();
    let mut client = bench.client().await;
    client.send("GET / HTTP/1.1\r\nHost: example.localhost\r\n\r\n").await;
    let line = bench.line().await;
    assert_eq!((field(&line, "code"), field(&line, "sock")), ("H28", "client"), "{line}");
    assert!(start.elapsed() >= 3 * limit, "not before");
}

#[tokio::test]
async fn the_dyno_with_the_fewest_requests_is_asked() {
    let busy = Dyno::play(1, vec![Read("\r\n\r\n"), Hold]).await;
    let idle = Dyno::play(2, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let mut config = quick();
    config.timers.first_byte = Duration::from_secs(60);
    let bench = Bench::with(config, WebState::Up(vec![busy.backend.clone()])).await;
    let options = RouteOptions { choice: Choice::LeastConnections, ..RouteOptions::default() };
    // The first one has one in hand, before there is a second.
    bench.publish(Route { options, ..route(WebState::Up(vec![busy.backend.clone()])) });
    let mut held = bench.client().await;
    held.send("GET /held HTTP/1.1\r\nHost: example.localhost\r\n\r\n").await;
    while !busy.seen().contains("/held") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.publish(Route { options, ..route(WebState::Up(vec![busy.backend.clone(), idle.backend.clone()])) });
    for _ in 0..32 {
        assert_eq!(status(&bench.get("/").await), 200);
    }
    assert!(bench.lines(32).await.iter().all(|line| field(line, "dyno") == "web.2"));
    drop(held);
    bench.lines(33).await;
    let answered = async {
        // Both have none in hand now, so that the first one is asked at last.
        while busy.taken() < 2 {
            let mut client = bench.client().await;
            client.send("GET / HTTP/1.1\r\nHost: example.localhost\r\n\r\n").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::bench::PATIENCE, answered).await.expect("what is over is not in hand");
}
