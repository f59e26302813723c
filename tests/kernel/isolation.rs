//! What an application can see and do: as little as the kernel allows.
#![expect(clippy::unwrap_used, reason = "in a test a panic is how a failure is told")]

use std::fs;
use std::os::unix::fs::MetadataExt;

use std::os::fd::AsRawFd;

use dyno::runtime::facts::{Facts, OverlayLayers};
use dyno::runtime::spec::{IdMapped, Network, Sandbox, SandboxMount};
use dyno::sys::netns;

use crate::support::container::{Node, USER, can_run, output, said, wait};

#[tokio::test]
async fn every_namespace_is_new() {
    if !can_run("every_namespace_is_new") {
        return;
    }
    let node = Node::start().await;
    let said =
        node.say("cd /proc/self/ns; for n in cgroup ipc mnt net pid user uts; do ls -l $n; done").await;
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        let host = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert!(said.contains(&format!("{name}:[")), "{said}");
        assert!(!said.contains(&*host.to_string_lossy()), "{name} is the host's: {said}");
    }
}

#[tokio::test]
async fn an_application_has_no_rights_and_cannot_gain_any() {
    if !can_run("an_application_has_no_rights_and_cannot_gain_any") {
        return;
    }
    let node = Node::start().await;
    let said = node.say("id; cat /proc/self/status").await;
    assert!(said.starts_with("uid=1000(u) gid=1000"), "{said}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(said.contains(&format!("{set}:\t0000000000000000")), "{said}");
    }
    assert!(said.contains("NoNewPrivs:\t1") && said.contains("Seccomp:\t2"), "{said}");
}

#[tokio::test]
async fn only_own_processes_and_nothing_of_the_host_are_visible() {
    if !can_run("only_own_processes_and_nothing_of_the_host_are_visible") {
        return;
    }
    let node = Node::start().await;
    let said = node
        .say("ls -d /proc/[0-9]*; echo pid $$; cat /proc/1/environ /proc/1/status; kill -9 1; echo lives")
        .await;
    assert!(!said.lines().any(|line| line == "/proc/1"), "init is hidden: {said}");
    assert!(said.contains("pid 2\n"), "{said}");
    assert!(said.contains("lives"), "{said}");
    let said = node.say("cat /proc/self/cgroup /proc/cmdline /proc/interrupts /proc/kallsyms; ls /sys/firmware /sys/fs/cgroup; ls /proc/self/fd; cat /proc/sys/kernel/hostname").await;
    assert!(!said.contains("dyno-node"), "the group's path is hidden: {said}");
    assert!(!said.contains("console=") && !said.contains("CPU0") && !said.contains("startup_64"), "{said}");
    assert!(said.ends_with("inside\n"), "{said}");
    // The directory being listed is the fourth.
    assert!(said.contains("0\n1\n2\n3\ninside"), "only the standard streams are open: {said}");
}

#[tokio::test]
async fn the_root_and_the_settings_of_the_kernel_are_read_only() {
    if !can_run("the_root_and_the_settings_of_the_kernel_are_read_only") {
        return;
    }
    let node = Node::start().await;
    let script = "touch /x; touch /bin/x; echo 1 > /proc/sys/kernel/core_pattern; touch /sys/x /dev/x; echo hi > /dev/null; \
                  mount -t tmpfs none /data; touch /tmp/fine && echo tmp-works; dd if=/dev/urandom bs=8 count=1 2>/dev/null | wc -c";
    let said = node.say(script).await;
    for path in ["/x", "/bin/x", "/dev/x"] {
        assert!(said.contains(&format!("{path}: Read-only file system")), "{said}");
    }
    assert!(said.contains("tmp-works") && said.ends_with("8\n"), "{said}");
    assert!(!node.root().join("x").exists());
}

