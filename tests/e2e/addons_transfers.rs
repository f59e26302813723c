//! What moves the contents of databases between real servers: copies, backups on time, backups that nobody wants any more, and tries that
//! were cut off. And Redis under another password.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::is_possible;
use crate::support::node::{TestNode, eventually};

#[test]
fn contents_are_copied_backed_up_on_time_and_nothing_is_left_behind() {
    if !is_possible("contents_are_copied_backed_up_on_time_and_nothing_is_left_behind") {
        return;
    }
    let mut node = TestNode::start("addons-transfers", 7);
    let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/ledger");
    node.deploy(&node.app("ledger", &ledger));
    node.ok(&["addons:create", "postgresql", "--name", "books", "-a", "ledger"]);
    node.ok(&["addons:create", "postgresql", "--name", "second", "--as", "SECOND", "-a", "ledger"]);
    node.ok(&["addons:create", "redis", "--name", "jobs", "-a", "ledger"]);
    node.ok(&["addons:wait", "-a", "ledger"]);
    for number in [1, 2, 3] {
        eventually("a number is kept", || node.get("ledger", &format!("/add/{number}")).0 == 200);
    }
    what_is_copied_is_in_the_other_one(&node);
    figures_of_a_database_are_told(&node);
    a_backup_that_nobody_wants_ends(&node);
    a_backup_is_taken_when_it_is_due(&mut node);
    a_try_that_was_cut_off_leaves_nothing(&mut node);
    another_password_of_a_store(&node);
}

fn sql(node: &TestNode, database: &str, sql: &str) -> String {
    node.ok(&["pg:psql", database, "-c", sql, "-a", "ledger"])
}

/// Begins a command, and does not wait for its end.
fn begun(node: &TestNode, args: &[&str]) -> Child {
    let mut command = node.command();
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn what_is_copied_is_in_the_other_one(node: &TestNode) {
    sql(node, "SECOND", "CREATE TABLE gone AS SELECT 1 AS one");
    node.ok(&["pg:copy", "DATABASE", "SECOND", "--confirm", "ledger", "-a", "ledger"]);
    let told = sql(node, "SECOND", "SELECT count(*) || ' numbers' FROM numbers");
    assert!(told.contains("3 numbers"), "{told}");
    let told = sql(node, "SECOND", "SELECT to_regclass('gone') IS NULL AS is_gone");
    assert!(told.contains(" t"), "what it had is replaced: {told}");
    assert_eq!(node.get("ledger", "/all"), (200, "1 2 3\n".to_owned()), "what was read is as it was");
    let refused = node.refused(&["pg:copy", "DATABASE", "DATABASE", "--confirm", "ledger", "-a", "ledger"]);
    assert!(refused.contains("two add-ons"), "{refused}");
}

fn figures_of_a_database_are_told(node: &TestNode) {
    sql(node, "DATABASE", "CREATE INDEX idle ON numbers (n DESC)");
    for (command, told) in [
        ("pg:table-size", "numbers"),
        ("pg:table_size", "numbers"),
        ("pg:total-table-size", "numbers"),
        ("pg:table-indexes-size", "numbers"),
        ("pg:index-size", "numbers_pkey"),
        ("pg:total-index-size", "kB"),
        ("pg:unused-indexes", "idle"),
        ("pg:index-usage", "numbers"),
        ("pg:seq-scans", "numbers"),
        ("pg:records-rank", "numbers"),
        ("pg:vacuum-stats", "numbers"),
        ("pg:cache-hit", "tables"),
        ("pg:calls", "INSERT INTO numbers VALUES"),
        ("pg:outliers", "CREATE INDEX idle"),
        ("pg:user-connections", "connections"),
        ("pg:extensions", "pgcrypto"),
        ("pg:locks", "granted"),
        ("pg:blocking", "waits_for"),
        ("pg:long-running-queries", "running_for"),
    ] {
        let said = node.ok(&[command, "-a", "ledger"]);
        assert!(said.contains(told), "{command} does not say {told}: {said}");
    }
    assert!(!node.ok(&["pg:table-size", "-a", "ledger"]).contains("heroku_ext"));
    node.ok(&["pg:stats-reset", "-a", "ledger"]);
    let said = node.ok(&["pg:calls", "-a", "ledger"]);
    assert!(!said.contains("INSERT INTO numbers"), "it counts anew: {said}");
    sql(node, "DATABASE", "CREATE EXTENSION pgcrypto");
}

fn backups(node: &TestNode) -> Vec<Value> {
    let (status, all) = node.api("GET /client/v11/apps/ledger/transfers", "", "");
    assert!(status == 200 || status == 206, "{status} {all}");
    all.as_array().unwrap().clone()
}

fn named<'a>(all: &'a [Value], name: &str) -> &'a Value {
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("there is no {name} in {all:?}"))
}

