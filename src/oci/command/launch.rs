//! `create` and `run`: the same up to the point where the program could start.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use crate::oci::arguments::{Arguments, Known, flag, value};
use crate::oci::command::delete::remove;
use crate::oci::containers::{Container, ProcessState, Record, State, Status, agent_path, parse};
use crate::oci::error::OciError;
use crate::oci::face::Call;
use crate::oci::foreground;
use crate::oci::report::Log;
use crate::runtime::bundle::{
    self, Agent, Born, BundleCgroup, BundlePlan, Devices, Filter, Request, RootChange, Step,
    capability_names, run_hooks,
};
use crate::runtime::plan::PlanError;
use crate::sys::message::Listener;
use crate::sys::namespace::Kind;
use crate::sys::process::{self, Given, SingleThreaded};
use crate::sys::{handover, rights, seal};

/// Options of `create` and `run`.
pub(in crate::oci) const OPTIONS: &[Known] = &[
    value("bundle").or('b'),
    value("config").or('f'),
    value("console-socket"),
    value("pid-file"),
    flag("no-pivot"),
    flag("no-new-keyring"),
    value("preserve-fds"),
    flag("detach").or('d'),
    flag("keep"),
    flag("no-subreaper"),
];

/// A bundle, read and planned.
struct Bundle {
    path: PathBuf,
    text: Vec<u8>,
    spec: Spec,
    plan: BundlePlan,
    filter: Option<Filter>,
}

impl Bundle {
    fn read(arguments: &Arguments) -> Result<Bundle, OciError> {
        let given = Path::new(arguments.value("bundle").unwrap_or("."));
        let path = std::fs::canonicalize(given).map_err(OciError::file("find the bundle", given))?;
        let config = path.join(arguments.value("config").unwrap_or("config.json"));
        let text = std::fs::read(&config).map_err(OciError::file("read", &config))?;
        let spec = parse(&config, &text)?;
        let change = if arguments.has("no-pivot") { RootChange::Chroot } else { RootChange::Pivot };
        let mut plan = bundle::plan(&spec, &path, change)?;
        if arguments.has("no-new-keyring") {
            plan.steps.retain(|step| *step != Step::NewKeyring);
        }
        let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let filter = seccomp.map(bundle::compile).transpose()?;
        Ok(Bundle { path, text, spec, plan, filter })
    }

    fn has_terminal(&self) -> bool {
        self.spec.process().as_ref().is_some_and(|process| process.terminal() == Some(true))
    }
}

/// A container that waits, and what goes with it.
struct Launched {
    container: Container,
    record: Record,
    bundle: Bundle,
    born: Born,
}

/// `dyno oci create`.
pub(in crate::oci) fn create(call: &Call<'_>) -> Result<u8, OciError> {
    let (arguments, id) = call.arguments()?;
    let launched = launch(call, &arguments, &id, Waits::ForStart)?;
    launched.settle()?;
    Ok(0)
}

/// `dyno oci run`.
pub(in crate::oci) fn run(call: &Call<'_>) -> Result<u8, OciError> {
    let (arguments, id) = call.arguments()?;
    let is_detached = arguments.has("detach");
    let signals = if is_detached { None } else { Some(foreground::take_signals()?) };
    let mut launched = launch(call, &arguments, &id, Waits::ForNobody { is_detached })?;
    let Launched { container, record, bundle, born } = &mut launched;
    let running = born.settle().and_then(|()| born.await_exec()).map_err(OciError::from).and_then(|()| {
        let hooks =
            bundle.spec.hooks().as_ref().and_then(|hooks| hooks.poststart().as_deref()).unwrap_or_default();
        let state = State::new(&container.id, Status::Running, record.pid, &bundle.path, &bundle.spec);
        run_hooks("poststart", hooks, &if hooks.is_empty() { String::new() } else { state.text() })
            .map_err(OciError::file("run the hooks of", &bundle.path))
    });
    if let Err(error) = running {
        born.kill();
        remove(container, record, &bundle.spec)?;
        return Err(error);
    }
    let Some(signals) = signals else { return Ok(0) };
    let code = foreground::wait(born.pid, &born.pidfd, born.terminal.take(), &signals)?;
    if !arguments.has("keep") {
        remove(container, record, &bundle.spec)?;
    }
    Ok(code)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// Somebody will call `start`.
    ForStart,
    /// It starts as soon as it is settled.
    ForNobody { is_detached: bool },
}

