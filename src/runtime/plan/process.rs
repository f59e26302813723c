//! Rules for the application's first process.

use oci_spec::runtime::PosixRlimitType;

use crate::runtime::plan::PlanError;
use crate::runtime::plan::{Limited, ProcessStep};
use crate::runtime::plan::{read, target};
use crate::runtime::spec::ContainerSpec;

/// Mask where the specification names none.
const UMASK_DEFAULT: u32 = 0o022;

/// Order: what needs rights, the giving up of rights, what must be seen with the application's own eyes, the filter, exec.
pub(super) fn plan(spec: &ContainerSpec, (uid, gid): (u32, u32)) -> Result<Vec<ProcessStep>, PlanError> {
    let process = read::oci_process(spec)?;
    let mut steps = vec![
        ProcessStep::EnterCgroupNamespace,
        ProcessStep::NewSession,
        ProcessStep::TakeStreams,
        ProcessStep::DefaultSignals,
    ];
    let limited = [
        (Limited::OpenFiles, PosixRlimitType::RlimitNofile),
        (Limited::CoreBytes, PosixRlimitType::RlimitCore),
    ];
    for (what, typ) in limited {
        if let Some(value) = read::rlimit(spec, typ)? {
            steps.push(ProcessStep::Limit { what, value });
        }
    }
    steps.extend([
        ProcessStep::DropBounding,
        ProcessStep::BecomeUser { uid, gid },
        ProcessStep::ClearCapabilities,
        ProcessStep::NoNewPrivileges,
        ProcessStep::Umask(process.user().umask().unwrap_or(UMASK_DEFAULT)),
        ProcessStep::ChangeDirectory(target(process.cwd())?),
        ProcessStep::FindProgram,
        ProcessStep::InstallSeccomp,
        ProcessStep::Exec,
    ]);
    Ok(steps)
}
