//! A whole node of one test: its own directory, index, ports; brought down when dropped.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::patience::patient;

/// How long anything may take before a test gives up, on a machine of today.
pub const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);
/// Indices of test nodes unless [`FIRST_INDEX_NAME`] says otherwise; the low ones are left to people.
const FIRST_INDEX: u32 = 24;
/// Names the first of eight indices, so that the tests of two checkouts can run side by side.
const FIRST_INDEX_NAME: &str = "DYNO_TEST_FIRST_INDEX";

/// A node.
pub struct TestNode {
    pub root: PathBuf,
    pub router_port: u16,
    /// The program that the node runs, and its clients.
    pub binary: PathBuf,
    index: u32,
    git_port: u16,
    serve: Option<Child>,
}

/// A dyno's container, as its record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The dyno's identity.
    pub id: String,
    /// The identity of its app.
    pub app: String,
    /// `web.1`.
    pub name: String,
    /// `web`, `worker`, `detached` or `attached`.
    pub class: String,
    pub release: u64,
    /// Of its init.
    pub pid: u32,
    /// When that was started, in clock ticks since boot.
    pub started: u64,
}

/// A dyno, as the API lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The dyno's identity.
    pub id: String,
    /// `web.1`.
    pub name: String,
    /// `web`.
    pub process_type: String,
    /// `up`, `starting` and so on.
    pub state: String,
}

impl Listed {
    fn of(dyno: &Value) -> Listed {
        let text = |field: &str| dyno[field].as_str().unwrap().to_owned();
        Listed { id: text("id"), name: text("name"), process_type: text("type"), state: text("state") }
    }

    pub fn is_up(&self) -> bool {
        self.state == "up"
    }
}

impl Found {
    fn of(record: &Value) -> Option<Found> {
        let label: Value = serde_json::from_str(record["labels"]["dyno.v1"].as_str()?).unwrap();
        let text = |field: &str| label[field].as_str().unwrap().to_owned();
        Some(Found {
            id: text("id"),
            app: text("app"),
            name: text("name"),
            class: text("class"),
            release: label["release"].as_u64().unwrap(),
            pid: record["pid"].as_u64().unwrap().try_into().unwrap(),
            started: record["start_time"].as_u64().unwrap(),
        })
    }

    /// Whether its init lives.
    pub fn is_alive(&self) -> bool {
        dyno::sys::process::is_running(self.pid, self.started)
    }
}

/// Where the default stack is built: once for all tests of a machine.
pub fn stack_dir() -> PathBuf {
    std::env::var_os("DYNO_TEST_LIB").map_or_else(|| "/var/lib/dyno".into(), PathBuf::from).join("stacks")
}

/// A port of loopback that nobody has at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The index of a test's node; `number`, 0 to 7, tells the nodes of tests apart that may run at once.
pub fn index(number: u32) -> u32 {
    assert!(number < 8, "the tests of one checkout have eight indices");
    std::env::var(FIRST_INDEX_NAME).map_or(FIRST_INDEX, |text| text.parse().expect("a whole number")) + number
}

impl TestNode {
    /// Where the node of that name is, for what must be there before it.
    pub fn place(name: &str) -> PathBuf {
        format!("/var/tmp/dyno-test-{name}-{}", std::process::id()).into()
    }

    /// A node that serves. `number` tells the nodes of one test apart.
    pub fn start(name: &str, number: u32) -> Self {
        Self::configured(name, number, "")
    }

    /// A node that serves with this configuration file.
    pub fn configured(name: &str, number: u32, config: &str) -> Self {
        Self::at_port(name, number, (config, free_port()))
    }

    /// The same, with a port of the router's that others are told beforehand.
    pub fn at_port(name: &str, number: u32, (config, router_port): (&str, u16)) -> Self {
        let root = Self::place(name);
        fs::create_dir_all(root.join("lib")).unwrap();
        std::os::unix::fs::symlink(stack_dir(), root.join("lib/stacks")).unwrap();
        fs::write(root.join("config.toml"), config).unwrap();
        let mut node = Self {
            root,
            router_port,
            binary: env!("CARGO_BIN_EXE_dyno").into(),
            index: index(number),
            git_port: free_port(),
            serve: None,
        };
        node.serve();
        node
    }

    /// Starts the node's process, which must not run, and waits until it serves.
    pub fn serve(&mut self) {
        self.launch();
        self.await_serving();
    }

    /// Starts the node's process, which must not run.
    pub fn launch(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.root.join("serve.log")).unwrap();
        let mut command = self.command();
        command.args(["serve", "--index", &self.index.to_string(), "--config", "config.toml"]);
        command.args([
            "--router-port",
            &self.router_port.to_string(),
            "--git-port",
            &self.git_port.to_string(),
        ]);
        self.serve = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// Waits until the process that was launched serves.
    pub fn await_serving(&mut self) {
        eventually("the node serves", || {
            if let Some(status) = self.serve.as_mut().unwrap().try_wait().unwrap() {
                panic!("the node ended with {status}: {}", self.log());
            }
            self.dyno(&["wait", "--timeout", "1"]).status.success()
        });
    }

