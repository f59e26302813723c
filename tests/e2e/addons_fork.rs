//! A database from the files of another, on a disk that shares blocks: whole, while the other one is written to, and all or nothing when
//! the node is killed meanwhile.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::is_possible;
use crate::support::disk;
use crate::support::node::{TestNode, eventually};
use crate::support::skip::skip;

const NAME: &str = "a_database_is_forked_from_the_files_of_another_or_not_at_all";
const DISK_MIB: u64 = 8192;
/// Moments at which the node is killed, milliseconds after it was told to copy.
const KILLED_AFTER_MS: &[u64] = &[40, 150, 300, 600, 900, 1300, 2000];
/// What the node's log says of each way.
const BY_FILES: &str = "has a copy of the files of another";
const BY_DUMP: &str = "is filled from a dump of another";

#[test]
fn a_database_is_forked_from_the_files_of_another_or_not_at_all() {
    if !is_possible(NAME) {
        return;
    }
    let place = TestNode::place("addons-fork");
    let made = disk::with(&place, (DISK_MIB, &["mkfs.xfs", "-q", "-m", "reflink=1"]), || {
        let mut node = TestNode::start("addons-fork", 6);
        let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/ledger");
        node.deploy(&node.app("ledger", &ledger));
        node.ok(&["addons:create", "postgresql", "--name", "books", "-a", "ledger"]);
        node.ok(&["addons:create", "postgresql", "--name", "second", "--as", "SECOND", "-a", "ledger"]);
        node.ok(&["addons:wait", "-a", "ledger"]);
        eventually("a number is kept", || node.get("ledger", "/add/0").0 == 200);
        what_was_acknowledged_before_is_in_it(&node);
        a_new_one_has_the_contents_of_another(&node);
        killed_in_between_it_has_all_or_nothing(&mut node);
        what_is_too_much_for_its_plan_is_dumped(&node);
    });
    if let Err(reason) = made {
        skip(NAME, &reason);
    }
}

fn sql(node: &TestNode, database: &str, sql: &str) -> String {
    node.ok(&["pg:psql", database, "-c", sql, "-a", "ledger"])
}

/// The number in an answer of one row.
fn number(answer: &str) -> u64 {
    answer.lines().find_map(|line| line.trim().parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

fn numbers(node: &TestNode, database: &str) -> u64 {
    number(&sql(node, database, "SELECT count(*) FROM numbers"))
}

fn has_its_own(node: &TestNode) -> bool {
    sql(node, "SECOND", "SELECT to_regclass('its_own') IS NOT NULL AS has").contains(" t")
}

fn times(node: &TestNode, line: &str) -> usize {
    node.log().matches(line).count()
}

const COPY: [&str; 7] = ["pg:copy", "DATABASE", "SECOND", "--confirm", "ledger", "-a", "ledger"];

fn what_was_acknowledged_before_is_in_it(node: &TestNode) {
    sql(node, "SECOND", "CREATE TABLE its_own AS SELECT 1 AS one");
    let is_done = AtomicBool::new(false);
    let (before, refused) = std::thread::scope(|scope| {
        // Somebody writes all the while, and is refused nothing: the other one stands still for a moment.
        let writer = scope.spawn(|| {
            let (mut next, mut refused) = (1, Vec::new());
            while !is_done.load(Ordering::Relaxed) {
                let (status, text) = node.get("ledger", &format!("/add/{next}"));
                if status != 200 {
                    refused.push(text);
                }
                next += 1;
            }
            refused
        });
        std::thread::sleep(Duration::from_secs(1));
        let before = numbers(node, "DATABASE");
        node.ok(&COPY);
        is_done.store(true, Ordering::Relaxed);
        (before, writer.join().unwrap())
    });
    assert_eq!(refused, Vec::<String>::new());
    assert_eq!((times(node, BY_FILES), times(node, BY_DUMP)), (1, 0), "{}", node.log());
    let (copied, after) = (numbers(node, "SECOND"), numbers(node, "DATABASE"));
    assert!((before..=after).contains(&copied), "{before} before, {copied} copied, {after} after");
    // Of one moment: there is no number without those before it.
    assert_eq!(number(&sql(node, "SECOND", "SELECT max(n) + 1 FROM numbers")), copied);
    assert!(!has_its_own(node), "what it had is replaced");
    its_own_password_is_what_lets_in(node);
    let services = std::fs::read_dir(node.root.join("lib/services")).unwrap();
    let left: Vec<_> = services.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| !name.contains(".fork") && !name.contains(".before")), "{left:?}");
}

