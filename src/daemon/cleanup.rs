//! Leaving nothing behind: routers, containers, their maker, the network, the control groups, the run directory. In this order,
//! since each is used by the one before.

use std::time::Duration;

use crate::daemon::Config;
use crate::daemon::error::DaemonError;
use crate::daemon::routing;
use crate::runtime::client::{Outcome, Runtime};
use crate::runtime::network::{Ipv4Net, NetworkConfig, NodeNetwork};
use crate::stack::host::Resolvers;
use crate::sys::fs;

/// How long a container may take to end once it is killed, seconds.
const KILL_TIMEOUT_S: u64 = 10;

/// Looks at the control groups until the last process has left them.
const GROUPS_TRIES: u32 = 50;

/// Pause between two such looks.
const GROUPS_PAUSE: Duration = Duration::from_millis(100);

/// The node's network.
pub(super) fn network(config: &Config) -> NetworkConfig {
    NetworkConfig {
        index: config.index,
        base: Ipv4Net::default_of(config.index),
        resolvers: config.resolvers.clone().unwrap_or_else(|| Resolvers::of_host().addresses),
        egress: config.egress.clone(),
        // The kernel forgets the settings with a reboot, so the record of them may go then too.
        state_file: config.run_dir.join("network.json"),
    }
}

/// Removes everything of the node from the host; its state stays.
///
/// # Errors
/// Something resists; what comes after it is left, and a repetition goes on there.
pub(super) async fn everything(config: &Config, runtime: Runtime) -> Result<(), DaemonError> {
    let links = routing::links_dir(config);
    let stopped = tokio::task::spawn_blocking(move || routing::stop_all(&links)).await;
    // Nothing is cancelled but by the end of this process.
    stopped.unwrap_or(Ok(()))?;
    for found in runtime.adopt_all()? {
        let container = found.container;
        if found.outcome == Outcome::Alive {
            container.kill()?;
            let limit = Duration::from_secs(KILL_TIMEOUT_S);
            if tokio::time::timeout(limit, container.wait()).await.is_err() {
                return Err(DaemonError::Unkillable(container.id().to_string()));
            }
        }
        container.remove().await?;
    }
    let groups = runtime.cgroups().clone();
    runtime.shutdown().await?;
    NodeNetwork::teardown(network(config)).await?;
    let mut tries = 0;
    while let Err(error) = groups.teardown() {
        tries += 1;
        if tries == GROUPS_TRIES {
            return Err(error.into());
        }
        tokio::time::sleep(GROUPS_PAUSE).await;
    }
    fs::remove_tree(&config.run_dir).map_err(DaemonError::file(&config.run_dir))
}
