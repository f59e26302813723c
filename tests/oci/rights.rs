//! What a container's program may do: capabilities, users, limits, filter, terminal.

use std::io::{IoSliceMut, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::json;

use crate::bundle::Bundle;
use crate::support::container::can_run;

/// The lines of a process's status that tell of rights.
const LOOK: &str = "grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid|Gid|Groups|Umask)' /proc/self/status";

fn rights(said: &str) -> std::collections::BTreeMap<String, String> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    said.lines().map(pair).collect()
}

#[test]
fn nothing_is_given_that_was_not_asked_for() {
    if !can_run("nothing_is_given_that_was_not_asked_for") {
        return;
    }
    for mut bundle in [Bundle::new(), Bundle::with_users()] {
        let found = rights(&bundle.say(LOOK));
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(found[set], "0000000000000000", "{set}");
        }
        assert_eq!((found["NoNewPrivs"].as_str(), found["Seccomp"].as_str()), ("1", "0"));
        assert_eq!((found["Groups"].as_str(), found["Umask"].as_str()), ("", "0022"));
    }
}

#[test]
fn the_five_sets_are_set_each() {
    if !can_run("the_five_sets_are_set_each") {
        return;
    }
    for mut bundle in [Bundle::new(), Bundle::with_users()] {
        bundle.config["process"]["capabilities"] = json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
            "effective": ["CAP_CHOWN"],
            "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "inheritable": ["CAP_KILL"],
            "ambient": ["CAP_KILL"],
        });
        bundle.config["process"]["user"] =
            json!({"uid": 1000, "gid": 1000, "additionalGids": [5, 6], "umask": 0o77});
        let found = rights(&bundle.say(LOOK));
        // An ordinary user keeps over an exec what is ambient.
        assert_eq!(found["CapBnd"], "0000000000002021");
        assert_eq!(
            (found["CapInh"].as_str(), found["CapAmb"].as_str()),
            ("0000000000000020", "0000000000000020")
        );
        assert_eq!(
            (found["CapEff"].as_str(), found["CapPrm"].as_str()),
            ("0000000000000020", "0000000000000020")
        );
        assert_eq!(
            (found["Uid"].as_str(), found["Gid"].as_str()),
            ("1000 1000 1000 1000", "1000 1000 1000 1000")
        );
        assert_eq!((found["Groups"].as_str(), found["Umask"].as_str()), ("5 6", "0077"));
        bundle.config["process"]["user"] = json!({"uid": 0, "gid": 0});
        bundle.config["process"]["capabilities"] =
            super::config::all_sets(&["CAP_CHOWN", "CAP_SYS_RESOURCE"]);
        let found = rights(&bundle.say(LOOK));
        assert!(found["CapEff"].ends_with('1'), "what can be given is: {found:?}");
    }
}

#[test]
fn capabilities_that_cannot_be_given_are_told_of_and_hold_nothing_up() {
    if !can_run("capabilities_that_cannot_be_given_are_told_of_and_hold_nothing_up") {
        return;
    }
    for (mut bundle, has_own_users) in [(Bundle::new(), false), (Bundle::with_users(), true)] {
        bundle.config["process"]["capabilities"] =
            super::config::all_sets(&["CAP_CHOWN", "CAP_SYS_RESOURCE"]);
        bundle.script("exec sleep 1000");
        let id = bundle.id("a");
        let held = rights(&std::fs::read_to_string("/proc/self/status").unwrap())["CapPrm"].clone();
        let is_held = u64::from_str_radix(&held, 16).unwrap() & 1 << 24 != 0;
        for (log, words) in [("run.log", &["run", "--detach", &id][..]), ("exec.log", &["exec", &id, "true"])]
        {
            let said = bundle.must(&[&["--log", log, "--log-format", "json"], words].concat());
            assert_eq!(said.err, "", "what is said there is taken for a failure's words");
            let told = std::fs::read_to_string(bundle.path(log)).unwrap();
            let is_told = told.contains("\"warning\"") && told.contains("without CAP_SYS_RESOURCE:");
            assert_eq!(is_told, !is_held && !has_own_users, "{log}: {told}");
        }
        if !is_held && !has_own_users {
            assert!(bundle.must(&["exec", &id, "true"]).err.contains("warning: the process goes without"));
        }
    }
}

