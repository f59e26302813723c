//! Refused system calls on the real kernel: counted by name, refused all the same, and no burden for init.

use std::time::{Duration, Instant};

use dyno::runtime::{Container, Signal};

use crate::support::container::{Node, PATIENCE, can_run, full, output, said, wait};
use crate::support::patience::patient;

fn counted(container: &Container, name: &str) -> u64 {
    container.refused_calls().iter().find(|call| call.name == name).map_or(0, |call| call.count)
}

async fn until_counted(container: &Container, name: &str, count: u64) {
    let deadline = Instant::now() + patient(PATIENCE);
    while counted(container, name) < count {
        assert!(Instant::now() < deadline, "{name} {count} times, not {:?}", container.refused_calls());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_are_counted_by_name() {
    if !can_run("refused_calls_are_counted_by_name") {
        return;
    }
    let node = Node::start().await;
    let script = "busybox unshare -n true; for i in 1 2 3; do busybox hostname x; done; \
                  busybox chroot / /bin/true; busybox mknod /tmp/node c 1 3; echo end";
    let container = node.run(node.shell(script)).await.container;
    wait(&container).await;
    let told = output(&container);
    assert_eq!(told.matches("Operation not permitted").count(), 6, "{told}");
    let calls: Vec<_> =
        container.refused_calls().into_iter().map(|call| format!("{} {}", call.name, call.count)).collect();
    assert_eq!(calls, ["unshare 1", "sethostname 3", "chroot 1", "mknodat 1"]);
    container.remove().await.unwrap_or_else(|error| panic!("{}", full(&error)));
    assert_eq!(container.refused_calls(), []);
    let quiet = node.run(node.shell("ls /; cat /etc/passwd; sleep 0 & wait; exit 3")).await.container;
    wait(&quiet).await;
    assert_eq!(quiet.refused_calls(), [], "what ordinary programs do is not told");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_known_while_it_runs_and_where_init_was_killed() {
    if !can_run("what_was_refused_is_known_while_it_runs_and_where_init_was_killed") {
        return;
    }
    let node = Node::start().await;
    let container =
        node.run(node.shell("busybox hostname x; busybox hostname y; sleep 1000")).await.container;
    until_counted(&container, "sethostname", 2).await;
    container.kill().unwrap_or_else(|error| panic!("{}", full(&error)));
    wait(&container).await;
    assert_eq!(counted(&container, "sethostname"), 2);
}

/// More callers than init answers at a time: they wait, and nobody else does.
#[tokio::test(flavor = "multi_thread")]
async fn who_calls_without_end_keeps_init_from_nothing() {
    if !can_run("who_calls_without_end_keeps_init_from_nothing") {
        return;
    }
    let node = Node::start().await;
    let script = "for i in 1 2 3 4 5 6 7 8; do (while true; do busybox hostname x 2>/dev/null; done) & done; \
                  trap 'echo ends; exit 7' TERM; echo begins; while true; do sleep 0.05; echo on; done";
    let container = node.run(node.shell(script)).await.container;
    said(&container, "begins").await;
    until_counted(&container, "sethostname", 100).await;
    let lines = output(&container).lines().count();
    let deadline = Instant::now() + patient(PATIENCE);
    while output(&container).lines().count() < lines + 3 {
        assert!(Instant::now() < deadline, "its lines are relayed meanwhile");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    container.signal_all(Signal::Terminate).unwrap_or_else(|error| panic!("{}", full(&error)));
    assert_eq!(wait(&container).await.shell_status(), 7);
    assert!(output(&container).contains("ends"));
}
