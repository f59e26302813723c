//! Many at once: clients of the API, and pushes.

use std::process::{Child, Command, Stdio};

use crate::support::crowd;
use crate::support::node::{TestNode, eventually};
use crate::{is_possible, teller};

/// Clients of the API at once.
const CLIENTS: u32 = 200;
/// Apps that are pushed to at once.
const APPS: usize = 20;

#[test]
fn twenty_apps_are_pushed_to_at_once_while_two_hundred_clients_read() {
    if !is_possible("twenty_apps_are_pushed_to_at_once_while_two_hundred_clients_read") {
        return;
    }
    let node = TestNode::configured("crowds", 3, "[dynos]\nmemory_check = false\n");
    let token = node.ok(&["auth:token"]).trim().to_owned();
    let names: Vec<String> = (0..APPS).map(|number| format!("crowd-{number}")).collect();
    let pack = format!("{}/pack", teller().display());
    let push = |name: &String| -> Child {
        let source = node.app(name, &teller());
        node.ok(&["buildpacks:set", &pack, "-a", name]);
        let mut git = Command::new("git");
        git.args(["push", "heroku", "main"]).current_dir(source).env("GIT_TERMINAL_PROMPT", "0");
        git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let pushes: Vec<Child> = names.iter().map(push).collect();
    let paths = ["/apps/{}", "/apps/{}/dynos", "/apps/{}/config-vars", "/apps/{}/releases", "/apps"];
    let answers = crowd::reads(node.api_port(), &token, CLIENTS, 10, |client, read| {
        paths[read as usize % paths.len()].replace("{}", &names[client as usize % APPS])
    });
    let refused = answers.iter().filter(|answer| !answer.status.is_success());
    let refused: Vec<_> = refused.map(|answer| answer.status).collect();
    assert!(refused.is_empty() && answers.len() == 10 * CLIENTS as usize, "{refused:?}");
    for (name, push) in names.iter().zip(pushes) {
        let pushed = push.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&pushed.stderr);
        assert!(pushed.status.success() && said.contains("Released v"), "{name}: {said}\n{}", node.log());
    }
    for name in &names {
        eventually("each answers", || node.get(name, "/").0 == 200);
    }
}