#[tokio::test]
async fn a_writable_layer_is_private_and_what_lies_below_stays_untouched() {
    if !can_run("a_writable_layer_is_private_and_what_lies_below_stays_untouched") {
        return;
    }
    const STORE_ID: u32 = 0x6FFF_0000;
    let node = Node::start().await;
    let slug = node.dir.path().join("slug");
    fs::create_dir(&slug).unwrap();
    fs::write(slug.join("file"), "old\n").unwrap();
    for path in [slug.clone(), slug.join("file")] {
        std::os::unix::fs::chown(path, Some(STORE_ID), Some(STORE_ID)).unwrap();
    }
    let scratch = node.dir.path().join("scratch");
    let mut sandbox = node.shell("ls -ln /app; echo new > /app/file; echo x > /app/made; cat /app/file");
    let base = sandbox.ids.host_base;
    sandbox.mounts.push(SandboxMount::Overlay {
        lowers: vec![IdMapped { path: slug.clone(), disk: Some((STORE_ID, USER)) }],
        scratch: scratch.clone(),
        target: "/app".into(),
        owner: (USER, USER),
    });
    let container = node.run(sandbox).await.container;
    let exit = wait(&container).await;
    let said = output(&container);
    assert!(exit.is_success(), "{said}");
    assert!(said.contains("1000     1000") && said.ends_with("new\n"), "{said}");
    assert_eq!(fs::read_to_string(slug.join("file")).unwrap(), "old\n");
    assert!(!slug.join("made").exists());
    assert_eq!(fs::metadata(scratch.join("upper/made")).unwrap().uid(), base + USER);
    container.remove().await.unwrap();
    assert!(!scratch.exists());
}

#[tokio::test]
async fn a_generated_file_is_laid_over_the_root() {
    if !can_run("a_generated_file_is_laid_over_the_root") {
        return;
    }
    let node = Node::start().await;
    let mut sandbox = node.shell("cat /etc/hosts; ls -ln /etc/hosts; echo x >> /etc/hosts");
    sandbox.mounts.push(SandboxMount::File {
        target: "/etc/hosts".into(),
        contents: b"127.0.0.1 localhost\n".to_vec(),
        mode: 0o644,
    });
    let (_, said) = node.outcome(sandbox).await;
    assert!(said.contains("127.0.0.1 localhost\n-rw-r--r--    1 0        0"), "{said}");
    assert!(
        said.contains("/etc/hosts: Read-only file system") || said.contains("Permission denied"),
        "{said}"
    );
}

#[tokio::test]
async fn generated_files_are_rewritten_from_outside_and_from_nowhere_else() {
    if !can_run("generated_files_are_rewritten_from_outside_and_from_nowhere_else") {
        return;
    }
    let node = Node::start().await;
    let script = "cat /proc/meminfo; echo x 2>/dev/null > /proc/meminfo; ls /proc/1/fd 2>/dev/null; \
                  until grep -q later /proc/meminfo; do sleep 0.05; done; cat /proc/meminfo /etc/hosts; \
                  grep meminfo /proc/self/mountinfo";
    let mut sandbox = node.shell(script);
    for (target, contents) in [("/proc/meminfo", "at first, and long\n"), ("/etc/hosts", "localhost\n")] {
        let (target, contents) = (target.into(), contents.as_bytes().to_vec());
        sandbox.mounts.push(SandboxMount::File { target, contents, mode: 0o444 });
    }
    let container = node.run(sandbox).await.container;
    said(&container, "at first, and long\n").await;
    let wrong = container.rewrite(&[("/proc/stat".as_ref(), String::new())]);
    assert!(wrong.is_err(), "no such file was made");
    // Whoever comes after a restart of the node can, too.
    let adopted = node.reconnect().await.adopt_all().unwrap().remove(0).container;
    adopted.rewrite(&[("/proc/meminfo".as_ref(), "later\n".to_owned())]).unwrap();
    let exit = wait(&container).await;
    let said = output(&container);
    assert!(said.starts_with("at first, and long\nlater\nlocalhost\n"), "{said}");
    assert!(exit.is_success() && said.contains(" /proc-meminfo /proc/meminfo ro,"), "{said}");
    assert!(container.rewrite(&[("/proc/meminfo".as_ref(), String::new())]).is_err(), "it has ended");
    container.remove().await.unwrap();
}

