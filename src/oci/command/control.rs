//! Commands for a container that is there: `start`, `kill`, `pause`, `resume`, `update`.

use std::io::Read;
use std::path::Path;

use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};

use crate::oci::arguments::{Arguments, Known, flag, value};
use crate::oci::command::delete::remove;
use crate::oci::containers::{Record, State, Status};
use crate::oci::error::OciError;
use crate::oci::face::Call;
use crate::runtime::bundle::{self, Frozen, run_hooks};
use crate::sys::foreground::signal_number;
use crate::sys::lock::Lock;
use crate::sys::{cgroup, process};

/// Sent where none is named (`SIGTERM`).
const SIGNAL_DEFAULT: &str = "TERM";
const SIGKILL: u8 = 9;

/// `dyno oci start`.
pub(in crate::oci) fn start(call: &Call<'_>) -> Result<u8, OciError> {
    let (_, id) = call.arguments()?;
    let container = call.containers.named(&id)?;
    let _lock = container.lock()?;
    let record = container.record()?;
    let status = container.status(&record);
    if status != Status::Created {
        return Err(OciError::State {
            verb: "start",
            id,
            status,
            hint: "; only a created container can be started",
        });
    }
    let socket = container.socket();
    let started = bundle::start(&socket);
    // Whatever came of it, it waits no longer.
    let _ = std::fs::remove_file(&socket);
    started?;
    let spec = container.config()?;
    let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.poststart().as_deref()).unwrap_or_default();
    if !hooks.is_empty() {
        let state = State::new(&container.id, Status::Running, record.pid, &record.bundle, &spec);
        if let Err(error) = run_hooks("poststart", hooks, &state.text()) {
            record.cgroup.kill()?;
            remove(&container, &record, &spec)?;
            return Err(OciError::file("run the hooks of", &record.bundle)(error));
        }
    }
    Ok(0)
}

/// Options of `kill`.
pub(in crate::oci) const KILL_OPTIONS: &[Known] = &[flag("all").or('a'), value("signal").or('s')];

/// `dyno oci kill`.
pub(in crate::oci) fn kill(call: &Call<'_>) -> Result<u8, OciError> {
    let (arguments, id) = call.arguments()?;
    let named = arguments.words.get(1).map(String::as_str).or(arguments.value("signal"));
    let named = named.unwrap_or(SIGNAL_DEFAULT);
    let unknown =
        || OciError::Usage(format!("there is no signal {named:?}: give a name such as TERM, or a number"));
    let signal = signal_number(named).ok_or_else(unknown)?;
    let container = call.containers.named(&id)?;
    let record = container.record()?;
    if arguments.has("all") {
        kill_all(&record, signal)?;
        return Ok(0);
    }
    let status = container.status(&record);
    if matches!(status, Status::Creating | Status::Stopped) {
        return Err(OciError::State { verb: "kill", id, status, hint: "; container not running" });
    }
    let told = process::open_pid(record.pid).and_then(|pidfd| {
        // Looked at again, because the number may be another's by now.
        if process::is_running(record.pid, record.start_time) {
            process::signal_descriptor(&pidfd, signal)
        } else {
            Err(std::io::Error::other("container not running"))
        }
    });
    told.map_err(OciError::file("send a signal to", Path::new(&id)))?;
    if signal == SIGKILL && status == Status::Paused {
        record.cgroup.freeze(Frozen::No)?;
    }
    Ok(0)
}

fn kill_all(record: &Record, signal: u8) -> Result<(), OciError> {
    if signal == SIGKILL {
        record.cgroup.kill()?;
        if record.cgroup.is_frozen() {
            record.cgroup.freeze(Frozen::No)?;
        }
        return Ok(());
    }
    for pid in record.cgroup.pids()? {
        cgroup::signal_process(pid, signal)
            .map_err(OciError::file("send a signal to", Path::new(&pid.to_string())))?;
    }
    Ok(())
}

/// `dyno oci pause`.
pub(in crate::oci) fn pause(call: &Call<'_>) -> Result<u8, OciError> {
    let (_lock, record) = in_state(call, "pause", &[Status::Running, Status::Created], "")?;
    record.cgroup.freeze(Frozen::Yes)?;
    Ok(0)
}

