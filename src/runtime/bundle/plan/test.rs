//! Plans of configurations, without a kernel.

use std::path::Path;

use serde_json::{Value, json};

use super::*;

fn usual() -> Value {
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs", "readonly": true},
        "process": {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "noNewPrivileges": true},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "ro", "mode=755"]},
            {"destination": "/data", "type": "bind", "source": "data", "options": ["rbind", "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "network"}, {"type": "cgroup"}],
            "maskedPaths": ["/proc/kcore"],
        },
    })
}

fn planned(value: &Value) -> Result<BundlePlan, PlanError> {
    let spec: Spec = serde_json::from_value(value.clone()).unwrap();
    plan(&spec, Path::new("/bundle"), RootChange::Pivot)
}

fn with(pointer: &str, value: Value) -> Value {
    let mut all = usual();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    all.pointer_mut(parent).unwrap()[name] = value;
    all
}

#[test]
fn the_order_of_steps_is_the_order_of_dependence() {
    let plan = planned(&usual()).unwrap();
    let at = |wanted: &dyn Fn(&Step) -> bool| plan.steps.iter().position(wanted).unwrap();
    let order = [
        at(&|step| matches!(step, Step::Propagate(_))),
        at(&|step| matches!(step, Step::AttachCovers(_))),
        at(&|step| matches!(step, Step::AttachRoot(_))),
        at(&|step| matches!(step, Step::Mount { .. })),
        at(&|step| matches!(step, Step::Mask(_))),
        at(&|step| matches!(step, Step::Seal { .. })),
        at(&|step| matches!(step, Step::SealRoot)),
        at(&|step| matches!(step, Step::PivotRoot)),
        at(&|step| matches!(step, Step::EnterCgroupNamespace)),
        at(&|step| matches!(step, Step::AwaitStart)),
        at(&|step| matches!(step, Step::BecomeUser { .. })),
        at(&|step| matches!(step, Step::Exec)),
    ];
    assert!(order.is_sorted(), "{:#?}", plan.steps);
    assert_eq!(order.last(), Some(&(plan.steps.len() - 1)));
    let bind = plan
        .prepare
        .iter()
        .any(|what| matches!(what, Prepare::Bind { source, .. } if source == Path::new("/bundle/data")));
    assert!(bind, "{:#?}", plan.prepare);
}

#[test]
fn a_filter_comes_before_the_rights_go_only_where_it_takes_one() {
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    let mut value = with("/linux/seccomp", filter);
    for (forbids, is_late) in [(true, true), (false, false)] {
        value["process"]["noNewPrivileges"] = json!(forbids);
        let steps = planned(&value).unwrap().steps;
        let at = |wanted: &dyn Fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
        let is_after =
            at(&|s| matches!(s, Step::InstallSeccomp)) > at(&|s| matches!(s, Step::SetCapabilities(_)));
        assert_eq!(is_after, is_late);
    }
}

#[test]
fn contradictions_are_refused_with_their_name() {
    let ids = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    let cases = [
        (with("/ociVersion", json!("2.0.0")), "ociVersion"),
        (with("/process/args", json!([])), "process.args"),
        (with("/process/cwd", json!("relative")), "process.cwd"),
        (with("/process/apparmorProfile", json!("x")), "security label"),
        (with("/linux/namespaces", json!([{"type": "pid"}])), "type mount"),
        (with("/linux/namespaces", json!([{"type": "mount"}, {"type": "mount"}])), "twice"),
        (with("/linux/namespaces", json!([{"type": "mount"}, {"type": "user"}])), "uidMappings"),
        (with("/linux/namespaces", json!([{"type": "mount"}, {"type": "pid", "path": "ns"}])), "absolute"),
        (with("/linux/uidMappings", ids), "mappings without"),
        (with("/linux/rootfsPropagation", json!("sideways")), "rootfsPropagation"),
        (with("/linux/sysctl", json!({"vm.swappiness": "1"})), "linux.sysctl"),
        (with("/linux/sysctl", json!({"net.../../kernel/core_pattern": "x"})), "linux.sysctl"),
        (with("/linux/maskedPaths", json!(["/proc/../etc"])), "without '..'"),
        (with("/hostname", json!("name")), "type uts"),
        (with("/mounts", json!([{"destination": "/x/../y", "type": "tmpfs"}])), "without '..'"),
        (with("/mounts", json!([{"destination": "/x"}])), "without type"),
        (with("/process/rlimits", json!([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}])), "soft value"),
    ];
    for (value, expected) in cases {
        let error = planned(&value).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} names {expected:?}");
    }
}

#[test]
fn every_capability_has_its_number() {
    use oci_spec::runtime::Capability;
    for (number, name) in crate::sys::rights::CAPABILITIES.iter().enumerate() {
        let capability: Capability = name.parse().unwrap();
        assert_eq!(capability_number(&capability.to_string()), Some(number), "{name}");
    }
}
