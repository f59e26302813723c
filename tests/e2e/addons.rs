//! Add-ons: a real database, its rows through the death of everything, and who reaches it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::is_possible;
use crate::support::node::{TestNode, eventually};
use crate::support::terminal::Terminal;

#[test]
fn a_database_keeps_what_it_acknowledged_and_is_its_apps_alone() {
    if !is_possible("a_database_keeps_what_it_acknowledged_and_is_its_apps_alone") {
        return;
    }
    let mut node = TestNode::start("addons", 7);
    for app in ["ledger", "stranger"] {
        node.deploy(&node.app(app, &ledger()));
    }
    let refused = node.refused(&["addons:create", "papertrail", "-a", "ledger"]);
    assert!(refused.contains("papertrail") && refused.contains("heroku-postgresql"), "{refused}");
    node.ok(&["addons:create", "postgresql", "--name", "books", "--wait", "-a", "ledger"]);
    let url = node.ok(&["config:get", "DATABASE_URL", "-a", "ledger"]);
    assert!(url.starts_with("postgres://app:") && url.trim().ends_with(".internal:5432/app"), "{url}");
    let releases = node.ok(&["releases", "-a", "ledger"]);
    assert!(releases.contains("@ref:books completed provisioning"), "{releases}");
    let refused = node.refused(&["config:set", "DATABASE_URL=x", "-a", "ledger"]);
    assert!(refused.contains("books"), "{refused}");
    adds(&node, "ledger", 1);

    what_is_in_it_is_seen_from_the_terminal(&node);
    what_dies_comes_back_with_its_rows(&mut node);
    a_stranger_has_no_way(&node);
    the_service_reaches_nobody(&node);
    another_app_has_it_until_it_is_detached(&node);
    another_password_shuts_out_who_has_the_old_one(&node);
    a_backup_brings_back_what_was_in_it(&node);
    what_is_reset_is_empty(&node);
    a_full_disk_stops_writes_and_says_so(&node);
    a_rollback_does_not_bring_back_what_was_detached(&node);
    what_is_destroyed_is_kept_for_a_while(&node);
}

fn ledger() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/ledger")
}

