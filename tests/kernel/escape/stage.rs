//! Where the suite is performed: a stand-in host with its world, a canary on it, and a node whose containers live there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use dyno::runtime::network::{NetworkLease, NodeNetwork};
use dyno::runtime::spec::{IdMapped, Network, Sandbox, SandboxMount};
use dyno::runtime::{Exit, ExitStatus};
use dyno::sys::netns::in_netns;

use super::canary::Canary;
use super::inside::{AIMS, ARGUMENTS, ROLE};
use super::probe::{Aims, Company, Verdict};
use super::raw;
use super::{FILE_CAPABILITIES, all_probes, loose};
use crate::network::{HOST, METADATA, PATIENCE_MS, PRIVATE, PUBLIC, RESOLVER, Stage, call, greeter, ip};
use crate::support::container::{Node, USER, make_root};

/// Index of the node's network: none of the other tests'.
const INDEX: u32 = 21;
/// The metadata service's address of version 6.
const METADATA_6: &str = "fd00:ec2::254";
/// Where something listens for the stand-in host alone.
const LOOPBACK_PORT: u16 = 4242;
/// Memory of a container that a probe has for itself, in bytes: less than any of them takes.
const MEMORY_BYTES: u64 = 48 << 20;

/// What a container may write, in bytes: less than any probe tries to.
const DISK_BYTES: u64 = 64 << 20;

/// Performs all probes, without isolation and inside.
pub(crate) fn perform() -> (BTreeMap<String, Verdict>, BTreeMap<String, Verdict>) {
    let stage = Stage::build();
    stage.run(async {
        let node = Node::start().await;
        let (loose_root, root) = (node.dir.path().join("loose"), node.root());
        make_root(&loose_root);
        for root in [&loose_root, &root] {
            prepare(root);
        }
        let network = NodeNetwork::setup(stage.config(INDEX)).await.expect("the network is set up");
        let leases = (network.allot(0).await.expect("a lease"), network.allot(1).await.expect("another"));
        let canary = Canary::hatch(&std::env::current_exe().expect("this binary has a path"));
        let aims = Aims {
            canary_pid: canary.pid(),
            host_dir: node.dir.path().to_string_lossy().into_owned(),
            cgroup_root: node.cgroup_root.clone(),
            servers: servers(&stage, &leases),
            ..Aims::default()
        };
        let loose = loose::perform(&loose_root, &without_rules(&aims));
        let mut inside = loose::verdicts(&together(&node, &leases.0, &aims).await);
        for probe in all_probes().filter(|probe| probe.company == Company::Alone) {
            let verdict = alone(&node, probe.name, &aims).await;
            inside.insert(probe.name.to_owned(), verdict);
        }
        drop(leases);
        NodeNetwork::teardown(stage.config(INDEX)).await.expect("the network is taken down");
        (loose, inside)
    })
}

/// Puts into a root what the probes need: their program, a program with capabilities, a device.
fn prepare(root: &Path) {
    let probe = root.join("probe");
    fs::copy(std::env::current_exe().expect("this binary has a path"), &probe).expect("it is copied");
    fs::set_permissions(&probe, fs::Permissions::from_mode(0o4755)).expect("set-user-id");
    let capable = root.join("bin/capable");
    fs::copy(root.join("bin/busybox"), &capable).expect("busybox is copied");
    let (path, name) = (raw::text(&capable.to_string_lossy()), raw::text("security.capability"));
    let size = size_of_val(&FILE_CAPABILITIES);
    let arguments = [raw::address(&path), raw::address(&name), raw::start(&FILE_CAPABILITIES), size, 0];
    raw::call(libc::SYS_setxattr, &arguments).expect("a file may carry capabilities");
    let device = raw::text(&root.join("data/zero").to_string_lossy());
    let number = usize::try_from(libc::makedev(1, 5)).expect("a small number");
    raw::call(libc::SYS_mknodat, &[raw::negative(-100), raw::address(&device), 0o020_666, number])
        .expect("a device");
    fs::set_permissions(root.join("data/zero"), fs::Permissions::from_mode(0o666)).expect("for all");
    for dir in ["data", "app"] {
        // So that what keeps a probe from writing there is the mount, not the owner.
        chown(root.join(dir), Some(USER), Some(USER)).expect("it is given away");
    }
}