#[test]
fn a_program_may_gain_rights_only_if_the_configuration_says_so() {
    if !can_run("a_program_may_gain_rights_only_if_the_configuration_says_so") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["process"]["noNewPrivileges"] = json!(false);
    assert_eq!(rights(&bundle.say(LOOK))["NoNewPrivs"], "0");
}

#[test]
fn limits_are_set_and_one_that_cannot_be_is_told_of() {
    if !can_run("limits_are_set_and_one_that_cannot_be_is_told_of") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["process"]["rlimits"] = json!([
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_FSIZE", "soft": 4096, "hard": 8192},
    ]);
    bundle.config["process"]["oomScoreAdj"] = json!(500);
    let said =
        bundle.say("grep -E '^Max (open|core|file size)' /proc/self/limits; cat /proc/self/oom_score_adj");
    let words: Vec<_> =
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        words,
        [
            "Max file size 4096 8192 bytes",
            "Max core file size 0 0 bytes",
            "Max open files 100 200 files",
            "500"
        ]
    );
    bundle.config["process"]["rlimits"] =
        json!([{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 2_000_000_000_000u64}]);
    // Above what the kernel knows at all: nobody may.
    bundle.refused(&["run", "a"], "the limit 'nofile' to 2000000000000");
    assert_eq!(bundle.must(&["list", "-q"]).out, "");
}

#[test]
fn the_filter_answers_as_the_configuration_says() {
    if !can_run("the_filter_answers_as_the_configuration_says") {
        return;
    }
    for nnp in [true, false] {
        let mut bundle = Bundle::new();
        bundle.config["process"]["noNewPrivileges"] = json!(nnp);
        bundle.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
                {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"},
                {"names": ["symlink", "symlinkat"], "action": "SCMP_ACT_KILL_PROCESS"},
                {"names": ["not_a_call"], "action": "SCMP_ACT_KILL_PROCESS"},
            ],
        });
        let said = bundle.run(
            "mkdir /tmp/x; chmod 700 /tmp; grep Seccomp: /proc/self/status; busybox ln -s a /tmp/y; echo $?",
        );
        assert!(said.err.contains("No space left on device"), "{said:?}");
        assert!(said.err.contains("Operation not permitted"), "{said:?}");
        assert!(said.out.contains("Seccomp:\t2") && said.out.ends_with("159\n"), "{said:?}");
        // A further process is under it too.
        bundle.script("exec sleep 1000");
        let id = bundle.id("a");
        bundle.must(&["run", "-d", &id]);
        bundle.refused(&["exec", &id, "mkdir", "/tmp/x"], "No space left on device");
    }
}

/// Takes the terminal that is sent to a console socket.
fn terminal(listener: &UnixListener) -> std::fs::File {
    let (stream, _) = listener.accept().unwrap();
    let mut name = [0; 64];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(&stream, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::empty())
        .unwrap();
    let taken = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut list) => list.next(),
        _ => None,
    });
    taken.expect("a descriptor").into()
}

