//! Whole plans, and what is refused.

use super::*;
use crate::runtime::facts::OverlayLayers;
use crate::runtime::limits::{CpuQuota, Limits};
use crate::runtime::spec::{Access, Exec, IdMapped, Process, Sandbox, SandboxMount};

const FACTS: Facts = Facts { overlay_layers: OverlayLayers::ByDescriptor };

fn sandbox() -> Sandbox {
    Sandbox {
        id: "web-1".parse().unwrap(),
        hostname: "inside".to_owned(),
        root_layers: vec!["/stacks/run".into(), "/stacks/build".into()],
        ids: IdRange { host_base: 0x7000_0000, len: 65_536 },
        mounts: vec![
            SandboxMount::Overlay {
                lowers: vec![IdMapped { path: "/slugs/1/app".into(), disk: Some((0x6FFF_0000, 1000)) }],
                scratch: "/scratch/web-1".into(),
                target: "/app".into(),
                owner: (1000, 1000),
            },
            SandboxMount::Scratch {
                scratch: "/scratch/web-1".into(),
                name: "tmp".into(),
                target: "/var/tmp".into(),
                mode: 0o1777,
                owner: (1000, 1000),
            },
            SandboxMount::Tmpfs {
                target: "/tmp".into(),
                size_bytes: 1 << 20,
                mode: 0o1777,
                owner: (0, 0),
                exec: Exec::Allowed,
            },
            SandboxMount::Bind {
                source: IdMapped { path: "/cache/1".into(), disk: None },
                target: "/cache".into(),
                access: Access::ReadWrite,
                exec: Exec::Denied,
            },
            SandboxMount::File { target: "/etc/hosts".into(), contents: b"secret".to_vec(), mode: 0o644 },
        ],
        process: Process {
            argv: vec!["bash".into(), "-c".into(), "true".into()],
            env: vec![("PATH".into(), "/bin".into()), ("TOKEN".into(), "secret".into())],
            cwd: "/app".into(),
            uid: 1000,
            gid: 1000,
            umask: 0o022,
        },
        limits: Limits {
            memory_bytes: Some(512 << 20),
            memory_swap_bytes: Some(0),
            memory_high_bytes: Some(500 << 20),
            cpu_weight: 50,
            cpu_idle: true,
            io_weight: 60,
            cpu_quota: Some(CpuQuota { quota_us: 200_000, period_us: 100_000 }),
            pids: Some(256),
            nofile: 10_000,
            core_bytes: 0,
            disk_bytes: Some(1 << 30),
        },
        network: Network::Isolated,
        stdio: StdioKind::Terminal { rows: 24, cols: 80 },
        labels: BTreeMap::new(),
    }
}

fn planned(sandbox: Sandbox) -> Result<Plan, PlanError> {
    plan(&sandbox.into_spec()?, &FACTS)
}

#[test]
fn a_whole_plan_is_as_it_was_reviewed() {
    let text = planned(sandbox()).unwrap().to_string();
    assert!(!text.contains("secret"), "a plan is printed and sent around");
    insta::assert_snapshot!(text);
}

#[test]
fn limits_come_through_the_oci_words_unchanged() {
    let wanted = sandbox().limits;
    let plan = planned(sandbox()).unwrap();
    assert_eq!(plan.host[0], HostStep::CreateCgroup(wanted));
}

#[test]
fn a_plan_survives_the_way_to_the_spawner() {
    let plan = planned(sandbox()).unwrap();
    let bytes = serde_json::to_vec(&plan).unwrap();
    assert_eq!(serde_json::from_slice::<Plan>(&bytes).unwrap(), plan);
}

#[test]
fn less_isolation_than_there_always_is_is_refused() {
    type Spoil = fn(&mut Sandbox);
    let cases: &[(&str, Spoil)] = &[
        ("no command", |s| s.process.argv.clear()),
        ("zero byte", |s| s.process.argv.push("a\0b".into())),
        ("root", |s| s.process.uid = 0),
        ("a user beyond the range", |s| s.process.uid = 65_536),
        ("an owner beyond the range", |s| {
            s.mounts.push(SandboxMount::Tmpfs {
                target: "/x".into(),
                size_bytes: 1,
                mode: 0,
                owner: (0, 70_000),
                exec: Exec::Denied,
            });
        }),
        ("host users", |s| s.ids.host_base = 0),
        ("ids that overflow", |s| s.ids.host_base = u32::MAX),
        ("no ids", |s| s.ids.len = 0),
        ("no root", |s| s.root_layers.clear()),
        ("a relative directory", |s| s.process.cwd = "app".into()),
        ("a climbing target", |s| {
            s.mounts.push(SandboxMount::File { target: "/etc/../x".into(), contents: vec![], mode: 0 });
        }),
        ("a climbing name of a private directory", |s| {
            let (scratch, target) = ("/scratch/web-1".into(), "/x".into());
            s.mounts.push(SandboxMount::Scratch {
                scratch,
                name: "../x".into(),
                target,
                mode: 0,
                owner: (0, 0),
            });
        }),
        ("no host name", |s| s.hostname.clear()),
        ("a weight out of range", |s| s.limits.cpu_weight = 0),
        ("a weight of disks out of range", |s| s.limits.io_weight = 10_001),
    ];
    for (name, spoil) in cases {
        let mut spoiled = sandbox();
        spoil(&mut spoiled);
        assert!(planned(spoiled).is_err(), "{name}");
    }
}

#[test]
fn rights_are_given_up_before_the_filter_and_the_filter_comes_right_before_exec() {
    let steps = planned(sandbox()).unwrap().process;
    let at = |wanted: fn(&ProcessStep) -> bool| steps.iter().position(wanted).unwrap();
    let seccomp = at(|s| matches!(s, ProcessStep::InstallSeccomp));
    assert!(
        at(|s| matches!(s, ProcessStep::DropBounding)) < at(|s| matches!(s, ProcessStep::BecomeUser { .. }))
    );
    assert!(
        at(|s| matches!(s, ProcessStep::ClearCapabilities))
            < at(|s| matches!(s, ProcessStep::NoNewPrivileges))
    );
    assert!(at(|s| matches!(s, ProcessStep::NoNewPrivileges)) < seccomp);
    assert_eq!(seccomp + 2, steps.len());
}
