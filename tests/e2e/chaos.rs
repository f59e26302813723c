//! `kill -9` of the control plane at moments nobody chose, while everything goes on: what lives lives on, what died is
//! noticed, what was acknowledged is there, and no line of output is lost or told twice.
//!
//! A seed decides what happens when; a failure prints it. `DYNO_CHAOS_SEED=N` plays it again, as far as the machine's own
//! timing lets it.

#[expect(clippy::fn_params_excessive_bools, reason = "what is asked of a line is a yes or no")]
mod lines;
#[expect(
    clippy::fn_params_excessive_bools,
    clippy::struct_excessive_bools,
    reason = "books of what was and what was not"
)]
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::support::node::{Found, TestNode, eventually};
use crate::{is_possible, teller};
use model::App;

/// Kills of one run, in the short and the long form.
const MOMENTS: u64 = 100;
const MOMENTS_SOAK: u64 = 1000;
/// Every so many kills nothing is done until all is as it is wanted.
const SETTLE_EVERY: u64 = 8;
/// The longest time between what is done and the kill, milliseconds.
const LIFE_MAX_MS: u64 = 400;
/// The longest time that nothing serves, milliseconds.
const PAUSE_MAX_MS: u64 = 150;
/// One start in so many is not waited for before the next kill.
const EARLY_ONE_IN: u32 = 4;
/// Names the seed of a run that is to be played again.
const SEED: &str = "DYNO_CHAOS_SEED";
/// Names another number of kills.
const KILLS: &str = "DYNO_CHAOS_KILLS";

/// What is counted, for people.
#[derive(Debug, Default)]
struct Figures {
    kills: u32,
    before_it_served: u32,
    adopted: usize,
    ended_meanwhile: usize,
    acknowledged: u32,
    cut_off: u32,
    starts: Vec<Duration>,
}

struct Story {
    node: TestNode,
    dice: StdRng,
    apps: Vec<App>,
    /// Containers that were alive at a kill since the node last served.
    lived: BTreeMap<String, Found>,
    /// Those that this test has killed: they have no last words.
    murdered: BTreeSet<String>,
    changes: u32,
    figures: Figures,
}

/// Something that was asked of the node, and whose answer is awaited.
struct Asked {
    client: Child,
    app: usize,
    what: What,
}

enum What {
    /// The config var of this name gets this value.
    Set(String, String),
    /// The process type gets so many dynos.
    Scale(String, u32),
    Restart,
    /// A one-off in the background.
    Job,
    /// A one-off with a client.
    Run,
}

#[test]
fn the_control_plane_may_die_at_any_moment() {
    if !is_possible("the_control_plane_may_die_at_any_moment") {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number(SEED).unwrap_or_else(rand::random);
    let usual = if std::env::var_os("DYNO_SOAK").is_some() { MOMENTS_SOAK } else { MOMENTS };
    let moments = number(KILLS).unwrap_or(usual);
    let told = TellSeed(seed);
    let mut story = Story::begin(seed);
    let visitors = Visitors::start(story.node.router_port);
    for moment in 1..=moments {
        story.moment();
        if moment % SETTLE_EVERY == 0 || moment == moments {
            story.settle();
        }
    }
    let answered = visitors.end();
    story.end(answered);
    drop(told);
}

/// Prints the seed of a run that fails.
struct TellSeed(u64);

impl Drop for TellSeed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{SEED}={} plays this run again", self.0);
        }
    }
}

// === impl Story ===

impl Story {
    fn begin(seed: u64) -> Story {
        // A crash is a matter of a second here, so that crashing dynos start all the time.
        let node = TestNode::configured("chaos", 4, "[dynos]\ncrash_delays_s = [0, 1, 1, 1, 1, 1, 1]\n");
        let formations = [
            ("alpha", "web=2 worker=1", true),
            ("beta", "web=1 worker=2", true),
            ("gamma", "web=0 flood=1 worker=1", true),
            ("delta", "web=0 crasher=1", false),
        ];
        let apps = formations.map(|(name, formation, is_steady)| {
            let source = node.app(name, &teller());
            let pack = json!({"updates": [{"buildpack": teller().join("pack")}]}).to_string();
            let (status, said) = node.api(&format!("PUT /apps/{name}/buildpack-installations"), "", &pack);
            assert_eq!(status, 200, "{said}");
            node.deploy(&source);
            let scale: Vec<_> = ["ps:scale", "-a", name].into_iter().chain(formation.split(' ')).collect();
            node.ok(&scale);
            App::read(&node, name, is_steady)
        });
        let dice = StdRng::seed_from_u64(seed);
        let (lived, murdered, changes) = (BTreeMap::new(), BTreeSet::new(), 0);
        let mut story =
            Story { node, dice, apps: apps.into(), lived, murdered, changes, figures: Figures::default() };
        story.settle();
        story
    }