fn read_until(terminal: &mut std::fs::File, wanted: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(wanted) {
        let length = terminal.read(&mut buffer).unwrap_or(0);
        assert_ne!(length, 0, "the terminal ends before {wanted:?}: {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    text
}

#[test]
fn a_terminal_goes_to_who_asks_for_it() {
    if !can_run("a_terminal_goes_to_who_asks_for_it") {
        return;
    }
    for mut bundle in [Bundle::new(), Bundle::with_users()] {
        bundle.config["process"]["terminal"] = json!(true);
        bundle.config["process"]["consoleSize"] = json!({"height": 33, "width": 77});
        bundle.script(
            "tty; stty size; stat -c %t /dev/console; echo go; read line; echo got $line; exec sleep 1000",
        );
        // A path longer than a socket's address may be.
        let deep = bundle.path(&"d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let listener = {
            let short = std::fs::File::open(&deep).unwrap();
            UnixListener::bind(format!("/proc/self/fd/{}/s", short.as_raw_fd())).unwrap()
        };
        let id = bundle.id("a");
        bundle.must(&["create", "--console-socket", deep.join("s").to_str().unwrap(), &id]);
        let mut first = terminal(&listener);
        bundle.must(&["start", &id]);
        let said = read_until(&mut first, "go");
        assert!(said.contains("/dev/pts/0\r\n33 77\r\n88\r\n"), "{said:?}");
        first.write_all(b"typed\n").unwrap();
        read_until(&mut first, "got typed");

        bundle.must(&[
            "exec",
            "--detach",
            "--tty",
            "--console-socket",
            deep.join("s").to_str().unwrap(),
            &id,
            "sh",
            "-c",
            "tty; exec sleep 1000",
        ]);
        let said = read_until(&mut terminal(&listener), "\n");
        assert_eq!(said, "/dev/pts/1\r\n");
        bundle.must(&["delete", "-f", &id]);
    }
}

#[test]
fn a_terminal_in_the_foreground_is_ours() {
    if !can_run("a_terminal_in_the_foreground_is_ours") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["process"]["terminal"] = json!(true);
    let said = bundle.run("tty; echo err >&2; exit 3");
    assert_eq!((said.code, said.out.as_str()), (3, "/dev/pts/0\r\nerr\r\n"), "{said:?}");
}

#[test]
fn only_descriptors_that_are_to_be_kept_are_kept() {
    if !can_run("only_descriptors_that_are_to_be_kept_are_kept") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.script("ls /proc/self/fd | wc -l; cat <&3");
    std::fs::write(bundle.path("kept"), "kept\n").unwrap();
    for (words, expected) in [("--preserve-fds 1", "5\nkept\n"), ("", "4\n")] {
        let call = bundle.command(&["run"]);
        let words = format!(
            "exec 3< kept 4< kept; exec '{}' --root state run {words} {}",
            call.get_program().to_str().unwrap(),
            bundle.id("a")
        );
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &words]).current_dir(bundle.dir.path());
        let said = bundle.finish(command);
        assert_eq!(said.out, expected, "{said:?}");
    }
}

#[test]
fn a_number_that_nothing_was_given_under_keeps_nothing_of_the_starters() {
    if !can_run("a_number_that_nothing_was_given_under_keeps_nothing_of_the_starters") {
        return;
    }
    let mut bundle = Bundle::new();
    std::fs::write(bundle.path("kept"), "kept\n").unwrap();
    // The 3 is what the listing itself is read from.
    let look = "exec > /tmp/seen; cat <&7; exec ls /proc/self/fd";
    let expected = "kept\n0\n1\n2\n3\n7\n";
    let id = bundle.id("a");
    let call = |bundle: &Bundle, words: &[&str]| {
        let call = bundle.command(words);
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", "exec 3<&- 4<&- 5<&- 6<&- 7< kept 8<&- 9<&-; exec \"$@\"", "sh"])
            .arg(call.get_program())
            .args(call.get_args());
        command.current_dir(bundle.dir.path());
        let said = bundle.finish(command);
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
    };
    let seen = |bundle: &Bundle| std::fs::read_to_string(bundle.root().join("tmp/seen")).unwrap();
    bundle.script(look);
    call(&bundle, &["create", "--preserve-fds", "7", &id]);
    // Others can work on it: the starter's lock has gone with the starter.
    bundle.must(&["start", &id]);
    bundle.await_status(&id, "stopped");
    assert_eq!(seen(&bundle), expected);
    bundle.must(&["delete", &id]);
    bundle.script("exec sleep 1000");
    call(&bundle, &["run", "--detach", "--preserve-fds", "7", &id]);
    call(&bundle, &["exec", "--preserve-fds", "7", &id, "sh", "-c", look]);
    assert_eq!(seen(&bundle), expected);
}

