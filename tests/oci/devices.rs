//! Devices: which files there are, and which may be used.

use serde_json::json;

use crate::bundle::Bundle;
use crate::config::all_sets;
use crate::support::container::can_run;

#[test]
fn the_usual_devices_and_links_are_there_and_work() {
    if !can_run("the_usual_devices_and_links_are_there_and_work") {
        return;
    }
    for mut bundle in [Bundle::new(), Bundle::with_users()] {
        let said = bundle.say(
            "for d in null zero full random urandom tty; do stat -c '%n %a %t:%T %u %F' /dev/$d; done; head -c 4 /dev/zero | wc -c; \
             echo x > /dev/null; head -c 1 /dev/urandom | wc -c; for l in fd stdin ptmx; do readlink /dev/$l; done",
        );
        let device =
            |name: &str, numbers: &str| format!("/dev/{name} 666 {numbers} 0 character special file\n");
        let expected = [
            ("null", "1:3"),
            ("zero", "1:5"),
            ("full", "1:7"),
            ("random", "1:8"),
            ("urandom", "1:9"),
            ("tty", "5:0"),
        ]
        .map(|(name, numbers)| device(name, numbers))
        .concat();
        assert_eq!(said, expected + "4\n1\n/proc/self/fd\n/proc/self/fd/0\npts/ptmx\n");
    }
}

#[test]
fn devices_of_the_configuration_are_made_wherever_they_are_wanted() {
    if !can_run("devices_of_the_configuration_are_made_wherever_they_are_wanted") {
        return;
    }
    for mut bundle in [Bundle::new(), Bundle::with_users()] {
        bundle.config["linux"]["devices"] = json!([
            {"path": "/dev/own/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 7, "gid": 8},
            {"path": "/data/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666},
            {"path": "/dev/pipe", "type": "p"},
        ]);
        let said = bundle.say(
            "stat -c '%a %u %g %t:%T' /dev/own/fuse; stat -c %F /dev/pipe; echo x > /data/null; stat -c %t:%T /data/null",
        );
        assert_eq!(said, "640 7 8 a:e5\nfifo\n1:3\n");
    }
    // Without a device directory of its own the root's is filled.
    let mut bundle = Bundle::new();
    bundle.mounts().retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    assert_eq!(bundle.say("stat -c %t:%T /dev/null; readlink /dev/fd"), "1:3\n/proc/self/fd\n");
}

#[test]
fn only_devices_that_rules_allow_can_be_opened() {
    if !can_run("only_devices_that_rules_allow_can_be_opened") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["process"]["capabilities"] = all_sets(&["CAP_MKNOD"]);
    // Device 1:11 is the kernel's log, 1:3 is always allowed; making files is, too.
    let look = "rm -f /dev/log /dev/mine; mknod /dev/log c 1 11 && mknod /dev/mine c 1 3 && echo x > /dev/mine && echo null; \
                (: > /dev/log) 2>/dev/null && echo log; true";
    assert_eq!(bundle.say(look), "null\n", "without rules");
    bundle.config["linux"]["resources"] = json!({"devices": [{"allow": false, "access": "rwm"}]});
    assert_eq!(bundle.say(look), "null\n");
    bundle.config["linux"]["resources"] = json!({"devices": [
        {"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "w"}]});
    assert_eq!(bundle.say(look), "null\nlog\n");
    bundle.config["linux"]["resources"]["devices"][1]["access"] = json!("r");
    assert_eq!(bundle.say(look), "null\n", "to read is not to write");
}
