//! `delete`: a stopped container and all that was made for it.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use oci_spec::runtime::Spec;

use crate::oci::arguments::{Known, flag};
use crate::oci::containers::{Container, Record, State, Status};
use crate::oci::error::OciError;
use crate::oci::face::Call;
use crate::oci::report::Log;
use crate::runtime::bundle::{Frozen, run_hooks};
use crate::sys::process;

/// Options of `delete`.
pub(in crate::oci) const OPTIONS: &[Known] = &[flag("force").or('f')];
/// A killed container must be gone by then.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// `dyno oci delete`.
pub(in crate::oci) fn delete(call: &Call<'_>) -> Result<u8, OciError> {
    let (arguments, id) = call.arguments()?;
    let container = call.containers.named(&id)?;
    let is_forced = arguments.has("force");
    let _lock = match container.lock() {
        // Whoever forces wants it gone, and it is.
        Err(OciError::NotFound(_)) if is_forced => return Ok(0),
        locked => locked?,
    };
    let record = match container.record() {
        // Cut off before anything was written down.
        Err(OciError::NotFound(_)) => {
            container.forget()?;
            return Ok(0);
        }
        record => record?,
    };
    // The lock is ours: nobody is creating it.
    let status = if record.pid == 0 { Status::Stopped } else { container.status(&record) };
    if status != Status::Stopped {
        if !is_forced {
            let hint = "; kill it first, or use --force";
            return Err(OciError::State { verb: "delete", id, status, hint });
        }
        end(&record)?;
    }
    let spec = container.config().unwrap_or_default();
    remove(&container, &record, &spec)?;
    Ok(0)
}

/// Kills all of a container's processes and waits until the first of them, and so the container, is gone.
fn end(record: &Record) -> Result<(), OciError> {
    let pidfd = process::open_pid(record.pid);
    record.cgroup.kill()?;
    if record.cgroup.is_frozen() {
        record.cgroup.freeze(Frozen::No)?;
    }
    if let Ok(pidfd) = pidfd
        && process::is_running(record.pid, record.start_time)
    {
        let ended = process::wait_readable(&[pidfd.as_fd()], Some(KILL_TIMEOUT))
            .map_err(OciError::file("wait for", Path::new("the container's end")))?;
        if ended != [true] {
            return Err(OciError::Unkillable(record.pid));
        }
    }
    Ok(())
}

/// Removes a container whose first process has ended: what is left of the others, its groups, what is known of it; then its last hooks run.
pub(super) fn remove(container: &Container, record: &Record, spec: &Spec) -> Result<(), OciError> {
    if record.cgroup.pids().is_ok_and(|pids| !pids.is_empty()) {
        record.cgroup.kill()?;
    }
    record.cgroup.remove()?;
    container.forget()?;
    let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.poststop().as_deref()).unwrap_or_default();
    if !hooks.is_empty() {
        let state = State::new(&container.id, Status::Stopped, record.pid, &record.bundle, spec);
        if let Err(error) = run_hooks("poststop", hooks, &state.text()) {
            // The container is gone whatever they say (runtime-spec, "Lifecycle").
            Log::default().tell(&error.to_string());
        }
    }
    Ok(())
}
