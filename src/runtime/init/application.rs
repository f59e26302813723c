//! The application's first process, from its clone to its exec; and the first process of a further command in its container, which takes
//! the same steps.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::runtime::init::CODE_FAILED;
use crate::runtime::plan::{Limited, ProcessStep};
use crate::runtime::seccomp;
use crate::runtime::spawner::Recorder;
use crate::runtime::spawner::protocol::{self, ChildSays, Side, StepFailed};
use crate::runtime::spec::StdioKind;
use crate::sys::message::Channel;
use crate::sys::seccomp::{Flags, install, install_and_hand_over};
use crate::sys::{credentials, landlock, process, terminal};

/// Where programs are looked for if the environment has no `PATH`.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";
/// First descriptor behind the standard streams.
const FIRST_OTHER_FD: u32 = 3;

/// What it becomes, and how.
#[derive(Clone, Copy)]
pub(in crate::runtime) struct Program<'a> {
    /// All that is done before.
    pub(in crate::runtime) steps: &'a [ProcessStep],
    /// What its standard streams are.
    pub(in crate::runtime) stdio: StdioKind,
    /// Program and arguments.
    pub(in crate::runtime) argv: &'a [String],
    /// The environment, as `NAME=value`.
    pub(in crate::runtime) env: &'a [String],
}

/// Whom it speaks to before its exec.
#[derive(Clone, Copy)]
pub(in crate::runtime) struct Ends<'a> {
    /// Hears how the start goes.
    pub(in crate::runtime) starter: &'a Channel,
    /// Is given the place where refused calls arrive; where there is none, the kernel refuses them by itself.
    pub(in crate::runtime) init: Option<&'a Channel>,
}

struct Application<'a> {
    becomes: Program<'a>,
    ends: Ends<'a>,
    standard: &'a [OwnedFd],
    program: Option<String>,
    trace: Recorder,
}

/// Runs as the new process; comes back only from a failure, which is told already, with the exit code. Works in its maker's memory, and
/// must change nothing there that its maker relies on.
pub(in crate::runtime) fn main(
    becomes: Program<'_>,
    ends: Ends<'_>,
    standard: &[OwnedFd],
    trace: Recorder,
) -> u8 {
    let mut application = Application { becomes, ends, standard, program: None, trace };
    for (index, step) in becomes.steps.iter().enumerate() {
        let began = application.trace.begin();
        let done = application.step(step);
        application.trace.end(began, Side::Process, step);
        if let Err(error) = done {
            let failed = StepFailed::new(Side::Process, index, step, &error);
            // If even this fails, the starter sees the channel close.
            let _ = protocol::say(ends.starter, &ChildSays::Failed(failed), &[]);
            break;
        }
    }
    CODE_FAILED
}

impl Application<'_> {
    fn step(&mut self, step: &ProcessStep) -> io::Result<()> {
        match step {
            ProcessStep::EnterCgroupNamespace => credentials::enter_control_group_namespace(),
            ProcessStep::NewSession => process::new_session(),
            ProcessStep::TakeStreams => self.take_streams(),
            ProcessStep::DefaultSignals => process::default_signals(),
            ProcessStep::Limit { what, value } => credentials::limit(resource(*what), *value),
            ProcessStep::DropBounding => {
                credentials::empty_bounding_set()?;
                credentials::lock_secure_bits()
            }
            ProcessStep::BecomeUser { uid, gid } => credentials::become_user(*uid, *gid),
            ProcessStep::ClearCapabilities => credentials::clear_capabilities(),
            ProcessStep::NoNewPrivileges => crate::sys::seccomp::set_no_new_privs(),
            ProcessStep::Umask(mask) => {
                credentials::set_umask(*mask);
                Ok(())
            }
            ProcessStep::ChangeDirectory(path) => change_directory(path),
            // A kernel without it has the other walls still.
            ProcessStep::RestrictChanges(places) => landlock::restrict_changes(places).map(|_| ()),
            ProcessStep::FindProgram => {
                self.program = Some(self.find_program()?);
                protocol::say(self.ends.starter, &ChildSays::Executing(self.trace.take()), &[])?;
                process::close_on_exec_from(FIRST_OTHER_FD)
            }
            ProcessStep::InstallSeccomp => install_filter(self.ends.init),
            ProcessStep::Exec => {
                let program = self.program.as_deref().unwrap_or_default();
                Err(process::execute(program, self.becomes.argv, self.becomes.env))
            }
        }
    }

    fn take_streams(&self) -> io::Result<()> {
        let [input, output, errors] = self.standard else {
            return Err(io::Error::other("the standard streams are missing"));
        };
        match self.becomes.stdio {
            StdioKind::Terminal { .. } => terminal::control(input)?,
            StdioKind::Log | StdioKind::Pipes => {}
        }
        terminal::become_standard(input.as_fd(), output.as_fd(), errors.as_fd())
    }

    /// As execvp(3) does it, but done before the filter is installed, with a reason that names the program.
    fn find_program(&self) -> io::Result<String> {
        let name = self.becomes.argv.first().map(String::as_str).unwrap_or_default();
        let missing =
            |kind: io::ErrorKind| io::Error::new(kind, format!("there is no program {name:?} to run"));
        if name.contains('/') {
            return match std::fs::metadata(name) {
                Ok(_) if process::is_executable(name) => Ok(name.to_owned()),
                Ok(_) => Err(missing(io::ErrorKind::PermissionDenied)),
                Err(error) => Err(missing(error.kind())),
            };
        }
        let path =
            self.becomes.env.iter().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or(PATH_DEFAULT);
        let mut candidates = path.split(':').map(|dir| {
            let dir = if dir.is_empty() { "." } else { dir };
            format!("{dir}/{name}")
        });
        candidates.find(|path| process::is_executable(path)).ok_or_else(|| missing(io::ErrorKind::NotFound))
    }
}

fn resource(what: Limited) -> credentials::Limited {
    match what {
        Limited::OpenFiles => credentials::Limited::OpenFiles,
        Limited::CoreBytes => credentials::Limited::CoreBytes,
    }
}

/// The kernel tells a working directory outside the root by a first word that is no path (CVE-2024-21626).
fn change_directory(path: &Path) -> io::Result<()> {
    process::change_directory(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let here = std::env::current_dir()?;
    if here.is_absolute() {
        Ok(())
    } else {
        Err(io::Error::other("the working directory is outside the root"))
    }
}

/// Where nobody can be told of refused calls, as on a host that listens to all calls of this one's already, the kernel refuses them by itself.
/// A program of that kind above one that tells is right as well: of two answers the stricter holds.
fn install_filter(init: Option<&Channel>) -> io::Result<()> {
    let Some(init) = init else { return install_silently() };
    let telling = seccomp::telling().map_err(io::Error::other)?;
    let hand_over = |flags: Flags| {
        telling.0.iter().try_for_each(|program| install_and_hand_over(program, flags, init, b"refused calls"))
    };
    // Otherwise a signal calls a waiting program away, and it asks twice; kernels before 5.19 do not know the flag.
    let told = hand_over(Flags::WAIT_KILLABLE).or_else(|_| hand_over(Flags::default()));
    if told.is_ok() { Ok(()) } else { install_silently() }
}

fn install_silently() -> io::Result<()> {
    let programs = seccomp::hardened().map_err(io::Error::other)?;
    programs.0.iter().try_for_each(|program| install(program))
}