/// Starts what must not be reached, and says where.
fn servers(stage: &Stage, (own, other): &(NetworkLease, NetworkLease)) -> Vec<(String, String)> {
    stage.in_world(|| {
        ip(&format!("-6 address add {METADATA_6}/128 dev out0 nodad"));
        ip("-6 address add fd00:face::2/64 dev out0 nodad");
        for address in [PUBLIC, METADATA, PRIVATE, RESOLVER, METADATA_6] {
            greeter(address, 80);
        }
    });
    stage.on_host(|| {
        ip("-6 address add fd00:face::1/64 dev up0 nodad");
        ip("-6 route add default via fd00:face::2");
        greeter(HOST, 80);
        greeter(&own.gateway.to_string(), 80);
        greeter("127.0.0.1", LOOPBACK_PORT);
    });
    let neighbour = other.address.to_string();
    let answers = in_netns(other, || {
        greeter(&neighbour, 80);
        call(&neighbour, 80, PATIENCE_MS).is_ok()
    });
    assert!(answers.is_ok_and(|answers| answers), "the neighbour serves");
    [
        ("metadata", format!("{METADATA}:80")),
        ("metadata_of_version_6", format!("[{METADATA_6}]:80")),
        ("private_range", format!("{PRIVATE}:80")),
        ("host", format!("{HOST}:80")),
        ("loopback_of_the_host", format!("127.0.0.1:{LOOPBACK_PORT}")),
        ("gateway", format!("{}:80", own.gateway)),
        ("neighbour", format!("{}:80", other.address)),
        ("resolver_on_another_port", format!("{RESOLVER}:80")),
    ]
    .map(|(name, address)| (name.to_owned(), address))
    .into()
}

/// The aims of the container without isolation. It is the host itself, which the rules keep from containers as well: in the neighbour's
/// place it gets a server that no rule protects.
fn without_rules(aims: &Aims) -> Aims {
    let mut aims = aims.clone();
    for (name, address) in &mut aims.servers {
        if name == "neighbour" {
            *address = format!("{PUBLIC}:80");
        }
    }
    aims
}

/// A container as dynos have it, that runs probes.
fn sandbox(node: &Node, role: &str, aims: &Aims) -> Sandbox {
    let mut sandbox = node.shell("");
    sandbox.process.argv =
        std::iter::once("/probe").chain(ARGUMENTS.iter().copied()).map(str::to_owned).collect();
    let aims = serde_json::to_string(aims).expect("aims are text");
    sandbox.process.env.extend([(ROLE.to_owned(), role.to_owned()), (AIMS.to_owned(), aims)]);
    let scratch = node.dir.path().join(format!("scratch-{}", sandbox.id));
    sandbox.limits.disk_bytes = Some(DISK_BYTES);
    sandbox.mounts = vec![
        SandboxMount::Overlay {
            lowers: vec![IdMapped { path: node.root().join("app"), disk: Some((USER, USER)) }],
            scratch: scratch.clone(),
            target: "/app".into(),
            owner: (USER, USER),
        },
        SandboxMount::Scratch {
            scratch,
            name: "tmp".to_owned(),
            target: "/tmp".into(),
            mode: 0o1777,
            owner: (USER, USER),
        },
    ];
    sandbox
}

/// Runs the probes that share a container; what they said.
async fn together(node: &Node, lease: &NetworkLease, aims: &Aims) -> String {
    let mut sandbox = sandbox(node, "all", aims);
    sandbox.network = Network::Joined(lease.netns.clone());
    let (exit, said) = node.outcome(sandbox).await;
    assert!(exit.is_success(), "{exit:?}: {said}");
    said
}

/// Runs one probe in a container of its own, of which nothing may be left.
async fn alone(node: &Node, name: &str, aims: &Aims) -> Verdict {
    let mut sandbox = sandbox(node, name, aims);
    sandbox.limits.memory_bytes = Some(MEMORY_BYTES);
    sandbox.limits.memory_swap_bytes = Some(0);
    let (exit, said) = node.outcome(sandbox).await;
    match (loose::verdicts(&said).remove(name), exit) {
        (Some(verdict), _) => verdict,
        (None, Exit { status: ExitStatus::Signal(signal), .. }) => Verdict::Killed(i32::from(signal)),
        (None, exit) => Verdict::Absent(format!("{exit:?}: {said}")),
    }
}