/// A second root layer and a layer over two others.
fn layered(node: &Node) -> Sandbox {
    let dirs = ["upper-root", "one", "two"].map(|name| node.dir.path().join(name));
    for dir in &dirs {
        fs::create_dir_all(dir.join("data")).unwrap();
    }
    fs::write(dirs[0].join("data/root"), "second\n").unwrap();
    fs::write(dirs[1].join("both"), "low\n").unwrap();
    fs::write(dirs[2].join("both"), "high\n").unwrap();
    let mut sandbox = node.shell(
        "cat /data/root /app/both; echo w > /app/w && cat /app/w; touch /data/x; cat /proc/self/mountinfo",
    );
    sandbox.root_layers.push(dirs[0].clone());
    let lower = |at: usize| IdMapped { path: dirs[at].clone(), disk: Some((0, USER)) };
    sandbox.mounts.push(SandboxMount::Overlay {
        lowers: vec![lower(1), lower(2)],
        scratch: node.dir.path().join(format!("scratch-{}", sandbox.id)),
        target: "/app".into(),
        owner: (USER, USER),
    });
    sandbox
}

#[tokio::test]
async fn layers_lie_in_order_whichever_way_the_kernel_takes_them() {
    if !can_run("layers_lie_in_order_whichever_way_the_kernel_takes_them") {
        return;
    }
    let node = Node::start().await;
    let mut ways = vec![OverlayLayers::ByPath];
    if node.runtime.facts().overlay_layers == OverlayLayers::ByDescriptor {
        ways.push(OverlayLayers::ByDescriptor);
    }
    for overlay_layers in ways {
        let runtime = node.runtime.assuming(Facts { overlay_layers });
        let single = runtime.start(node.shell("cat /proc/self/mountinfo")).await.unwrap().container;
        wait(&single).await;
        let text = output(&single);
        assert!(!text.contains(&*node.dir.path().to_string_lossy()), "{overlay_layers:?}: {text}");
        single.remove().await.unwrap();
        let container = match runtime.start(layered(&node)).await {
            Ok(started) => started.container,
            Err(error) => panic!("{overlay_layers:?}: {}", crate::support::container::full(&error)),
        };
        wait(&container).await;
        let text = output(&container);
        assert!(
            text.starts_with("second\nhigh\nw\n") && text.contains("Read-only"),
            "{overlay_layers:?}: {text}"
        );
        let told = text.lines().find(|line| line.contains(&*node.dir.path().to_string_lossy()));
        assert_eq!(told, None, "{overlay_layers:?}: no host directory is named");
        container.remove().await.unwrap();
    }
}

#[tokio::test]
async fn a_network_made_by_the_caller_is_joined_and_cannot_be_changed() {
    if !can_run("a_network_made_by_the_caller_is_joined_and_cannot_be_changed") {
        return;
    }
    let node = Node::start().await;
    let namespace = netns::create().unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
    let wanted = fs::metadata(&path).unwrap();
    let mut sandbox = node.shell("ls /sys/class/net; cat /proc/net/dev; echo up; sleep 100");
    sandbox.network = Network::Joined(path.into());
    let container = node.run(sandbox).await.container;
    said(&container, "up").await;
    drop(namespace);
    let joined = container.netns();
    assert_eq!((joined.dev, joined.ino), (wanted.dev(), wanted.ino()));
    assert!(joined.open().is_ok());
    assert!(output(&container).starts_with("lo\n"), "{}", output(&container));
    container.kill().unwrap();
    wait(&container).await;
    assert!(joined.open().is_err(), "it is gone with its last process");
}

