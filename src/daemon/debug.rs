//! `dyno debug`: what is done to start a dyno's container (`plan`), and how long that takes (`start`).

mod start;

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

/// Look at how the node starts a dyno
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
    /// Start a dyno's container beside the node, say how long it took, and clear it away
    Start {
        #[command(flatten)]
        node: ServeArgs,
        /// Size of the dyno
        #[arg(long, default_value = "standard-1x")]
        size: String,
        /// Print what each step took
        #[arg(long)]
        trace: bool,
        /// Start so many, one after the other, and print the one that took the median time
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(start::STARTS_MAX)))]
        starts: u32,
        /// What it runs
        #[arg(default_value = "sleep 60")]
        command: String,
    },
}

/// The user of the dyno in the example: one of the range dynos are given.
const UID: u32 = 42_424;

/// The first of the host's ids that containers use, and how many one of them has.
const IDS: IdRange = IdRange { host_base: 0x7000_0000, len: 65_536 };

/// Plays `dyno debug`.
pub(super) fn debug(args: Debug) -> ExitCode {
    let text = match args.what {
        What::Plan { node, size, command } => plan_text(&node, &size, command),
        What::Start { node, size, trace, starts, command } => {
            start_text(&node, &size, command, start::Wish { starts, is_traced: trace })
        }
    };
    match text {
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

fn plan_text(node: &ServeArgs, size: &str, command: String) -> Result<String, String> {
    let config = Config::load(node).map_err(|error| error.to_string())?;
    let slug = config.lib_dir.join("slugs/DIGEST/app");
    let spec = sandbox(&config, size, command, slug)?.into_spec().map_err(|error| error.to_string())?;
    plan(&spec, &Facts::gather()).map(|plan| plan.to_string()).map_err(|error| error.to_string())
}

fn start_text(node: &ServeArgs, size: &str, command: String, wish: start::Wish) -> Result<String, String> {
    let config = Config::load(node).map_err(|error| error.to_string())?;
    let slug = start::empty_slug(&config)?;
    let result = sandbox(&config, size, command, slug.clone()).and_then(|sandbox| {
        let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build();
        waiting.map_err(|error| error.to_string())?.block_on(start::start(&config, sandbox, wish))
    });
    let removed = crate::sys::fs::remove_tree(&slug);
    let text = result?;
    removed.map_err(|error| format!("could not remove {}: {error}", slug.display()))?;
    Ok(text)
}

/// The container of a dyno on the default stack.
fn sandbox(config: &Config, size: &str, command: String, slug: PathBuf) -> Result<Sandbox, String> {
    let size = size.parse::<DynoSize>().and_then(|size| config.sizes.known(size));
    let size = config.sizes.limits(size.map_err(|error| error.to_string())?);
    let stack = Stack::current(&config.lib_dir, &config.stack).map_err(|error| error.to_string())?;
    let id: ContainerId = "debug-plan".parse().map_err(|error| format!("{error}"))?;
    let slug = IdMapped { path: slug, disk: Some((STORE_ID, UID)) };
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
            memory_bytes: Some(size.memory_max.0),
            memory_swap_bytes: Some(0),
            cpu_weight: size.cpu_weight,
            io_weight: size.cpu_weight,
            pids: Some(size.tasks_max),
            ..Limits::default()
        },
        network: Network::Isolated,
        stdio: StdioKind::Log,
        labels: BTreeMap::new(),
        id,
    })
}
