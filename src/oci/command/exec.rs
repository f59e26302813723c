//! `exec`: a further program in a container.

use std::os::fd::OwnedFd;
use std::path::Path;

use oci_spec::runtime::{Capability, LinuxCapabilitiesBuilder, Process, Spec, UserBuilder};

use crate::oci::arguments::{Arguments, Known, flag, value};
use crate::oci::command::exec_cgroup::places;
use crate::oci::command::launch::{preserved, seal_program, warn_of_withheld};
use crate::oci::containers::{ProcessState, State, Status, agent_path};
use crate::oci::error::OciError;
use crate::oci::face::Call;
use crate::oci::foreground;
use crate::runtime::bundle::{self, Agent, Born, Entry};
use crate::runtime::plan::PlanError;
use crate::sys::namespace::{self, Kind};
use crate::sys::process::{self, SingleThreaded};
use crate::sys::{fs, handover};

/// Options of `exec`.
pub(in crate::oci) const OPTIONS: &[Known] = &[
    value("process").or('p'),
    value("console-socket"),
    value("pid-file"),
    value("cwd"),
    value("env").or('e'),
    value("user").or('u'),
    value("additional-gids").or('g'),
    value("cap").or('c'),
    value("preserve-fds"),
    value("cgroup"),
    flag("tty").or('t'),
    flag("detach").or('d'),
    flag("no-new-privs"),
    flag("ignore-paused"),
];

/// `dyno oci exec`.
pub(in crate::oci) fn exec(call: &Call<'_>) -> Result<u8, OciError> {
    let (arguments, id) = call.arguments()?;
    let container = call.containers.named(&id)?;
    let record = container.record()?;
    let status = container.status(&record);
    // A process that joins a paused container is stopped with the others, until somebody resumes them.
    let may_wait = status == Status::Paused && arguments.has("ignore-paused");
    if !matches!(status, Status::Created | Status::Running) && !may_wait {
        let hint = if status == Status::Paused {
            "; resume it first, or use --ignore-paused"
        } else {
            "; start it first"
        };
        return Err(OciError::State { verb: "exec in", id, status, hint });
    }
    let spec = container.config()?;
    seal_program(&spec)?;
    let process = wanted(&arguments, &spec)?;
    let linux = spec.linux().as_ref().ok_or(PlanError::Missing("linux"))?;
    let filter = linux.seccomp().as_ref().map(bundle::compile).transpose()?;
    let plan = bundle::plan_process(&process, linux)?;
    let places = places(arguments.values("cgroup"))?;
    let is_detached = arguments.has("detach");
    let console = console(&arguments, &process)?;
    let signals = if is_detached { None } else { Some(foreground::take_signals()?) };
    let attempt = || OciError::file("open the first process of", Path::new(&id));
    let target = process::open_pid(record.pid).map_err(attempt())?;
    let kinds = foreign_kinds(record.pid).map_err(attempt())?;
    // The number may be another's by now.
    if !process::is_running(record.pid, record.start_time) {
        return Err(OciError::State {
            verb: "exec in",
            id,
            status: Status::Stopped,
            hint: "; start it first",
        });
    }
    if !kinds.contains(&Kind::User) {
        warn_of_withheld(call.log, &plan);
    }
    let cgroup = record.cgroup.to_join(&places, record.pid)?;
    let single = SingleThreaded::claim()
        .ok_or_else(|| OciError::Usage("this process has more than one thread".to_owned()))?;
    let message = |pid: u32| {
        let state = State::new(&id, status, record.pid, &record.bundle, &spec);
        ProcessState::new(pid, state, &spec).text()
    };
    let entry = Entry {
        process: &process,
        plan: &plan,
        filter: filter.as_ref(),
        cgroup: &cgroup,
        target: &target,
        kinds,
        console,
        preserved: preserved(&arguments)?,
        agent: agent_path(&spec).map(|path| Agent { path, message: &message }),
    };
    let mut born = bundle::enter(entry, single)?;
    if let Err(error) = begin(&arguments, &born) {
        born.kill();
        return Err(error);
    }
    match signals {
        Some(signals) => foreground::wait(born.pid, &born.pidfd, born.terminal.take(), &signals),
        None => Ok(0),
    }
}

fn begin(arguments: &Arguments, born: &Born) -> Result<(), OciError> {
    if let Some(path) = arguments.value("pid-file").map(Path::new) {
        fs::replace(path, born.pid.to_string().as_bytes()).map_err(OciError::file("write", path))?;
    }
    born.settle()?;
    Ok(born.await_exec()?)
}

