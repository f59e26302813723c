//! Further commands in a running container: confined as its application is, seen by nobody else, and gone with either end.
#![expect(clippy::unwrap_used, reason = "in a test a panic is how a failure is told")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use dyno::runtime::{Container, EnterError, Entered, Entry, ExitStatus, Hold, Signal, StdioFds, StdioKind};

use crate::support::container::{Node, PATIENCE, can_run, full, master, output, said, wait};
use crate::support::patience::patient;

/// What a process can tell of its own walls.
const WALLS: &str = "busybox grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|NSpid)' /proc/self/status | busybox grep -v NSpid; \
    for n in ipc mnt net pid user uts; do busybox readlink /proc/self/ns/$n; done; cat /proc/self/cgroup /proc/self/uid_map; \
    umask; pwd; ulimit -n; ulimit -c; busybox hostname; echo $PATH $HOME; \
    busybox hostname x; busybox unshare -U true; busybox chroot / /bin/true; echo no > /etc/passwd; busybox kill -9 1";

fn entry(container: &Container, script: &str, stdio: StdioKind) -> Entry {
    Entry {
        id: container.id().clone(),
        argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
        env: BTreeMap::new(),
        stdio,
    }
}

async fn enter(node: &Node, container: &Container, script: &str) -> Entered {
    let entered = node.runtime.enter(entry(container, script, StdioKind::Pipes)).await;
    entered.unwrap_or_else(|error| panic!("the command starts: {}", full(&error)))
}

/// All that a command says on both streams, and its end.
async fn outcome(entered: Entered) -> (String, ExitStatus) {
    let StdioFds::Pipes { stdout, stderr, .. } = entered.stdio else { panic!("no pipes") };
    let mut told = String::new();
    fs::File::from(stdout).read_to_string(&mut told).unwrap();
    fs::File::from(stderr).read_to_string(&mut told).unwrap();
    (told, ended(&entered.hold).await)
}

async fn ended(hold: &Hold) -> ExitStatus {
    tokio::time::timeout(patient(PATIENCE), hold.ended()).await.expect("it ends")
}

