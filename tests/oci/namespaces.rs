//! Namespaces: made, joined by path, or the caller's.

use std::path::PathBuf;

use serde_json::json;

use crate::bundle::Bundle;
use crate::support::container::can_run;

const KINDS: [(&str, &str); 7] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
    ("user", "user"),
];

fn link(pid: &str, file: &str) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap()
}

#[test]
fn namespaces_that_are_listed_are_new_and_others_are_the_callers() {
    if !can_run("namespaces_that_are_listed_are_new_and_others_are_the_callers") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config.as_object_mut().unwrap().remove("hostname");
    bundle.config["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "pid"}]);
    bundle.script("exec sleep 1000");
    let id = bundle.id("a");
    bundle.must(&["run", "-d", &id]);
    let pid = bundle.state(&id)["pid"].to_string();
    for (kind, file) in KINDS {
        assert_eq!(link(&pid, file) != link("self", file), ["mount", "pid"].contains(&kind), "{kind}");
    }
}

#[test]
fn namespaces_are_joined_by_path() {
    if !can_run("namespaces_are_joined_by_path") {
        return;
    }
    for users in [false, true] {
        let mut first = if users { Bundle::with_users() } else { Bundle::new() };
        first.script("exec sleep 1000");
        let id = first.id("first");
        first.must(&["run", "-d", &id]);
        let pid = first.state(&id)["pid"].to_string();
        for joined in [
            &["network", "ipc", "uts"][..],
            &["pid"],
            &["network", "ipc", "uts", "pid", "cgroup", "user"],
            &["mount", "pid"],
        ] {
            let mut second = Bundle::new();
            let mut expected = Vec::new();
            for (kind, file) in KINDS {
                if !joined.contains(&kind) || (kind == "user" && !users) {
                    continue;
                }
                second.namespaces().retain(|namespace| namespace["type"] != kind);
                second.namespaces().push(json!({"type": kind, "path": format!("/proc/{pid}/ns/{file}")}));
                expected.push((kind, link(&pid, file)));
            }
            // A process namespace in which the first one's proc is mounted shows it; one's own names are not the joined one's.
            second.config.as_object_mut().unwrap().remove("hostname");
            let look = KINDS.map(|(_, file)| format!("readlink /proc/self/ns/{file}")).join("; ");
            if users && !joined.contains(&"user") {
                // Only users of its own may say what happens in the namespaces of others.
                continue;
            }
            let said = second.say(&look);
            let found: Vec<_> = said.lines().collect();
            for (kind, expected) in expected {
                let at = KINDS.iter().position(|(other, _)| *other == kind).unwrap();
                assert_eq!(found[at], expected.to_str().unwrap(), "{kind} of {joined:?}, users: {users}");
            }
        }
    }
}

#[test]
fn a_path_that_is_no_such_namespace_is_refused() {
    if !can_run("a_path_that_is_no_such_namespace_is_refused") {
        return;
    }
    for (path, expected) in [
        ("/proc/self/ns/ipc", "of another kind"),
        ("/nowhere", "join the net namespace /nowhere: no such file"),
        ("/dev/null", "join the net namespace"),
        ("relative", "absolute path"),
    ] {
        let mut bundle = Bundle::new();
        bundle.namespaces().retain(|namespace| namespace["type"] != "network");
        bundle.namespaces().push(json!({"type": "network", "path": path}));
        bundle.refused(&["run", "a"], expected);
    }
}

#[test]
fn clocks_are_set_off_in_a_time_namespace() {
    if !can_run("clocks_are_set_off_in_a_time_namespace") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.namespaces().push(json!({"type": "time"}));
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000, "nanosecs": 0}});
    let up: f64 = bundle.say("cat /proc/uptime").split(' ').next().unwrap().parse().unwrap();
    assert!(up > 1_000_000.0, "{up}");
}

#[test]
fn ids_are_mapped_as_listed() {
    if !can_run("ids_are_mapped_as_listed") {
        return;
    }
    let mut bundle = Bundle::with_users();
    bundle.config["linux"]["uidMappings"] = json!([
        {"containerID": 0, "hostID": 0x7200_0000, "size": 10}, {"containerID": 1000, "hostID": 0x7201_0000, "size": 1}]);
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 0});
    bundle.mounts().retain(|mount| mount["destination"] != "/dev/pts");
    let said = bundle.say("cat /proc/self/uid_map | while read a b c; do echo $a $b $c; done; id -u");
    assert_eq!(said, "0 1912602624 10\n1000 1912668160 1\n1000\n");
    bundle.config["process"]["user"] = json!({"uid": 77, "gid": 0});
    bundle.refused(&["run", "a"], "become user 77");
}