fn launch(call: &Call<'_>, arguments: &Arguments, id: &str, waits: Waits) -> Result<Launched, OciError> {
    let container = call.containers.named(id)?;
    let bundle = Bundle::read(arguments)?;
    seal_program(&bundle.spec)?;
    let console = console(arguments, &bundle, waits)?;
    let preserved = preserved(arguments)?;
    let wanted = bundle.spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
    let cgroup = BundleCgroup::at(wanted, id)?;
    let _lock = container.claim()?;
    let mut record = Record {
        pid: 0,
        start_time: 0,
        bundle: bundle.path.clone(),
        created: jiff::Timestamp::now().to_string(),
        cgroup,
    };
    if let Err(error) = prepare(&container, &record, &bundle) {
        // Its groups may be another's, as its name may not.
        container.forget()?;
        return Err(error);
    }
    // In users of its own a container's first process has them all, for what they are worth there.
    let namespaces = &bundle.plan.namespaces;
    if !namespaces.makes(Kind::User) && namespaces.joins(Kind::User).is_none() {
        warn_of_withheld(call.log, &bundle.plan);
    }
    let launched = bring_up(&container, &mut record, &bundle, waits, (console, preserved));
    match launched {
        Ok(born) => {
            let written = container.write(&record).and_then(|()| write_pid(arguments, record.pid));
            if let Err(error) = written {
                born.kill();
                take_back(&container, &record);
                return Err(error);
            }
            Ok(Launched { container, record, bundle, born })
        }
        Err(error) => {
            take_back(&container, &record);
            Err(error)
        }
    }
}

/// Writes down what is to be, and makes the groups.
fn prepare(container: &Container, record: &Record, bundle: &Bundle) -> Result<(), OciError> {
    container.write(record)?;
    container.keep_config(&bundle.text)?;
    let linux = bundle.spec.linux().as_ref().ok_or(PlanError::Missing("linux"))?;
    let devices = if bundle.plan.namespaces.makes(Kind::User) { Devices::HeldIfAsked } else { Devices::Held };
    Ok(record.cgroup.create(linux.resources().as_ref(), devices)?)
}

fn bring_up(
    container: &Container,
    record: &mut Record,
    bundle: &Bundle,
    waits: Waits,
    (console, preserved): (Option<OwnedFd>, Given),
) -> Result<Born, OciError> {
    let listener = match waits {
        Waits::ForStart => {
            let socket = container.socket();
            let (_open, short) = handover::shortened(&socket).map_err(OciError::file("find", &socket))?;
            Some(Listener::bind(&short).map_err(OciError::file("listen at", &socket))?)
        }
        Waits::ForNobody { .. } => None,
    };
    let single = SingleThreaded::claim()
        .ok_or_else(|| OciError::Usage("this process has more than one thread".to_owned()))?;
    let state = |status: &str, pid: u32| {
        let status = if status == "creating" { Status::Creating } else { Status::Created };
        State::new(&container.id, status, pid, &bundle.path, &bundle.spec).text()
    };
    let message = |pid: u32| {
        let state = State::new(&container.id, Status::Creating, pid, &bundle.path, &bundle.spec);
        ProcessState::new(pid, state, &bundle.spec).text()
    };
    let request = Request {
        spec: &bundle.spec,
        plan: &bundle.plan,
        filter: bundle.filter.as_ref(),
        cgroup: &record.cgroup,
        listener,
        console,
        preserved,
        state: &state,
        agent: agent_path(&bundle.spec).map(|path| Agent { path, message: &message }),
    };
    let born = bundle::create(request, single)?;
    record.pid = born.pid;
    record.start_time =
        process::start_time(born.pid).map_err(OciError::file("look at", Path::new("/proc")))?;
    Ok(born)
}

impl Launched {
    fn settle(&self) -> Result<(), OciError> {
        if let Err(error) = self.born.settle() {
            take_back(&self.container, &self.record);
            return Err(error.into());
        }
        Ok(())
    }
}

