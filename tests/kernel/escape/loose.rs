//! A container without isolation: namespaces that its neighbours share, real root with every right, no filter, no mask, the host's
//! devices. Here the probes must succeed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::inside::{AIMS, ARGUMENTS, MARK, ROLE};
use super::probe::{Aims, Verdict};
use crate::support::patience::patient;

/// How long all probes together may take, on a machine of today.
const TIME: Duration = Duration::from_secs(120);

/// As a naive runtime would do it: mounts are bound, the root is exchanged, a directory of the host's stays open.
const SCRIPT: &str = "set -e
mount --bind \"$ROOT\" \"$ROOT\"
mount -t proc proc \"$ROOT/proc\"
mount --rbind /sys \"$ROOT/sys\"
mount --rbind /dev \"$ROOT/dev\"
mount -t tmpfs tmpfs \"$ROOT/tmp\"
exec 3<\"$OUTSIDE\"
cd \"$ROOT\"
mkdir -p data/old
pivot_root . data/old
exec /bin/busybox sh -c 'busybox umount -l /data/old; exec \"$@\"' sh \"$@\"
";

/// Runs all probes that may be shown.
pub(crate) fn perform(root: &Path, aims: &Aims) -> BTreeMap<String, Verdict> {
    let aims = Aims { loose: true, ..aims.clone() };
    let mut command = Command::new("timeout");
    command.args([
        &patient(TIME).as_secs().to_string(),
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
    ]);
    command.args(["--ipc", "--uts", "sh", "-c", SCRIPT, "sh", "/probe"]).args(ARGUMENTS);
    command.env("ROOT", root).env("OUTSIDE", &aims.host_dir).env(ROLE, "all");
    command.env(AIMS, serde_json::to_string(&aims).expect("aims are text"));
    let output = command.output().expect("the container without isolation runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let verdicts = verdicts(&said);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    verdicts
}

/// The verdicts among what a program said.
pub(crate) fn verdicts(said: &str) -> BTreeMap<String, Verdict> {
    let lines = said.lines().filter_map(|line| line.strip_prefix(MARK));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}
