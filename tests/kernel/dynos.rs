//! Dynos on the real engine: the supervisor, the runtime and the network together, on a stack of a shell and busybox.
#![expect(clippy::unwrap_used, reason = "in a test a panic is how a failure is told")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dyno::domain::{
    AppId, ConfigVars, DynoId, DynoSize, DynoState, Formation, FormationEntry, Sizes, Version, WebState,
};
use dyno::logs::{Filter, LogService, Tail};
use dyno::runtime::network::{Ipv4Net, NetworkConfig, NodeNetwork};
use dyno::runtime::slots::Slots;
use dyno::supervisor::engine::fake::FakeEngine;
use dyno::supervisor::engine::{Home, NativeConfig, NativeEngine, STORE_ID, Streams};
use dyno::supervisor::lifecycle::Timings;
use dyno::supervisor::service::Gate;
use dyno::supervisor::{
    Connection, DesiredApp, OneOff, ReleaseImage, RuntimeMetrics, Scope, StackImage, Supervisor,
    SupervisorConfig,
};
use futures_util::StreamExt;
use uuid::Uuid;

use crate::support::container::{Node, PATIENCE, can_run};
use crate::support::patience::patient;

/// Index of a test's node is taken from here on: high, so that it does not meet one that serves.
const INDEX_FIRST: u32 = 27;
const APP: AppId = AppId(Uuid::from_u128(0x5eed));
const SLUG: &str = "5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed";
/// A web process that serves files, and says what it sees.
const WEB: &str = "/app/look; exec busybox httpd -f -p 0.0.0.0:$PORT -h /app";

/// A node's dynos, and what they stand on.
struct Bench {
    /// Another in every test: they run at once.
    index: u32,
    node: Node,
    logs: LogService,
    supervisor: Supervisor,
}

impl Bench {
    async fn build(number: u32) -> Self {
        let index = INDEX_FIRST + number;
        let node = Node::start().await;
        let lib = node.dir.path().join("lib");
        make_stack(&lib.join("stack"));
        make_slug(&lib.join("slugs").join(SLUG).join("app"));
        let logs = LogService::open(lib.join("logs")).unwrap();
        let supervisor = Self::supervise(index, &node, &logs).await;
        Self { index, node, logs, supervisor }
    }

    async fn supervise(index: u32, node: &Node, logs: &LogService) -> Supervisor {
        let network = Arc::new(NodeNetwork::setup(network(index, node)).await.unwrap());
        let config = NativeConfig {
            index,
            lib_dir: node.dir.path().join("lib"),
            resolvers: vec!["192.0.2.53".parse().unwrap()],
            sizes: Sizes::default(),
            home: Home::Slug,
        };
        let engine = NativeEngine::new(
            (node.reconnect().await, Arc::clone(&network)),
            Slots::new(),
            Gate::new(network),
            config,
        );
        let timings = Timings { sample: Duration::from_secs(1), ..Timings::default() };
        let config = SupervisorConfig { timings, metrics: RuntimeMetrics::On, ..SupervisorConfig::default() };
        Supervisor::start(Arc::new(engine), logs.clone(), config)
    }

    /// As `kill -9` and a new start: nothing of the old supervisor is asked to end anything.
    async fn serve_again(&mut self) {
        self.supervisor = Self::supervise(self.index, &self.node, &self.logs).await;
        self.supervisor.adopt(vec![self.app(1)]).await.unwrap();
    }

    fn image(&self) -> Arc<ReleaseImage> {
        let config = BTreeMap::from([("GREETING".to_owned(), "hello $HOME".to_owned())]);
        Arc::new(ReleaseImage {
            version: Version(1),
            slug: SLUG.parse().unwrap(),
            stack: StackImage {
                name: "cedar-13".parse().unwrap(),
                version: "1".to_owned(),
                layers: vec![self.node.dir.path().join("lib/stack")],
                env: vec![("STACK".to_owned(), "heroku-24".to_owned())],
            },
            config: ConfigVars::new(config).unwrap(),
            commands: BTreeMap::from([("web".parse().unwrap(), WEB.to_owned())]),
            metadata: BTreeMap::new(),
        })
    }

