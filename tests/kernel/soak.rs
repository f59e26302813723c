//! Starts and stops, many of them: nothing may be left. `DYNO_SOAK` runs the long form.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use dyno::runtime::network::{Ipv4Net, NetworkConfig, NodeNetwork};
use dyno::runtime::{Container, Network};

use crate::support::container::{Node, can_run, wait};

/// Cycles of the short form and of the long one.
const CYCLES: u32 = 60;
const CYCLES_SOAK: u32 = 10_000;
/// Cycles before the first count: what is made once and kept is made by then.
const WARM_UP: u32 = 5;
/// Index of the node whose links are made here; no other test's.
const INDEX: u32 = 25;
/// What is cleared away while nobody waits is gone by then.
const SETTLING: Duration = Duration::from_secs(20);

fn is_soak() -> bool {
    std::env::var_os("DYNO_SOAK").is_some()
}

fn config(node: &Node) -> NetworkConfig {
    NetworkConfig {
        index: INDEX,
        base: Ipv4Net::default_of(INDEX),
        resolvers: vec![],
        egress: vec![],
        state_file: node.dir.path().join("network.json"),
    }
}

/// A start, its end, and the removal of all of it, in a network with a link. Every third is killed instead of ending.
async fn cycle(node: &Node, network: &NodeNetwork, number: u32) {
    let lease = network.allot(number % 16).await.unwrap();
    let is_killed = number.is_multiple_of(3);
    let mut sandbox = node.shell(if is_killed { "sleep 100" } else { "true" });
    sandbox.network = Network::Joined(lease.netns.clone());
    let container = node.run(sandbox).await.container;
    drop(lease);
    if is_killed {
        container.kill().unwrap();
    }
    assert_eq!(wait(&container).await.is_success(), !is_killed);
    container.remove().await.unwrap();
}

fn parent(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap().parse().unwrap()
}

async fn spawner(node: &Node) -> u32 {
    let container: Container = node.run(node.shell("sleep 100")).await.container;
    let spawner = parent(container.init_pid());
    container.kill().unwrap();
    wait(&container).await;
    container.remove().await.unwrap();
    spawner
}

/// All that a start makes, counted. Network and other namespaces live by a process, a descriptor or a mount of these two processes.
fn counts(node: &Node, spawner: u32) -> BTreeMap<&'static str, usize> {
    let entries = |path: String| fs::read_dir(path).map_or(0, Iterator::count);
    let lines = |path: String| fs::read_to_string(path).map_or(0, |text| text.lines().count());
    let own = std::process::id();
    let mine = node.dir.path().to_string_lossy().into_owned();
    let links = fs::read_dir("/sys/class/net").unwrap().flatten();
    let prefix = format!("dy{INDEX}-");
    let children = fs::read_to_string(format!("/proc/{spawner}/task/{spawner}/children")).unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    BTreeMap::from([
        ("descriptors of the spawner", entries(format!("/proc/{spawner}/fd"))),
        ("mounts of the spawner", lines(format!("/proc/{spawner}/mountinfo"))),
        ("children of the spawner", children.split_whitespace().count()),
        ("descriptors of the client", entries(format!("/proc/{own}/fd"))),
        ("mounts on the host", mounts.lines().filter(|line| line.contains(&mine)).count()),
        ("links", links.filter(|link| link.file_name().to_string_lossy().starts_with(&prefix)).count()),
        ("records", entries(format!("{mine}/run/containers"))),
        ("entries in the node's directory", entries(mine.clone())),
        ("control groups of containers", node.runtime.cgroups().ids().unwrap().len()),
        ("control groups", groups(&node.cgroup_root)),
    ])
}

/// Directories of the node's subtrees in every hierarchy.
fn groups(name: &str) -> usize {
    fn below(dir: &std::path::Path) -> usize {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        dirs.map(|entry| 1 + below(&entry.path())).sum()
    }
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    hierarchies.map(|entry| below(&entry.path().join(name))).sum::<usize>()
        + below(&std::path::Path::new("/sys/fs/cgroup").join(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_after_many_cycles() {
    if !can_run("nothing_is_left_after_many_cycles") {
        return;
    }
    let node = Node::start().await;
    let network = NodeNetwork::setup(config(&node)).await.unwrap();
    let spawner = spawner(&node).await;
    for number in 0..WARM_UP {
        cycle(&node, &network, number).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = counts(&node, spawner);
    let cycles = if is_soak() { CYCLES_SOAK } else { CYCLES };
    let began = Instant::now();
    for number in 0..cycles {
        cycle(&node, &network, number).await;
    }
    let took = began.elapsed();
    let deadline = Instant::now() + SETTLING;
    while counts(&node, spawner) != before && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after = counts(&node, spawner);
    println!("{cycles} starts and stops in {:.0} s", took.as_secs_f64());
    for (what, count) in &after {
        println!("{what:<34} {:>4} before {count:>4} after", before[what]);
    }
    assert_eq!(parent_is_alive(spawner), Some(true), "the spawner that was counted is the one that worked");
    NodeNetwork::teardown(config(&node)).await.unwrap();
    assert_eq!(after, before);
}

fn parent_is_alive(spawner: u32) -> Option<bool> {
    let comm = fs::read_to_string(format!("/proc/{spawner}/comm")).ok()?;
    Some(comm.trim() == "dyno")
}

/// On hosts with version 1 controllers starts are prepared by processes that wait in their groups; init must not stay there.
#[tokio::test]
async fn the_application_is_under_the_limits_and_init_is_not() {
    if !can_run("the_application_is_under_the_limits_and_init_is_not") {
        return;
    }
    let node = Node::start().await;
    for _ in 0..5 {
        let container = node.run(node.shell("sleep 100")).await.container;
        let groups = |pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
            let own = text.lines().filter(|line| line.contains(&node.cgroup_root));
            own.map(|line| line.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let id = container.id().to_string();
        let named = fs::read_to_string(format!("/proc/{}/cgroup", container.init_pid())).unwrap();
        assert!(
            named.lines().filter(|line| line.contains(&node.cgroup_root)).all(|line| line.contains(&id)),
            "{named}"
        );
        let application = container.cgroup().unwrap().app_pids().unwrap();
        let application = application.into_iter().find(|pid| *pid != container.init_pid()).unwrap();
        assert!(groups(application).iter().all(|group| group == "app"), "{:?}", groups(application));
        let deadline = Instant::now() + SETTLING;
        while !groups(container.init_pid()).iter().all(|group| group == "init") {
            assert!(Instant::now() < deadline, "{:?}", groups(container.init_pid()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!groups(application).is_empty());
        container.kill().unwrap();
        wait(&container).await;
        container.remove().await.unwrap();
    }
}
