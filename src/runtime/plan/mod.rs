//! From a wish to a list of steps: pure rules, no kernel, no root. What comes out can be printed, compared and attached to a report.

mod mounts;
mod process;
mod read;
mod step;
#[cfg(test)]
mod test;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::runtime::facts::Facts;
use crate::runtime::spec::{ContainerId, ContainerSpec, IdRange, Network, StdioKind};

pub(in crate::runtime) use mounts::file_name;
pub use step::{GeneratedFile, HostStep, InitStep, KernelFs, Limited, ProcessStep, Slot};

/// Version of the plan's form; a spawner of another version is replaced before it is asked for anything.
pub const PLAN_FORMAT: u32 = 6;

/// All that is done to start one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the container.
    pub id: ContainerId,
    /// By the spawner.
    pub host: Vec<HostStep>,
    /// By init.
    pub init: Vec<InitStep>,
    /// By the application's first process.
    pub process: Vec<ProcessStep>,
    /// Where the standard streams lead.
    pub stdio: StdioKind,
    /// Host user and group of the application: they own its pipes.
    pub owner: (u32, u32),
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The environment, as `NAME=value`. Not printed: it holds secrets.
    pub env: Vec<String>,
    /// For the record.
    pub labels: BTreeMap<String, String>,
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A part of the specification that must be there is not.
    #[error("the container's specification lacks {0}")]
    Missing(&'static str),
    /// A value that makes no sense, or cannot be held.
    #[error("the container's specification has {what} {value:?}: {why}")]
    Refused {
        /// Which part.
        what: &'static str,
        /// Its value.
        value: String,
        /// What to do about it.
        why: &'static str,
    },
    /// The OCI types refuse a value.
    #[error("could not spell the sandbox in OCI terms")]
    Oci(#[from] oci_spec::OciSpecError),
}

/// Makes the plan.
///
/// # Errors
/// `PlanError` where the specification is incomplete, contradicts itself, or asks for less isolation than there always is.
pub fn plan(spec: &ContainerSpec, facts: &Facts) -> Result<Plan, PlanError> {
    let ids = read::id_range(spec)?;
    let network = read::network(spec)?;
    let (uid, gid) = read::user(spec, ids)?;
    let owner = (host_id(ids, uid)?, host_id(ids, gid)?);
    let stdio = spec.ext.stdio;
    let mounts = mounts::plan(spec, ids, facts)?;

    // The order is the order of dependence: a group to be born in, a process to give ids to, ids to map mounts by.
    let mut host = vec![
        HostStep::CreateCgroup(read::limits(spec)?),
        HostStep::OpenStreams(stdio),
        HostStep::Clone(network.clone()),
        HostStep::MapIds(ids),
    ];
    host.extend(mounts.host);
    host.extend([
        HostStep::SendMounts,
        HostStep::Record,
        HostStep::AttachControllers,
        HostStep::Release,
        HostStep::MoveInit,
    ]);

    // Before the ids are mapped there is no user to become. What needs no mount is done while the spawner prepares them.
    let mut init = vec![InitStep::AwaitIds, InitStep::BecomeRoot, InitStep::NewSession];
    init.push(InitStep::SetHostName(read::host_name(spec)?));
    if network == Network::Isolated {
        init.push(InitStep::LoopbackUp);
    }
    // Before the pivot: the kernel lets a user namespace mount proc only where it already sees one whole.
    init.extend(mounts.made);
    init.push(InitStep::ReceiveMounts);
    init.extend(mounts.init);
    if let StdioKind::Terminal { rows, cols } = stdio {
        init.push(InitStep::OpenTerminal { rows, cols, owner: (uid, gid) });
    }
    init.extend([InitStep::PivotRoot, InitStep::AwaitRelease, InitStep::StartProcess, InitStep::DropRights]);

    let (argv, env) = read::command(spec)?;
    let process = process::plan(spec, (uid, gid))?;
    Ok(Plan {
        id: spec.id.clone(),
        host,
        init,
        process,
        stdio,
        owner,
        argv,
        env,
        labels: spec.ext.labels.clone(),
    })
}

/// The host's id of a container id.
fn host_id(ids: IdRange, inside: u32) -> Result<u32, PlanError> {
    ids.host(inside).ok_or_else(|| PlanError::Refused {
        what: "the user or group id",
        value: inside.to_string(),
        why: "it is beyond the container's range of ids",
    })
}

/// A target must be absolute and must not climb.
fn target(path: &std::path::Path) -> Result<PathBuf, PlanError> {
    use std::path::Component;
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if path.is_absolute() && path.components().all(plain) {
        Ok(path.to_owned())
    } else {
        Err(PlanError::Refused {
            what: "the mount target",
            value: path.display().to_string(),
            why: "give an absolute path without '..'",
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "container {} ({:?}, owner {:?})", self.id, self.stdio, self.owner)?;
        for (index, step) in self.host.iter().enumerate() {
            writeln!(out, "host    {index:>2} {step}")?;
        }
        for (index, step) in self.init.iter().enumerate() {
            writeln!(out, "init    {index:>2} {step}")?;
        }
        for (index, step) in self.process.iter().enumerate() {
            writeln!(out, "process {index:>2} {step}")?;
        }
        writeln!(out, "argv {:?}", self.argv)?;
        let names: Vec<_> = self.env.iter().filter_map(|pair| pair.split('=').next()).collect();
        writeln!(out, "environment (names only) {names:?}")
    }
}
