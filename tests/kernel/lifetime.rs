//! Starting, ending and being found again.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use dyno::runtime::spawner::Side;
use dyno::runtime::spec::StdioKind;
use dyno::runtime::{ExitStatus, Outcome, Signal};

use crate::support::container::{Node, PATIENCE, can_run, full, master, output, said, wait};
use crate::support::patience::patient;

/// Runs of `true` in the long and the short form.
const RUNS: u32 = 100;
const RUNS_SOAK: u32 = 1_000;
fn is_soak() -> bool {
    std::env::var_os("DYNO_SOAK").is_some()
}

#[tokio::test]
async fn exit_codes_and_signals_are_told_as_they_were() {
    if !can_run("exit_codes_and_signals_are_told_as_they_were") {
        return;
    }
    let node = Node::start().await;
    for (script, status, shell) in [
        ("exit 0", ExitStatus::Code(0), 0),
        ("exit 7", ExitStatus::Code(7), 7),
        ("kill -TERM $$", ExitStatus::Signal(15), 143),
        ("kill -KILL $$", ExitStatus::Signal(9), 137),
    ] {
        let (exit, _) = node.outcome(node.shell(script)).await;
        assert_eq!((exit.status, exit.shell_status(), exit.oom), (status, shell, false), "{script}");
    }
}

#[tokio::test]
async fn what_is_said_reaches_the_ring_to_the_last_line() {
    if !can_run("what_is_said_reaches_the_ring_to_the_last_line") {
        return;
    }
    let node = Node::start().await;
    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo to-errors >&2; echo again > /dev/stdout; echo -n end";
    let text = node.say(script).await;
    assert_eq!(text.lines().count(), 2003);
    assert!(text.ends_with("line 1999\nto-errors\nagain\nend\n"), "{}", &text[text.len() - 80..]);
}

#[tokio::test]
async fn a_program_that_cannot_run_is_named_with_its_step() {
    if !can_run("a_program_that_cannot_run_is_named_with_its_step") {
        return;
    }
    let node = Node::start().await;
    let mut sandbox = node.shell("");
    sandbox.process.argv = vec!["no-such-program".into()];
    let error = node.runtime.start(sandbox.clone()).await.unwrap_err();
    assert!(
        full(&error).contains("FindProgram") && full(&error).contains("no-such-program"),
        "{}",
        full(&error)
    );
    sandbox.process.argv = vec!["true".into()];
    sandbox.process.cwd = "/nowhere".into();
    let error = node.runtime.start(sandbox.clone()).await.unwrap_err();
    assert!(full(&error).contains("ChangeDirectory"), "{}", full(&error));
    sandbox.process.cwd = "/".into();
    sandbox.root_layers = vec!["/no/such/root".into()];
    let error = node.runtime.start(sandbox.clone()).await.unwrap_err();
    assert!(full(&error).contains("/no/such/root"), "{}", full(&error));
    // Nothing is left: the name is free.
    sandbox.root_layers = vec![node.root()];
    let (exit, _) = node.outcome(sandbox).await;
    assert!(exit.is_success());
}

#[tokio::test]
async fn signals_reach_all_of_the_application_and_a_kill_ends_it() {
    if !can_run("signals_reach_all_of_the_application_and_a_kill_ends_it") {
        return;
    }
    let node = Node::start().await;
    let script = "trap 'echo got; exit 3' TERM; sleep 100 & echo ready; wait; echo woke";
    let container = node.run(node.shell(script)).await.container;
    said(&container, "ready").await;
    assert_eq!(container.signal_all(Signal::Terminate).unwrap(), 2);
    assert_eq!(wait(&container).await.status, ExitStatus::Code(3));
    let container = node.run(node.shell("trap '' TERM; sleep 100 & sleep 100")).await.container;
    container.kill().unwrap();
    assert_eq!(wait(&container).await.status, ExitStatus::Signal(9));
    container.remove().await.unwrap();
    container.remove().await.unwrap();
}