/// Runs a command with something on its input: whether it succeeded, and what it said.
fn piped(node: &TestNode, args: &[&str], input: &str) -> (bool, String) {
    let mut command = node.command();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn adds(node: &TestNode, app: &str, number: u32) {
    eventually("a number is kept", || {
        let (status, text) = node.get(app, &format!("/add/{number}"));
        // One that was kept and not acknowledged is refused the second time.
        (status, text.as_str()) == (200, "kept\n") || text.contains("duplicate key")
    });
}

fn addon(node: &TestNode) -> Value {
    let all: Value = serde_json::from_str(&node.ok(&["addons", "--json", "-a", "ledger"])).unwrap();
    all[0].clone()
}

/// Process id of the container's init, as its record has it.
fn service_pid(node: &TestNode, id: &str) -> Option<u32> {
    let record =
        std::fs::read(node.root.join("run/containers").join(format!("service-{id}")).join("record.json"));
    let record: Value = serde_json::from_slice(&record.ok()?).ok()?;
    u32::try_from(record["pid"].as_u64()?).ok()
}

fn kill(pid: u32) {
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
}

fn what_dies_comes_back_with_its_rows(node: &mut TestNode) {
    let id = addon(node)["id"].as_str().unwrap().to_owned();
    let before = service_pid(node, &id).unwrap();
    kill(before);
    adds(node, "ledger", 2);
    let after = service_pid(node, &id).unwrap();
    assert_ne!(before, after, "it was started anew");
    node.kill();
    node.serve();
    adds(node, "ledger", 3);
    assert_eq!(service_pid(node, &id), Some(after), "it was taken over");
    node.stop();
    node.serve();
    adds(node, "ledger", 4);
    assert_eq!(node.get("ledger", "/all"), (200, "1 2 3 4\n".to_owned()));
}

/// One way in and out for each: a terminal, arguments, a pipe, and what the platform asks itself.
fn what_is_in_it_is_seen_from_the_terminal(node: &TestNode) {
    let psql = |sql: &str| node.ok(&["pg:psql", "-c", sql, "-a", "ledger"]);
    assert!(psql("SELECT n FROM numbers").contains("1 row"), "{}", psql("SELECT n FROM numbers"));
    let (is_done, said) = piped(node, &["pg:psql", "-c", "SELECT nonsense", "-a", "ledger"], "");
    assert!(!is_done && said.contains("nonsense"), "{said}");
    let (is_done, said) = piped(node, &["pg:psql", "-a", "ledger"], "SELECT 6 * 7 AS answer;\n");
    assert!(is_done && said.contains("42"), "{said}");
    let mut command = node.command();
    let mut terminal = Terminal::open(24, 80, command.args(["pg:psql", "-a", "ledger"]));
    terminal.until("ledger::DATABASE=>");
    terminal.keys("SELECT 40 + 3;\n");
    terminal.until("43");
    terminal.keys("\\q\n");
    assert!(terminal.end().success());
    let info = node.ok(&["pg", "-a", "ledger"]);
    for part in
        ["=== DATABASE_URL", "PG Version:", "17.", "Tables:", "Connections:", "/20", "Data Size:", "books"]
    {
        assert!(info.contains(part), "{part}: {info}");
    }
    let advice = node.ok(&["pg:diagnose", "-a", "ledger"]);
    for part in ["Connection Count", "Long Transactions", "Hit Rate", "Bloat"] {
        assert!(advice.contains(part), "{part}: {advice}");
    }
    let (is_done, said) = piped(node, &["pg:kill", "1", "-a", "ledger"], "");
    assert!(!is_done && said.contains("there is no process 1"), "{said}");
    assert!(node.ok(&["pg:killall", "-a", "ledger"]).contains("ended"));
    assert!(node.ok(&["pg:ps", "-a", "ledger"]).contains("running_for"));
    // Who holds its files in the container is not the superuser of its database over the network.
    let url = node.ok(&["pg:credentials:url", "-a", "ledger"]);
    assert!(url.contains("user=app"), "{url}");
    let refused = node.refused(&["addons:run", "books", "nonsense", "-a", "ledger"]);
    assert!(refused.contains("diagnose"), "{refused}");
}

fn another_password_shuts_out_who_has_the_old_one(node: &TestNode) {
    let url = || node.ok(&["config:get", "DATABASE_URL", "-a", "ledger"]);
    let before = url();
    node.ok(&["pg:credentials:rotate", "--confirm", "ledger", "-a", "ledger"]);
    let after = url();
    assert_ne!(before, after);
    assert!(node.ok(&["releases", "-a", "ledger"]).contains("Update DATABASE by heroku-postgresql"));
    adds(node, "ledger", 5);
    let old = before.trim().strip_prefix("postgres://app:").unwrap().split('@').next().unwrap();
    let tries = |password: &str| {
        let sql = format!("\\connect postgresql://app:{password}@127.0.0.1:5432/app\nSELECT 'got in';\n");
        piped(node, &["pg:psql", "-a", "ledger"], &sql).1
    };
    let new = after.trim().strip_prefix("postgres://app:").unwrap().split('@').next().unwrap();
    assert!(tries(new).contains("got in"), "{}", tries(new));
    let said = tries(old);
    assert!(said.contains("password authentication failed"), "{said}");
}

fn a_backup_brings_back_what_was_in_it(node: &TestNode) {
    node.ok(&["pg:backups:capture", "--verify", "-a", "ledger"]);
    let told = node.ok(&["pg:backups", "-a", "ledger"]);
    assert!(told.contains("b001") && told.contains("Completed") && told.contains("restored"), "{told}");
    let file = node.root.join("got.dump");
    node.ok(&["pg:backups:download", "b001", "--output", file.to_str().unwrap(), "-a", "ledger"]);
    assert!(std::fs::read(&file).unwrap().starts_with(b"PGDMP"), "it is what pg_dump writes");
    let all = node.get("ledger", "/all");
    adds(node, "ledger", 77);
    node.ok(&["pg:psql", "-c", "CREATE TABLE later AS SELECT 1 AS one", "-a", "ledger"]);
    node.ok(&["pg:backups:restore", "b001", "--confirm", "ledger", "-a", "ledger"]);
    eventually("what was in it is back", || node.get("ledger", "/all") == all);
    let (is_done, said) = piped(node, &["pg:psql", "-c", "SELECT * FROM later", "-a", "ledger"], "");
    assert!(!is_done && said.contains("does not exist"), "{said}");
    // A file that is not what was written is not restored from, and what there is stays.
    let dump = std::fs::read_dir(node.root.join("lib/backups")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&dump, b"PGDMP and nothing else").unwrap();
    let refused = node.refused(&["pg:backups:restore", "b001", "--confirm", "ledger", "-a", "ledger"]);
    assert!(refused.contains("not what was written"), "{refused}");
    let refused = node.refused(&["pg:backups:verify", "b001", "-a", "ledger"]);
    assert!(refused.contains("not what was written"), "{refused}");
    assert_eq!(node.get("ledger", "/all"), all);
    node.ok(&["pg:backups:delete", "b001", "--confirm", "ledger", "-a", "ledger"]);
    assert!(!dump.exists());
    let data = std::fs::read_dir(node.root.join("lib/services")).unwrap();
    let volumes = data.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(volumes, 1, "what was made for a backup to be tried out is gone");
}

fn what_is_reset_is_empty(node: &TestNode) {
    let refused = node.refused(&["pg:reset", "--confirm", "legder", "-a", "ledger"]);
    assert!(refused.contains("Aborted"), "{refused}");
    node.ok(&["pg:reset", "--confirm", "ledger", "-a", "ledger"]);
    eventually("it is empty", || node.get("ledger", "/all") == (200, "\n".to_owned()));
}

fn a_full_disk_stops_writes_and_says_so(node: &TestNode) {
    adds(node, "ledger", 11);
    let ballast = node.root.join("lib/services").join(addon(node)["id"].as_str().unwrap()).join("ballast");
    let made = std::process::Command::new("fallocate").args(["-l", "1200M"]).arg(&ballast).status().unwrap();
    assert!(made.success());
    eventually("a write is refused", || {
        let (status, text) = node.get("ledger", "/add/12");
        status == 500 && text.contains("read-only transaction")
    });
    assert!(node.get("ledger", "/all").1.contains("11"), "what is there is read");
    let log = node.ok(&["logs", "-n", "200", "-a", "ledger"]);
    assert!(log.contains("heroku[heroku-postgresql]: Disk full: the data takes"), "{log}");
    std::fs::remove_file(&ballast).unwrap();
    adds(node, "ledger", 12);
    let log = node.ok(&["logs", "-n", "200", "-a", "ledger"]);
    assert!(log.contains("writes are taken"), "{log}");
}

fn a_stranger_has_no_way(node: &TestNode) {
    let (status, address) = node.get("ledger", &format!("/host/{}", host(node)));
    assert_eq!(status, 200, "{address}");
    let address = address.trim();
    assert_eq!(node.get("ledger", &format!("/reach/{address}/5432")), (200, "reached\n".to_owned()));
    assert_eq!(node.get("ledger", &format!("/reach/{address}/22")).0, 500, "one port alone");
    let (status, told) = node.get("stranger", &format!("/reach/{address}/5432"));
    assert_eq!(status, 500, "a dyno of another app got through: {told}");
    let from_host = std::net::TcpStream::connect_timeout(
        &format!("{address}:5432").parse().unwrap(),
        std::time::Duration::from_secs(2),
    );
    assert!(from_host.is_err(), "the host got through");
    use std::os::unix::fs::MetadataExt as _;
    let volumes = std::fs::metadata(node.root.join("lib/services")).unwrap();
    assert_eq!((volumes.uid(), volumes.mode() & 0o077), (0, 0), "its files are no user's of the host");
    let used = node.ok(&["addons:info", "books", "-a", "ledger"]);
    assert!(used.contains("Memory"), "{used}");
}

/// Its own client can open connections from inside of the service's container, as whoever breaks into the server could.
fn the_service_reaches_nobody(node: &TestNode) {
    let (_, address) = node.get("ledger", &format!("/host/{}", host(node)));
    let address: std::net::Ipv4Addr = address.trim().parse().unwrap();
    let gateway = std::net::Ipv4Addr::from(u32::from(address) - 1);
    let (_, dyno) = node.get("stranger", "/here");
    let reach = |to: &str, port: u16| {
        let tries = format!("\\! timeout 2 bash -c 'exec 3<>/dev/tcp/{to}/{port} && echo reached'\n");
        piped(node, &["pg:psql", "-a", "ledger"], &tries).1.contains("reached")
    };
    assert!(reach("127.0.0.1", 5432), "it reaches itself");
    let port = node.get("stranger", "/port").1.trim().parse().unwrap();
    assert_eq!(
        node.get("stranger", &format!("/reach/{}/{port}", dyno.trim())).0,
        200,
        "a dyno reaches itself"
    );
    assert!(!reach(dyno.trim(), port), "a dyno");
    for port in [node.router_port, node.api_port(), 22] {
        assert!(!reach(&gateway.to_string(), port), "the host's port {port}");
    }
}

fn another_app_has_it_until_it_is_detached(node: &TestNode) {
    node.ok(&["addons:attach", "books", "--as", "SHARED", "-a", "stranger"]);
    assert!(node.ok(&["releases", "-a", "stranger"]).contains("Attach SHARED (@ref:books)"));
    let refused = node.refused(&["addons:destroy", "books", "-a", "ledger", "--confirm", "ledger"]);
    assert!(refused.contains("stranger"), "{refused}");
    let (_, address) = node.get("ledger", &format!("/host/{}", host(node)));
    let path = format!("/reach/{}/5432", address.trim());
    eventually("the other app reaches it", || node.get("stranger", &path).0 == 200);
    node.ok(&["addons:detach", "SHARED", "-a", "stranger"]);
    assert!(node.ok(&["releases", "-a", "stranger"]).contains("Detach SHARED (@ref:books)"));
    eventually("its way is shut", || node.get("stranger", &path).0 == 500);
}

fn host(node: &TestNode) -> String {
    let url = node.ok(&["config:get", "DATABASE_URL", "-a", "ledger"]);
    url.trim().rsplit('@').next().unwrap().split(':').next().unwrap().to_owned()
}

fn a_rollback_does_not_bring_back_what_was_detached(node: &TestNode) {
    node.ok(&["addons:attach", "books", "--as", "LATE", "-a", "ledger"]);
    node.ok(&["config:set", "GREETING=hi", "-a", "ledger"]);
    node.ok(&["addons:detach", "LATE", "-a", "ledger"]);
    let releases: Value = serde_json::from_str(&node.ok(&["releases", "--json", "-a", "ledger"])).unwrap();
    let then = releases[1]["version"].as_u64().unwrap();
    node.ok(&["rollback", &format!("v{then}"), "-a", "ledger"]);
    let config = node.ok(&["config", "-a", "ledger"]);
    assert!(config.contains("GREETING") && config.contains("DATABASE_URL"), "{config}");
    assert!(!config.contains("LATE_URL"), "{config}");
}

fn what_is_destroyed_is_kept_for_a_while(node: &TestNode) {
    let id = addon(node)["id"].as_str().unwrap().to_owned();
    node.ok(&["addons:attach", "books", "--as", "MAIN", "-a", "ledger"]);
    node.ok(&["addons:detach", "DATABASE", "-a", "ledger"]);
    node.ok(&["addons:destroy", "books", "-a", "ledger", "--confirm", "ledger"]);
    assert_eq!(node.ok(&["config:get", "MAIN_URL", "-a", "ledger"]).trim(), "");
    assert!(!node.root.join("lib/services").join(&id).exists());
    let kept = std::fs::read_dir(node.root.join("lib/services-removed")).unwrap();
    let names: Vec<_> = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with(&id)), "{names:?}");
    assert!(node.ok(&["addons:removed"]).contains("books"));
    node.ok(&["addons:bring-back", "books", "-a", "ledger"]);
    node.ok(&["addons:wait", "-a", "ledger"]);
    let back = addon(node);
    assert_eq!((&back["name"], &back["config_vars"][0]), (&"books".into(), &"MAIN_URL".into()));
    let url = node.ok(&["config:get", "MAIN_URL", "-a", "ledger"]);
    node.ok(&["addons:attach", "books", "--as", "DATABASE", "-a", "ledger"]);
    assert_eq!(node.ok(&["config:get", "DATABASE_URL", "-a", "ledger"]), url);
    eventually("its rows are back, under another password", || node.get("ledger", "/all").1 == "11 12\n");
    assert!(!node.ok(&["addons:removed"]).contains("books"));
}