    /// Things are asked for, the node is killed over them, things happen while it is away, and it comes back.
    fn moment(&mut self) {
        let asked: Vec<Asked> = (0..self.dice.random_range(0..4)).filter_map(|_| self.ask()).collect();
        self.pause(LIFE_MAX_MS);
        self.kill();
        self.hear(asked);
        self.meanwhile();
        loop {
            let started = Instant::now();
            self.node.launch();
            if self.dice.random_ratio(1, EARLY_ONE_IN) {
                self.pause(LIFE_MAX_MS);
                self.kill();
                self.figures.before_it_served += 1;
                continue;
            }
            self.node.await_serving();
            self.figures.starts.push(started.elapsed());
            break;
        }
        self.check();
    }

    fn pause(&mut self, longest_ms: u64) {
        thread::sleep(Duration::from_micros(self.dice.random_range(0..longest_ms * 1000)));
    }

    fn kill(&mut self) {
        self.node.kill();
        self.figures.kills += 1;
        let alive = self.node.containers().into_iter().filter(Found::is_alive);
        self.lived.extend(alive.map(|found| (found.id.clone(), found)));
    }

    /// Asks for something, without waiting for the answer.
    fn ask(&mut self) -> Option<Asked> {
        let app = self.dice.random_range(0..self.apps.len());
        let name = self.apps[app].name.clone();
        let (what, words) = match self.dice.random_range(0..10) {
            0 | 1 => {
                self.changes += 1;
                let (key, value) =
                    (format!("KEY_{}", self.dice.random_range(0..3)), self.changes.to_string());
                let words = vec!["config:set".to_owned(), format!("{key}={value}")];
                (What::Set(key, value), words)
            }
            2 | 3 => {
                let (types, least) =
                    if self.apps[app].is_steady { (["web", "worker"], 0) } else { (["crasher"; 2], 1) };
                let process_type = types[self.dice.random_range(0..types.len())].to_owned();
                let quantity = self.dice.random_range(least..4);
                let words = vec!["ps:scale".to_owned(), format!("{process_type}={quantity}")];
                (What::Scale(process_type, quantity), words)
            }
            4 => {
                self.apps[app].is_shaken = true;
                (What::Restart, vec!["ps:restart".to_owned()])
            }
            5..8 => {
                let words = ["run:detached", "--json", "exec python3 teller.py job"];
                (What::Job, words.map(str::to_owned).into())
            }
            _ => (What::Run, vec!["run".to_owned(), "sleep 1000".to_owned()]),
        };
        if matches!(what, What::Scale(..) | What::Set(..)) && self.apps[app].is_asked_twice(&what) {
            return None;
        }
        let mut command = self.node.command();
        // Before what a one-off runs, which takes every word that follows.
        command.arg(&words[0]).args(["-a", &name]).args(&words[1..]);
        let client = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Some(Asked { client: client.unwrap(), app, what })
    }

    /// Takes the answers of a node that has been killed: what it acknowledged must hold.
    fn hear(&mut self, asked: Vec<Asked>) {
        for Asked { client, app, what } in asked {
            let output = client.wait_with_output().unwrap();
            let is_acknowledged = output.status.success();
            let count =
                if is_acknowledged { &mut self.figures.acknowledged } else { &mut self.figures.cut_off };
            *count += 1;
            let app = &mut self.apps[app];
            match what {
                What::Set(key, value) => app.was_set(&key, value, is_acknowledged),
                What::Scale(process_type, quantity) => {
                    app.was_scaled(&process_type, quantity, is_acknowledged)
                }
                What::Job if is_acknowledged => {
                    let dyno: Value = serde_json::from_slice(&output.stdout).unwrap();
                    app.jobs.insert(dyno["id"].as_str().unwrap().to_owned());
                }
                What::Restart | What::Job | What::Run => {}
            }
        }
    }

    /// What happens while nothing serves: dynos die, and time passes.
    fn meanwhile(&mut self) {
        if self.dice.random_ratio(1, 3) {
            let alive: Vec<_> = self.node.containers().into_iter().filter(Found::is_alive).collect();
            if !alive.is_empty() {
                let victim = &alive[self.dice.random_range(0..alive.len())];
                let killed = Command::new("kill").args(["-9", &victim.pid.to_string()]).status().unwrap();
                eventually("the killed dyno is gone", || !victim.is_alive());
                // One that has ended by itself in between has had its last words.
                if killed.success() {
                    self.murdered.insert(victim.id.clone());
                    self.figures.ended_meanwhile += 1;
                }
            }
        }
        self.pause(PAUSE_MAX_MS);
    }

