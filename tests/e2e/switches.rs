//! Releases and restarts under a steady stream of requests, and releases that do not come up.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::node::{TestNode, eventually};
use crate::{is_possible, lab, relieved, web_dynos};

/// Between two requests of a stream.
const PACE: Duration = Duration::from_millis(20);
/// Streams at a time: a request that takes longer does not hold up the others.
const STREAMS: usize = 2;
/// Requests that are answered between two switches, however slow the machine is.
const BETWEEN_SWITCHES: usize = 25;

/// Requests that are being sent.
struct Stream {
    answered: AtomicUsize,
    over: AtomicBool,
}

impl Stream {
    /// Waits until so many more are answered, well or not.
    fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("requests are answered", || {
            self.answered.load(Ordering::Relaxed) >= before + BETWEEN_SWITCHES
        });
    }
}

/// Sends requests all the while `work` goes on: how many there were, and those that were not answered well.
fn under_requests(node: &TestNode, work: impl FnOnce(&Stream)) -> (usize, Vec<String>) {
    let router_port = node.router_port;
    let sent = Stream { answered: AtomicUsize::new(0), over: AtomicBool::new(false) };
    std::thread::scope(|scope| {
        let stream = || {
            let mut failed = Vec::new();
            while !sent.over.load(Ordering::Relaxed) {
                match request(router_port) {
                    Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => {}
                    Ok(answer) => failed.push(answer),
                    Err(error) => failed.push(error.to_string()),
                }
                sent.answered.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(PACE);
            }
            failed
        };
        let streams: Vec<_> = (0..STREAMS).map(|_| scope.spawn(stream)).collect();
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&sent)));
        sent.over.store(true, Ordering::Relaxed);
        let failed: Vec<_> = streams.into_iter().flat_map(|stream| stream.join().unwrap()).collect();
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
        (sent.answered.load(Ordering::Relaxed), failed)
    })
}

fn request(port: u16) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(90)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lab.localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Does what makes new web dynos, and waits until they have taken over.
fn switch(node: &TestNode, by: impl FnOnce()) {
    let before = web_dynos(node, "lab");
    by();
    relieved(node, "lab", &before);
}

fn answers(node: &TestNode, expected: &str) {
    eventually(&format!("the app answers {expected:?}"), || {
        node.get("lab", "/") == (200, expected.to_owned())
    });
}

fn deployed(node: &TestNode) -> std::path::PathBuf {
    let source = node.app("lab", &lab());
    node.deploy(&source);
    answers(node, "hello from web.1\n");
    source
}

#[test]
fn deploys_rollbacks_and_restarts_fail_no_request() {
    if !is_possible("deploys_rollbacks_and_restarts_fail_no_request") {
        return;
    }
    let node = TestNode::start("switches", 4);
    let source = deployed(&node);
    node.ok(&["ps:scale", "web=2", "-a", "lab"]);
    eventually("both are up", || {
        web_dynos(&node, "lab").iter().filter(|(_, state)| state == "up").count() == 2
    });
    let (count, failed) = under_requests(&node, |sent| {
        let switch = |by: &dyn Fn()| {
            sent.goes_on();
            switch(&node, by);
        };
        switch(&|| drop(node.ok(&["config:set", "GREETING=moin", "-a", "lab"])));
        assert!(node.get("lab", "/").1.starts_with("moin from web."));
        switch(&|| push_something(&node, &source));
        switch(&|| drop(node.ok(&["rollback", "v3", "-a", "lab"])));
        assert!(node.get("lab", "/").1.starts_with("hello from web."));
        switch(&|| drop(node.ok(&["ps:restart", "web", "-a", "lab"])));
        sent.goes_on();
    });
    assert!(count > 100, "there was a stream: {count}");
    assert!(failed.is_empty(), "{} of {count} failed: {failed:#?}\n{}", failed.len(), said(&node));
}

fn push_something(node: &TestNode, source: &Path) {
    std::fs::write(source.join("something"), "new").unwrap();
    node.commit(source);
    node.deploy(source);
}

fn said(node: &TestNode) -> String {
    node.ok(&["logs", "-a", "lab", "-n", "100", "--source", "heroku"])
}

