//! Limits hold for real, in a real container.

use dyno::runtime::ExitStatus;
use dyno::runtime::limits::CpuQuota;

use crate::support::container::{Node, can_run, said, wait};

#[tokio::test]
async fn memory_beyond_the_limit_ends_the_application_and_is_told() {
    if !can_run("memory_beyond_the_limit_ends_the_application_and_is_told") {
        return;
    }
    let node = Node::start().await;
    // A pause lets init be moved out of the limits; dd then wants one block of twice the limit.
    let mut sandbox = node.shell("sleep 0.3; exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    sandbox.limits.memory_bytes = Some(32 << 20);
    sandbox.limits.memory_swap_bytes = Some(0);
    let (exit, said) = node.outcome(sandbox).await;
    assert_eq!((exit.status, exit.oom), (ExitStatus::Signal(9), true), "{said}");
}

#[tokio::test]
async fn init_lives_when_a_child_of_the_application_dies_for_memory() {
    if !can_run("init_lives_when_a_child_of_the_application_dies_for_memory") {
        return;
    }
    let node = Node::start().await;
    let mut sandbox =
        node.shell("sleep 0.3; dd if=/dev/zero of=/dev/null bs=64M count=1; echo status $?; exit 4");
    sandbox.limits.memory_bytes = Some(32 << 20);
    sandbox.limits.memory_swap_bytes = Some(0);
    let (exit, said) = node.outcome(sandbox).await;
    // On unified hosts the kernel takes the whole group at once; init still tells how it ended.
    let whole = exit.status == ExitStatus::Signal(9);
    assert!(
        exit.oom && (whole || exit.status == ExitStatus::Code(4) && said.contains("status 137")),
        "{exit:?} {said}"
    );
}

#[tokio::test]
async fn forks_beyond_the_limit_fail() {
    if !can_run("forks_beyond_the_limit_fail") {
        return;
    }
    let node = Node::start().await;
    let mut sandbox = node.shell("i=0; while [ $i -lt 50 ]; do sleep 100 & i=$((i+1)); done; echo all");
    sandbox.limits.pids = Some(10);
    let container = node.run(sandbox).await.container;
    said(&container, "fork").await;
    let pids = container.usage().map_or(0, |usage| usage.pids);
    assert!(pids <= 10, "{pids}");
    let _ = container.kill();
    wait(&container).await;
}

#[tokio::test]
async fn a_quota_holds_a_busy_loop_back() {
    if !can_run("a_quota_holds_a_busy_loop_back") {
        return;
    }
    let node = Node::start().await;
    let mut sandbox = node.shell("while :; do :; done");
    sandbox.limits.cpu_quota = Some(CpuQuota { quota_us: 20_000, period_us: 100_000 });
    let container = node.run(sandbox).await.container;
    let before = container.usage().unwrap().cpu_ns;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let used_ms = (container.usage().unwrap().cpu_ns - before) / 1_000_000;
    assert!((100..=800).contains(&used_ms), "{used_ms} ms in 2 s at a fifth of a processor");
    container.kill().unwrap();
    wait(&container).await;
}
