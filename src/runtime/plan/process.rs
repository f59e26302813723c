//! Rules for the application's first process.

use std::path::PathBuf;

use oci_spec::runtime::PosixRlimitType;

use crate::runtime::plan::PlanError;
use crate::runtime::plan::{Limited, ProcessStep};
use crate::runtime::plan::{read, target};
use crate::runtime::spec::{Access, ContainerSpec, SandboxMount};

/// Mask where the specification names none.
const UMASK_DEFAULT: u32 = 0o022;

/// What stands for no core dump: too little for any, and the one value at which the kernel does not hand the memory of a program that
/// crashed to a program of the host's either, as it does at 0 (core(5), "Piping core dumps to a program").
const CORE_BYTES_NONE: u64 = 1;

/// Places of the kernel's that programs write to by custom: devices, shared memory and queues; files about the process itself.
const WRITABLE: &[&str] = &["/dev", "/proc"];

/// Where the application may change files.
fn writable(spec: &ContainerSpec) -> Vec<PathBuf> {
    let own = spec.ext.mounts.iter().filter(|mount| match mount {
        SandboxMount::Overlay { .. } | SandboxMount::Scratch { .. } | SandboxMount::Tmpfs { .. } => true,
        SandboxMount::Bind { access, .. } => *access == Access::ReadWrite,
        SandboxMount::File { .. } => false,
    });
    let standard = spec.oci.mounts().as_deref().unwrap_or_default().iter();
    let standard = standard.filter(|mount| {
        let options = mount.options().as_deref().unwrap_or_default();
        !options.iter().any(|option| option == "ro")
    });
    let kernel = WRITABLE.iter().map(PathBuf::from);
    let standard = standard.map(|mount| mount.destination().clone());
    let mut places: Vec<_> =
        kernel.chain(standard).chain(own.map(|mount| mount.target().to_owned())).collect();
    places.sort();
    places.dedup();
    // A place below another adds nothing.
    let all = places.clone();
    places.retain(|place| !all.iter().any(|above| above != place && place.starts_with(above)));
    places
}

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
            let value = if what == Limited::CoreBytes { value.max(CORE_BYTES_NONE) } else { value };
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
        ProcessStep::RestrictChanges(writable(spec)),
        ProcessStep::FindProgram,
        ProcessStep::InstallSeccomp,
        ProcessStep::Exec,
    ]);
    Ok(steps)
}
