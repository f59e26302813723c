//! Every state, every command in every state, and every error.

use std::process::Command;
use std::time::Instant;

use serde_json::json;

use crate::bundle::Bundle;
use crate::support::container::{PATIENCE, can_run};
use crate::support::patience::patient;

#[test]
fn a_container_goes_through_all_its_states() {
    if !can_run("a_container_goes_through_all_its_states") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["annotations"] = json!({"purpose": "test"});
    bundle.script("echo started > /tmp/mark; exec sleep 1000");
    let id = bundle.id("a");
    bundle.refused(&["state", &id], "does not exist");

    bundle.must(&["create", "--pid-file", bundle.path("pid").to_str().unwrap(), &id]);
    let state = bundle.state(&id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["ociVersion"], "1.2.0");
    assert_eq!(state["id"], json!(id));
    assert_eq!(state["bundle"], json!(bundle.dir.path().canonicalize().unwrap()));
    assert_eq!(state["annotations"]["purpose"], "test");
    let written = std::fs::read_to_string(bundle.path("pid")).unwrap();
    assert_eq!(state["pid"], json!(written.parse::<u32>().unwrap()));
    assert!(!bundle.root().join("tmp/mark").exists(), "the program has not been started");
    bundle.refused(&["create", &id], "exists already");
    bundle.refused(&["delete", &id], "it is created");
    bundle.refused(&["resume", &id], "it is created");

    bundle.must(&["start", &id]);
    assert_eq!(bundle.status(&id), "running");
    bundle.refused(&["start", &id], "it is running");
    bundle.refused(&["delete", &id], "it is running");
    bundle.refused(&["resume", &id], "it is running");

    bundle.must(&["pause", &id]);
    assert_eq!(bundle.status(&id), "paused");
    bundle.refused(&["exec", &id, "true"], "it is paused");
    bundle.refused(&["start", &id], "it is paused");
    bundle.refused(&["pause", &id], "it is paused");
    let mut joins =
        bundle.command(&["exec", "--ignore-paused", &id, "touch", "/tmp/joined"]).spawn().expect("it runs");
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(!bundle.root().join("tmp/joined").exists(), "who joins is paused, too");
    bundle.must(&["resume", &id]);
    assert_eq!(bundle.status(&id), "running");
    assert!(joins.wait().expect("it ends").success());
    assert!(bundle.root().join("tmp/joined").exists());
    assert!(bundle.root().join("tmp/mark").exists());

    bundle.must(&["kill", &id, "KILL"]);
    bundle.await_status(&id, "stopped");
    assert_eq!(bundle.state(&id)["pid"], 0);
    for verb in ["start", "kill", "pause", "resume"] {
        bundle.refused(&[verb, &id], "it is stopped");
    }
    bundle.refused(&["exec", &id, "true"], "it is stopped");
    bundle.refused(&["update", "--pids-limit", "5", &id], "it is stopped");
    bundle.must(&["delete", &id]);
    for words in [&["state"][..], &["start"], &["delete"], &["kill"], &["ps"], &["pause"]] {
        bundle.refused(&[words, &[&id]].concat(), "does not exist");
    }
    bundle.must(&["delete", "--force", &id]);
}

#[test]
fn run_waits_for_the_program_and_hands_its_end_on() {
    if !can_run("run_waits_for_the_program_and_hands_its_end_on") {
        return;
    }
    let mut bundle = Bundle::new();
    let said = bundle.run("echo out; echo err >&2; exit 7");
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (7, "out\n", "err\n"));
    let said = bundle.run("sh -c 'kill -TERM $$'; kill -0 1; echo $$");
    assert_eq!((said.code, said.out.as_str()), (0, "1\n"), "the program is process 1");
    assert_eq!(bundle.must(&["list", "--quiet"]).out, "", "nothing is left");
    // One that process 1 cannot ignore comes from outside.
    bundle.script("sleep 1000");
    let id = bundle.id("killed");
    let mut waiting = bundle.command(&["run", &id]).spawn().unwrap();
    // Killed before its program runs, it would not have started.
    bundle.until(&["exec", &id, "grep", "-q", "sleep", "/proc/1/cmdline"]);
    bundle.must(&["kill", &id, "9"]);
    assert_eq!(waiting.wait().unwrap().code(), Some(137));
}