/// Removes what a failed creation has left; the failure is what is told, not this.
fn take_back(container: &Container, record: &Record) {
    let _ = record.cgroup.kill();
    let _ = record.cgroup.remove();
    let _ = container.forget();
}

fn write_pid(arguments: &Arguments, pid: u32) -> Result<(), OciError> {
    match arguments.value("pid-file").map(Path::new) {
        Some(path) => {
            crate::sys::fs::replace(path, pid.to_string().as_bytes()).map_err(OciError::file("write", path))
        }
        None => Ok(()),
    }
}

fn console(arguments: &Arguments, bundle: &Bundle, waits: Waits) -> Result<Option<OwnedFd>, OciError> {
    let must_be_sent = waits != Waits::ForNobody { is_detached: false };
    match (arguments.value("console-socket").map(Path::new), bundle.has_terminal()) {
        (Some(path), true) => handover::connect(path).map(Some).map_err(OciError::file("connect to the console socket", path)),
        (Some(_), false) => Err(OciError::Usage(
            "a console socket was given, and process.terminal is not true in config.json: leave one out or set the other".to_owned(),
        )),
        (None, true) if must_be_sent => Err(OciError::Usage(
            "process.terminal is true in config.json: give a --console-socket that takes the terminal".to_owned(),
        )),
        (None, _) => Ok(None),
    }
}

/// Descriptors behind the standard streams that the program inherits.
pub(super) fn preserved(arguments: &Arguments) -> Result<Given, OciError> {
    /// More than any program passes on.
    const DESCRIPTORS_MAX: u32 = 1024;
    let count = arguments.parsed::<u32>("preserve-fds")?.unwrap_or(0);
    if count > DESCRIPTORS_MAX {
        return Err(OciError::Usage(format!("--preserve-fds {count}: give at most {DESCRIPTORS_MAX}")));
    }
    Ok(Given::among_first(count))
}

/// Capabilities that this process has not got to give are no reason not to go on, and one to say so (runtime-spec, "Linux Process").
pub(super) fn warn_of_withheld(log: &Log, plan: &BundlePlan) {
    let Ok(held) = rights::permitted() else { return };
    let sets = plan
        .steps
        .iter()
        .find_map(|step| if let Step::SetCapabilities(sets) = step { Some(sets) } else { None });
    let Some(sets) = sets else { return };
    let wanted = sets.bounding | sets.effective | sets.inheritable | sets.permitted | sets.ambient;
    let is_withheld = |number: usize| wanted & !held & (1 << number) != 0;
    let names = capability_names().into_iter().enumerate().filter(|(number, _)| is_withheld(*number));
    let names: Vec<_> = names.map(|(_, name)| name).collect();
    if !names.is_empty() {
        log.warn(&format!("the process goes without {}: this runtime does not have them", names.join(", ")));
    }
}

/// Whoever is the host's root in a container could write to our program through /proc, so it is run from where nobody can write.
pub(super) fn seal_program(spec: &Spec) -> Result<(), OciError> {
    if has_foreign_root(spec) {
        return Ok(());
    }
    seal::run_sealed().map_err(OciError::file("run from a read-only mount", Path::new("/proc/self/exe")))
}

/// Whether the container's users are others than the owner of our program, who is the host's root.
fn has_foreign_root(spec: &Spec) -> bool {
    let Some(linux) = spec.linux() else { return false };
    let is_host_root = |maps: &Option<Vec<oci_spec::runtime::LinuxIdMapping>>| {
        maps.iter().flatten().any(|map| map.host_id() == 0)
    };
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    let makes_users = namespaces.iter().any(|namespace| {
        namespace.typ() == oci_spec::runtime::LinuxNamespaceType::User && namespace.path().is_none()
    });
    let owner = std::fs::metadata("/proc/self/exe");
    let is_roots = owner.is_ok_and(|found| {
        use std::os::unix::fs::MetadataExt;
        found.uid() == 0 && found.mode() & 0o022 == 0
    });
    makes_users && is_roots && !is_host_root(linux.uid_mappings())
}
