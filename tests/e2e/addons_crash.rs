//! Nothing that was acknowledged is lost: PostgreSQL and Redis under write load, killed at random moments, and the node with them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::is_possible;
use crate::support::node::{TestNode, eventually};

/// Names the seed of a run that is to be played again, as far as the machine's own timing allows.
const SEED: &str = "DYNO_CRASH_SEED";
/// How often something is killed.
const KILLS: u32 = 20;
/// Of these the node is killed too.
const NODE_EVERY: u32 = 5;
/// The longest pause before a kill, milliseconds.
const PAUSE_MS_MAX: u64 = 1500;
/// Writers at a time.
const WRITERS: u64 = 3;

#[test]
fn nothing_acknowledged_is_lost_whatever_is_killed_and_a_backup_holds_what_it_held() {
    let name = "nothing_acknowledged_is_lost_whatever_is_killed_and_a_backup_holds_what_it_held";
    if !is_possible(name) {
        return;
    }
    let seed = std::env::var(SEED).ok().map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("the moments are those of {SEED}={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut node = TestNode::start("addons-crash", 6);
    node.deploy(&node.app("ledger", &ledger()));
    node.ok(&["addons:create", "postgresql", "--name", "books", "-a", "ledger"]);
    node.ok(&["addons:create", "redis", "--name", "jobs", "-a", "ledger"]);
    node.ok(&["addons:wait", "-a", "ledger"]);
    // A row that was kept and not acknowledged is refused the second time.
    eventually("the app writes rows", || {
        let (status, text) = node.get("ledger", "/add/1");
        status == 200 || text.contains("duplicate key")
    });
    eventually("the app queues jobs", || node.get("ledger", "/push/1").0 == 200);
    let services = services(&node);
    let load = Load::begin(&node);
    for round in 1..=KILLS {
        std::thread::sleep(Duration::from_millis(dice.random_range(0..PAUSE_MS_MAX)));
        let id = &services[dice.random_range(0..services.len())];
        if round % NODE_EVERY == 0 {
            node.kill();
        }
        // One that is being started anew at this very moment has been killed before.
        if let Some(pid) = service_pid(&node, id) {
            kill(pid);
        }
        if round % NODE_EVERY == 0 {
            node.serve();
        }
    }
    let acknowledged = load.end();
    eventually("both answer again", || {
        node.get("ledger", "/all").0 == 200 && node.get("ledger", "/jobs").0 == 200
    });
    for (path, acknowledged) in [("/all", &acknowledged.rows), ("/jobs", &acknowledged.jobs)] {
        let kept = numbers(&node, path);
        let lost: Vec<_> = acknowledged.difference(&kept).collect();
        assert!(lost.is_empty(), "{path} lost {lost:?} of {} acknowledged", acknowledged.len());
        assert!(
            acknowledged.len() > 50,
            "there was too little load to lose anything: {}",
            acknowledged.len()
        );
    }
    println!("kept all of {} rows and {} jobs", acknowledged.rows.len(), acknowledged.jobs.len());
    a_backup_holds_what_it_held(&node);
}

fn a_backup_holds_what_it_held(node: &TestNode) {
    let before = numbers(node, "/all");
    node.ok(&["pg:backups:capture", "--verify", "-a", "ledger"]);
    for (pid, number) in services(node).iter().filter_map(|id| service_pid(node, id)).zip(90_000_001_u64..) {
        kill(pid);
        eventually("a row is added after the crash", || {
            node.get("ledger", &format!("/add/{number}")).0 == 200
        });
    }
    assert_ne!(numbers(node, "/all"), before);
    node.ok(&["pg:backups:restore", "--confirm", "ledger", "-a", "ledger"]);
    eventually("what is restored is read", || node.get("ledger", "/all").0 == 200);
    assert_eq!(numbers(node, "/all"), before);
}

fn ledger() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/ledger")
}

fn services(node: &TestNode) -> Vec<String> {
    let all: Value = serde_json::from_str(&node.ok(&["addons", "--json", "-a", "ledger"])).unwrap();
    all.as_array().unwrap().iter().map(|addon| addon["id"].as_str().unwrap().to_owned()).collect()
}

/// Process id of the container's init, as its record has it.
fn service_pid(node: &TestNode, id: &str) -> Option<u32> {
    let record = node.root.join("run/containers").join(format!("service-{id}")).join("record.json");
    let record: Value = serde_json::from_slice(&std::fs::read(record).ok()?).ok()?;
    u32::try_from(record["pid"].as_u64()?).ok()
}

/// A container that has ended by itself a moment ago has nobody to be killed.
fn kill(pid: u32) {
    let _gone = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
}

fn numbers(node: &TestNode, path: &str) -> BTreeSet<u64> {
    let (status, text) = node.get("ledger", path);
    assert_eq!(status, 200, "{text}");
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// Writers, and what was acknowledged to them.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Acknowledged>>,
    writers: Vec<std::thread::JoinHandle<()>>,
}

#[derive(Clone, Default)]
struct Acknowledged {
    rows: BTreeSet<u64>,
    jobs: BTreeSet<u64>,
}

impl Load {
    fn begin(node: &TestNode) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (next, router) = (Arc::new(AtomicU64::new(100)), node.router_port);
        let writer = |_| {
            let (stop, next) = (Arc::clone(&stop), Arc::clone(&next));
            let acknowledged: Arc<Mutex<Acknowledged>> = Arc::clone(&acknowledged);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if is_kept(router, &format!("/add/{number}")) {
                        acknowledged.lock().unwrap().rows.insert(number);
                    }
                    if is_kept(router, &format!("/push/{number}")) {
                        acknowledged.lock().unwrap().jobs.insert(number);
                    }
                }
            })
        };
        let writers = (0..WRITERS).map(writer).collect();
        Self { stop, acknowledged, writers }
    }

    fn end(self) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.join().unwrap();
        }
        self.acknowledged.lock().unwrap().clone()
    }
}

/// Whether the app says that it has kept what was asked; nobody knows of what was not answered.
fn is_kept(router: u16, path: &str) -> bool {
    let answer = request(router, path);
    answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with("kept\n"))
}

/// One request on a connection of its own; nothing where it broke off.
fn request(router: u16, path: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", router)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(35))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: ledger.localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
