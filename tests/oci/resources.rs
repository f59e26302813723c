//! Control groups of a container: where they are, what they hold, and that they go.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::bundle::{Bundle, remove_groups};
use crate::support::container::can_run;

/// The group of a container that a controller looks after, in whichever version of control groups it is.
fn group(controller: &str, path: &str) -> PathBuf {
    let old = PathBuf::from("/sys/fs/cgroup").join(controller).join(path);
    if old.exists() {
        return old;
    }
    let unified = PathBuf::from("/sys/fs/cgroup/unified").join(path);
    if unified.exists() { unified } else { PathBuf::from("/sys/fs/cgroup").join(path) }
}

/// The value of the first of these files that there is.
fn value(group: &std::path::Path, files: [&str; 2]) -> String {
    let found = files.iter().find_map(|file| fs::read_to_string(group.join(file)).ok());
    found.unwrap_or_else(|| panic!("{} has none of {files:?}", group.display())).trim().to_owned()
}

#[test]
fn limits_stand_in_the_group_that_is_named_and_can_be_changed() {
    if !can_run("limits_stand_in_the_group_that_is_named_and_can_be_changed") {
        return;
    }
    let mut bundle = Bundle::new();
    let id = bundle.id("a");
    let path = format!("{}/below", bundle.id("group"));
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{path}"));
    bundle.config["linux"]["resources"] = json!({
        "memory": {"limit": 67_108_864, "swap": 67_108_864},
        "cpu": {"quota": 50_000, "period": 100_000},
        "pids": {"limit": 20},
    });
    bundle.script("exec sleep 1000");
    bundle.must(&["run", "-d", &id]);
    let memory = ["memory.limit_in_bytes", "memory.max"];
    let pids = ["pids.max", "pids.max"];
    let cpu = ["cpu.cfs_quota_us", "cpu.max"];
    assert_eq!(value(&group("memory", &path), memory), "67108864");
    assert_eq!(value(&group("pids", &path), pids), "20");
    assert!(value(&group("cpu", &path), cpu).starts_with("50000"));
    let pid = bundle.state(&id)["pid"].to_string();
    for controller in ["memory", "pids", "cpu"] {
        let listed = fs::read_to_string(group(controller, &path).join("cgroup.procs")).unwrap();
        assert_eq!(listed.trim(), pid, "{controller}");
    }
    bundle.must(&[
        "update",
        "--memory",
        "134217728",
        "--memory-swap",
        "134217728",
        "--pids-limit",
        "30",
        &id,
    ]);
    assert_eq!(value(&group("memory", &path), memory), "134217728");
    assert_eq!(value(&group("pids", &path), pids), "30");
    fs::write(bundle.path("resources"), r#"{"pids": {"limit": 40}}"#).unwrap();
    bundle.must(&["update", "--resources", "resources", &id]);
    assert_eq!(value(&group("pids", &path), pids), "40");
    bundle.refused(&["update", "--memory", "much", &id], "does not take");
    bundle.must(&["delete", "-f", &id]);
    for controller in ["memory", "pids", "cpu", "unified"] {
        let left = group(controller, &path);
        assert!(!left.exists(), "{}", left.display());
    }
    // The one above is whoever's named it; here it is ours.
    remove_groups(&bundle.id("group"));
}

/// A group in each of a container's, as the container might have made them; the containers' own are returned.
fn make_below(path: &str) -> Vec<PathBuf> {
    let root = PathBuf::from("/sys/fs/cgroup");
    let mounted = fs::read_dir(&root).unwrap().flatten().map(|entry| entry.path());
    let tops: Vec<_> =
        mounted.chain([root.clone()]).map(|at| at.join(path)).filter(|top| top.exists()).collect();
    for top in &tops {
        fs::create_dir(top.join("below")).unwrap();
        // A version 1 group without processors and nodes takes nobody.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read_to_string(top.join(file)).map(|value| value.trim().to_owned())
                && !value.is_empty()
            {
                fs::write(top.join("below").join(file), value).unwrap();
            }
        }
    }
    tops
}