/// `dyno oci resume`.
pub(in crate::oci) fn resume(call: &Call<'_>) -> Result<u8, OciError> {
    let (_lock, record) = in_state(call, "resume", &[Status::Paused], "; only a paused container can go on")?;
    record.cgroup.freeze(Frozen::No)?;
    Ok(0)
}

/// Takes a container in one of the states wanted, and holds it so.
fn in_state(
    call: &Call<'_>,
    verb: &'static str,
    wanted: &[Status],
    hint: &'static str,
) -> Result<(Lock, Record), OciError> {
    let (_, id) = call.arguments()?;
    let container = call.containers.named(&id)?;
    let lock = container.lock()?;
    let record = container.record()?;
    // The lock is ours: nobody is creating it.
    let status = if record.pid == 0 { Status::Stopped } else { container.status(&record) };
    if wanted.contains(&status) {
        Ok((lock, record))
    } else {
        Err(OciError::State { verb, id, status, hint })
    }
}

/// Options of `update`.
pub(in crate::oci) const UPDATE_OPTIONS: &[Known] = &[
    value("resources").or('r'),
    value("memory").or('m'),
    value("memory-reservation"),
    value("memory-swap"),
    value("cpu-shares"),
    value("cpu-share"),
    value("cpu-quota"),
    value("cpu-period"),
    value("cpu-burst"),
    value("cpuset-cpus"),
    value("cpuset-mems"),
    value("pids-limit"),
];

/// `dyno oci update`.
pub(in crate::oci) fn update(call: &Call<'_>) -> Result<u8, OciError> {
    let (arguments, id) = call.arguments()?;
    let container = call.containers.named(&id)?;
    let _lock = container.lock()?;
    let record = container.record()?;
    let status = container.status(&record);
    if matches!(status, Status::Creating | Status::Stopped) {
        return Err(OciError::State { verb: "update", id, status, hint: "" });
    }
    let resources = match arguments.value("resources") {
        Some(path) => read_resources(path)?,
        None => resources(&arguments)?,
    };
    record.cgroup.apply(&resources)?;
    Ok(0)
}

fn read_resources(path: &str) -> Result<LinuxResources, OciError> {
    let mut bytes = Vec::new();
    let read = match path {
        "-" => std::io::stdin().read_to_end(&mut bytes).map(|_| ()),
        path => std::fs::read(path).map(|read| bytes = read),
    };
    read.map_err(OciError::file("read", Path::new(path)))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| OciError::Config { path: path.into(), reason: error.to_string() })
}

fn resources(arguments: &Arguments) -> Result<LinuxResources, OciError> {
    let refused = |error: oci_spec::OciSpecError| OciError::Usage(error.to_string());
    let mut memory = LinuxMemoryBuilder::default();
    if let Some(bytes) = arguments.parsed::<i64>("memory")? {
        memory = memory.limit(bytes);
    }
    if let Some(bytes) = arguments.parsed::<i64>("memory-reservation")? {
        memory = memory.reservation(bytes);
    }
    if let Some(bytes) = arguments.parsed::<i64>("memory-swap")? {
        memory = memory.swap(bytes);
    }
    let mut cpu = LinuxCpuBuilder::default();
    for name in ["cpu-shares", "cpu-share"] {
        if let Some(shares) = arguments.parsed::<u64>(name)? {
            cpu = cpu.shares(shares);
        }
    }
    if let Some(us) = arguments.parsed::<i64>("cpu-quota")? {
        cpu = cpu.quota(us);
    }
    if let Some(us) = arguments.parsed::<u64>("cpu-period")? {
        cpu = cpu.period(us);
    }
    if let Some(us) = arguments.parsed::<u64>("cpu-burst")? {
        cpu = cpu.burst(us);
    }
    if let Some(list) = arguments.value("cpuset-cpus") {
        cpu = cpu.cpus(list);
    }
    if let Some(list) = arguments.value("cpuset-mems") {
        cpu = cpu.mems(list);
    }
    let mut all = LinuxResourcesBuilder::default()
        .memory(memory.build().map_err(refused)?)
        .cpu(cpu.build().map_err(refused)?);
    if let Some(limit) = arguments.parsed::<i64>("pids-limit")? {
        all = all.pids(LinuxPidsBuilder::default().limit(limit).build().map_err(refused)?);
    }
    // The builder adds a rule about devices of its own; an update has none.
    let mut all = all.build().map_err(refused)?;
    all.set_devices(None);
    Ok(all)
}
