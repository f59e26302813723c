//! `dyno debug plan`: what would be done to start a dyno's container, step by step, without doing it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::build::STORE_ID;
use crate::daemon::{Config, ServeArgs};
use crate::domain::DynoSize;
use crate::runtime::facts::Facts;
use crate::runtime::plan::plan;
use crate::runtime::{
    ContainerId, IdMapped, IdRange, Limits, Network, Process, Sandbox, SandboxMount, StdioKind,
};
use crate::stack::Stack;

/// Look at what the node does without doing it
#[derive(Debug, clap::Args)]
pub(super) struct Debug {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the steps that start a dyno's container on the default stack
    Plan {
        #[command(flatten)]
        node: ServeArgs,
        /// Size of the dyno
        #[arg(long, default_value = "standard-1x")]
        size: String,
        /// What it runs
        #[arg(default_value = "bash")]
        command: String,
    },
}

/// The user of the dyno in the example: one of the range dynos are given.
const UID: u32 = 42_424;

/// The first of the host's ids that containers use, and how many one of them has.
const IDS: IdRange = IdRange { host_base: 0x7000_0000, len: 65_536 };

/// Plays `dyno debug`.
pub(super) fn debug(args: Debug) -> ExitCode {
    let What::Plan { node, size, command } = args.what;
    match text(&node, &size, command) {
        Ok(text) => {
            let _closed = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            let _closed = writeln!(std::io::stderr(), " ›   Error: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn text(node: &ServeArgs, size: &str, command: String) -> Result<String, String> {
    let config = Config::load(node).map_err(|error| error.to_string())?;
    let size: DynoSize = size.parse().map_err(|error: crate::domain::UnknownSize| error.to_string())?;
    let stack = Stack::current(&config.lib_dir, &config.stack).map_err(|error| error.to_string())?;
    let spec = sandbox(&config, &stack, size, command)?.into_spec().map_err(|error| error.to_string())?;
    plan(&spec, &Facts::gather()).map(|plan| plan.to_string()).map_err(|error| error.to_string())
}

fn sandbox(config: &Config, stack: &Stack, size: DynoSize, command: String) -> Result<Sandbox, String> {
    let id: ContainerId = "debug-plan".parse().map_err(|error| format!("{error}"))?;
    let slug = IdMapped { path: config.lib_dir.join("slugs/DIGEST/app"), disk: Some((STORE_ID, UID)) };
    Ok(Sandbox {
        hostname: id.to_string(),
        root_layers: stack.run_layers(),
        ids: IDS,
        mounts: vec![SandboxMount::Overlay {
            lowers: vec![slug],
            scratch: config.lib_dir.join("scratch").join(id.to_string()),
            target: PathBuf::from("/app"),
            owner: (UID, UID),
        }],
        process: Process {
            argv: ["/bin/bash", "-c"].map(str::to_owned).into_iter().chain([command]).collect(),
            env: stack.env.clone().into_iter().collect(),
            cwd: PathBuf::from("/app"),
            uid: UID,
            gid: UID,
            umask: 0o022,
        },
        limits: Limits {
            memory_bytes: Some(size.memory_max().0),
            memory_swap_bytes: Some(0),
            cpu_weight: size.cpu_weight(),
            pids: Some(size.tasks_max()),
            ..Limits::default()
        },
        network: Network::Isolated,
        stdio: StdioKind::Log,
        labels: BTreeMap::new(),
        id,
    })
}
