//! What the router counts, read as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dyno::domain::WebState;
use dyno::wire::metrics::{Losses, Text, Traffic};

use crate::bench::Act::{Again, Echo, Hold, Pause, Read, Send};
use crate::bench::{Bench, Dyno, quick, status};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nHost: example.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Series by name and labels, after everything was checked that the format asks for.
#[derive(Debug, Default)]
struct Exposition {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

type Labels = BTreeMap<String, String>;

impl Exposition {
    /// Reads a text of the format, strictly.
    fn read(text: &str) -> Self {
        assert!(text.is_empty() || text.ends_with('\n'), "the last line has its end");
        let mut read = Self::default();
        let (mut helped, mut family) = (BTreeSet::new(), String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "helped once: {line}");
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, family, "the type follows the help");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(read.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "typed once: {line}");
            } else {
                read.sample(line, &family);
            }
        }
        read.check_histograms();
        read
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        // What is of no app has no labels.
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert!(name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'), "{line}");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':'), "{line}");
        let kind = &self.kinds[family];
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} stands in {family}"));
        let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.contains(&suffix), "{line} is no part of a {kind}");
        assert!(kind != "counter" || name.ends_with("_total"), "{line}");
        let mut rest = labels.strip_suffix('}').unwrap_or_else(|| panic!("no end of labels: {line}"));
        let mut read = Labels::new();
        while !rest.is_empty() {
            let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
            let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("no end of value: {line}"));
            assert!(!value.contains(['\\', '\n']), "nothing here needs an escape: {line}");
            assert!(read.insert(name.to_owned(), value.to_owned()).is_none(), "named twice: {line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        assert!(self.samples.insert((name.to_owned(), read), value).is_none(), "told twice: {line}");
    }

    /// Buckets only grow, the last one is the count, and there is a sum.
    fn check_histograms(&self) {
        for (name, _) in self.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((sample, labels), count) in &self.samples {
                if *sample == format!("{name}_bucket") {
                    let mut labels = labels.clone();
                    let bound = labels.remove("le").unwrap().parse().unwrap();
                    series.entry(labels).or_default().push((bound, *count));
                }
            }
            for (labels, mut buckets) in series {
                buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
                assert!(buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1), "{buckets:?}");
                let (bound, all) = *buckets.last().unwrap();
                assert_eq!(bound, f64::INFINITY);
                assert_eq!(self.samples.get(&(format!("{name}_count"), labels.clone())), Some(&all));
                assert!(self.samples.contains_key(&(format!("{name}_sum"), labels)));
            }
        }
    }

    /// The value of a series of the app; zero where it was never told.
    fn of(&self, name: &str, label: Option<(&str, &str)>) -> f64 {
        let labels = [Some(("app", "example")), label].into_iter().flatten();
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied().unwrap_or_default()
    }
}

fn read(bench: &Bench) -> Exposition {
    let losses = Losses { lines: 3, silent: 1 };
    Exposition::read(&Text(&Traffic { apps: bench.figures.read(), losses }).to_string())
}

#[tokio::test]
async fn every_request_is_counted_once_by_status_and_code() {
    let slow = Dyno::play(1, vec![Read("\r\n\r\n"), Pause(30), Send(OK), Read("\r\n\r\n"), Hold]).await;
    let bench = Bench::of(&[&slow]).await;
    let before = read(&bench);
    assert_eq!(before.samples.len(), 2, "an app without requests has no series: {before:?}");
    for (name, count) in [("dyno_router_lost_lines_total", 3.0), ("dyno_router_silent", 1.0)] {
        assert_eq!(before.samples[&(name.to_owned(), Labels::new())], count, "{name}");
    }
    assert_eq!(status(&bench.get("/").await), 200);
    assert_eq!(status(&bench.get("/never").await), 503);
    let other = "GET / HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&bench.ask(other).await), 404, "of no app, so of no series");
    bench.lines(2).await;

    let told = read(&bench);
    assert_eq!(told.of("dyno_router_requests_total", Some(("status", "200"))), 1.0);
    assert_eq!(told.of("dyno_router_requests_total", Some(("status", "503"))), 1.0);
    assert_eq!(told.of("dyno_router_requests_total", Some(("status", "404"))), 0.0);
    assert_eq!(told.of("dyno_router_errors_total", Some(("code", "H12"))), 1.0);
    assert_eq!(told.of("dyno_router_requests_in_flight", None), 0.0);
    for histogram in ["queue", "connect", "service"] {
        assert_eq!(told.of(&format!("dyno_router_{histogram}_seconds_count"), None), 2.0, "{histogram}");
    }
    // The first dyno waits 30 ms, the router 300 ms for the second.
    assert!(told.of("dyno_router_service_seconds_sum", None) >= 0.33);
    assert_eq!(told.of("dyno_router_service_seconds_bucket", Some(("le", "0.025"))), 0.0);
}

#[tokio::test]
async fn a_request_that_waits_for_a_dyno_has_queued() {
    let bench = Bench::with(quick(), WebState::Booting).await;
    assert_eq!(status(&bench.get("/").await), 503);
    bench.lines(1).await;
    let told = read(&bench);
    assert_eq!(told.of("dyno_router_errors_total", Some(("code", "H20"))), 1.0);
    assert!(told.of("dyno_router_queue_seconds_sum", None) >= quick().timers.queue.as_secs_f64());
    assert_eq!(told.of("dyno_router_service_seconds_count", None), 0.0, "no dyno has served it");
}

#[tokio::test]
async fn a_tunnel_is_in_flight_and_no_service_time() {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(switched), Echo, Again]).await;
    let bench = Bench::of(&[&dyno]).await;
    let mut client = bench.client().await;
    client.send(UPGRADE).await;
    client.read("\r\n\r\n").await;
    assert_eq!(read(&bench).of("dyno_router_requests_in_flight", None), 1.0);
    drop(client);
    bench.lines(1).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let told = read(&bench);
    assert_eq!(told.of("dyno_router_requests_in_flight", None), 0.0);
    assert_eq!(told.of("dyno_router_requests_total", Some(("status", "101"))), 1.0);
    assert_eq!(told.of("dyno_router_service_seconds_count", None), 0.0);
    assert_eq!(told.of("dyno_router_queue_seconds_count", None), 1.0);
}
