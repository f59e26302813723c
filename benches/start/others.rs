//! The contenders that are programs: run once per container, measured from the request to their own end.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use dyno::sys::process;

use crate::bundle::{Bundle, TRUE};
use crate::stats::now_ns;

/// Where the bench keeps what it has built for itself.
pub const OWN: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/others");
/// A run that takes longer hangs.
pub const HANG: Duration = Duration::from_secs(10);

/// One run: nanoseconds from the request.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// To the workload's first instruction.
    pub first_ns: u64,
    /// Until it has ended and what it used is cleared away.
    pub whole_ns: u64,
}

/// Why there is no figure.
#[derive(Debug)]
pub enum Failure {
    /// It did not end.
    Hang,
    /// It could not be run, or ended badly.
    Broken(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Broken(error.to_string())
    }
}

/// A program that starts containers.
#[derive(Debug, Clone)]
pub struct Program {
    pub name: &'static str,
    path: PathBuf,
    arguments: fn(&Paths<'_>) -> Vec<String>,
}

struct Paths<'a> {
    bundle: &'a str,
    state: &'a str,
    id: &'a str,
}

impl Paths<'_> {
    fn words(&self, text: &str) -> Vec<String> {
        text.split(' ')
            .map(|word| {
                word.replace("BUNDLE", self.bundle).replace("STATE", self.state).replace("ID", self.id)
            })
            .collect()
    }
}

/// Those that are installed.
pub fn programs(dyno: &Path) -> Vec<Program> {
    let find = |name: &str| {
        [concat!(env!("CARGO_TARGET_TMPDIR"), "/others/bin"), "/usr/bin", "/usr/sbin", "/usr/local/bin"]
            .iter()
            .map(|dir| Path::new(dir).join(name))
            .find(|p| p.exists())
    };
    let mut found = Vec::new();
    let mut add = |name, path: Option<PathBuf>, arguments: fn(&Paths<'_>) -> Vec<String>| {
        found.extend(path.map(|path| Program { name, path, arguments }));
    };
    add("runc run", find("runc"), |p| p.words("--root STATE/runc run --bundle BUNDLE ID"));
    add("youki run", find("youki"), |p| p.words("--root STATE/youki run --bundle BUNDLE ID"));
    add("crun run", find("crun"), |p| {
        p.words("--root STATE/crun --cgroup-manager=cgroupfs run --bundle BUNDLE ID")
    });
    add("bwrap (no filter, no masks, no groups)", find("bwrap"), |p| {
        p.words(
            "--unshare-all --uid 1000 --gid 1000 --hostname bench --cap-drop ALL --ro-bind BUNDLE/rootfs / \
                 --proc /proc --dev /dev --tmpfs /tmp",
        )
        .into_iter()
        .chain([TRUE.to_owned()])
        .collect()
    });
    let has_face = Command::new(dyno).args(["oci", "--version"]).output().is_ok_and(|o| o.status.success());
    add("dyno oci run", has_face.then(|| dyno.to_owned()), |p| {
        p.words("oci --root STATE/dyno run --bundle BUNDLE ID")
    });
    found
}

impl Program {
    /// Runs the workload to its end.
    pub fn run(&self, bundle: &Bundle, id: &str) -> Result<Run, Failure> {
        let state = bundle.dir.join("state");
        let (bundle, state) = (bundle.dir.to_string_lossy(), state.to_string_lossy());
        let arguments = (self.arguments)(&Paths { bundle: &bundle, state: &state, id });
        let complaints = File::create(Path::new(&*bundle).join("complaints"))?;
        let mut command = Command::new(&self.path);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(complaints);
        let began = now_ns();
        let mut child = command.spawn()?;
        let pidfd = process::open_pid(child.id())?;
        if process::wait_readable(&[pidfd.as_fd()], Some(HANG))? != [true] {
            child.kill()?;
            child.wait()?;
            return Err(Failure::Hang);
        }
        let status = child.wait()?;
        let ended = now_ns();
        let mut stamp = [0; 8];
        let read = child.stdout.take().map(|mut stdout| stdout.read_exact(&mut stamp));
        if !(status.success() && matches!(read, Some(Ok(())))) {
            let said = std::fs::read_to_string(Path::new(&*bundle).join("complaints")).unwrap_or_default();
            return Err(Failure::Broken(format!("{status}: {}", said.trim())));
        }
        Ok(Run { first_ns: u64::from_ne_bytes(stamp).saturating_sub(began), whole_ns: ended - began })
    }
}
