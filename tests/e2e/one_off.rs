//! One-off dynos as people use them: a shell in a terminal, a program in a pipe, a job in the background.

use std::io::Write;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::node::{TestNode, eventually};
use crate::support::terminal::Terminal;
use crate::{is_possible, lab};

#[test]
fn one_off_dynos_serve_a_person_a_pipe_and_the_log() {
    if !is_possible("one_off_dynos_serve_a_person_a_pipe_and_the_log") {
        return;
    }
    let node = TestNode::start("one-off", 6);
    node.ok(&["create", "blank", "--no-remote"]);
    assert!(node.refused(&["run", "-a", "blank", "true"]).contains("deployed"));
    let source = node.app("lab", &lab());
    node.deploy(&source);
    a_shell_in_a_terminal(&node);
    programs_in_pipes(&node);
    a_client_that_goes_away(&node);
    a_client_that_dies_while_nobody_reads_what_it_says(&node);
    a_job_in_the_background(&node);
    commands_in_a_running_dyno(&node);
    let log = node.ok(&["logs", "-a", "lab", "-n", "1500"]);
    assert!(!log.contains("seen by the client alone"), "attached output is the client's: {log}");
}

fn a_shell_in_a_terminal(node: &TestNode) {
    let mut terminal = Terminal::open(31, 97, node.command().args(["run", "-a", "lab", "bash"]));
    terminal.until("up, run.");
    terminal.until("$ ");
    terminal.keys("stty size; echo $COLUMNS $TERM\r");
    terminal.until("31 97\r\n97 xterm\r\n");
    terminal.resize(40, 120);
    // The shell learns of it like any program.
    terminal.keys("until [ \"$(stty size)\" = '40 120' ]; do :; done; echo re''sized\r");
    terminal.until("resized");
    terminal.keys("echo be''gun; sleep 1000\r");
    terminal.until("begun");
    terminal.keys("\x03");
    terminal.keys("echo status $?\r");
    terminal.until("status 130");
    terminal.keys("echo seen by the client alone; exit 7\r");
    assert_eq!(terminal.end().code(), Some(7));
}

/// Runs a one-off dyno with this standard input.
fn piped(node: &TestNode, command: &str, input: &[u8]) -> Output {
    let mut run = node.command();
    run.args(["run", "-a", "lab", command]);
    let mut run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = run.stdin.take().unwrap();
    // Beside the reading: what comes back must not hold up what goes in. A program may end without having read.
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        run.wait_with_output().unwrap()
    })
}

fn programs_in_pipes(node: &TestNode) {
    let output = piped(node, "cat", b"hi\n");
    assert!(output.status.success());
    assert_eq!(output.stdout, b"hi\n", "nothing but what the program said");
    let much: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
    assert!(piped(node, "cat", &much).stdout == much, "bytes pass unchanged");
    assert_eq!(piped(node, "tty; exit 42", b"").status.code(), Some(42));
    assert_eq!(piped(node, "no-such-program", b"").status.code(), Some(127));
    assert_eq!(piped(node, "kill -9 $$", b"").status.code(), Some(137));
}

fn states(node: &TestNode, name: &str) -> Vec<String> {
    let dynos: Vec<Value> = serde_json::from_str(&node.ok(&["ps", "-a", "lab", "--json"])).unwrap();
    let named = dynos.iter().filter(|dyno| dyno["name"] == name);
    named.map(|dyno| dyno["state"].as_str().unwrap().to_owned()).collect()
}

fn a_client_that_goes_away(node: &TestNode) {
    let mut client = node.command();
    client.args(["run", "-a", "lab", "trap 'exit 3' HUP; echo ready; while :; do sleep 0.1; done"]);
    let mut client =
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ready = [0; 5];
    std::io::Read::read_exact(client.stdout.as_mut().unwrap(), &mut ready).unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    eventually("the dyno hangs up", || {
        let log = node.ok(&["logs", "-a", "lab", "--ps", "run", "-n", "1500"]);
        let told: Vec<_> =
            log.lines().filter_map(|line| line.split_once("]: ")).map(|(_, text)| text).collect();
        told.ends_with(&[
            "Client connection closed. Sending SIGHUP to all processes",
            "Process exited with status 3",
            "State changed from up to complete",
        ])
    });
}

fn a_client_that_dies_while_nobody_reads_what_it_says(node: &TestNode) {
    let mut client = node.command();
    client.args(["run", "-a", "lab", "sleep 1000"]).stdin(Stdio::piped());
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = client.stdin.take().unwrap();
    let taken = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while stdin.write_all(&[b'y'; 4096]).is_ok() {
                taken.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut before = 0;
        eventually("nobody takes any more", || {
            thread::sleep(Duration::from_millis(300));
            let now = taken.load(Ordering::Relaxed);
            now > 0 && std::mem::replace(&mut before, now) == now
        });
        client.kill().unwrap();
        client.wait().unwrap();
    });
    eventually("the dyno is hung up", || {
        let dynos: Vec<Value> =
            serde_json::from_str(&node.ok(&["ps", "-a", "lab", "run", "--json"])).unwrap();
        dynos.is_empty()
    });
}