#[tokio::test]
async fn orphans_are_reaped() {
    if !can_run("orphans_are_reaped") {
        return;
    }
    let node = Node::start().await;
    let script = "i=0; while [ $i -lt 30 ]; do (sleep 0.1 &) ; i=$((i+1)); done; echo made; sleep 100";
    let container = node.run(node.shell(script)).await.container;
    said(&container, "made").await;
    let deadline = Instant::now() + patient(Duration::from_secs(10));
    while container.usage().unwrap().pids > 2 {
        assert!(Instant::now() < deadline, "{:?}", container.usage());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    container.kill().unwrap();
    wait(&container).await;
}

#[tokio::test]
async fn a_terminal_has_a_size_and_passes_control_c() {
    if !can_run("a_terminal_has_a_size_and_passes_control_c") {
        return;
    }
    let node = Node::start().await;
    let mut sandbox = node.shell("stty size; ls -l /proc/self/fd/0; echo ok > /dev/tty; trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 1; done");
    sandbox.stdio = StdioKind::Terminal { rows: 33, cols: 101 };
    let started = node.run(sandbox).await;
    let mut terminal = master(started.stdio);
    let reader = terminal.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let (mut reader, mut text, mut byte) = (reader, String::new(), [0u8; 1]);
        // The end is an error here: EIO when the last process has closed its side.
        while matches!(reader.read(&mut byte), Ok(1)) {
            text.push(char::from(byte[0]));
        }
        text
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    terminal.write_all(b"\x03").unwrap();
    let exit = wait(&started.container).await;
    let text = reading.join().unwrap();
    assert_eq!(exit.status, ExitStatus::Code(9), "{text}");
    assert!(text.contains("33 101") && text.contains("/dev/pts/0") && text.contains("ok"), "{text}");
    assert!(text.contains("caught"), "{text}");
}

#[tokio::test]
async fn pipes_carry_input_output_and_errors() {
    if !can_run("pipes_carry_input_output_and_errors") {
        return;
    }
    let node = Node::start().await;
    let mut sandbox = node.shell("cat; echo bad >&2");
    sandbox.stdio = StdioKind::Pipes;
    let started = node.run(sandbox).await;
    let dyno::runtime::StdioFds::Pipes { stdin, stdout, stderr } = started.stdio else { panic!("pipes") };
    std::fs::File::from(stdin).write_all(b"through\n").unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    std::fs::File::from(stdout).read_to_string(&mut out).unwrap();
    std::fs::File::from(stderr).read_to_string(&mut err).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("through\n", "bad\n"));
    assert!(wait(&started.container).await.is_success());
}

#[tokio::test]
async fn containers_outlive_the_spawner_and_are_found_again() {
    if !can_run("containers_outlive_the_spawner_and_are_found_again") {
        return;
    }
    let node = Node::start().await;
    let container = node.run(node.shell("echo up; read x < /tmp/fifo; sleep 1000")).await.container;
    let exiting =
        node.run(node.shell("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done")).await.container;
    said(&container, "up").await;
    said(&exiting, "up").await;
    // The spawner is the parent of init.
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.init_pid())).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap().parse().unwrap();
    let spawner = dyno::sys::process::open_pid(parent).unwrap();
    dyno::sys::process::signal_descriptor(&spawner, 9).unwrap();
    dyno::sys::process::wait_readable(&[spawner.as_fd()], Some(patient(Duration::from_secs(5)))).unwrap();
    assert!(container.is_running());
    exiting.signal_all(Signal::Terminate).unwrap();
    assert_eq!(wait(&exiting).await.status, ExitStatus::Code(5), "init says it without a spawner");

    let later = node.reconnect().await;
    let adopted = later.adopt_all().unwrap();
    assert_eq!(adopted.len(), 2);
    for one in adopted {
        assert_eq!(one.container.labels()["purpose"], "test");
        if one.id == *container.id() {
            assert_eq!(one.outcome, Outcome::Alive);
            assert_eq!(one.container.init_pid(), container.init_pid());
            one.container.kill().unwrap();
            assert_eq!(wait(&one.container).await.status, ExitStatus::Lost, "nobody saw how");
        } else {
            assert!(matches!(one.outcome, Outcome::Gone(exit) if exit.status == ExitStatus::Code(5)));
        }
        one.container.remove().await.unwrap();
    }
    assert!(later.adopt_all().unwrap().is_empty());
    // And new ones start.
    assert!(output(&node.run(node.shell("true")).await.container).is_empty());
}