#[test]
fn a_process_that_joins_goes_to_the_group_that_is_named_and_never_out_of_the_containers() {
    if !can_run("a_process_that_joins_goes_to_the_group_that_is_named_and_never_out_of_the_containers") {
        return;
    }
    let mut bundle = Bundle::new();
    let (id, path) = (bundle.id("a"), bundle.id("joined"));
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{path}"));
    bundle.script("exec sleep 1000");
    bundle.must(&["run", "-d", &id]);
    let tops = make_below(&path);
    let is_hybrid = tops.len() > 1;
    // Controllers and place, as the container sees them.
    let places = |options: &[&str]| {
        let said = bundle.must(&[&["exec"], options, &[&id, "cat", "/proc/self/cgroup"]].concat()).out;
        let fields = |line: &str| {
            let mut fields = line.splitn(3, ':').skip(1).map(str::to_owned);
            (fields.next().unwrap(), fields.next().unwrap())
        };
        said.lines().map(fields).collect::<Vec<_>>()
    };
    assert!(places(&[]).iter().all(|(_, place)| place == "/"));
    for (given, expected) in [("/", "/"), ("below", "/below"), ("/below", "/below")] {
        let found = places(&["--cgroup", given]);
        assert!(found.iter().all(|(_, place)| place == expected), "{given}: {found:?}");
    }
    let refused = |options: &[&str], expected: &str| {
        bundle.refused(&[&["exec"], options, &[&id, "true"]].concat(), expected);
    };
    refused(&["--cgroup", ".."], "without '..'");
    refused(&["--cgroup", "/below/../.."], "without '..'");
    refused(&["--cgroup", "absent"], "absent: No such file or directory");
    refused(&["--cgroup", "nonsense:/"], "controller nonsense");
    refused(&["--cgroup", "below", "--cgroup", "below"], "names no controller");
    if is_hybrid {
        let found = places(&["--cgroup", "memory:below", "--cgroup", "pids,unified:/below"]);
        for (controllers, place) in &found {
            let is_named = ["memory", "pids", ""].contains(&controllers.as_str());
            assert_eq!(place, if is_named { "/below" } else { "/" }, "{found:?}");
        }
        refused(&["--cgroup", "memory:../memory"], "without '..'");
        refused(&["--cgroup", "memory:below,memory:below"], "No such file or directory");
        refused(&["--cgroup", "memory:absent"], "absent: No such file or directory");
    } else {
        refused(&["--cgroup", "memory:below"], "a path without controller");
    }
    // With controllers handed down nobody may be in the group above: who joins goes to the first process.
    let top = tops.iter().find(|top| top.join("cgroup.controllers").exists()).unwrap();
    if fs::read_to_string(top.join("cgroup.controllers")).unwrap().contains("pids") {
        fs::write(top.join("below/cgroup.procs"), bundle.state(&id)["pid"].to_string()).unwrap();
        fs::write(top.join("cgroup.subtree_control"), "+pids").unwrap();
        assert!(places(&[]).iter().all(|(_, place)| place == "/below"));
        refused(&["--cgroup", "/"], "into its control group");
    }
    bundle.must(&["delete", "-f", &id]);
    assert!(tops.iter().all(|top| !top.exists()), "{tops:?}");
}

#[test]
fn a_limit_of_processes_holds() {
    if !can_run("a_limit_of_processes_holds") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["linux"]["resources"] = json!({"pids": {"limit": 5}});
    let said = bundle.run("for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; true");
    assert!(said.err.contains("fork"), "{said:?}");
}

#[test]
fn a_group_in_use_is_not_taken_and_a_limit_without_controller_is_refused() {
    if !can_run("a_group_in_use_is_not_taken_and_a_limit_without_controller_is_refused") {
        return;
    }
    let mut bundle = Bundle::new();
    let path = format!("/{}", bundle.id("shared"));
    bundle.config["linux"]["cgroupsPath"] = json!(path);
    bundle.script("exec sleep 1000");
    let (one, other) = (bundle.id("one"), bundle.id("other"));
    bundle.must(&["run", "-d", &one]);
    bundle.refused(&["run", "-d", &other], "still holds processes");
    assert_eq!(bundle.status(&one), "running", "its group is as it was");
    let mut bundle = Bundle::new();
    bundle.config["linux"]["resources"] = json!({"unified": {"nonsense.max": "1"}});
    bundle.refused(&["run", &other], "controller");
    bundle.config["linux"]["resources"] = json!({"unified": {"../../cgroup.procs": "1"}});
    bundle.refused(&["run", &other], "no name of a control file");
}

#[test]
fn the_groups_above_a_container_go_with_the_last_one_in_them() {
    if !can_run("the_groups_above_a_container_go_with_the_last_one_in_them") {
        return;
    }
    let mut bundle = Bundle::new();
    let above = bundle.id("above");
    let left = || {
        ["memory", "pids", "unified", "."]
            .iter()
            .filter(|name| fs::exists(format!("/sys/fs/cgroup/{name}/dyno-oci/{above}")).unwrap())
            .count()
    };
    let (one, other) = (bundle.id("one"), bundle.id("other"));
    bundle.script("exec sleep 1000");
    for id in [&one, &other] {
        bundle.config["linux"]["cgroupsPath"] = json!(format!("{above}/{id}"));
        bundle.must(&["run", "-d", id]);
    }
    let before = left();
    bundle.must(&["delete", "-f", &one]);
    assert!(before > 0 && left() == before, "the other is still there");
    bundle.must(&["delete", "-f", &other]);
    assert_eq!(left(), 0);
}

#[test]
fn many_containers_leave_nothing_behind() {
    if !can_run("many_containers_leave_nothing_behind") {
        return;
    }
    let mut bundle = Bundle::with_users();
    // Other tests have containers at the same time.
    let ours = bundle.id("");
    let count = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
        let groups = fs::read_dir("/sys/fs/cgroup/unified/dyno-oci")
            .or_else(|_| fs::read_dir("/sys/fs/cgroup/dyno-oci"));
        let own = groups.into_iter().flatten().flatten();
        (mounts, own.filter(|entry| entry.file_name().to_string_lossy().starts_with(&ours)).count())
    };
    assert_eq!(bundle.run("true").code, 0);
    let before = count();
    for _ in 0..50 {
        assert_eq!(bundle.run("true").code, 0);
    }
    assert_eq!(count(), before);
    assert_eq!(fs::read_dir(bundle.path("state")).unwrap().count(), 0);
}