/// Namespaces in which the container's first process is and we are not.
fn foreign_kinds(pid: u32) -> std::io::Result<Vec<Kind>> {
    let pid = pid.to_string();
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        if !namespace::is_shared(&pid, "self", kind)? {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

fn console(arguments: &Arguments, process: &Process) -> Result<Option<OwnedFd>, OciError> {
    let has_terminal = process.terminal() == Some(true);
    match (arguments.value("console-socket").map(Path::new), has_terminal) {
        (Some(path), true) => {
            handover::connect(path).map(Some).map_err(OciError::file("connect to the console socket", path))
        }
        (None, true) if arguments.has("detach") => Err(OciError::Usage(
            "a detached process with a terminal needs a --console-socket that takes it".to_owned(),
        )),
        (_, _) => Ok(None),
    }
}

/// The process: from a file, or the container's own with another command.
fn wanted(arguments: &Arguments, spec: &Spec) -> Result<Process, OciError> {
    let mut process = match arguments.value("process").map(Path::new) {
        Some(path) => {
            let bytes = std::fs::read(path).map_err(OciError::file("read", path))?;
            serde_json::from_slice(&bytes)
                .map_err(|error| OciError::Config { path: path.to_owned(), reason: error.to_string() })?
        }
        None => {
            let mut process: Process = spec.process().clone().ok_or(PlanError::Missing("process"))?;
            process.set_args(Some(arguments.words[1..].to_vec())).set_terminal(None).set_console_size(None);
            process
        }
    };
    if arguments.value("process").is_none() && arguments.words.len() < 2 {
        return Err(OciError::Usage(
            "'exec' needs a command, or --process with a file that describes one".to_owned(),
        ));
    }
    if arguments.has("tty") {
        process.set_terminal(Some(true));
    }
    if arguments.has("no-new-privs") {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(directory) = arguments.value("cwd") {
        process.set_cwd(directory.into());
    }
    if !arguments.values("env").is_empty() {
        let mut env = process.env().clone().unwrap_or_default();
        for pair in arguments.values("env") {
            let name = pair.split('=').next().unwrap_or_default();
            env.retain(|other| other.split('=').next() != Some(name));
            env.push(pair.clone());
        }
        process.set_env(Some(env));
    }
    user(arguments, &mut process)?;
    add_capabilities(arguments, &mut process)?;
    Ok(process)
}

fn user(arguments: &Arguments, process: &mut Process) -> Result<(), OciError> {
    let number = |text: &str| {
        text.parse::<u32>().map_err(|_| {
            OciError::Usage(format!("{text:?} is no user or group: give uid or uid:gid in numbers"))
        })
    };
    let mut groups = Vec::new();
    for list in arguments.values("additional-gids") {
        for group in list.split(',') {
            groups.push(number(group)?);
        }
    }
    if arguments.value("user").is_none() && groups.is_empty() {
        return Ok(());
    }
    let given = process.user();
    let (uid, gid) = match arguments.value("user").map(|user| user.split_once(':').unwrap_or((user, ""))) {
        Some((uid, "")) if !arguments.value("user").is_some_and(|user| user.contains(':')) => {
            (number(uid)?, 0)
        }
        Some((uid, gid)) => (number(uid)?, number(gid)?),
        None => (given.uid(), given.gid()),
    };
    let mut built = UserBuilder::default().uid(uid).gid(gid).additional_gids(groups);
    if let Some(umask) = given.umask() {
        built = built.umask(umask);
    }
    process.set_user(built.build().map_err(|error| OciError::Usage(error.to_string()))?);
    Ok(())
}

fn add_capabilities(arguments: &Arguments, process: &mut Process) -> Result<(), OciError> {
    let mut added = Vec::new();
    for list in arguments.values("cap") {
        for name in list.split(',') {
            let bare = name.strip_prefix("CAP_").unwrap_or(name).to_ascii_uppercase();
            let unknown = |_| OciError::Usage(format!("there is no capability {name:?}"));
            added.push(bare.parse::<Capability>().map_err(unknown)?);
        }
    }
    if added.is_empty() {
        return Ok(());
    }
    let now = process.capabilities().clone();
    let joined = |set: Option<&std::collections::HashSet<Capability>>| {
        set.into_iter()
            .flatten()
            .copied()
            .chain(added.iter().copied())
            .collect::<std::collections::HashSet<_>>()
    };
    let now = now.as_ref();
    let sets = LinuxCapabilitiesBuilder::default()
        .bounding(joined(now.and_then(|sets| sets.bounding().as_ref())))
        .effective(joined(now.and_then(|sets| sets.effective().as_ref())))
        .permitted(joined(now.and_then(|sets| sets.permitted().as_ref())))
        .inheritable(now.and_then(|sets| sets.inheritable().clone()).unwrap_or_default())
        .ambient(now.and_then(|sets| sets.ambient().clone()).unwrap_or_default())
        .build()
        .map_err(|error| OciError::Usage(error.to_string()))?;
    process.set_capabilities(Some(sets));
    Ok(())
}