    fn app(&self, quantity: u32) -> DesiredApp {
        DesiredApp {
            app: APP,
            name: "sample".parse().unwrap(),
            hostnames: vec!["sample.localhost".parse().unwrap()],
            release: Some(self.image()),
            formation: Formation::new([FormationEntry {
                process_type: "web".parse().unwrap(),
                quantity,
                size: DynoSize::Basic,
                stop_grace: None,
            }]),
            maintenance: false,
            preferences: Default::default(),
            earlier: vec![],
        }
    }

    fn one_off(&self, command: &str, connection: Connection) -> OneOff {
        OneOff {
            id: DynoId(Uuid::new_v4()),
            name: "run.4711".parse().unwrap(),
            app: APP,
            release: self.image(),
            command: command.to_owned(),
            size: DynoSize::Basic,
            env: BTreeMap::new(),
            connection,
            time_to_live: None,
        }
    }

    async fn log(&self) -> String {
        self.logs.flush().await;
        let lines = self.logs.session(APP, Filter::default(), 1500, Tail::End);
        lines.map(|line| format!("{line}\n")).collect::<String>().await
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < patient(PATIENCE), "not so: {what}; the log:\n{}", self.log().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn up(&self, count: usize) {
        let is_up = || match &self.supervisor.routes().borrow().routes["sample.localhost"].web {
            WebState::Up(up) => up.len() == count,
            WebState::Blank | WebState::NoneWanted | WebState::Crashed | WebState::Booting => false,
        };
        self.until("the dynos are up", is_up).await;
    }

    /// Process ids of the inits, on the host, as the records have them: adopting sweeps up what has none yet, and containers
    /// start here all the time.
    fn inits(&self) -> Vec<u32> {
        let entries =
            fs::read_dir(self.node.dir.path().join("run/containers")).into_iter().flatten().flatten();
        let records = entries.filter_map(|entry| fs::read(entry.path().join("record.json")).ok());
        let pid =
            |record: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&record).ok()?["pid"].as_u64();
        records.filter_map(pid).filter_map(|pid| u32::try_from(pid).ok()).collect()
    }

    fn scratch(&self) -> Vec<PathBuf> {
        let dir = self.node.dir.path().join("lib/scratch");
        fs::read_dir(dir)
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default()
    }

    /// Stops everything, and sees that nothing is left.
    async fn finish(self) {
        self.supervisor.stop_all(Duration::from_secs(5)).await.unwrap();
        assert_eq!((self.inits(), self.scratch()), (vec![], vec![]));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for found in self.node.runtime.adopt_all().unwrap_or_default() {
            let _ = found.container.kill();
        }
        let config = network(self.index, &self.node);
        let taken_down = std::thread::spawn(move || {
            let waiter = tokio::runtime::Builder::new_current_thread().enable_all().build();
            waiter.map(|waiter| waiter.block_on(NodeNetwork::teardown(config)).is_ok())
        });
        let _ = taken_down.join();
    }
}

fn network(index: u32, node: &Node) -> NetworkConfig {
    NetworkConfig {
        index,
        base: Ipv4Net::default_of(index),
        resolvers: vec![],
        egress: vec![],
        state_file: node.dir.path().join("network.json"),
    }
}

