//! The user's program: found and made ready before the last rights are given up.

use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Process;

use crate::sys::process;

/// Where programs are looked for if the environment has no `PATH`.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program to become.
pub(super) struct Program {
    path: String,
    argv: Vec<String>,
    env: Vec<String>,
    /// Not entered yet: perhaps the user may, where the container's root may not.
    directory: Option<PathBuf>,
}

/// Goes to the working directory and finds the program, as execvp(3) does.
pub(super) fn find(process: &Process, directory: &Path) -> io::Result<Program> {
    let is_entered = match enter(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => false,
        entered => {
            entered?;
            true
        }
    };
    let argv = process.args().clone().unwrap_or_default();
    let mut env = process.env().clone().unwrap_or_default();
    if !env.iter().any(|pair| pair.starts_with("HOME=")) {
        env.push(format!("HOME={}", home(process.user().uid())));
    }
    let path = locate(argv.first().map(String::as_str).unwrap_or_default(), &env)?;
    Ok(Program { path, argv, env, directory: (!is_entered).then(|| directory.to_owned()) })
}

impl Program {
    /// Becomes the program; returns only on failure.
    pub(super) fn execute(&self) -> io::Error {
        if let Some(Err(error)) = self.directory.as_deref().map(enter) {
            return error;
        }
        let error = process::execute(&self.path, &self.argv, &self.env);
        io::Error::new(error.kind(), format!("exec: {:?}: {}", self.path, super::protocol::spelled(&error)))
    }
}

/// The kernel tells a working directory outside the root by a first word that is no path (CVE-2024-21626).
fn enter(directory: &Path) -> io::Result<()> {
    let mut entered = process::change_directory(directory);
    if entered.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        // Usual images lack their own working directory; a read-only root says no here.
        entered = std::fs::create_dir_all(directory).and_then(|()| process::change_directory(directory));
    }
    entered.map_err(|error| {
        let reason = super::protocol::spelled(&error);
        io::Error::new(error.kind(), format!("chdir to cwd {:?}: {reason}", directory.display().to_string()))
    })?;
    match std::env::current_dir() {
        Ok(here) if here.is_absolute() => Ok(()),
        _ => Err(io::Error::other("the working directory is outside the root")),
    }
}

fn locate(name: &str, env: &[String]) -> io::Result<String> {
    let named = |kind: io::ErrorKind, why: &str| io::Error::new(kind, format!("exec: {name:?}: {why}"));
    if name.contains('/') {
        return match std::fs::metadata(name) {
            Ok(found) if found.is_dir() => Err(named(io::ErrorKind::PermissionDenied, "is a directory")),
            Ok(_) if process::is_executable(name) => Ok(name.to_owned()),
            Ok(_) => Err(named(io::ErrorKind::PermissionDenied, "permission denied")),
            Err(error) => Err(named(error.kind(), &super::protocol::spelled(&error))),
        };
    }
    let path = env.iter().rev().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or(PATH_DEFAULT);
    let candidate = |dir: &str| format!("{}/{name}", if dir.is_empty() { "." } else { dir });
    let found = path.split(':').map(candidate).find(|path| process::is_executable(path));
    found.ok_or_else(|| named(io::ErrorKind::NotFound, "executable file not found in $PATH"))
}

/// The user's home by the container's own list of users, or the top.
fn home(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| {
        let mut fields = line.split(':');
        let is_user = fields.nth(2)?.parse() == Ok(uid);
        let home = fields.nth(2)?;
        (is_user && !home.is_empty()).then(|| home.to_owned())
    };
    users.lines().find_map(of).unwrap_or_else(|| "/".to_owned())
}