/// Somebody holds a lock that the backup has to wait for, so that it goes on for as long as it is let.
fn a_backup_that_nobody_wants_ends(node: &TestNode) {
    let mut holder = node.command();
    holder.args(["pg:psql", "-a", "ledger"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut holder = holder.stderr(Stdio::null()).spawn().unwrap();
    let mut typed = holder.stdin.take().unwrap();
    typed.write_all(b"BEGIN;\nLOCK TABLE numbers;\n").unwrap();
    typed.flush().unwrap();
    let locks = || node.ok(&["pg:locks", "-a", "ledger"]);
    eventually("the table is locked", || locks().contains("AccessExclusiveLock"));
    let mut capture = begun(node, &["pg:backups:capture", "-a", "ledger"]);
    eventually("the backup waits", || node.ok(&["pg:blocking", "-a", "ledger"]).contains("LOCK TABLE"));
    let refused = node.refused(&["pg:backups:capture", "-a", "ledger"]);
    assert!(refused.contains("goes on"), "{refused}");
    node.ok(&["pg:backups:cancel", "-a", "ledger"]);
    assert!(!capture.wait().unwrap().success(), "there is no backup");
    eventually("its end is recorded", || backups(node)[0]["canceled_at"].is_string());
    eventually("its program has ended", || !locks().contains("AccessShareLock"));
    let files = std::fs::read_dir(node.root.join("lib/backups")).unwrap().count();
    assert_eq!(files, 0, "nothing is left of it");
    let refused = node.refused(&["pg:backups:restore", "b002", "--confirm", "ledger", "-a", "ledger"]);
    assert!(refused.contains("no whole backup"), "{refused}");
    drop(typed);
    holder.wait().unwrap();
    node.ok(&["pg:backups:capture", "-a", "ledger"]);
}

/// An hour that begins while nobody looks: the node's own record says that it was looked at two days ago.
fn a_backup_is_taken_when_it_is_due(node: &mut TestNode) {
    node.ok(&["pg:backups:schedule", "--at", "02:00 UTC", "-a", "ledger"]);
    let count = || backups(node).len();
    let before = count();
    node.stop();
    let store = rusqlite::Connection::open(node.root.join("lib/state.db")).unwrap();
    let changed =
        store.execute("UPDATE backup_schedules SET looked_at_s = looked_at_s - 172800", []).unwrap();
    drop(store);
    assert_eq!(changed, 1);
    node.serve();
    let node = &*node;
    eventually("the backup is taken", || {
        let all = backups(node);
        all.len() == before + 1 && all[0]["succeeded"] == true
    });
    let all = backups(node);
    assert!(all[0]["name"].as_str().unwrap().starts_with('a') && all[0]["schedule"].is_object(), "{all:?}");
    node.ok(&["pg:backups:verify", all[0]["name"].as_str().unwrap(), "-a", "ledger"]);
    node.ok(&["pg:backups:unschedule", "-a", "ledger"]);
}

fn a_try_that_was_cut_off_leaves_nothing(node: &mut TestNode) {
    let services = node.root.join("lib/services");
    let names = || -> Vec<String> {
        let all = std::fs::read_dir(&services).unwrap();
        all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let is_tried = || names().iter().any(|name| name.ends_with(".tried"));
    let volumes = || names().iter().filter(|name| services.join(name).is_dir()).count();
    assert_eq!(volumes(), 3);
    let all = backups(node);
    let mut verify =
        begun(node, &["pg:backups:verify", named(&all, "b003")["name"].as_str().unwrap(), "-a", "ledger"]);
    eventually("a server is made for it", || is_tried() && volumes() == 4);
    node.kill();
    assert!(!verify.wait().unwrap().success());
    node.serve();
    eventually("it is gone", || !is_tried() && volumes() == 3);
    let removed = node.ok(&["addons:removed"]);
    assert!(removed.contains("No data"), "it is nobody's data: {removed}");
    let away = std::fs::read_dir(node.root.join("lib/services-removed"));
    assert_eq!(away.map_or(0, Iterator::count), 0);
    node.ok(&["pg:backups:verify", "b003", "-a", "ledger"]);
}

fn another_password_of_a_store(node: &TestNode) {
    eventually("a job is queued", || node.get("ledger", "/push/7").0 == 200);
    let url = || node.ok(&["config:get", "REDIS_URL", "-a", "ledger"]).trim().to_owned();
    let password = |url: &str| url.strip_prefix("redis://:").unwrap().split('@').next().unwrap().to_owned();
    let before = url();
    node.ok(&["redis:credentials", "--reset", "-a", "ledger"]);
    let after = url();
    assert_ne!(before, after);
    assert!(node.ok(&["releases", "-a", "ledger"]).contains("Update REDIS by heroku-redis"));
    eventually("the app has the new one, and what was queued is there", || {
        node.get("ledger", "/jobs") == (200, "7\n".to_owned())
    });
    let tries = |password: &str| {
        let mut command = node.command();
        command.args(["redis:cli", "-a", "ledger"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("AUTH {password}\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    assert!(tries(&password(&after)).contains("OK"));
    let said = tries(&password(&before));
    assert!(said.contains("WRONGPASS"), "{said}");
}