fn a_new_one_has_the_contents_of_another(node: &TestNode) {
    let before = times(node, BY_FILES);
    node.ok(&[
        "addons:create",
        "postgresql",
        "--name",
        "third",
        "--as",
        "THIRD",
        "--wait",
        "-a",
        "ledger",
        "--",
        "--fork",
        "DATABASE_URL",
    ]);
    assert_eq!(numbers(node, "THIRD"), numbers(node, "DATABASE"));
    assert_eq!((times(node, BY_FILES), times(node, BY_DUMP)), (before + 1, 0), "{}", node.log());
    node.ok(&["addons:destroy", "third", "--confirm", "ledger", "-a", "ledger"]);
    let refused = node.refused(&["addons:create", "postgresql", "--fork", "nobody", "-a", "ledger"]);
    assert!(refused.contains("find that add-on"), "{refused}");
}

/// By TCP, as apps do.
fn its_own_password_is_what_lets_in(node: &TestNode) {
    use std::io::Write as _;
    let password = |name: &str| {
        let url = node.ok(&["config:get", name, "-a", "ledger"]);
        url.trim().strip_prefix("postgres://app:").unwrap().split('@').next().unwrap().to_owned()
    };
    let tries = |password: &str| {
        let mut command = node.command();
        command.args(["pg:psql", "SECOND", "-a", "ledger"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let sql =
            format!("\\connect postgresql://app:{password}@127.0.0.1:5432/app\nSELECT 'got ' || 'in';\n");
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    assert!(tries(&password("SECOND_URL")).contains("got in"));
    let said = tries(&password("DATABASE_URL"));
    assert!(said.contains("password authentication failed"), "{said}");
}

fn begun(node: &TestNode) -> Child {
    let mut command = node.command();
    command.args(COPY).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The last copy: whether it has succeeded.
fn last_copy(node: &TestNode) -> Option<bool> {
    let (status, all) = node.api("GET /client/v11/apps/ledger/transfers", "", "");
    assert!(status == 200 || status == 206, "{status} {all}");
    let all: Vec<Value> = all.as_array().unwrap().clone();
    let last = all.into_iter().find(|one| one["name"].as_str().unwrap().starts_with('c'))?;
    last["finished_at"].as_str()?;
    last["succeeded"].as_bool()
}

fn killed_in_between_it_has_all_or_nothing(node: &mut TestNode) {
    let (mut whole, mut none) = (0, 0);
    for after_ms in KILLED_AFTER_MS {
        sql(node, "SECOND", "DROP TABLE IF EXISTS numbers");
        sql(node, "SECOND", "CREATE TABLE IF NOT EXISTS its_own AS SELECT 1 AS one");
        let mut copy = begun(node);
        std::thread::sleep(Duration::from_millis(*after_ms));
        node.kill();
        let _cut_off = copy.wait().unwrap();
        node.serve();
        node.ok(&["pg:wait", "-a", "ledger"]);
        eventually("both answer", || {
            ["DATABASE", "SECOND"].iter().all(|database| {
                node.dyno(&["pg:psql", database, "-c", "SELECT 1", "-a", "ledger"]).status.success()
            })
        });
        let has = |table: &str| {
            let asked = format!("SELECT to_regclass('{table}') IS NOT NULL AS has");
            sql(node, "SECOND", &asked).contains(" t")
        };
        let (is_new, is_old) = (has("numbers"), has("its_own"));
        assert!(is_new != is_old, "after {after_ms} ms: new {is_new}, old {is_old}\n{}", node.log());
        if is_new {
            whole += 1;
            assert_eq!(numbers(node, "SECOND"), numbers(node, "DATABASE"));
        } else {
            none += 1;
            assert_ne!(last_copy(node), Some(true), "it was said to be done after {after_ms} ms");
        }
        eventually("the other one takes writes", || {
            node.get("ledger", &format!("/add/{}", 1_000_000 + after_ms)).0 == 200
        });
    }
    println!("killed while it was copied: {whole} times the new one is there, {none} times the old one");
    assert!(none > 0, "it was never killed in between");
    node.ok(&COPY);
    assert_eq!(numbers(node, "SECOND"), numbers(node, "DATABASE"));
    assert_eq!(times(node, BY_DUMP), 0);
}

fn what_is_too_much_for_its_plan_is_dumped(node: &TestNode) {
    let id = {
        let all: Value = serde_json::from_str(&node.ok(&["addons", "--json", "-a", "ledger"])).unwrap();
        let books = all.as_array().unwrap().iter().find(|one| one["name"] == "books").unwrap().clone();
        books["id"].as_str().unwrap().to_owned()
    };
    let ballast = node.root.join("lib/services").join(id).join("ballast");
    let made = Command::new("fallocate").args(["-l", "1200M"]).arg(&ballast).status().unwrap();
    assert!(made.success());
    node.ok(&COPY);
    assert_eq!(times(node, BY_DUMP), 1, "{}", node.log());
    assert_eq!(numbers(node, "SECOND"), numbers(node, "DATABASE"));
    std::fs::remove_file(ballast).unwrap();
}