fn is_there(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

async fn until_gone(pid: u32) {
    let deadline = Instant::now() + patient(PATIENCE);
    while is_there(pid) {
        assert!(Instant::now() < deadline, "process {pid} lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_confined_as_the_application_is() {
    if !can_run("it_is_confined_as_the_application_is") {
        return;
    }
    let node = Node::start().await;
    let mut sandbox = node.shell(&format!("({WALLS}) 2>&1; echo told; sleep 1000"));
    sandbox.process.cwd = "/tmp".into();
    sandbox.process.umask = 0o027;
    let container = node.run(sandbox).await.container;
    said(&container, "told").await;
    let (told, status) = outcome(enter(&node, &container, &format!("({WALLS}) 2>&1; echo told")).await).await;
    assert_eq!(status, ExitStatus::Code(0), "{told}");
    assert_eq!(told, output(&container), "what the command sees, and what the application saw");
    assert!(told.contains("CapBnd:\t0000000000000000") && told.contains("Seccomp:\t2"), "{told}");
    assert!(told.contains("Operation not permitted") && !told.contains("dyno-node"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_finds_it_where_the_application_is_and_with_nothing_of_its_own_open() {
    if !can_run("the_host_finds_it_where_the_application_is_and_with_nothing_of_its_own_open") {
        return;
    }
    let node = Node::start().await;
    let container = node.run(node.shell("sleep 1000")).await.container;
    let application = container.cgroup().unwrap().app_pids().unwrap()[0];
    let entered = enter(&node, &container, "exec busybox cat").await;
    let pid = entered.pid;
    for kind in ["ipc", "mnt", "net", "pid", "user", "uts"] {
        let of = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_eq!((of(pid), of(pid)), (of(application), of(container.init_pid())), "{kind}");
        assert_ne!(of(pid), of(std::process::id()), "{kind}");
    }
    let groups = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(groups(pid), groups(application));
    assert!(container.cgroup().unwrap().app_pids().unwrap().contains(&pid));
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut open: Vec<_> = open.map(|name| name.into_string().unwrap()).collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    let status = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let told = |line: &&str| {
            ["Uid", "Gid", "Groups", "Cap", "NoNew", "Seccomp"].iter().any(|name| line.starts_with(name))
        };
        text.lines().filter(told).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(status(pid), status(application));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_input_output_and_end_are_its_clients() {
    if !can_run("its_input_output_and_end_are_its_clients") {
        return;
    }
    let node = Node::start().await;
    let container = node.run(node.shell("sleep 1000")).await.container;
    let mut wish = entry(&container, "cat; echo $NAME >&2; exit 7", StdioKind::Pipes);
    wish.env = BTreeMap::from([("NAME".to_owned(), "value".to_owned())]);
    let mut entered = node.runtime.enter(wish).await.unwrap_or_else(|error| panic!("{}", full(&error)));
    let StdioFds::Pipes { stdin, stdout, stderr } = entered.stdio else { panic!("no pipes") };
    let mut input = fs::File::from(stdin);
    input.write_all(b"typed\n").unwrap();
    drop(input);
    let (null, _) = std::io::pipe().unwrap();
    entered.stdio = StdioFds::Pipes { stdin: null.into(), stdout, stderr };
    assert_eq!(outcome(entered).await, ("typed\nvalue\n".to_owned(), ExitStatus::Code(7)));
    let entered = enter(&node, &container, "sleep 1000").await;
    entered.hold.signal(Signal::Terminate);
    assert_eq!(ended(&entered.hold).await, ExitStatus::Signal(15));
    assert!(container.is_running() && output(&container).is_empty(), "the application is not touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_its_own() {
    if !can_run("a_terminal_is_its_own") {
        return;
    }
    let node = Node::start().await;
    let container = node.run(node.shell("sleep 1000")).await.container;
    let script = "stty size; echo ok > /dev/tty; read line; echo got $line; exit 3";
    let wish = entry(&container, script, StdioKind::Terminal { rows: 33, cols: 77 });
    let entered = node.runtime.enter(wish).await.unwrap_or_else(|error| panic!("{}", full(&error)));
    let mut terminal = master(entered.stdio);
    terminal.write_all(b"this\n").unwrap();
    let mut told = Vec::new();
    // A terminal whose last process has ended reads as an error (EIO, pty(7)).
    let _end = terminal.read_to_end(&mut told);
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("33 77\r\n") && told.contains("ok\r\n") && told.contains("got this"), "{told}");
    assert_eq!(ended(&entered.hold).await, ExitStatus::Code(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_its_container() {
    if !can_run("it_ends_with_its_container") {
        return;
    }
    let node = Node::start().await;
    let deaf = "trap '' HUP TERM; busybox setsid sleep 1000 & while :; do sleep 1; done";
    for how in ["kill", "kill_application", "exit"] {
        let container = node.run(node.shell("until test -e /tmp/end; do sleep 0.1; done")).await.container;
        let entered = enter(&node, &container, deaf).await;
        match how {
            "kill" => container.kill().unwrap(),
            "kill_application" => container.kill_application().unwrap(),
            _ => drop(outcome(enter(&node, &container, "echo > /tmp/end").await).await),
        }
        let status = ended(&entered.hold).await;
        assert!(matches!(status, ExitStatus::Signal(9) | ExitStatus::Lost), "{how}: {status:?}");
        until_gone(entered.pid).await;
        wait(&container).await;
        container.remove().await.unwrap_or_else(|error| panic!("{how}: {}", full(&error)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_its_client_lets_go_and_the_container_goes_on() {
    if !can_run("it_ends_when_its_client_lets_go_and_the_container_goes_on") {
        return;
    }
    let node = Node::start().await;
    let container = node.run(node.shell("sleep 1000")).await.container;
    let polite = enter(&node, &container, "sleep 1000").await;
    let deaf = enter(&node, &container, "trap '' HUP; while :; do sleep 1; done").await;
    let pids = [polite.pid, deaf.pid];
    polite.hold.hang_up();
    assert_eq!(ended(&polite.hold).await, ExitStatus::Signal(1), "told so while somebody listens");
    drop((polite, deaf));
    for pid in pids {
        until_gone(pid).await;
    }
    assert!(container.is_running());
    assert_eq!(container.cgroup().unwrap().app_pids().unwrap().len(), 1, "only the application is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_told_and_leaves_nothing() {
    if !can_run("what_cannot_be_run_is_told_and_leaves_nothing") {
        return;
    }
    let node = Node::start().await;
    let container = node.run(node.shell("sleep 1000")).await.container;
    let refused =
        async |wish: Entry| -> EnterError { node.runtime.enter(wish).await.expect_err("it is refused") };
    let mut wish = entry(&container, "", StdioKind::Pipes);
    wish.argv = vec!["/bin/nothing".into()];
    let told = full(&refused(wish).await);
    assert!(told.contains("there is no program \"/bin/nothing\""), "{told}");
    let told = full(&refused(entry(&container, "true", StdioKind::Log)).await);
    assert!(told.contains("no place in the log"), "{told}");
    assert_eq!(container.cgroup().unwrap().app_pids().unwrap().len(), 1);
    // As a program that did not know of further commands left it.
    fs::remove_file(
        node.dir.path().join("run/containers").join(container.id().as_str()).join("process.json"),
    )
    .unwrap();
    let told = full(&refused(entry(&container, "true", StdioKind::Pipes)).await);
    assert!(told.contains("start it anew"), "{told}");
    container.kill().unwrap();
    wait(&container).await;
    let gone = node.run(node.shell("exit 0")).await.container;
    wait(&gone).await;
    let told = full(&refused(entry(&gone, "true", StdioKind::Pipes)).await);
    assert!(told.contains("first process"), "{told}");
}