#[tokio::test]
async fn a_retired_spawner_leaves_with_its_last_container_and_another_takes_over() {
    if !can_run("a_retired_spawner_leaves_with_its_last_container_and_another_takes_over") {
        return;
    }
    let node = Node::start().await;
    let first =
        node.run(node.shell("trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done")).await.container;
    said(&first, "up").await;
    node.runtime.clone().shutdown().await.unwrap();
    assert!(first.is_running());
    let second = node.run(node.shell("sleep 100")).await.container;
    assert_ne!(parent(first.init_pid()), parent(second.init_pid()));
    let old = dyno::sys::process::open_pid(parent(first.init_pid())).unwrap();
    first.signal_all(Signal::Terminate).unwrap();
    assert_eq!(wait(&first).await.status, ExitStatus::Code(6));
    let ended =
        dyno::sys::process::wait_readable(&[old.as_fd()], Some(patient(Duration::from_secs(5)))).unwrap();
    assert_eq!(ended, [true], "the retired spawner has ended");
    second.kill().unwrap();
    assert_eq!(wait(&second).await.status, ExitStatus::Signal(9));
}

#[tokio::test]
async fn a_spawner_of_another_build_keeps_its_containers_and_makes_no_more() {
    if !can_run("a_spawner_of_another_build_keeps_its_containers_and_makes_no_more") {
        return;
    }
    let node = Node::start().await;
    let first =
        node.run(node.shell("trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done")).await.container;
    said(&first, "up").await;
    // The same program in another file, as after an upgrade.
    let upgraded = node.upgraded("another").await;
    let second = upgraded.start(node.shell("echo up; sleep 100")).await.unwrap().container;
    said(&second, "up").await;
    let (old, new) = (parent(first.init_pid()), parent(second.init_pid()));
    assert_ne!(old, new, "containers are made by the new build");
    let again = node.upgraded("another").await;
    let third = again.start(node.shell("sleep 100")).await.unwrap().container;
    assert_eq!(parent(third.init_pid()), new, "the same build stays");

    let adopted = again.adopt_all().unwrap();
    assert!(adopted.len() == 3 && adopted.iter().all(|found| found.outcome == Outcome::Alive), "{adopted:?}");
    let old = dyno::sys::process::open_pid(old).unwrap();
    first.signal_all(Signal::Terminate).unwrap();
    assert_eq!(wait(&first).await.status, ExitStatus::Code(6), "its own spawner tells how it ended");
    let patience = Some(patient(Duration::from_secs(5)));
    assert_eq!(
        dyno::sys::process::wait_readable(&[old.as_fd()], patience).unwrap(),
        [true],
        "and has ended then"
    );
}

