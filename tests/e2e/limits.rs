//! A dyno that takes all it can get: it is stopped at its limits, and its neighbours do not notice.

use crate::support::node::{TestNode, eventually};
use crate::{is_possible, lab, relieved, web_dynos};

/// More MiB than a dyno of the default size may ever have.
const TOO_MUCH_MIB: u32 = 1400;

#[test]
fn an_app_that_takes_all_it_can_get_disturbs_nobody() {
    if !is_possible("an_app_that_takes_all_it_can_get_disturbs_nobody") {
        return;
    }
    // So that crashes in a row do not have the test wait for minutes.
    let node = TestNode::configured("limits", 3, "[dynos]\ncrash_delays_s = [0, 1, 1, 1, 1, 1, 1]\n");
    for name in ["greedy", "quiet"] {
        let source = node.app(name, &lab());
        node.deploy(&source);
        eventually("the app answers", || node.get(name, "/").0 == 200);
    }
    memory_past_the_limit_ends_the_dyno(&node);
    memory_past_the_limit_in_a_child_ends_the_whole_dyno(&node);
    processes_past_the_limit_are_refused(&node);
    figures_are_the_dynos_own(&node);
    spinning_takes_no_more_than_its_share(&node);
}

fn neighbour_answers(node: &TestNode) {
    let (status, body) = node.get("quiet", "/");
    assert_eq!((status, body.as_str()), (200, "hello from web.1\n"));
}

fn how_often(node: &TestNode, text: &str) -> usize {
    node.ok(&["logs", "-a", "greedy", "-n", "1500"]).matches(text).count()
}

/// The documented end of a dyno past its memory: R15, SIGKILL, status 137, crashed, and at once another start.
fn is_told_as_documented(node: &TestNode) {
    let log = node.ok(&["logs", "-a", "greedy", "-n", "1500", "--source", "heroku", "--dyno-name", "web.1"]);
    let told: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("]: ").map(|(_, text)| text)).collect();
    let at = told.iter().rposition(|text| text.contains("R15")).unwrap();
    assert_eq!(
        told[at..at + 5],
        [
            "Error R15 (Memory quota vastly exceeded)",
            "Stopping process with SIGKILL",
            "Process exited with status 137",
            "State changed from up to crashed",
            "State changed from crashed to starting",
        ],
        "{log}"
    );
}

fn memory_past_the_limit_ends_the_dyno(node: &TestNode) {
    let (status, _) = node.get("greedy", &format!("/eat/{TOO_MUCH_MIB}"));
    assert_eq!(status, 503, "the dyno died over the request");
    eventually("it serves again", || node.get("greedy", "/").0 == 200);
    is_told_as_documented(node);
    neighbour_answers(node);
}

fn memory_past_the_limit_in_a_child_ends_the_whole_dyno(node: &TestNode) {
    let before = how_often(node, "R15");
    node.get("greedy", &format!("/eat-in-child/{TOO_MUCH_MIB}"));
    eventually("the dyno is ended", || how_often(node, "R15") > before);
    eventually("it serves again", || node.get("greedy", "/").0 == 200);
    is_told_as_documented(node);
    neighbour_answers(node);
}

fn processes_past_the_limit_are_refused(node: &TestNode) {
    let (status, body) = node.get("greedy", "/fork");
    assert_eq!(status, 200, "the dyno itself lives on: {body}");
    let count: u32 = body.split_whitespace().next().unwrap().parse().unwrap();
    assert!((200..256).contains(&count) && body.contains("errno 11"), "256 tasks with its own: {body}");
    neighbour_answers(node);
    let before = web_dynos(node, "greedy");
    node.ok(&["ps:restart", "-a", "greedy"]);
    relieved(node, "greedy", &before);
}

/// What programs are told of the machine: the quota is the memory, and what a dyno uses shows when it is next looked at.
fn figures_are_the_dynos_own(node: &TestNode) {
    let told =
        node.ok(&["run", "-a", "quiet", "free -m; nproc; grep -c ^cpu[0-9] /proc/stat; cat /proc/swaps"]);
    let rows: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows[1][0], rows[1][1]), ("Mem:", "512"), "{told}");
    assert_eq!((rows[2][0], rows[2][1]), ("Swap:", "0"), "{told}");
    assert_eq!((rows[3].len(), &rows[3]), (1, &rows[4]), "as many processors as rows of their time: {told}");
    assert_eq!(rows.len(), 5, "no swap is listed: {told}");
    let told = node.ok(&["run", "-a", "quiet", "timeout 60 python3 misdeeds.py watch_figures"]);
    assert_eq!(told, "memory, time and load are told\n");
}

fn spinning_takes_no_more_than_its_share(node: &TestNode) {
    assert_eq!(node.get("greedy", "/spin/64").0, 200);
    for _ in 0..20 {
        neighbour_answers(node);
    }
    assert!(node.ok(&["apps"]).contains("quiet"), "the node itself answers, too");
    assert_eq!(node.ok(&["run", "-a", "quiet", "echo room for more"]), "room for more\n");
    node.ok(&["ps:scale", "-a", "greedy", "web=0"]);
    eventually("its process types are down", || node.get("greedy", "/").0 == 503);
    neighbour_answers(node);
}