    /// The node serves again: what lived and is wanted still lives, alone, and what was acknowledged is there.
    fn check(&mut self) {
        for app in &mut self.apps {
            app.resolve(&self.node);
        }
        let lived = std::mem::take(&mut self.lived);
        let started: Vec<_> =
            self.node.containers().into_iter().filter(|found| !lived.contains_key(&found.id)).collect();
        for found in lived.into_values().filter(|found| !self.murdered.contains(&found.id)) {
            let Some(app) = self.apps.iter().find(|app| app.id == found.app) else { continue };
            if !app.is_steady || app.is_shaken || !app.wants(&found) {
                continue;
            }
            assert!(found.is_alive(), "{found:?} of {} lived through the kill and was ended", app.name);
            let twin = started.iter().find(|other| other.is_of_same_dyno(&found));
            assert!(twin.is_none(), "{found:?} of {} lives, and was started again as {twin:?}", app.name);
            self.figures.adopted += 1;
        }
    }

    /// Waits until every app is as it is wanted, each dyno once.
    fn settle(&mut self) {
        for app in &mut self.apps {
            let node = &self.node;
            if app.is_steady {
                eventually(&format!("{} is as it is wanted", app.name), || app.is_settled(node));
            }
            let is_over = |id: &String| node.dynos(&app.name).iter().all(|dyno| dyno.id != *id);
            eventually("every one-off has ended", || app.jobs.iter().all(is_over));
            app.is_shaken = false;
        }
    }

    /// Everything ends in order, and the books are balanced.
    fn end(mut self, answered: u32) {
        for app in &mut self.apps {
            app.resolve(&self.node);
            let types: Vec<_> = app.types().cloned().collect();
            types.iter().for_each(|process_type| app.was_scaled(process_type, 0, true));
            let nothing = types.iter().map(|process_type| format!("{process_type}=0"));
            let words: Vec<_> =
                ["ps:scale", "-a", &app.name].map(str::to_owned).into_iter().chain(nothing).collect();
            self.node.ok(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
        eventually("nothing runs", || {
            self.apps.iter().all(|app| self.node.dynos(&app.name).is_empty())
                && self.node.containers().is_empty()
        });
        let (mut lines, mut dynos) = (0, 0);
        for app in &mut self.apps {
            app.resolve(&self.node);
            app.assert_releases_are_whole(&self.node);
            let told = lines::told(&self.node.root.join("lib/logs").join(&app.id));
            for (id, said) in &told {
                said.assert_whole(id, !self.murdered.contains(id));
                lines += said.count();
            }
            for job in app.jobs.difference(&self.murdered) {
                assert!(
                    told.contains_key(job),
                    "the one-off {job} of {} was acknowledged and never ran",
                    app.name
                );
            }
            dynos += told.len();
        }
        assert_store_is_sound(&self.node.root.join("lib/state.db"));
        let Figures { kills, before_it_served, adopted, ended_meanwhile, acknowledged, cut_off, mut starts } =
            std::mem::take(&mut self.figures);
        starts.sort();
        let (median, longest) = (starts[starts.len() / 2], starts[starts.len() - 1]);
        let figures = format!(
            "chaos: {kills} kills ({before_it_served} before it served); {adopted} times a dyno was taken over, {ended_meanwhile} \
             were ended meanwhile; {acknowledged} requests acknowledged, {cut_off} cut off, {answered} pages served; {dynos} dynos \
             told {lines} lines, each once; from start to serving {} ms, at most {} ms\n",
            median.as_millis(),
            longest.as_millis()
        );
        // Past what the harness keeps back: people want to see it.
        std::io::stderr().write_all(figures.as_bytes()).unwrap();
    }
}

fn assert_store_is_sound(path: &Path) {
    let store = rusqlite::Connection::open(path).unwrap();
    let said: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
}

/// Requests all the time; what is down meanwhile is passed over.
struct Visitors {
    ending: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    thread: thread::JoinHandle<()>,
}

impl Visitors {
    const PAUSE: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_secs(5);

    fn start(port: u16) -> Visitors {
        let (ending, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (ends, counter) = (Arc::clone(&ending), Arc::clone(&answered));
        let thread = thread::spawn(move || {
            for app in ["alpha", "beta"].iter().cycle().take_while(|_| !ends.load(Ordering::Relaxed)) {
                if visit(port, app).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(Self::PAUSE);
            }
        });
        Visitors { ending, answered, thread }
    }

    fn end(self) -> u32 {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.answered.load(Ordering::Relaxed)
    }
}

fn visit(port: u16, app: &str) -> std::io::Result<String> {
    use std::io::Read;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Visitors::PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {app}.localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
