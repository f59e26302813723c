//! A shop in Django over both services: migrations in its release phase, rows from its web process, jobs of its queue to its worker.
//! Under write load everything of ours is killed at random moments, and nothing that was acknowledged is lost.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::is_possible;
use crate::support::node::{TestNode, eventually};

/// Names the seed of a run that is to be played again, as far as the machine's own timing allows.
const SEED: &str = "DYNO_CRASH_SEED";
/// What is killed, each as often as it stands here, in an order that the seed decides.
const KILLS: [Target; 20] = [
    Target::Node,
    Target::Node,
    Target::Node,
    Target::Router,
    Target::Router,
    Target::Router,
    Target::Service("books"),
    Target::Service("books"),
    Target::Service("books"),
    Target::Service("books"),
    Target::Service("jobs"),
    Target::Service("jobs"),
    Target::Service("jobs"),
    Target::Dyno("web"),
    Target::Dyno("web"),
    Target::Dyno("worker"),
    Target::Dyno("worker"),
    Target::Everything,
    Target::Everything,
    Target::Everything,
];
/// The longest pause before a kill, milliseconds.
const PAUSE_MS_MAX: u64 = 1500;
/// Writers at a time.
const WRITERS: u64 = 3;
/// Rows that there are when the backup is taken.
const BEFORE: u64 = 20;
/// Dynos that crash are back in a second, so that all of them are killed while they work.
const CONFIG: &str = "[dynos]\ncrash_delays_s = [0, 1, 1, 1, 1, 1, 1]\n";

#[derive(Clone, Copy, Debug)]
enum Target {
    /// The control plane.
    Node,
    Router,
    /// The container of the add-on of this name.
    Service(&'static str),
    /// The dynos of this process type.
    Dyno(&'static str),
    /// All of these at once.
    Everything,
}

#[test]
fn nothing_acknowledged_is_lost_whatever_is_killed_and_a_backup_holds_what_it_held() {
    let name = "nothing_acknowledged_is_lost_whatever_is_killed_and_a_backup_holds_what_it_held";
    if !is_possible(name) {
        return;
    }
    let seed = std::env::var(SEED).ok().map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("the moments are those of {SEED}={seed}");
    let told = TellSeed(seed);
    let mut dice = StdRng::seed_from_u64(seed);
    let mut node = TestNode::configured("addons-crash", 6, CONFIG);
    let before = a_shop_that_is_backed_up(&node);
    let mut kills = KILLS;
    kills.shuffle(&mut dice);
    let load = Load::begin(&node);
    for target in kills {
        std::thread::sleep(Duration::from_millis(dice.random_range(0..PAUSE_MS_MAX)));
        strike(&mut node, target);
    }
    let acknowledged = load.end();
    eventually("the shop answers again", || {
        ["/orders", "/done"].iter().all(|path| get(&node, path).0 == 200)
    });
    assert_kept(&acknowledged.rows, &numbers(&node, "/orders"), "rows");
    eventually("what was queued is done", || {
        let (status, text) = get(&node, "/done");
        status == 200 && acknowledged.jobs.is_subset(&read(&text))
    });
    assert_kept(&acknowledged.jobs, &numbers(&node, "/done"), "jobs");
    println!("kept all of {} rows and did all of {} jobs", acknowledged.rows.len(), acknowledged.jobs.len());
    node.ok(&["pg:backups:restore", "b001", "--confirm", "shop", "-a", "shop"]);
    eventually("what is restored is read", || get(&node, "/orders").0 == 200);
    assert_eq!(numbers(&node, "/orders"), before, "the backup of before all crashes");
    drop(told);
}

/// Prints the seed of a run that fails.
struct TellSeed(u64);

impl Drop for TellSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{SEED}={} plays this run again", self.0);
        }
    }
}

/// Both add-ons first, for the release phase of the first push; then rows, and a backup of them.
fn a_shop_that_is_backed_up(node: &TestNode) -> BTreeSet<u64> {
    let source = node.app("shop", &shop());
    node.ok(&["addons:create", "postgresql", "--name", "books", "-a", "shop"]);
    node.ok(&["addons:create", "redis", "--name", "jobs", "-a", "shop"]);
    node.ok(&["addons:wait", "-a", "shop"]);
    let said = node.deploy(&source);
    assert!(said.contains("Applying orders.0001_initial... OK"), "the release phase migrates: {said}");
    node.ok(&["ps:scale", "worker=1", "-a", "shop"]);
    for number in 1..=BEFORE {
        eventually("the shop keeps an order", || get(node, &format!("/order/{number}")).0 == 200);
    }
    assert_eq!(get(node, "/job/1").0, 200);
    let works = || eventually("the worker works", || numbers(node, "/done") == [1].into());
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(works)).is_err() {
        panic!("the worker does not work: {}", node.ok(&["logs", "-n", "100", "-a", "shop"]));
    }
    node.ok(&["pg:backups:capture", "--verify", "-a", "shop"]);
    let before = numbers(node, "/orders");
    assert_eq!(before, (1..=BEFORE).collect());
    before
}

