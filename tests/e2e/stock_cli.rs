//! A day with the stock command, unmodified, each command with its exit status and what it says.
//!
//! `stock_cli_excluded.txt` names what is not tried, each with its reason; what the stock command knows besides and this
//! story does not try is counted as missing in the table that is printed at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::libraries::assert_as_told;
use crate::support::exchanges::Recorder;
use crate::support::node::{TestNode, eventually, free_port, git};
use crate::support::pebble::{Asked, Pebble};
use crate::support::skip::skip;
use crate::support::stock;
use crate::support::terminal::Terminal;
use crate::{is_possible, lab};

const TEST: &str = "the_stock_command_drives_a_day";
/// What is not tried: a command, or a prefix that ends in a colon, and why.
const EXCLUDED: &str = include_str!("stock_cli_excluded.txt");

/// The stock command against one node, with a home of its own.
struct Stock<'a> {
    node: &'a TestNode,
    home: PathBuf,
    path: String,
    passed: BTreeSet<String>,
    recorder: Recorder,
}

/// What a command did.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl<'a> Stock<'a> {
    fn new(node: &'a TestNode, bin: &Path) -> Self {
        let home = node.root.join("home");
        fs::create_dir_all(home.join("bin")).unwrap();
        let recorder = Recorder::before(node.api_port());
        // Unmodified, it is led past the recorder. Git goes to the node itself, whose certificate it checks.
        let led = format!(
            "#!/bin/sh\nexport HEROKU_HOST=http://localhost:{} HEROKU_GIT_HOST=localhost:{}\nexec {}/heroku \"$@\"\n",
            recorder.port,
            node.api_port(),
            bin.display()
        );
        let program = home.join("bin/heroku");
        fs::write(&program, led).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", home.join("bin").display(), std::env::var("PATH").unwrap());
        Self { node, home, path, passed: BTreeSet::new(), recorder }
    }

    fn dress(&self, command: &mut Command, at: &Path) {
        command.current_dir(at).env("PATH", &self.path).env("HOME", &self.home);
        // Machines behind an authority of their own set it, and it would win over what was written for the node.
        command.env_remove("GIT_SSL_CAINFO");
        command.env("NO_COLOR", "1").env("GIT_TERMINAL_PROMPT", "0").env("HEROKU_LOGS_COLOR", "0");
    }

    /// A line as it is typed after `dyno heroku`, in the folder `at`.
    fn command(&self, at: &Path, args: &[&str]) -> Command {
        let mut command = self.node.command();
        command.arg("heroku").args(args);
        self.dress(&mut command, at);
        command
    }

    /// Pushes what is committed, and tells what git showed.
    fn pushes(&self, at: &Path) -> String {
        let mut push = Command::new("git");
        self.dress(push.args(["push", "heroku", "main"]), at);
        let pushed = push.output().unwrap();
        let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
        assert!(pushed.status.success(), "{said}\n{}", self.node.log());
        said
    }

    fn run(&self, at: &Path, args: &[&str]) -> Said {
        let output = self.command(at, args).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Runs a command that must end with `code` and say all of `told`, and counts it.
    fn tries(&mut self, at: &Path, args: &[&str], code: i32, told: &[&str]) -> String {
        let said = self.run(at, args);
        let all = format!("{}{}", said.out, said.err);
        assert_eq!(said.code, Some(code), "heroku {args:?}: {all}\n{}", self.node.log());
        for text in told {
            assert!(all.contains(text), "{text:?} is not in what heroku {args:?} said: {all}");
        }
        self.passed.insert(args[0].to_owned());
        said.out
    }

    /// Runs a command that must end well, and is told `typed` on standard input.
    fn typed(&mut self, at: &Path, args: &[&str], typed: &str) -> String {
        let mut command = self.command(at, args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "heroku {args:?}: {output:?}");
        self.passed.insert(args[0].to_owned());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Edits the config vars as a person does, with an editor that adds a line.
    fn edits_config(&mut self, at: &Path, line: &str) {
        let editor = self.home.join("editor");
        fs::write(&editor, format!("#!/bin/sh\nprintf '\\n{line}\\n' >> \"$1\"\n")).unwrap();
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = self.command(at, &["config:edit", "-a", "day"]);
        let mut terminal = Terminal::open(24, 200, command.env("EDITOR", &editor).env_remove("VISUAL"));
        terminal.until("with these values?");
        terminal.keys("y\r");
        assert_eq!(terminal.end().code(), Some(0));
        self.passed.insert("config:edit".to_owned());
    }

    fn ok(&mut self, at: &Path, args: &[&str], told: &[&str]) -> String {
        self.tries(at, args, 0, told)
    }
}

#[test]
fn the_stock_command_drives_a_day() {
    if !is_possible(TEST) {
        return;
    }
    let bin = match stock::installed() {
        Ok(bin) => bin,
        Err(reason) => return skip(TEST, &reason),
    };
    let (http, tls) = (free_port(), free_port());
    let asked = Asked { http, tls, life_s: 90 * 24 * 3600 };
    let ca = PathBuf::from(format!("/var/tmp/dyno-test-stock-ca-{}", std::process::id()));
    let pebble = match Pebble::start(&ca, &asked) {
        Ok(pebble) => pebble,
        Err(reason) => return skip(TEST, &reason),
    };
    let node = TestNode::at_port("stock", 7, (&pebble.section("http-01"), http));
    let mut stock = Stock::new(&node, &bin);
    let source = work_tree(&node);
    the_account(&mut stock);
    a_first_push(&mut stock, &source);
    config_and_releases(&mut stock, &source);
    dynos(&mut stock, &source);
    one_off_dynos(&mut stock, &source);
    visits(&mut stock, &source);
    logs(&mut stock, &source);
    how_it_is_reached(&mut stock, &source);
    switches(&mut stock, &source);
    a_pipeline(&mut stock, &source);
    hooks(&mut stock, &source);
    data_services(&mut stock, &source);
    people(&mut stock, &source);
    a_login(&mut stock);
    the_end(&mut stock, &source);
    table(&stock);
    assert_as_told(&stock.recorder.exchanges());
}

fn work_tree(node: &TestNode) -> PathBuf {
    let source = node.root.join("day");
    assert!(Command::new("cp").arg("-r").arg(lab()).arg(&source).status().unwrap().success());
    git(&source, &["init", "-q", "-b", "main"]);
    node.commit(&source);
    source
}

fn the_account(stock: &mut Stock<'_>) {
    let at = stock.home.clone();
    let owner = "admin@localhost";
    stock.ok(&at, &["whoami"], &[owner]);
    stock.ok(&at, &["auth:whoami"], &[owner]);
    stock.ok(&at, &["auth:token"], &[]);
    let made = stock.ok(&at, &["authorizations:create", "-d", "a test", "--json"], &["a test"]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    stock.ok(&at, &["authorizations"], &["a test", &id]);
    stock.ok(&at, &["authorizations:info", &id], &["a test"]);
    stock.ok(&at, &["authorizations:update", &id, "-d", "another test"], &["Updating", "done"]);
    stock.ok(&at, &["authorizations:info", &id], &["another test"]);
    stock.ok(&at, &["authorizations:rotate", &id], &["Rotating", "done"]);
    stock.ok(&at, &["authorizations:revoke", &id], &["another test"]);
    let made = stock.ok(&at, &["authorizations:create", "-d", "for a moment", "--json"], &[]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    stock.ok(&at, &["authorizations:destroy", made["id"].as_str().unwrap()], &["for a moment"]);
    stock.ok(&at, &["clients"], &[]);
    stock.ok(&at, &["sessions"], &[]);
    stock.ok(&at, &["regions"], &["us"]);
    stock.ok(&at, &["teams"], &[]);
    stock.tries(&at, &["spaces"], 2, &["access to any spaces"]);
    stock.ok(&at, &["addons"], &[]);
    stock.ok(&at, &["apps"], &["You have no apps."]);
    let key = stock.home.join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "me@laptop", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    let file = format!("{}.pub", key.display());
    stock.ok(&at, &["keys:add", &file], &["Uploading"]);
    stock.ok(&at, &["keys"], &["me@laptop"]);
    stock.ok(&at, &["keys:remove", "me@laptop"], &["Removing me@laptop SSH key... done"]);
    stock.ok(&at, &["keys:add", &file], &[]);
    stock.ok(&at, &["keys:clear"], &["done"]);
}

/// A user with a password, in a terminal as the stock command asks there.
fn a_login(stock: &mut Stock<'_>) {
    let (user, password) = ("typist@example.com", "correct horse battery staple");
    let mut create = stock.node.command();
    create.args(["users:create", user, "--password-stdin"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut create = create.spawn().unwrap();
    create.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    assert!(create.wait().unwrap().success());
    let at = stock.home.clone();
    let netrc = at.join(".netrc");
    for (login, logout) in [("login", "logout"), ("auth:login", "auth:logout")] {
        let mut terminal = Terminal::open(24, 200, &stock.command(&at, &[login, "--interactive"]));
        terminal.until("Email");
        terminal.keys(&format!("{user}\r"));
        terminal.until("Password");
        terminal.keys(&format!("{password}\r"));
        terminal.until(&format!("Logged in as {user}"));
        assert_eq!(terminal.end().code(), Some(0));
        assert!(fs::read_to_string(&netrc).unwrap().contains(user));
        stock.passed.insert(login.to_owned());
        stock.ok(&at, &[logout], &["Logging out"]);
        assert!(!fs::read_to_string(&netrc).unwrap().contains(user));
    }
}

fn a_first_push(stock: &mut Stock<'_>, at: &Path) {
    stock.ok(at, &["apps:create", "day"], &["Creating", "done", "day.git"]);
    stock.tries(at, &["create", "day"], 2, &["already taken"]);
    stock.ok(at, &["git:remote", "-a", "day"], &["set git remote heroku to https://localhost:"]);
    stock.ok(at, &["info"], &["day", "Owner", "admin@localhost", "Region", "us"]);
    stock.ok(at, &["apps:info", "--json"], &["\"name\": \"day\""]);
    stock.ok(at, &["apps"], &["admin@localhost Apps", "day"]);
    stock.ok(at, &["stack"], &["cedar-13"]);
    stock.ok(at, &["apps:stacks"], &["cedar-13"]);
    stock.ok(at, &["buildpacks"], &["no Buildpacks"]);
    let said = stock.pushes(at);
    assert!(said.contains("Verifying deploy... done."), "{said}");
    eventually("the app answers", || stock.node.get("day", "/").0 == 200);
    let remote = Command::new("git").current_dir(at).args(["remote", "get-url", "heroku"]).output().unwrap();
    let remote = String::from_utf8(remote.stdout).unwrap();
    let host = remote.trim().trim_start_matches("https://").trim_end_matches("/day.git");
    let wanted = format!("protocol=https\nhost={host}\n\n");
    let said = stock.typed(at, &["git:credentials", "get"], &wanted);
    assert!(said.contains("username=heroku\npassword="), "{said}");
    let clone = stock.home.clone();
    stock.ok(&clone, &["git:clone", "-a", "day", "cloned"], &[]);
    assert!(clone.join("cloned/Procfile").exists());
}

fn config_and_releases(stock: &mut Stock<'_>, at: &Path) {
    stock.ok(at, &["config:set", "A=1", "B=two words"], &["Setting A, B and restarting", "done, v4"]);
    stock.ok(at, &["config"], &["Config Vars", "A:", "two words"]);
    assert_eq!(stock.ok(at, &["config:get", "B"], &[]), "two words\n");
    stock.ok(at, &["config:unset", "A"], &["Unsetting A", "done, v5"]);
    stock.ok(at, &["config:set", "C=3"], &["v6"]);
    stock.ok(at, &["config:remove", "C"], &["v7"]);
    stock.edits_config(at, "D=4");
    assert_eq!(stock.ok(at, &["config:get", "D"], &[]), "4\n");
    stock.ok(at, &["releases"], &["Current: v8", "Remove C config vars", "Deploy "]);
    stock.ok(at, &["releases:info"], &["Release v8", "admin@localhost"]);
    stock.ok(at, &["releases:info", "v4"], &["Release v4", "two words"]);
    stock.ok(at, &["releases:output"], &["no release output"]);
    stock.ok(at, &["releases:rollback", "v4"], &["Rolling back", "to v4... done, v9"]);
    stock.ok(at, &["releases"], &["Rollback to v4"]);
}

fn dynos(stock: &mut Stock<'_>, at: &Path) {
    stock.ok(at, &["ps:scale"], &["web=1"]);
    stock.ok(at, &["ps:scale", "web=2", "worker=1"], &["Scaling dynos... done", "web at 2", "worker at 1"]);
    stock.ok(at, &["dyno:scale", "web-1"], &["web at 1"]);
    stock.ok(at, &["ps:wait"], &[]);
    stock.ok(at, &["ps"], &["web.1: up", "worker.1: up"]);
    stock.ok(at, &["ps", "--json"], &["web.1"]);
    stock.ok(at, &["ps:type", "worker=standard-2x"], &["Standard-2X"]);
    stock.ok(at, &["ps:resize", "worker=standard-1x"], &["Standard-1X"]);
    stock.ok(at, &["dyno:resize"], &["Standard-1X"]);
    stock.ok(at, &["ps:restart", "-d", "web.1"], &["Restarting dyno web.1", "done"]);
    stock.ok(at, &["dyno:restart", "-p", "worker"], &["Restarting all worker dynos", "done"]);
    stock.ok(at, &["ps:restart"], &["Restarting all dynos", "done"]);
    stock.ok(at, &["ps:stop", "-d", "worker.1"], &["Stopping dyno worker.1", "done"]);
    for args in [["ps:kill", "-d", "worker.1"], ["dyno:stop", "-p", "worker"], ["dyno:kill", "-p", "worker"]]
    {
        let up = || stock.node.ok(&["ps", "-a", "day"]).contains("worker.1: up");
        eventually("the worker is up again", up);
        stock.ok(at, &args, &["done"]);
    }
    eventually("the app answers", || stock.node.get("day", "/").0 == 200);
}

fn one_off_dynos(stock: &mut Stock<'_>, at: &Path) {
    stock.tries(at, &["run", "-x", "echo he''llo; exit 7"], 7, &["hello", "exited with code 7"]);
    stock.ok(at, &["run", "-x", "echo $B"], &["two words"]);
    stock.ok(at, &["run", "--no-tty", "tty"], &["not a tty"]);
    stock.tries(at, &["run:inside", "-x", "web.1", "echo $DYNO in''side; exit 6"], 6, &["web.1 inside"]);
    stock.tries(at, &["rake", "-x", "db:migrate"], 127, &["rake: command not found"]);
    stock.ok(at, &["console"], &["console: command not found"]);
    stock.ok(
        at,
        &["run:detached", "echo in the back''ground"],
        &["run.", "heroku logs --app day --dyno run."],
    );
    eventually("it is in the log", || {
        stock.node.ok(&["logs", "-a", "day", "-n", "200"]).contains("in the background")
    });
    let mut terminal = Terminal::open(31, 97, &stock.command(at, &["run", "-a", "day", "bash"]));
    terminal.until("up, run.");
    terminal.until("$ ");
    terminal.keys("stty size\r");
    terminal.until("31 97");
    terminal.keys("exit\r");
    assert_eq!(terminal.end().code(), Some(0));
}

/// It makes a key each time, asks the node for a way in and comes by SSH; exit statuses it does not pass on.
fn visits(stock: &mut Stock<'_>, at: &Path) {
    // In a terminal: from a pipe that ends it writes once more, also when the dyno has closed in between, and fails over that.
    let exec = stock.command(at, &["ps:exec", "-a", "day", "echo $DYNO in''side; tty; pwd; exit 7"]);
    let mut terminal = Terminal::open(31, 97, &exec);
    for text in ["web.1 inside", "/dev/pts/", "/app"] {
        terminal.until(text);
    }
    assert_eq!(terminal.end().code(), Some(0));
    let told = stock.node.ok(&["logs", "-a", "day", "-n", "200"]);
    assert!(told.contains("exit 7` in web.1 by user admin@localhost"), "{told}");
    stock.ok(at, &["ps:exec", "--status"], &["web.1", "running"]);
    stock.tries(at, &["ps:exec", "-d", "web.9", "true"], 2, &["Could not connect to dyno!"]);
    let exec = stock.command(at, &["ps:exec", "-a", "day", "-d", "worker.1"]);
    let mut terminal = Terminal::open(31, 97, &exec);
    terminal.until("$ ");
    terminal.keys("echo $DYNO al''ive; seq 1 60000 > /tmp/left\r");
    terminal.until("worker.1 alive");
    terminal.until("$ ");
    terminal.keys("exit\r");
    assert_eq!(terminal.end().code(), Some(0));
    let kept = stock.home.join("kept");
    let copy = ["ps:copy", "/tmp/left", "-d", "worker.1", "-o", kept.to_str().unwrap()];
    stock.ok(at, &copy, &["Connecting to worker.1"]);
    let lines: String = (1..=60_000).map(|line| format!("{line}\n")).collect();
    assert!(fs::read_to_string(&kept).unwrap() == lines, "it came as it is");
    // What it says of any failure.
    stock.tries(at, &["ps:copy", "/tmp/none"], 2, &["Could not connect to dyno!"]);
    let kept = stock.home.join("Procfile");
    stock.ok(at, &["ps:copy", "Procfile", "-o", kept.to_str().unwrap()], &[]);
    assert_eq!(fs::read(&kept).unwrap(), fs::read(at.join("Procfile")).unwrap());
}

fn logs(stock: &mut Stock<'_>, at: &Path) {
    stock.ok(at, &["logs", "-n", "200"], &["heroku[web.1]: ", "app[api]: "]);
    let only = stock.ok(at, &["logs", "-n", "50", "-p", "worker", "-s", "app"], &["app[worker.1]: "]);
    assert!(!only.contains("app[web.1]"), "{only}");
    let mut tail = stock.command(at, &["logs", "-a", "day", "--tail"]);
    let terminal = Terminal::open(24, 200, tail.stdin(Stdio::null()));
    terminal.until("app[worker.1]: ");
    stock.node.get("day", "/a-request-for-the-tail");
    terminal.until("/a-request-for-the-tail");
}

fn certificates(stock: &mut Stock<'_>, at: &Path) {
    stock.ok(at, &["certs"], &["no SSL certificates"]);
    let host = "secure.day.example";
    stock.ok(at, &["domains:add", host], &[]);
    let generate = ["certs:generate", "--selfsigned", "--now", host];
    stock.ok(at, &generate, &["Your key and self-signed certificate have been generated.", "certs:add"]);
    let [certificate, key] = ["crt", "key"].map(|end| at.join(format!("{host}.{end}")));
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let add = stock.command(at, &["certs:add", certificate, key, "-a", "day"]);
    let mut terminal = Terminal::open(24, 200, &add);
    terminal.until("SSL certificate is self signed.");
    terminal.until(host);
    terminal.keys(" \r");
    assert_eq!(terminal.end().code(), Some(0));
    stock.passed.insert("certs:add".to_owned());
    let listed = stock.ok(at, &["certs", "-a", "day"], &[host]);
    assert!(!listed.contains("PRIVATE"), "{listed}");
    stock.ok(at, &["certs:info", "--show-domains"], &[host, "Certificate details:"]);
    let name = stock.ok(at, &["domains:info", host], &[]);
    let name = name.split("name: '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap().to_owned();
    stock.ok(at, &["domains:update", host, "--cert", &name], &[&name]);
    stock.ok(at, &["certs:generate", "--selfsigned", "--now", host], &["certs:update"]);
    stock.ok(at, &["certs:update", certificate, key, "--confirm", "day"], &["Updated certificate details:"]);
    stock.ok(at, &["certs:remove", "--confirm", "day"], &["Removing SSL certificate", "done"]);
    stock.ok(at, &["certs"], &["no SSL certificates"]);
}

fn automatic_certificates(stock: &mut Stock<'_>, at: &Path) {
    stock.ok(at, &["certs:auto"], &["Automatic Certificate Management is disabled on"]);
    stock.tries(at, &["certs:auto:refresh"], 2, &["is disabled on", "enable it with"]);
    stock.ok(at, &["certs:auto:enable"], &["Enabling Automatic Certificate Management", "starting."]);
    let host = "auto.day.example";
    stock.ok(at, &["domains:add", host], &[]);
    stock.ok(at, &["domains:add", "*.auto.day.example"], &[]);
    let domains = ["domains", "--json", "-a", "day"];
    eventually("the certificate is issued", || stock.node.ok(&domains).contains("cert issued"));
    eventually("the wildcard is refused", || stock.node.ok(&domains).contains("Wildcards take a proof"));
    let told = ["is enabled on", host, "Cert issued", "Failed", "Wildcards"];
    stock.ok(at, &["certs:auto"], &told);
    stock.ok(at, &["certs:auto:refresh"], &["Refreshing Automatic Certificate Management", "done"]);
    stock.ok(at, &["certs"], &[host, "ACM"]);
    stock.ok(at, &["info"], &["Auto Cert Mgmt", "true"]);
    let disable = ["certs:auto:disable", "--confirm", "day"];
    stock.ok(at, &disable, &["Disabling Automatic Certificate Management", "done"]);
    stock.ok(at, &["certs"], &["no SSL certificates"]);
    stock.ok(at, &["domains:clear"], &["done"]);
}

fn how_it_is_reached(stock: &mut Stock<'_>, at: &Path) {
    stock.ok(at, &["domains:add", "www.day.example"], &["www.day.example"]);
    stock.ok(at, &["domains"], &["day.localhost", "www.day.example"]);
    stock.ok(at, &["domains:info", "www.day.example"], &["custom"]);
    stock.ok(at, &["domains:wait", "www.day.example"], &[]);
    stock.ok(at, &["domains:remove", "www.day.example"], &["Removing www.day.example", "done"]);
    stock.ok(at, &["domains:add", "other.day.example"], &[]);
    stock.ok(at, &["domains:clear"], &["done"]);
    stock.tries(at, &["domains:add", "other.localhost"], 2, &["Invalid domain"]);
    certificates(stock, at);
    automatic_certificates(stock, at);
    stock.ok(at, &["maintenance:on"], &["Enabling maintenance mode", "done"]);
    stock.ok(at, &["maintenance"], &["on"]);
    assert_eq!(stock.node.get("day", "/").0, 503);
    stock.ok(at, &["maintenance:off"], &["Disabling maintenance mode", "done"]);
    let url = "syslog://127.0.0.1:9";
    stock.ok(at, &["drains:add", url], &["Successfully added drain"]);
    stock.ok(at, &["drains"], &[url]);
    stock.ok(at, &["drains:remove", url], &["Successfully removed drain"]);
}

fn switches(stock: &mut Stock<'_>, at: &Path) {
    stock.ok(at, &["features"], &["preboot"]);
    stock.ok(at, &["features:info", "preboot"], &["preboot"]);
    stock.ok(at, &["features:disable", "preboot"], &["Disabling preboot", "done"]);
    stock.ok(at, &["features:enable", "preboot"], &["Enabling preboot", "done"]);
    let feature = "runtime-dyno-metadata";
    stock.ok(at, &["labs"], &["User Features"]);
    stock.ok(at, &["labs:info", feature], &[feature]);
    stock.ok(at, &["labs:enable", feature], &["Enabling", "done"]);
    stock.ok(at, &["labs:disable", feature], &["Disabling", "done"]);
    stock.ok(at, &["apps:stacks:set", "cedar-13"], &["cedar-13"]);
    let (one, other) = ("https://packs.example.com/one.git", "https://packs.example.com/other.git");
    stock.ok(at, &["buildpacks:set", one], &["Buildpack set"]);
    stock.ok(at, &["buildpacks:add", other], &["Buildpack added", other]);
    stock.ok(at, &["buildpacks:remove", one], &["Buildpack removed", other]);
    stock.ok(at, &["buildpacks:clear"], &["Buildpack"]);
}

fn a_pipeline(stock: &mut Stock<'_>, at: &Path) {
    stock.ok(at, &["apps:create", "day-prod", "--no-remote"], &["Creating", "done"]);
    let made = ["pipelines:create", "days", "-a", "day", "-s", "staging"];
    stock.ok(at, &made, &["Creating days pipeline... done", "as staging... done"]);
    stock.ok(at, &["pipelines"], &["days"]);
    let added = ["pipelines:add", "days", "-a", "day-prod", "-s", "production"];
    stock.ok(at, &added, &["as production... done"]);
    stock.ok(at, &["pipelines:info", "days"], &["day-prod", "staging", "production", "admin@localhost"]);
    stock.ok(at, &["pipelines:promote"], &["Promotion successful", "day-prod: succeeded"]);
    stock.tries(at, &["pipelines:promote"], 1, &["day-prod: failed", "runs this slug already"]);
    stock.ok(at, &["releases", "-a", "day-prod"], &["Promote day v"]);
    eventually("what was promoted answers", || stock.node.get("day-prod", "/").0 == 200);
    stock.ok(at, &["apps:diff", "day", "day-prod"], &["config"]);
    tests_of_a_pipeline(stock, at);
    stock.ok(at, &["pipelines:update", "-a", "day-prod", "-s", "staging"], &["done"]);
    stock.ok(at, &["pipelines:remove", "-a", "day-prod"], &["done"]);
    stock.ok(at, &["pipelines:rename", "days", "nights"], &["done"]);
    stock.node.ok(&["users:create", "heir@example.com"]);
    let given = ["pipelines:transfer", "heir@example.com", "-p", "nights", "--confirm", "nights"];
    stock.ok(at, &given, &["Transferring", "done"]);
    stock.ok(at, &["pipelines:destroy", "nights"], &["done"]);
    stock.ok(at, &["apps:destroy", "-a", "day-prod", "--confirm", "day-prod"], &["done"]);
}

/// What dyno's own command has begun, the stock command lists and shows.
fn tests_of_a_pipeline(stock: &mut Stock<'_>, at: &Path) {
    // In the folder of an app the command names that app, and takes no pipeline beside it.
    let home = stock.home.clone();
    let set = ["ci:config:set", "-p", "days", "FOO=1", "BAR=2"];
    stock.ok(&home, &set, &["Setting FOO, BAR... done", "FOO", "BAR"]);
    stock.ok(at, &["ci:config", "-a", "day"], &["days test config vars", "FOO"]);
    assert_eq!(stock.ok(at, &["ci:config:get", "-a", "day", "BAR"], &[]), "2\n");
    stock.ok(at, &["ci:config:unset", "-a", "day", "BAR"], &["Unsetting BAR... done"]);
    stock.tries(at, &["ci:run", "-a", "day"], 1, &["at a fixed address", "use `dyno ci:run`"]);
    stock.passed.remove("ci:run");
    let tested = at.join("../tested");
    assert!(Command::new("cp").arg("-r").arg(at).arg(&tested).status().unwrap().success());
    let manifest = r#"{"environments": {"test": {"scripts": {"test": "echo FOO is $FOO; exit 4"}}}}"#;
    fs::write(tested.join("app.json"), manifest).unwrap();
    let ran = stock.node.dyno(&["ci:run", tested.to_str().unwrap(), "-p", "days"]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.code() == Some(4) && said.contains("FOO is 1"), "{said}");
    stock.ok(at, &["ci", "-a", "day"], &["latest test runs for the", "days", "failed"]);
    let told = ["FOO is 1", "The tests have failed (exit status 4)", "#1 main:"];
    stock.tries(at, &["ci:info", "1", "-a", "day"], 4, &told);
    stock.tries(at, &["ci:last", "-a", "day"], 4, &told);
}

fn hooks(stock: &mut Stock<'_>, at: &Path) {
    stock.ok(at, &["webhooks"], &["has no webhooks"]);
    let url = "http://127.0.0.1:9/in";
    let made = ["webhooks:add", "-i", "api:release", "-l", "notify", "-u", url];
    stock.ok(at, &made, &["Adding webhook", "done", "Webhooks Signing Secret"]);
    stock.ok(at, &["webhooks"], &[url, "api:release", "notify"]);
    let first = |what: &str| {
        let all: serde_json::Value =
            serde_json::from_str(&stock.node.ok(&[what, "-a", "day", "--json"])).unwrap();
        all[0].clone()
    };
    let id = first("webhooks")["id"].as_str().unwrap().to_owned();
    stock.ok(at, &["config:set", "TOLD=1"], &["done"]);
    let is_given_up = || first("webhooks:deliveries")["status"] == "failed";
    eventually("a delivery to this machine is given up", is_given_up);
    let delivery = first("webhooks:deliveries")["id"].as_str().unwrap().to_owned();
    let event = first("webhooks:events")["id"].as_str().unwrap().to_owned();
    stock.ok(at, &["webhooks:deliveries"], &[&delivery, "AddressNotAllowed"]);
    stock.ok(at, &["webhooks:deliveries:info", &delivery], &["Set TOLD config vars"]);
    stock.ok(at, &["webhooks:events"], &[&event, "release", "create"]);
    stock.ok(at, &["webhooks:events:info", &event], &["Set TOLD config vars"]);
    stock.ok(at, &["webhooks:info", &id], &[url, "notify"]);
    let changed = ["webhooks:update", &id, "-i", "api:build", "-l", "sync", "-u", url];
    stock.ok(at, &changed, &["Updating webhook", "done"]);
    stock.ok(at, &["webhooks:info", &id], &["api:build", "sync"]);
    stock.ok(at, &["webhooks:remove", &id], &["Removing webhook", "done"]);
}

fn data_services(stock: &mut Stock<'_>, at: &Path) {
    stock.ok(at, &["addons:services"], &["heroku-postgresql", "heroku-redis"]);
    stock.ok(at, &["addons:plans", "heroku-postgresql"], &["essential-0"]);
    let create = ["addons:create", "heroku-postgresql:essential-0", "--name", "books", "--wait"];
    stock.ok(at, &create, &["Creating heroku-postgresql:essential-0 on", "books"]);
    stock.ok(at, &["addons:wait"], &[]);
    stock.ok(at, &["addons"], &["books", "created", "DATABASE"]);
    stock.ok(at, &["addons:info", "books"], &["essential-0", "Owning app"]);
    stock.ok(at, &["addons:attach", "books", "--as", "SHARED"], &["Setting SHARED config vars", "done"]);
    stock.ok(at, &["addons:detach", "SHARED"], &["Detaching SHARED", "done"]);
    stock.ok(at, &["addons:rename", "books", "ledger"], &["ledger"]);
    stock.ok(at, &["addons:upgrade", "ledger", "heroku-postgresql:essential-1"], &["essential-1", "done"]);
    stock.ok(at, &["pg:wait"], &[]);
    eventually("it answers under its other plan", || stock.run(at, &["pg:info"]).out.contains("PG Version"));
    stock.ok(at, &["pg:info"], &["DATABASE_URL", "Essential 1", "PG Version", "Data Size", "ledger"]);
    stock.ok(at, &["pg:psql", "-c", "CREATE TABLE words AS SELECT 'kept' AS word"], &["SELECT 1"]);
    let typed = stock.typed(at, &["pg:psql"], "SELECT 6 * 7 AS answer;\n");
    assert!(typed.contains("42"), "{typed}");
    stock.ok(at, &["pg:ps"], &["running_for"]);
    stock.ok(at, &["pg:kill", "1"], &["pg_cancel_backend"]);
    for asked in [
        "bloat",
        "blocking",
        "cache-hit",
        "index-size",
        "index-usage",
        "locks",
        "long-running-queries",
        "records-rank",
        "seq-scans",
        "calls",
        "extensions",
        "mandelbrot",
        "outliers",
        "table-indexes-size",
        "table-size",
        "total-index-size",
        "total-table-size",
        "unused-indexes",
        "user-connections",
        "vacuum-stats",
    ] {
        stock.ok(at, &[&format!("pg:{asked}")], &["row"]);
    }
    stock.ok(at, &["pg:credentials"], &["default", "active"]);
    stock.ok(at, &["pg:credentials:url"], &["user=app", "postgres://app:"]);
    stock.ok(at, &["pg:credentials:rotate", "--confirm", "day"], &["Rotating default", "done"]);
    stock.ok(at, &["pg:backups:capture"], &["Backing up DATABASE to b001"]);
    stock.ok(at, &["pg:backups"], &["b001", "Completed"]);
    stock.ok(at, &["pg:backups:info", "b001"], &["Completed"]);
    stock.ok(at, &["pg:backups:url", "b001"], &["/backup-files/"]);
    let file = at.join("got.dump");
    stock.ok(at, &["pg:backups:download", "b001", "--output", file.to_str().unwrap()], &["done"]);
    assert!(fs::read(&file).unwrap().starts_with(b"PGDMP"));
    stock.ok(at, &["pg:backups:restore", "b001", "DATABASE", "--confirm", "day"], &["Restoring", "done"]);
    stock.ok(at, &["pg:backups:schedule", "DATABASE", "--at", "02:00 UTC"], &["done"]);
    stock.ok(at, &["pg:backups:schedules"], &["DATABASE_URL: daily at 2:00 UTC"]);
    stock.ok(at, &["pg:backups:unschedule", "DATABASE"], &["done"]);
    stock.ok(at, &["pg:backups:delete", "b001", "--confirm", "day"], &["Deleting backup b001", "done"]);
    stock.tries(at, &["pg:backups:cancel"], 2, &["No active backups"]);
    stock.ok(at, &["pg:killall"], &["Terminating connections", "done"]);
    stock.ok(at, &["pg:reset", "--confirm", "day"], &["Resetting", "done"]);
    let second =
        ["addons:create", "heroku-postgresql:standard-0", "--name", "second", "--as", "SECOND", "--wait"];
    stock.ok(at, &second, &["second"]);
    stock.ok(
        at,
        &["pg:copy", "DATABASE", "SECOND", "--confirm", "SECOND"],
        &["Starting copy", "Copying", "done"],
    );
    stock.ok(at, &["pg:stats-reset", "SECOND"], &["counted anew"]);
    stock.ok(at, &["pg:promote", "SECOND"], &["Promoting second to DATABASE_URL", "done"]);
    stock.ok(at, &["addons:create", "heroku-redis", "--name", "jobs", "--wait"], &["jobs"]);
    stock.ok(at, &["redis:wait"], &[]);
    stock.ok(at, &["redis:info"], &["jobs", "Version", "Connections"]);
    stock.ok(at, &["redis:credentials"], &["redis://:"]);
    stock.ok(at, &["redis:credentials", "--reset"], &["Resetting credentials"]);
    stock.ok(at, &["redis:promote", "jobs"], &["Promoting jobs to REDIS_URL"]);
    stock.ok(at, &["addons:destroy", "jobs", "--confirm", "day"], &["Destroying jobs", "done"]);
    for name in ["second", "ledger"] {
        stock.ok(at, &["addons:destroy", name, "--confirm", "day"], &["done"]);
    }
}

fn people(stock: &mut Stock<'_>, at: &Path) {
    stock.node.ok(&["users:create", "friend@example.com"]);
    stock.ok(at, &["access:add", "friend@example.com"], &["friend@example.com", "done"]);
    stock.ok(at, &["access"], &["friend@example.com", "collaborator"]);
    stock.ok(at, &["access:remove", "friend@example.com"], &["friend@example.com", "done"]);
    stock.ok(at, &["apps:transfer", "friend@example.com"], &["friend@example.com", "done"]);
    stock.tries(at, &["access:add", "nobody@example.com"], 2, &["Couldn't find that user"]);
}

fn the_end(stock: &mut Stock<'_>, at: &Path) {
    let procfile = at.join("Procfile");
    fs::write(&procfile, format!("{}\nrelease: echo prepared\n", fs::read_to_string(&procfile).unwrap()))
        .unwrap();
    stock.node.commit(at);
    stock.pushes(at);
    stock.ok(at, &["releases:retry"], &["Retrying", "prepared"]);
    stock.ok(at, &["apps:rename", "night"], &["Renaming day to night", "done"]);
    stock.ok(at, &["apps:destroy", "night", "--confirm", "night"], &["Destroying", "done"]);
    stock.tries(at, &["apps:info", "-a", "night"], 2, &["Couldn't find that app.", "not_found"]);
    stock.ok(at, &["version"], &["heroku/"]);
}

/// Prints what was tried and what is missing, and asserts that the list of exclusions is true.
fn table(stock: &Stock<'_>) {
    let said = stock.run(&stock.home, &["commands", "--json"]);
    let all: Vec<serde_json::Value> = serde_json::from_str(&said.out).unwrap();
    let all: BTreeSet<String> =
        all.iter().map(|command| command["id"].as_str().unwrap().to_owned()).collect();
    let excluded: BTreeMap<&str, &str> = EXCLUDED
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .collect();
    let reason = |command: &str| {
        let named = |(what, why): (&&str, &&str)| {
            let holds = match what.strip_suffix("*") {
                Some(prefix) => command.starts_with(prefix),
                None => command == *what,
            };
            holds.then(|| (*why).to_owned())
        };
        excluded.iter().find_map(named)
    };
    let (mut passed, mut left_out, mut missing) = (0, 0, Vec::new());
    for command in &all {
        if stock.passed.contains(command) {
            assert!(reason(command).is_none(), "{command} passes, and is excluded");
            passed += 1;
        } else if let Some(why) = reason(command) {
            println!("excluded  {command}: {why}");
            left_out += 1;
        } else {
            println!("missing   {command}");
            missing.push(command);
        }
    }
    for command in &stock.passed {
        println!("passed    {command}");
    }
    let wanted = all.len() - left_out;
    println!("{} commands, {left_out} excluded, {passed} of {wanted} passed", all.len());
}