/// A root with bash and busybox.
fn make_stack(root: &Path) {
    for dir in
        ["app", "bin", "dev", "etc/profile.d", "proc", "sys", "tmp", "usr/bin", "usr/local/bin", "var/tmp"]
    {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    for name in ["hosts", "hostname", "resolv.conf"] {
        fs::write(root.join("etc").join(name), "").unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    fs::write(root.join("etc/profile.d/stack.sh"), "export FROM_STACK=1\nfalse\n").unwrap();
    let libraries = Command::new("ldd").arg("/bin/bash").output().unwrap();
    let text = String::from_utf8(libraries.stdout).unwrap();
    let files = text.split_whitespace().filter(|word| word.starts_with('/'));
    for file in files.chain(["/bin/bash", "/bin/busybox"]) {
        let copy = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file, copy).unwrap();
    }
    for name in ["sh", "id", "cat", "sleep", "ls", "stat", "hostname", "touch", "stty"] {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
}

/// A slug, owned as the builder leaves it.
fn make_slug(app: &Path) {
    fs::create_dir_all(app.join(".profile.d")).unwrap();
    let look = "#!/bin/bash
echo \"user $(id -un) group $(id -gn) host $(hostname) tasks $(ulimit -u)\"
echo \"$DYNO $STACK $GREETING $FROM_STACK $FROM_SLUG pwd $PWD\"
touch /app/new /tmp/new /var/tmp/new && echo owner $(stat -c %U /app /app/look /app/new /tmp/new /var/tmp/new)
cat /etc/resolv.conf
echo quota $(cat /sys/fs/cgroup/memory/memory.limit_in_bytes)
echo memory $(cat /proc/meminfo)
while read -r name rest; do case $name in cpu) echo time $rest;; esac; done < /proc/stat
echo load $(cat /proc/loadavg) swaps $(cat /proc/swaps /proc/vmstat) end
touch /etc/new 2>/dev/null || echo the stack is read-only
";
    fs::write(app.join("look"), look).unwrap();
    fs::write(app.join("index.html"), "it serves\n").unwrap();
    fs::write(app.join(".profile.d/slug.sh"), "export FROM_SLUG=2\n").unwrap();
    fs::set_permissions(app.join("look"), fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["", "look", "index.html", ".profile.d", ".profile.d/slug.sh"] {
        chown(app.join(path), Some(STORE_ID), Some(STORE_ID)).unwrap();
    }
}

/// A request to a dyno from within its network namespace.
fn get(bench: &Bench) -> String {
    let WebState::Up(up) = bench.supervisor.routes().borrow().routes["sample.localhost"].web.clone() else {
        panic!("it is up")
    };
    let netns = fs::File::open(&up[0].netns.path).unwrap();
    let address = (up[0].address.unwrap(), up[0].port);
    let mut stream =
        dyno::sys::netns::in_netns(&netns, || std::net::TcpStream::connect(address)).unwrap().unwrap();
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_boots_serves_survives_its_node_crashes_and_stops() {
    if !can_run("a_dyno_boots_serves_survives_its_node_crashes_and_stops") {
        return;
    }
    let mut bench = Bench::build(0).await;
    bench.supervisor.adopt(vec![]).await.unwrap();
    bench.supervisor.apply(bench.app(1)).await.unwrap();
    bench.up(1).await;
    assert!(get(&bench).ends_with("it serves\n"));

    let view = bench.supervisor.snapshot(APP).remove(0);
    let log = bench.log().await;
    for wanted in [
        &format!(" group dyno host {} tasks 256", view.id),
        "web.1 heroku-24 hello $HOME 1 2 pwd /app",
        "nameserver 192.0.2.53",
        "quota 536870912",
        // Figures of its own, whether they were taken before it began or while it looks at them.
        "memory MemTotal: 524288 kB MemFree: 52",
        "load 0.",
        " swaps end",
        "the stack is read-only",
        "State changed from starting to up",
    ] {
        assert!(log.contains(wanted), "{wanted:?} is not in the log:\n{log}");
    }
    let ticks = log.split("]: time ").nth(1).unwrap().split_whitespace().take(4);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    assert!(ticks < 10_000, "a dyno that has just begun has spent {ticks} ticks: those are the host's");
    let user = log.split("user u").nth(1).unwrap().split(' ').next().unwrap();
    let owners = format!("owner {}", [&*format!("u{user}"); 5].join(" "));
    assert!(log.contains(&owners), "{owners:?} is not in the log:\n{log}");
    let slug = bench.node.dir.path().join("lib/slugs").join(SLUG).join("app");
    assert!(!slug.join("new").exists(), "the slug is never written to");

    let inits = bench.inits();
    bench.serve_again().await;
    bench.up(1).await;
    let again = bench.supervisor.snapshot(APP).remove(0);
    assert_eq!((bench.inits(), again.id, again.state), (inits.clone(), view.id, DynoState::Up));
    assert!(get(&bench).ends_with("it serves\n"));

    let log = bench.log().await;
    assert_eq!(log.matches("the stack is read-only").count(), 1, "no line is told twice:\n{log}");

    for found in bench.node.runtime.adopt_all().unwrap() {
        found.container.signal_all(dyno::runtime::Signal::Kill).unwrap();
    }
    bench.until("it is started again", || !bench.inits().is_empty() && bench.inits() != inits).await;
    bench.up(1).await;
    assert!(bench.log().await.contains("Process exited with status 137"));
    bench.supervisor.restart(APP, Scope::All).await.unwrap();
    bench.supervisor.apply(bench.app(3)).await.unwrap();
    bench.up(3).await;
    bench.until("the old one is cleared away", || bench.inits().len() == 3).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynos_of_apps_that_are_gone_are_ended_and_those_that_died_are_told() {
    if !can_run("dynos_of_apps_that_are_gone_are_ended_and_those_that_died_are_told") {
        return;
    }
    let mut bench = Bench::build(1).await;
    bench.supervisor.apply(bench.app(1)).await.unwrap();
    bench.up(1).await;
    // The last handle is dropped, and with it the driver: nobody sees what happens next.
    let engine = Arc::new(FakeEngine::new());
    bench.supervisor = Supervisor::start(engine, bench.logs.clone(), SupervisorConfig::default());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let found = bench.node.runtime.adopt_all().unwrap().remove(0);
    found.container.kill().unwrap();
    found.container.wait().await;
    bench.serve_again().await;
    bench.up(1).await;
    let log = bench.log().await;
    assert_eq!(log.matches("Process exited with status 137").count(), 1, "{log}");
    bench.supervisor = Bench::supervise(bench.index, &bench.node, &bench.logs).await;
    bench.supervisor.adopt(vec![]).await.unwrap();
    assert_eq!((bench.inits(), bench.scratch()), (vec![], vec![]));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_off_dynos_have_a_terminal_a_status_and_an_end() {
    if !can_run("one_off_dynos_have_a_terminal_a_status_and_an_end") {
        return;
    }
    let bench = Bench::build(2).await;
    let terminal = Connection::Terminal { rows: 33, cols: 99 };
    let started = bench.supervisor.run(bench.one_off("stty size; exit 7", terminal)).await.unwrap();
    let attached = started.attached.unwrap();
    let Streams::Terminal(master) = attached.streams else { panic!("a terminal was asked for") };
    let mut master = fs::File::from(master);
    let said = tokio::task::spawn_blocking(move || {
        let mut said = vec![];
        // The end of a terminal is an error.
        let _ = master.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    assert_eq!(started.exit.wait().await.map(|end| end.status), Some(7));
    assert!(said.await.unwrap().contains("33 99"));

    let started = bench.supervisor.run(bench.one_off("sleep 1000", Connection::Pipes)).await.unwrap();
    drop(started.attached);
    assert_eq!(started.exit.wait().await.map(|end| end.status), Some(129), "SIGHUP");

    let started = bench.supervisor.run(bench.one_off("echo $DYNO; exit 3", Connection::Log)).await.unwrap();
    assert_eq!(started.exit.wait().await.map(|end| end.status), Some(3));
    let log = bench.log().await;
    let output = log.find("app[run.4711]: run.4711").expect("its output is in the log");
    assert!(output < log.rfind("Process exited with status 3").unwrap(), "output comes before the exit");
    bench.finish().await;
}

/// Takes some 560 MiB, more than the 512 that are granted and less than what is killed for; then keeps a processor busy.
const GREEDY: &str = "exec busybox awk 'BEGIN { s = \"x\"; for (i = 0; i < 20; i++) s = s s; \
                      for (i = 0; i < 560; i++) a[i] = s i; while (1) i = i }'";

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_over_its_quota_is_told_so_with_what_it_uses() {
    if !can_run("a_dyno_over_its_quota_is_told_so_with_what_it_uses") {
        return;
    }
    let bench = Bench::build(3).await;
    let _started = bench.supervisor.run(bench.one_off(GREEDY, Connection::Log)).await.unwrap();
    let start = Instant::now();
    let over = loop {
        let log = bench.log().await;
        if let Some(over) = log.lines().find(|line| line.ends_with("Error R14 (Memory quota exceeded)")) {
            assert!(over.contains(" heroku[run.4711]: "), "{over}");
            break log;
        }
        assert!(start.elapsed() < patient(PATIENCE), "nothing is told of it:\n{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let figure = |name: &str| -> f64 {
        let text = over.rsplit_once(&format!("sample#{name}=")).unwrap().1;
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap();
        text[..end].parse().unwrap()
    };
    assert!((512.0..1024.0).contains(&figure("memory_total")), "{over}");
    assert!(figure("memory_rss") > 100.0 && figure("load_avg_1m") > 0.0, "{over}");
    assert!((figure("memory_quota") - 512.0).abs() < 0.01, "{over}");
    assert!(over.contains("Process running mem=5"), "{over}");
    bench.finish().await;
}