fn strike(node: &mut TestNode, target: Target) {
    let is_whole = matches!(target, Target::Everything);
    // While the node is there: it tells what there is.
    let victims = victims(node, target);
    if is_whole || matches!(target, Target::Node) {
        node.kill();
    }
    for pid in victims {
        kill(pid);
    }
    if is_whole || matches!(target, Target::Node) {
        node.serve();
    }
}

/// Processes to be killed; of what is being started anew at this very moment there is none.
fn victims(node: &TestNode, target: Target) -> Vec<u32> {
    let of = |target| victims(node, target);
    match target {
        Target::Node => Vec::new(),
        Target::Router => routers(node),
        Target::Service(name) => service_pid(node, name).into_iter().collect(),
        Target::Dyno(class) => {
            let dynos =
                node.containers().into_iter().filter(|found| found.class == class && found.is_alive());
            dynos.map(|found| found.pid).collect()
        }
        Target::Everything => [
            of(Target::Router),
            of(Target::Service("books")),
            of(Target::Service("jobs")),
            of(Target::Dyno("web")),
            of(Target::Dyno("worker")),
        ]
        .concat(),
    }
}

/// The router's processes of this node: their command line says which directory is theirs.
fn routers(node: &TestNode) -> Vec<u32> {
    let root = node.root.to_str().unwrap().to_owned();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let role = line.split('\0').nth(1).unwrap_or_default().to_owned();
        role.contains("router") && line.contains(&root)
    })
    .collect()
}

fn assert_kept(acknowledged: &BTreeSet<u64>, kept: &BTreeSet<u64>, what: &str) {
    let lost: Vec<_> = acknowledged.difference(kept).collect();
    assert!(lost.is_empty(), "lost {lost:?} of {} acknowledged {what}", acknowledged.len());
    let enough = acknowledged.len() > 50;
    assert!(enough, "there was too little load to lose anything: {} {what}", acknowledged.len());
}

fn shop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/shop")
}

/// Process id of a service's init, as its record has it.
fn service_pid(node: &TestNode, name: &str) -> Option<u32> {
    let all: Value = serde_json::from_str(&node.ok(&["addons", "--json", "-a", "shop"])).unwrap();
    let id = all.as_array().unwrap().iter().find(|addon| addon["name"] == name).unwrap()["id"].clone();
    let container = format!("service-{}", id.as_str().unwrap());
    let record = node.root.join("run/containers").join(container).join("record.json");
    let record: Value = serde_json::from_slice(&std::fs::read(record).ok()?).ok()?;
    u32::try_from(record["pid"].as_u64()?).ok()
}

/// One that has ended by itself a moment ago is nobody to be killed.
fn kill(pid: u32) {
    let _gone = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
}

fn numbers(node: &TestNode, path: &str) -> BTreeSet<u64> {
    let (status, text) = get(node, path);
    assert_eq!(status, 200, "{text}");
    read(&text)
}

fn read(text: &str) -> BTreeSet<u64> {
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
        let (next, router) = (Arc::new(AtomicU64::new(1000)), node.router_port);
        let writer = |_| {
            let (stop, next) = (Arc::clone(&stop), Arc::clone(&next));
            let acknowledged: Arc<Mutex<Acknowledged>> = Arc::clone(&acknowledged);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if is_kept(router, &format!("/order/{number}")) {
                        acknowledged.lock().unwrap().rows.insert(number);
                    }
                    if is_kept(router, &format!("/job/{number}")) {
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
    let is_kept =
        answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with("kept\n"));
    if !is_kept {
        // Where nobody is there to answer, asking again at once keeps the processor from who is to be.
        std::thread::sleep(Duration::from_millis(20));
    }
    is_kept
}

/// Status and body; status 0 where the connection broke off, as it does where a router was killed a moment ago.
fn get(node: &TestNode, path: &str) -> (u16, String) {
    let answer = request(node.router_port, path).unwrap_or_default();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}

/// One request on a connection of its own; nothing where it broke off.
fn request(router: u16, path: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", router)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(35))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