#[test]
fn a_release_that_does_not_come_up_leaves_the_old_one_serving() {
    if !is_possible("a_release_that_does_not_come_up_leaves_the_old_one_serving") {
        return;
    }
    let mut node = TestNode::configured("unswitched", 5, "[dynos]\nboot_timeout_s = 4\n");
    deployed(&node);
    for (cause, version) in [(["CRASH=1", "DEAF="], 4), (["CRASH=", "DEAF=1"], 5)] {
        node.ok(&[&["config:set", "-a", "lab"][..], &cause].concat());
        let line = format!(
            "heroku[web.1]: Not switched to release v{version}: it has not come up, and v3 serves on"
        );
        eventually("the log says why", || said(&node).contains(&line));
        assert_eq!(node.get("lab", "/"), (200, "hello from web.1\n".to_owned()));
    }
    let shown = node.ok(&["ps", "-a", "lab"]);
    assert!(shown.contains("), v3\n") && shown.contains("), v5\n"), "{shown}");
    node.kill();
    node.serve();
    assert_eq!(
        node.get("lab", "/"),
        (200, "hello from web.1\n".to_owned()),
        "the old one is still in its place"
    );
    assert_eq!(web_dynos(&node, "lab").len(), 2);
    let before = web_dynos(&node, "lab");
    node.ok(&["config:unset", "CRASH", "DEAF", "-a", "lab"]);
    relieved(&node, "lab", &before);
    answers(&node, "hello from web.1\n");
}

#[test]
fn a_switch_for_which_memory_is_short_goes_in_steps_and_fails_no_request() {
    if !is_possible("a_switch_for_which_memory_is_short_goes_in_steps_and_fails_no_request") {
        return;
    }
    // Two of these, and not three, are a tenth of the machine.
    let mib = total_mib() / 10 / 2 - 16;
    let config = format!("[dynos]\nmemory_overcommit = 0.1\n[sizes.standard-1x]\nmemory_mib = {mib}\n");
    let node = TestNode::configured("steps", 7, &config);
    deployed(&node);
    node.ok(&["ps:scale", "web=2:standard-1x", "-a", "lab"]);
    let up = || web_dynos(&node, "lab").iter().filter(|(_, state)| state == "up").count();
    eventually("both are up, and of the new size", || up() == 2 && web_dynos(&node, "lab").len() == 2);
    assert!(node.refused(&["ps:scale", "web=3", "-a", "lab"]).contains("may promise"));
    let before = web_dynos(&node, "lab");
    let (count, failed) = under_requests(&node, |sent| {
        sent.goes_on();
        node.ok(&["config:set", "GREETING=moin", "-a", "lab"]);
        relieved(&node, "lab", &before);
        eventually("both are there again", || up() == 2 && web_dynos(&node, "lab").len() == 2);
        sent.goes_on();
    });
    assert!(failed.is_empty(), "{} of {count} failed: {failed:#?}\n{}", failed.len(), said(&node));
    let told = node.ok(&["logs", "-a", "lab", "-n", "1500", "-p", "web"]);
    assert!(told.contains("Waiting for memory: the node has none for old and new"), "{told}");
    assert!(node.get("lab", "/").1.starts_with("moin from web."));
}

/// The machine's memory, MiB.
fn total_mib() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn without_the_feature_a_release_replaces_all_at_once() {
    if !is_possible("without_the_feature_a_release_replaces_all_at_once") {
        return;
    }
    let node = TestNode::start("at-once", 6);
    deployed(&node);
    node.ok(&["features:disable", "preboot", "-a", "lab"]);
    node.ok(&["config:set", "CRASH=1", "-a", "lab"]);
    eventually("the release that does not come up is what there is", || {
        let dynos = web_dynos(&node, "lab");
        dynos.len() == 1 && dynos.iter().all(|(_, state)| state == "crashed")
    });
    assert_eq!(node.get("lab", "/").0, 503);
    assert!(!said(&node).contains("Not switched"));
    node.ok(&["features:enable", "preboot", "-a", "lab"]);
    node.ok(&["config:unset", "CRASH", "-a", "lab"]);
    answers(&node, "hello from web.1\n");
}