#[test]
fn the_process_gets_processor_and_disk_as_the_configuration_says() {
    if !can_run("the_process_gets_processor_and_disk_as_the_configuration_says") {
        return;
    }
    let mut bundle = Bundle::new();
    // Fields of proc(5): 19 is the nice value, 41 the policy.
    let look = "set -- $(cat /proc/self/stat); echo ${19} ${41}; /bin/busybox ionice -p 1";
    bundle.config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 3});
    bundle.config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
    assert_eq!(bundle.say(look), "3 3\nbest-effort: prio 6\n");
    bundle.config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 8});
    bundle.refused(&["run", "a"], "from 0 to 7");
    bundle.config["process"]["ioPriority"] = json!(null);
    bundle.config["process"]["scheduler"] = json!({"policy": "SCHED_FIFO", "priority": 0});
    bundle.refused(&["run", "a"], "set the scheduler");
}

#[test]
fn the_kernel_treats_all_processes_of_a_container_as_its_configuration_says() {
    if !can_run("the_kernel_treats_all_processes_of_a_container_as_its_configuration_says") {
        return;
    }
    let mut bundle = Bundle::new();
    let host = bundle.say("uname -m");
    bundle.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    let id = bundle.id("a");
    bundle.script("uname -m > /tmp/seen; cat /proc/self/numa_maps >> /tmp/seen; exec sleep 1000");
    let has_nodes = std::fs::exists("/proc/self/numa_maps").unwrap();
    if has_nodes {
        bundle.config["linux"]["memoryPolicy"] =
            json!({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    }
    bundle.must(&["run", "-d", &id]);
    bundle.until(&["exec", &id, "grep", "-q", "sleep", "/proc/1/cmdline"]);
    let first = std::fs::read_to_string(bundle.root().join("tmp/seen")).unwrap();
    let joined = bundle.must(&["exec", &id, "sh", "-c", "uname -m; cat /proc/self/numa_maps"]).out;
    for seen in [first, joined] {
        let (machine, maps) = seen.split_once('\n').unwrap();
        assert_ne!(machine, host.trim());
        assert!(!has_nodes || maps.contains(" interleave=static:0 "), "{maps}");
    }
    if has_nodes {
        let mut refused = |policy: serde_json::Value, expected: &str| {
            bundle.config["linux"]["memoryPolicy"] = policy;
            bundle.refused(&["run", "b"], expected);
        };
        refused(json!({"mode": "MPOL_BIND", "nodes": "0-9876543210"}), "linux.memoryPolicy.nodes");
        refused(json!({"mode": "MPOL_DEFAULT", "nodes": "0"}), "set the memory policy");
        refused(json!({"mode": "MPOL_BIND"}), "set the memory policy");
    }
    bundle.config["linux"]["personality"]["flags"] = json!(["ADDR_NO_RANDOMIZE"]);
    bundle.refused(&["run", "b"], "linux.personality");
}

#[test]
fn a_process_that_joins_runs_on_the_processors_that_it_is_given() {
    if !can_run("a_process_that_joins_runs_on_the_processors_that_it_is_given") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.script("exec sleep 1000");
    let id = bundle.id("a");
    bundle.must(&["run", "-d", &id]);
    let mut process = bundle.config["process"].clone();
    process["args"] = json!(["grep", "Cpus_allowed_list", "/proc/self/status"]);
    process["execCPUAffinity"] = json!({"initial": "0", "final": "0"});
    std::fs::write(bundle.path("process.json"), process.to_string()).unwrap();
    assert_eq!(bundle.must(&["exec", "--process", "process.json", &id]).out, "Cpus_allowed_list:\t0\n");
    process["execCPUAffinity"] = json!({"final": "nonsense"});
    std::fs::write(bundle.path("process.json"), process.to_string()).unwrap();
    bundle.refused(&["exec", "--process", "process.json", &id], "execCPUAffinity");
}