#[tokio::test]
async fn init_has_no_rights_and_little_memory_and_is_another_user() {
    if !can_run("init_has_no_rights_and_little_memory_and_is_another_user") {
        return;
    }
    let node = Node::start().await;
    let sandbox = node.shell("echo up; cat /proc/1/maps; ls /proc/1/fd; sleep 100");
    let base = sandbox.ids.host_base;
    let container = node.run(sandbox).await.container;
    said(&container, "up").await;
    let file = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", container.init_pid())).unwrap();
    let status = file("status");
    assert!(status.contains(&format!("Uid:\t{base}\t{base}\t{base}\t{base}")), "{status}");
    for line in [
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let pss = file("smaps_rollup");
    let pss = pss.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap().trim().to_owned();
    println!("init: Pss {pss}");
    container.kill().unwrap();
    wait(&container).await;
}

#[tokio::test]
async fn nothing_of_the_host_is_mounted_and_no_way_leads_up_from_the_root() {
    if !can_run("nothing_of_the_host_is_mounted_and_no_way_leads_up_from_the_root") {
        return;
    }
    let node = Node::start().await;
    let script = "cat /proc/self/mountinfo; for d in / /.. /dev/.. /proc/.. /sys/../.. /tmp/..; do \
                  echo top $(ls -di $d) $(ls $d); done";
    let mut layered = layered(&node);
    layered.process.argv = vec!["/bin/sh".into(), "-c".into(), script.into()];
    for sandbox in [node.shell(script), layered] {
        let text = node.outcome(sandbox).await.1;
        let points: Vec<_> = text.lines().filter_map(|line| line.split(' ').nth(4)).collect();
        let tops = text
            .lines()
            .filter(|line| !line.starts_with("top") && line.split(' ').nth(4) == Some("/"))
            .count();
        assert_eq!(tops, 1, "one root: {text}");
        for point in points {
            let known = ["/", "/app", "/tmp", "/dev", "/proc", "/sys"];
            let top = point.split('/').nth(1).map(|first| format!("/{first}")).unwrap_or_default();
            assert!(!point.starts_with('/') || known.contains(&top.as_str()), "{point}: {text}");
        }
        let seen: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("top ")).collect();
        let content =
            |line: &str| line.split(' ').filter(|word| !word.starts_with('/')).collect::<Vec<_>>().join(" ");
        assert_eq!(seen.len(), 6, "{text}");
        for line in &seen {
            assert_eq!(content(line), content(seen[0]), "{text}");
            assert!(!line.contains("usr") && line.contains("app"), "{text}");
        }
    }
}

/// The calling thread's files are written, moved and removed in one place, and nowhere else, root or not.
#[test]
fn who_gives_up_changes_changes_nothing_elsewhere() {
    use dyno::sys::{landlock, seccomp};
    let name = "who_gives_up_changes_changes_nothing_elsewhere";
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
    for place in [&inside, &outside] {
        fs::create_dir_all(place.join("sub")).unwrap();
        fs::write(place.join("file"), "x").unwrap();
    }
    let outcome = std::thread::spawn(move || {
        seccomp::set_no_new_privs().unwrap();
        if !landlock::restrict_changes(&[inside.clone(), "/no/such/place".into()]).unwrap() {
            return None;
        }
        let change = |place: &std::path::Path| {
            let written = fs::write(place.join("file"), "y").is_ok();
            let made = fs::create_dir(place.join("new")).is_ok();
            let moved = fs::rename(place.join("file"), place.join("sub/file")).is_ok();
            let removed = fs::remove_file(place.join("sub/file")).is_ok();
            [written, made, moved, removed]
        };
        let is_read = fs::read_to_string(outside.join("file")).is_ok();
        Some((change(&inside), change(&outside), is_read))
    });
    match outcome.join().unwrap() {
        Some(outcome) => assert_eq!(outcome, ([true; 4], [false; 4], true)),
        None => crate::support::skip::skip(name, "this kernel has no Landlock, or one before Linux 5.19"),
    }
}
