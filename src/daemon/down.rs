//! `dyno down`: stops the node and everything it runs, and leaves nothing on the host but the node's state. Works without a
//! living `dyno serve` too.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::daemon::cleanup;
use crate::daemon::error::DaemonError;
use crate::daemon::local;
use crate::daemon::{Config, Instance, InstanceError};
use crate::runtime::client::{Runtime, RuntimeConfig};
use crate::runtime::spawner::LimitsPolicy;

/// How long a living node may take to stop its dynos and end, seconds.
const END_TIMEOUT_S: u64 = 90;

/// How long the index may stay taken once the directory is free, seconds: a process that is killed lets go of one after the other.
const INDEX_TIMEOUT_S: u64 = 5;

/// Pause between two looks whether it has ended.
const POLL: Duration = Duration::from_millis(100);

/// The request that asks a living node to go.
const REQUEST: &[u8] =
    b"POST /node/actions/shutdown HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Stops the node.
///
/// # Errors
/// It does not end, or something of it cannot be removed.
pub(super) async fn down(mut config: Config) -> Result<(), DaemonError> {
    if !config.run_dir.exists() {
        clear_runs(&config);
        say(&format!("No node runs at {}.\n", config.run_dir.display()));
        return Ok(());
    }
    // What is on the host carries the index the node was started with, whatever is said now.
    config.index = Instance::recorded_index(&config.run_dir).unwrap_or(config.index);
    let config = &config;
    let instance = claim(config).await?;
    let runtime = Runtime::connect(RuntimeConfig {
        run_dir: config.run_dir.clone(),
        binary: std::env::current_exe().map_err(DaemonError::file(std::path::Path::new("/proc/self/exe")))?,
        cgroup_root: config.host_name(),
        limits: LimitsPolicy::WhereOffered,
    })
    .await?;
    cleanup::everything(config, runtime).await?;
    drop(instance);
    clear_runs(config);
    say(&format!("The node has ended, and what it ran; its state stays in {}.\n", config.lib_dir.display()));
    Ok(())
}

/// Removes the folder of calls of `dyno local`, unless one is there.
fn clear_runs(config: &Config) {
    let _kept_or_gone = std::fs::remove_dir(local::runs_dir(config));
}

fn say(text: &str) {
    // Whoever does not listen need not be told.
    let _closed = std::io::stderr().write_all(text.as_bytes());
}

fn ask(config: &Config) -> std::io::Result<()> {
    let mut socket = UnixStream::connect(config.api_socket())?;
    socket.set_read_timeout(Some(Duration::from_secs(END_TIMEOUT_S)))?;
    socket.write_all(REQUEST)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).map(|_| ())
}

/// Becomes the node, once the living one has let go. One that is just starting cannot be asked yet, so it is asked again.
async fn claim(config: &Config) -> Result<Instance, DaemonError> {
    let deadline = Instant::now() + Duration::from_secs(END_TIMEOUT_S);
    let mut index_deadline = None;
    loop {
        // No answer means no node, or not yet; then what it left is cleared away from here.
        let _no_node = ask(config);
        match Instance::claim(config) {
            Ok(instance) => return Ok(instance),
            Err(InstanceError::RootTaken { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(POLL).await
            }
            Err(InstanceError::RootTaken { .. }) => return Err(DaemonError::StillRunning(END_TIMEOUT_S)),
            Err(InstanceError::IndexTaken { .. })
                if Instant::now()
                    < *index_deadline
                        .get_or_insert_with(|| Instant::now() + Duration::from_secs(INDEX_TIMEOUT_S)) =>
            {
                tokio::time::sleep(POLL).await;
            }
            Err(
                error @ (InstanceError::IndexTaken { .. }
                | InstanceError::OtherIndex { .. }
                | InstanceError::Prepare { .. }),
            ) => {
                return Err(error.into());
            }
        }
    }
}