    /// The port of loopback that the API and git are on.
    pub fn api_port(&self) -> u16 {
        self.git_port
    }

    /// What the node's process has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root.join("serve.log")).unwrap_or_default()
    }

    /// The process of `dyno serve`.
    pub fn pid(&self) -> u32 {
        self.serve.as_ref().unwrap().id()
    }

    /// Kills the process of `dyno serve` as nobody can prepare for.
    pub fn kill(&mut self) {
        let mut serve = self.serve.take().unwrap();
        serve.kill().unwrap();
        serve.wait().unwrap();
    }

    /// Has the process of `dyno serve` end in order; its dynos go on.
    pub fn stop(&mut self) {
        let mut serve = self.serve.take().unwrap();
        let pid = rustix::process::Pid::from_child(&serve);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(serve.wait().unwrap().success(), "{}", self.log());
    }

    /// A request of the API, by the node's socket: status and body. `range` asks for a part of a list.
    pub fn api(&self, request: &str, range: &str, body: &str) -> (u16, Value) {
        let mut socket = UnixStream::connect(self.root.join("run/api.sock")).unwrap();
        let length = body.len();
        write!(
            socket,
            "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nRange: {range}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{request}: {error}: {answer}")))
    }

    /// The dynos of an app.
    pub fn dynos(&self, app: &str) -> Vec<Listed> {
        let (status, body) = self.api(&format!("GET /apps/{app}/dynos"), "", "");
        assert!(status == 200 || status == 206, "dynos of {app}: {status} {body}");
        body.as_array().unwrap().iter().map(Listed::of).collect()
    }

    /// The containers of the node, whether or not anything serves.
    pub fn containers(&self) -> Vec<Found> {
        let entries = fs::read_dir(self.root.join("run/containers")).into_iter().flatten().flatten();
        // One that is being made or removed has no record.
        let records = entries.filter_map(|entry| fs::read(entry.path().join("record.json")).ok());
        records.filter_map(|record| Found::of(&serde_json::from_slice(&record).unwrap())).collect()
    }

    /// A command line of the node, for what `dyno` does not do.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("DYNO_ROOT", &self.root).current_dir(&self.root);
        command
    }

    /// Runs a command of the command line against the node.
    pub fn dyno(&self, args: &[&str]) -> Output {
        self.command().args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// The same, which must succeed; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.dyno(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "dyno {args:?}: {out}{err}\n{}", self.log());
        out.into_owned()
    }

    /// The same, which must fail; what it complained of.
    pub fn refused(&self, args: &[&str]) -> String {
        let output = self.dyno(args);
        assert!(!output.status.success(), "dyno {args:?} did not fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Creates an app from these files and gives the work tree, committed, with its remote.
    pub fn app(&self, name: &str, files: &Path) -> PathBuf {
        let source = self.root.join(name);
        let copied = Command::new("cp").arg("-r").arg(files).arg(&source).status().unwrap();
        assert!(copied.success());
        git(&source, &["init", "-q", "-b", "main"]);
        self.commit(&source);
        let created = self.command().args(["create", name]).current_dir(&source).output().unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        source
    }

    /// Commits what is in the work tree.
    pub fn commit(&self, source: &Path) {
        git(source, &["add", "-A"]);
        git(
            source,
            &[
                "-c",
                "user.name=me",
                "-c",
                "user.email=me@localhost",
                "commit",
                "-q",
                "--allow-empty",
                "-m",
                "x",
            ],
        );
    }

    /// Pushes main: whether it was taken, and what was said.
    pub fn push(&self, source: &Path) -> (bool, String) {
        let pushed = Command::new("git")
            .args(["push", "heroku", "main"])
            .env("GIT_TERMINAL_PROMPT", "0")
            .current_dir(source)
            .output()
            .unwrap();
        (pushed.status.success(), String::from_utf8_lossy(&pushed.stderr).into_owned())
    }

    /// Pushes main, which must be taken.
    pub fn deploy(&self, source: &Path) -> String {
        let (taken, said) = self.push(source);
        assert!(taken, "{said}\n{}", self.log());
        said
    }

    /// One request through the router: status and body.
    pub fn get(&self, app: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.router_port)).unwrap();
        stream.set_read_timeout(Some(patient(PATIENCE))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {app}.localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.split_whitespace().nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

/// Runs git, which must succeed.
pub fn git(at: &Path, args: &[&str]) {
    let done = Command::new("git").args(args).current_dir(at).output().unwrap();
    assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Waits until `holds` does.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + patient(PATIENCE);
    while !holds() {
        assert!(Instant::now() < until, "it never came about that {what}");
        std::thread::sleep(PAUSE);
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        let down = self.dyno(&["down", "--index", &self.index.to_string()]);
        if let Some(mut serve) = self.serve.take() {
            // Down has ended it, or it never came up; either way nothing may be left.
            let _ended = serve.kill();
            let _reaped = serve.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
            let _kept = fs::remove_file(self.root.join("lib/stacks"));
        } else {
            assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
        }
        // The link first: what it names belongs to all tests.
        let _link = fs::remove_file(self.root.join("lib/stacks"));
        let _gone = fs::remove_dir_all(&self.root);
    }
}
