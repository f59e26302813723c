//! Timed jobs: at their time, on request, past one another, and through the death of the node.

use serde_json::Value;

use crate::support::node::{TestNode, eventually};
use crate::{is_possible, lab};

#[test]
fn timed_jobs_run_when_they_are_due_and_are_remembered() {
    if !is_possible("timed_jobs_run_when_they_are_due_and_are_remembered") {
        return;
    }
    let mut node = TestNode::start("scheduler", 4);
    let source = node.app("lab", &lab());
    node.deploy(&source);
    let every_minute = add(&node, &["--cron", "* * * * *"], "echo minded by $DYNO; exit 3");
    what_makes_no_job(&node);
    a_job_on_request(&node);
    runs_that_go_on_through_a_kill(&mut node);
    eventually("the job has run at its time", || {
        let runs = runs(&node, every_minute);
        runs.iter().any(|run| run["state"] == "ended" && run["exit_status"] == 3)
    });
    let run = runs(&node, every_minute).into_iter().find(|run| run["state"] == "ended").unwrap();
    let name = run["dyno"].as_str().unwrap().to_owned();
    let log = node.ok(&["logs", "-a", "lab", "-n", "1500"]);
    for text in [
        "app[api]: Starting process with command `echo minded by $DYNO; exit 3` by user scheduler@addons.heroku.com".to_owned(),
        format!("app[{name}]: minded by {name}"),
        format!("heroku[{name}]: Process exited with status 3"),
        format!("heroku[{name}]: State changed from up to complete"),
    ] {
        assert!(log.contains(&text), "{text:?} is not in {log}");
    }
    let listed = node.ok(&["scheduler", "-a", "lab"]);
    assert!(listed.contains("* * * * *") && listed.contains("last "), "{listed}");
    node.ok(&["scheduler:remove", "-a", "lab", &every_minute.to_string()]);
    assert!(
        node.refused(&["scheduler:run", "-a", "lab", &every_minute.to_string()])
            .contains("Couldn't find that job")
    );
}

/// Adds a job; its number.
fn add(node: &TestNode, when: &[&str], command: &str) -> u64 {
    let args = [&["scheduler:add", "-a", "lab", "--json"][..], when, &["--", command]].concat();
    let job: Value = serde_json::from_str(&node.ok(&args)).unwrap();
    assert!(job["next_run_at"].is_string(), "{job}");
    job["id"].as_u64().unwrap()
}

fn runs(node: &TestNode, job: u64) -> Vec<Value> {
    serde_json::from_str(&node.ok(&["scheduler:runs", "-a", "lab", "--json", &job.to_string()])).unwrap()
}

fn what_makes_no_job(node: &TestNode) {
    for (when, told) in [
        (&["--hourly", ":35"][..], ":30"),
        (&["--daily", "8:15"][..], "half hour"),
        (&["--cron", "* * *"], "five fields"),
        (&["--cron", "0 9 * * *", "--zone", "Europe/Nowhere"], "Europe/Nowhere"),
    ] {
        let args = [&["scheduler:add", "-a", "lab"][..], when, &["--", "true"]].concat();
        let refused = node.refused(&args);
        assert!(refused.contains(told), "{when:?}: {refused}");
    }
}

fn a_job_on_request(node: &TestNode) {
    let job = add(node, &["--daily", "3:30"], "echo at once");
    node.ok(&["scheduler:run", "-a", "lab", &job.to_string()]);
    eventually("it has run", || runs(node, job)[0]["exit_status"] == 0);
    assert!(node.ok(&["scheduler:runs", "-a", "lab", &job.to_string()]).contains("exit 0"));
}

fn runs_that_go_on_through_a_kill(node: &mut TestNode) {
    let job = add(node, &["--every-10-minutes"], "echo begun; sleep 8; exit 4");
    node.ok(&["scheduler:run", "-a", "lab", &job.to_string()]);
    eventually("it runs", || {
        node.ok(&["logs", "-a", "lab", "--ps", "scheduler", "-n", "50"]).contains("begun")
    });
    node.kill();
    node.serve();
    eventually("its real end is remembered", || runs(node, job)[0]["exit_status"] == 4);
}