fn commands_in_a_running_dyno(node: &TestNode) {
    node.ok(&["config:set", "-a", "lab", "INSIDE=a value"]);
    eventually("the dyno with the value is up", || {
        states(node, "web.1") == ["up"] && node.get("lab", "/").0 == 200
    });
    let inside = |args: &[&str], input: &[u8]| {
        let mut exec = node.command();
        exec.args(["ps:exec", "-a", "lab"]).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut exec = exec.stderr(Stdio::piped()).spawn().unwrap();
        exec.stdin.take().unwrap().write_all(input).unwrap();
        exec.wait_with_output().unwrap()
    };
    let said = inside(&["--", "echo $DYNO $PORT $INSIDE; pwd; id -u; exit 7"], b"");
    let told = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said.status.code(), Some(7), "{said:?}");
    assert!(told.starts_with("web.1 ") && told.contains(" a value\n/app\n"), "{told}");
    let said = inside(&[], b"echo read as a script\nexit 5\n");
    assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(5), b"read as a script\n".as_slice()));
    let mut terminal = Terminal::open(31, 97, node.command().args(["ps:exec", "-a", "lab"]));
    terminal.until("up, web.1");
    terminal.until("$ ");
    terminal.keys("stty size; echo a''live > /tmp/left\r");
    terminal.until("31 97");
    terminal.keys("exit 3\r");
    assert_eq!(terminal.end().code(), Some(3));
    let kept = node.root.join("kept");
    let to = kept.to_str().unwrap();
    node.ok(&["ps:copy", "-a", "lab", "/tmp/left", "-o", to]);
    assert_eq!(std::fs::read(&kept).unwrap(), b"alive\n");
    assert!(
        node.refused(&["ps:copy", "-a", "lab", "/tmp/left", "-o", to])
            .contains("is there already: name another with -o")
    );
    std::fs::remove_file(&kept).unwrap();
    assert!(node.refused(&["ps:copy", "-a", "lab", "/tmp/none", "-o", to]).contains("no file"));
    assert!(!kept.exists());
    assert!(node.refused(&["run:inside", "-a", "lab", "web.9", "true"]).contains("web.9"));
    let mut held = node.command();
    held.args([
        "run:inside",
        "-a",
        "lab",
        "web.1",
        "trap '' HUP TERM; echo ready; while :; do sleep 0.1; done",
    ]);
    let mut held = held.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ready = [0; 5];
    std::io::Read::read_exact(held.stdout.as_mut().unwrap(), &mut ready).unwrap();
    node.ok(&["ps:restart", "-a", "lab"]);
    assert_eq!(held.wait().unwrap().code(), Some(137), "it goes with its dyno");
    eventually("the dyno is back", || states(node, "web.1") == ["up"]);
    let log = node.ok(&["logs", "-a", "lab", "-n", "1500"]);
    assert!(log.contains("Starting process with command `bash` in web.1 by user"), "{log}");
    assert!(!log.contains("read as a script"), "what it says is its client's: {log}");
}

fn a_job_in_the_background(node: &TestNode) {
    let command =
        "echo said in the background; trap 'echo told to stop; exit 0' TERM; while :; do sleep 0.1; done";
    let dyno: Value =
        serde_json::from_str(&node.ok(&["run:detached", "-a", "lab", "--json", command])).unwrap();
    let name = dyno["name"].as_str().unwrap();
    let log = || node.ok(&["logs", "-a", "lab", "--dyno-name", name, "-n", "1500"]);
    eventually("its output is in the log", || {
        log().contains(&format!("app[{name}]: said in the background"))
    });
    assert_eq!(states(node, name), ["up"]);
    node.ok(&["ps:stop", "-a", "lab", name]);
    eventually("it has ended", || states(node, name).is_empty());
    let log = log();
    for text in [
        "Starting process with command `echo said",
        "State changed from starting to up",
        "Stopping all processes with SIGTERM",
        &format!("app[{name}]: told to stop"),
        "Process exited with status 0",
        "State changed from up to complete",
    ] {
        assert!(log.contains(text), "{text:?} is not in: {log}");
    }
    assert!(node.refused(&["ps:stop", "-a", "lab", name]).contains(name), "it is no more");
    assert_eq!(states(node, "web.1"), ["up"], "others go on");
}