#[test]
fn signals_to_run_reach_the_program() {
    if !can_run("signals_to_run_reach_the_program") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.script("trap 'exit 42' TERM; touch /tmp/ready; while true; do sleep 0.01; done");
    let mut waiting = bundle.command(&["run", &bundle.id("a")]).spawn().unwrap();
    while !bundle.root().join("tmp/ready").exists() {
        assert!(waiting.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").arg(waiting.id().to_string()).status().unwrap().success());
    assert_eq!(waiting.wait().unwrap().code(), Some(42));
}

#[test]
fn a_detached_container_goes_on_alone_and_is_deleted_by_force() {
    if !can_run("a_detached_container_goes_on_alone_and_is_deleted_by_force") {
        return;
    }
    let mut bundle = Bundle::new();
    // A second process, of which nobody but the control group knows.
    bundle.script("sleep 1001 & exec sleep 1000");
    let (one, other) = (bundle.id("one"), bundle.id("other"));
    bundle.must(&["run", "--detach", &one]);
    bundle.must(&["create", &other]);
    let listed: serde_json::Value =
        serde_json::from_str(&bundle.must(&["list", "--format", "json"]).out).unwrap();
    let statuses: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["status"].clone()).collect();
    assert_eq!(statuses, ["running", "created"]);
    let count = |format: &str| bundle.must(&["ps", "--format", format, &one]).out;
    let begin = Instant::now();
    while count("json").matches(',').count() != 1 {
        assert!(begin.elapsed() < patient(PATIENCE));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(count("table").contains("sleep 1001"));
    bundle.must(&["kill", "--all", &one, "KILL"]);
    bundle.await_status(&one, "stopped");
    for id in [&one, &other] {
        bundle.must(&["delete", "-f", id]);
    }
    assert_eq!(bundle.must(&["list", "-q"]).out, "");
}

#[test]
fn exec_joins_everything_the_container_has() {
    if !can_run("exec_joins_everything_the_container_has") {
        return;
    }
    for mut bundle in [Bundle::new(), Bundle::with_users()] {
        bundle.script("exec sleep 1000");
        let id = bundle.id("a");
        bundle.must(&["run", "-d", &id]);
        let look = "for n in pid net ipc uts mnt user cgroup; do [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] \
                    || echo $n; done; cat /proc/self/cgroup; hostname";
        let said = bundle.must(&["exec", &id, "sh", "-c", look]).out;
        assert!(said.ends_with("inside\n") && said.lines().count() >= 2, "{said}");
        assert!(said.lines().all(|line| line == "inside" || line.ends_with(":/")), "{said}");

        let who = bundle.must(&[
            "exec",
            "--user",
            "1000:1001",
            "-g",
            "7,8",
            "--cwd",
            "/tmp",
            "-e",
            "A=b",
            &id,
            "sh",
            "-c",
            "id -u; id -g; id -G; pwd; echo $A $HOME",
        ]);
        assert_eq!(who.out, "1000\n1001\n1001 7 8\n/tmp\nb /tmp\n");
        let said = bundle.call(&["exec", &id, "sh", "-c", "exit 9"]);
        assert_eq!(said.code, 9);
        let rights = bundle.must(&["exec", "--cap", "CAP_CHOWN", &id, "grep", "CapEff", "/proc/self/status"]);
        assert!(rights.out.trim().ends_with("0000000000000001"), "{rights:?}");

        std::fs::write(
            bundle.path("process.json"),
            json!({"args": ["/bin/id", "-u"], "cwd": "/", "user": {"uid": 5, "gid": 5}}).to_string(),
        )
        .unwrap();
        assert_eq!(bundle.must(&["exec", "--process", "process.json", &id]).out, "5\n");
        bundle.must(&["exec", "--detach", "--pid-file", "exec-pid", &id, "sleep", "1002"]);
        let pid = std::fs::read_to_string(bundle.path("exec-pid")).unwrap();
        assert!(bundle.must(&["ps", &id]).out.contains(&pid));

        bundle.refused(&["exec", &id], "needs a command");
        bundle.refused(&["exec", &id, "nonsense"], "executable file not found in $PATH");
        bundle.refused(&["exec", &id, "/bin/nonsense"], "no such file or directory");
        bundle.refused(&["exec", "--user", "nobody", &id, "true"], "uid:gid in numbers");
        bundle.refused(&["exec", "--process", "missing.json", &id], "missing.json");
        bundle.must(&["delete", "-f", &id]);
    }
}

#[test]
fn what_is_asked_wrongly_is_refused_with_a_reason() {
    if !can_run("what_is_asked_wrongly_is_refused_with_a_reason") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.refused(&["nonsense"], "no command");
    bundle.refused(&["create"], "needs the id");
    bundle.refused(&["create", "--nonsense", "a"], "no option");
    bundle.refused(&["create", "--bundle"], "needs a value");
    bundle.refused(&["create", "--bundle", "/nowhere", "a"], "/nowhere");
    bundle.refused(&["--systemd-cgroup", "create", "a"], "--cgroup-manager=cgroupfs");
    bundle.refused(&["--log-format", "xml", "list"], "text or json");
    bundle.refused(&["kill", "a", "NONSENSE"], "no signal");
    bundle.refused(&["run", "--preserve-fds", "x", "a"], "does not take");
    for id in ["../a", "a/b", ".", "..", "-x", "a b"] {
        bundle.refused(&["create", "--", id], "no container id");
    }
    bundle.config["process"]["terminal"] = json!(true);
    bundle.refused(&["create", "a"], "--console-socket");
    bundle.config["process"]["terminal"] = json!(false);
    bundle.refused(&["create", "--console-socket", "s", "a"], "process.terminal");
    bundle.config["process"]["args"] = json!(["nonsense"]);
    bundle.refused(&["run", "a"], "executable file not found in $PATH");
    assert_eq!(bundle.must(&["list", "-q"]).out, "", "nothing is left of what failed");
}

#[test]
fn every_command_tells_its_options_to_whoever_asks() {
    if !can_run("every_command_tells_its_options_to_whoever_asks") {
        return;
    }
    let bundle = Bundle::new();
    let all = bundle.must(&["--help"]).out;
    let commands = all.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let names: Vec<_> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 14, "{all}");
    for name in names {
        let help = bundle.must(&[name, "--help"]).out;
        assert!(help.contains(&format!("Usage: dyno oci {name}")), "{help}");
    }
    assert!(bundle.must(&["create", "-h"]).out.contains("-b, --bundle VALUE"));
    assert!(bundle.must(&["exec", "--help"]).out.contains("<program>"));
    bundle.refused(&["checkpoint", "a"], "is not supported; containers are not written to disk");
    bundle.refused(&["events", "--stats", "a"], "read them from the container's control groups");
}

#[test]
fn an_error_goes_to_the_log_in_the_form_that_is_asked_for() {
    if !can_run("an_error_goes_to_the_log_in_the_form_that_is_asked_for") {
        return;
    }
    let bundle = Bundle::new();
    bundle.refused(&["--log", "log", "--log-format", "json", "start", "absent"], "does not exist");
    let line: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(bundle.path("log")).unwrap()).unwrap();
    assert_eq!(
        (line["level"].as_str(), line["msg"].as_str()),
        (Some("error"), Some("container \"absent\" does not exist"))
    );
    bundle.refused(&["--log", "log2", "start", "absent"], "does not exist");
    assert!(std::fs::read_to_string(bundle.path("log2")).unwrap().contains("level=error msg="));
}

