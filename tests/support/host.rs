//! What of a node can be seen on the host.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// All on the host that a node could leave behind.
pub fn traces() -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    seen.extend(mounts.lines().map(|line| format!("mount {line}")));
    seen.extend(listed("link", "ip", &["-o", "-br", "link"]));
    seen.extend(listed("rule", "nft", &["-s", "list", "ruleset"]));
    seen.extend(listed("cgroup", "find", &["/sys/fs/cgroup", "-type", "d", "-name", "dyno*"]));
    seen.extend(listed("lock", "find", &["/run/lock", "-name", "dyno*"]));
    for entry in fs::read_dir("/proc/sys/net/ipv4/conf").unwrap() {
        let path = entry.unwrap().path().join("forwarding");
        seen.insert(format!("{} {}", path.display(), fs::read_to_string(&path).unwrap_or_default().trim()));
    }
    seen.extend(namespaces());
    seen
}

fn listed(what: &str, program: &str, args: &[&str]) -> Vec<String> {
    let listed = Command::new(program).args(args).output().unwrap();
    assert!(listed.status.success(), "{program}: {}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8_lossy(&listed.stdout).lines().map(|line| format!("{what} {line}")).collect()
}

/// The namespaces that processes live in; those that only a file holds are among the mounts.
fn namespaces() -> BTreeSet<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let kinds = processes.filter_map(|process| fs::read_dir(process.path().join("ns")).ok());
    // A process that has just ended has no namespaces to read.
    let links = kinds.flat_map(|kinds| kinds.flatten().filter_map(|kind| fs::read_link(kind.path()).ok()));
    links.map(|link| format!("namespace {}", link.display())).collect()
}

/// Fails unless the host is as it was.
pub fn assert_untouched(before: &BTreeSet<String>) {
    let after = traces();
    let left: Vec<_> = after.symmetric_difference(before).collect();
    assert!(left.is_empty(), "changed on the host: {left:#?}");
}

/// Command lines of processes in which `mark` occurs; a mark is made up so that no other process has it.
pub fn processes_with(mark: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let command_lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let texts = command_lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    texts.filter(|line| line.contains(mark)).collect()
}

/// Control groups of a node below which something is called `name`.
pub fn groups_named(node: &str, name: &str) -> Vec<String> {
    let all = traces();
    let own = |line: &&String| line.starts_with("cgroup ") && line.ends_with(&format!("/{node}"));
    let below = |path: &str| {
        let found = Command::new("find").args([path, "-type", "d", "-name", name]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    all.iter().filter(own).filter_map(|line| line.strip_prefix("cgroup ")).flat_map(below).collect()
}

/// Every name below a directory, with how deep it may look.
pub fn names_below(dir: &Path, depth: usize) -> BTreeSet<String> {
    let found = Command::new("find").arg(dir).args(["-maxdepth", &depth.to_string()]).output().unwrap();
    String::from_utf8_lossy(&found.stdout).lines().map(ToOwned::to_owned).collect()
}