#[tokio::test]
async fn a_spawner_that_speaks_otherwise_and_stays_is_named() {
    if !can_run("a_spawner_that_speaks_otherwise_and_stays_is_named") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("run")).unwrap();
    let listener = dyno::sys::message::Listener::bind(&dir.path().join("run/spawner.sock")).unwrap();
    let answers = std::thread::spawn(move || {
        let deadline = Instant::now() + patient(Duration::from_secs(30));
        let mut answered = 0;
        // Three times a greeting, and after each the word to retire.
        while answered < 6 && Instant::now() < deadline {
            match listener.accept().unwrap() {
                Some(client) => {
                    let heard = client.receive(Duration::from_secs(5)).unwrap();
                    let _gone = heard.map(|_| client.send(b"{\"Later\":2}", &[]));
                    answered += 1;
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    });
    let error = crate::support::container::connect(dir.path(), "dyno-test-otherwise").await.unwrap_err();
    answers.join().unwrap();
    let text = full(&error);
    assert!(
        text.contains(&format!("'kill {}'", std::process::id())) && text.contains("start again"),
        "{text}"
    );
}

/// The parent of a process.
fn parent(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_name_in_use_is_refused_and_its_owner_left_alone() {
    if !can_run("a_name_in_use_is_refused_and_its_owner_left_alone") {
        return;
    }
    let node = Node::start().await;
    let sandbox = node.shell("echo up; sleep 100");
    let container = node.run(sandbox.clone()).await.container;
    said(&container, "up").await;
    let error = node.runtime.start(sandbox).await.unwrap_err();
    assert!(full(&error).contains("claim the container's name"), "{}", full(&error));
    assert!(container.is_running() && container.usage().unwrap().pids > 0);
    assert!(matches!(container.remove().await, Err(dyno::runtime::ContainerError::Running { .. })));
    container.kill().unwrap();
    wait(&container).await;
}

#[tokio::test]
async fn sockets_that_listen_inside_are_listed() {
    if !can_run("sockets_that_listen_inside_are_listed") {
        return;
    }
    let node = Node::start().await;
    let mut sandbox = node.shell("exec nc -l -p 8123 -s 127.0.0.1");
    sandbox.process.argv = vec!["/bin/busybox".into(), "nc".into(), "-l".into(), "-p".into(), "8123".into()];
    let container = node.run(sandbox).await.container;
    let deadline = Instant::now() + patient(Duration::from_secs(10));
    let ports = || -> Vec<u16> {
        container.listening().unwrap().iter().map(|socket| socket.address.port()).collect()
    };
    while ports() != [8123] {
        assert!(Instant::now() < deadline, "{:?}", ports());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    container.kill().unwrap();
    wait(&container).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waiting_never_hangs() {
    if !can_run("waiting_never_hangs") {
        return;
    }
    let node = std::sync::Arc::new(Node::start().await);
    let runs = if is_soak() { RUNS_SOAK } else { RUNS };
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let node = node.clone();
        tasks.spawn(async move {
            for _ in 0..runs / 4 {
                let (exit, _) = node.outcome(node.shell("true")).await;
                assert!(exit.is_success(), "{exit:?}");
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn a_start_tells_where_its_time_went_when_asked() {
    if !can_run("a_start_tells_where_its_time_went_when_asked") {
        return;
    }
    let node = Node::start().await;
    let plain = node.run(node.shell("true")).await;
    assert!(plain.laps.is_empty());
    wait(&plain.container).await;
    let traced = node.runtime.start_traced(node.shell("true")).await.unwrap();
    wait(&traced.container).await;
    let laps = traced.laps;
    for (side, step) in
        [(Side::Host, "Clone"), (Side::Init, "PivotRoot"), (Side::Process, "InstallSeccomp, Exec")]
    {
        let found = laps.iter().any(|lap| lap.side == side && lap.step.starts_with(step));
        assert!(found, "{side} {step} is not among {laps:?}");
    }
    assert!(laps.is_sorted_by_key(|lap| lap.began_us), "{laps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_said_before_it_was_killed_is_passed_on() {
    if !can_run("what_an_application_said_before_it_was_killed_is_passed_on") {
        return;
    }
    let node = Node::start().await;
    let script =
        "echo first; while ! test -e /tmp/go; do sleep 0.01; done; echo last; touch /tmp/said; sleep 1000";
    let container = node.run(node.shell(script)).await.container;
    said(&container, "first").await;
    // Init reads nothing meanwhile, as when much else is to be done.
    let init = nix::unistd::Pid::from_raw(container.init_pid().try_into().unwrap());
    nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let tmp = std::path::PathBuf::from(format!("/proc/{init}/root/tmp"));
    std::fs::write(tmp.join("go"), "").unwrap();
    let deadline = Instant::now() + patient(PATIENCE);
    while !tmp.join("said").exists() {
        assert!(Instant::now() < deadline, "it goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    container.kill_application().unwrap();
    nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGCONT).unwrap();
    let exit = wait(&container).await;
    assert_eq!((exit.status, output(&container).as_str()), (ExitStatus::Signal(9), "first\nlast\n"));
}