#[test]
fn features_and_spec_say_what_the_runtime_takes() {
    if !can_run("features_and_spec_say_what_the_runtime_takes") {
        return;
    }
    let mut bundle = Bundle::new();
    let features: serde_json::Value = serde_json::from_str(&bundle.must(&["features"]).out).unwrap();
    assert_eq!(features["linux"]["cgroup"]["systemd"], false);
    assert!(features["mountOptions"].as_array().unwrap().contains(&json!("rro")));
    assert!(bundle.must(&["--version"]).out.contains("spec: 1.2.0"));
    let dir = bundle.path("made");
    std::fs::create_dir(&dir).unwrap();
    bundle.must(&["spec", "--bundle", dir.to_str().unwrap()]);
    bundle.refused(&["spec", "--bundle", dir.to_str().unwrap()], "config.json");
    bundle.config = serde_json::from_str(&std::fs::read_to_string(dir.join("config.json")).unwrap()).unwrap();
    bundle.config["process"]["terminal"] = json!(false);
    assert_eq!(bundle.say("echo works"), "works\n");
}

#[test]
fn a_bundle_changed_after_the_creation_changes_nothing() {
    if !can_run("a_bundle_changed_after_the_creation_changes_nothing") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.script("sleep 1000");
    let id = bundle.id("a");
    bundle.must(&["run", "-d", &id]);
    bundle.config["process"]["env"] = json!(["PATH=/bin", "CHANGED=1"]);
    assert_eq!(bundle.must(&["exec", &id, "sh", "-c", "echo $CHANGED"]).out, "\n");
}

#[test]
fn a_process_that_waits_cannot_be_looked_into() {
    if !can_run("a_process_that_waits_cannot_be_looked_into") {
        return;
    }
    let bundle = Bundle::new();
    let id = bundle.id("a");
    bundle.must(&["create", &id]);
    let pid = bundle.state(&id)["pid"].to_string();
    // The owner of such a process's files is root, whoever it runs as: the kernel's sign that it may not be traced.
    let mut other = Bundle::with_users();
    let waiting = other.id("b");
    other.script("true");
    other.must(&["create", &waiting]);
    let inside = other.state(&waiting)["pid"].to_string();
    use std::os::unix::fs::MetadataExt;
    let owner = |pid: &str| std::fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid();
    assert_eq!((owner(&pid), owner(&inside)), (0, 0));
    for (bundle, id) in [(&bundle, &id), (&other, &waiting)] {
        bundle.must(&["start", id]);
        bundle.await_status(id, "stopped");
    }
}
