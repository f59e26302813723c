//! A loaded app alone, and beside a build that eats processors and memory.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dyno::sys::scheduling::{Scheduling, set_scheduling};

use crate::measure::until;
use crate::requests::{self, Stream};
use crate::support::node::TestNode;
use crate::{APP, Arguments, NEIGHBOUR_AIM_PERCENT};

/// The app that builds.
const EATER: &str = "eater";
/// What it does: a busy loop for each processor and one more, and two GiB of memory that are written over and over.
const COMPILE: &str = "#!/bin/bash
for n in $(seq $(($(nproc) + 1))); do (while :; do :; done) & done
python3 - <<'SCRIPT' &
block = bytearray(2 << 30)
while True:
    for at in range(0, len(block), 4096):
        block[at] = at & 255
SCRIPT
echo begun
sleep 3600
";

/// Measures both and prints them: whether the aim is reached.
pub fn measure(node: &TestNode, arguments: &Arguments) -> bool {
    serve(node);
    let span = Duration::from_secs(arguments.seconds);
    // The first requests of a server are not those of a loaded one.
    let _warm = load(node, arguments.rate, Duration::from_secs(5));
    let alone = load(node, arguments.rate, span);
    let building = Building::begin(node);
    let beside = load(node, arguments.rate, span);
    drop(building);
    println!("## A loaded app beside a build: {} requests a second\n", arguments.rate);
    println!("| | requests | failed | p50 ms | p99 ms |\n| --- | ---: | ---: | ---: | ---: |");
    for (name, seen) in [("alone", &alone), ("beside a build", &beside)] {
        println!(
            "| {name} | {} | {} | {:.2} | {:.2} |",
            seen.spans.len(),
            seen.failed.len(),
            quantile(seen, 0.5),
            quantile(seen, 0.99)
        );
    }
    let worse = (quantile(&beside, 0.99) / quantile(&alone, 0.99) - 1.0) * 100.0;
    let is_reached = worse <= NEIGHBOUR_AIM_PERCENT && beside.failed.is_empty();
    let told = if is_reached { "reached" } else { "missed" };
    println!("\nslowest hundredth: {worse:+.1} % (aim: {NEIGHBOUR_AIM_PERCENT} %, {told})\n");
    is_reached
}

fn serve(node: &TestNode) {
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).unwrap();
    write(
        "package.json",
        "{\"name\": \"loaded\", \"version\": \"1.0.0\", \"scripts\": {\"start\": \"node index.js\"}}",
    );
    write(
        "index.js",
        "require('http').createServer((_, answer) => answer.end('ok')).listen(process.env.PORT, '0.0.0.0');\n",
    );
    let source = node.app(APP, files.path());
    node.deploy(&source);
    until("the loaded app answers", || node.get(APP, "/").0 == 200);
}

/// A build that does not end by itself.
struct Building(Child);

impl Building {
    fn begin(node: &TestNode) -> Self {
        let pack = node.root.join("eating-pack");
        std::fs::create_dir_all(pack.join("bin")).unwrap();
        for (name, text) in [("detect", "#!/bin/sh\necho Eater\n"), ("compile", COMPILE)] {
            std::fs::write(pack.join("bin").join(name), text).unwrap();
        }
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("a.txt"), "").unwrap();
        let source = node.app(EATER, files.path());
        node.ok(&["buildpacks:set", pack.to_str().unwrap(), "-a", EATER]);
        let child = Self::push(&source);
        until("the build eats", || is_eating(node));
        Self(child)
    }

    fn push(source: &Path) -> Child {
        Command::new("git")
            .args(["push", "heroku", "main"])
            .env("GIT_TERMINAL_PROMPT", "0")
            .current_dir(source)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // The build itself ends with the node.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Whether the build's own output says so.
fn is_eating(node: &TestNode) -> bool {
    let builds = node.root.join("lib/builds");
    let apps = std::fs::read_dir(builds).into_iter().flatten().flatten();
    let logs = apps.flat_map(|app| std::fs::read_dir(app.path()).into_iter().flatten().flatten());
    let texts = logs.filter_map(|log| std::fs::read_to_string(log.path()).ok());
    texts.into_iter().any(|text| text.lines().any(|line| line == "begun"))
}

/// Requests at a steady rate for so long. They stand for clients on other machines, so who sends them must not wait for a processor
/// of this one: that would be counted as the node's.
fn load(node: &TestNode, rate: u32, span: Duration) -> Stream {
    let send = || {
        let policy = u32::try_from(libc::SCHED_FIFO).unwrap();
        set_scheduling(0, &Scheduling { policy, priority: 1, ..Scheduling::default() }).unwrap();
        requests::during(node.router_port, rate, || std::thread::sleep(span)).0
    };
    // A thread of its own, whose threads have its policy; those that start builds have not.
    std::thread::scope(|scope| scope.spawn(send).join().unwrap())
}

/// By the nearest rank, in milliseconds.
fn quantile(seen: &Stream, share: f64) -> f64 {
    let rank = (share * seen.spans.len() as f64).ceil() as usize;
    seen.spans.get(rank.max(1) - 1).map_or(f64::NAN, |span| span.as_secs_f64() * 1e3)
}
