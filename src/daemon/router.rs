//! `dyno router`: the role of the process in which the router lives, as the control plane starts it.

use std::io;

use serde::{Deserialize, Serialize};

use crate::daemon::config::LogFormat;
use crate::daemon::telemetry;
use crate::router::apart::{self, ProcessConfig};
use crate::runtime::cgroup::Cgroups;
use crate::runtime::spawner::LimitsPolicy;

/// First argument that makes the binary play this role; the second is the configuration as JSON.
pub const ROLE: &str = "router";

/// What the process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RouterRole {
    /// What the router itself is told.
    pub process: ProcessConfig,
    /// Name of the node's subtree of control groups, in which the process lives on when the control plane's own group ends.
    pub cgroup_root: String,
}

/// Plays the role with the configuration out of the command line.
///
/// # Errors
/// What kept the router from serving.
pub fn main_from(config: &str) -> io::Result<()> {
    let role: RouterRole = serde_json::from_str(config)?;
    telemetry::start(LogFormat::Text, telemetry::SERVING);
    apart::launch(&role.process, || {
        // In its starter's group it serves as well, as long as nobody ends that group.
        let moved = Cgroups::detect(&role.cgroup_root, LimitsPolicy::WhereOffered.enforcement());
        if let Err(error) = moved.and_then(|groups| groups.move_in()) {
            tracing::warn!(%error, "the router stays in the control group of its starter");
        }
    })
}
