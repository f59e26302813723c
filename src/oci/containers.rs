//! What is known of containers between two commands: a directory for each under the root, and in it the record, the configuration as it
//! was at the creation, a lock, and the socket where a created container waits for its start.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::error::OciError;
use crate::runtime::bundle::BundleCgroup;
use crate::sys::lock::{self, Lock};
use crate::sys::{fs, process};

/// Longest container id, in bytes (the longest file name).
const ID_BYTES_MAX: usize = 255;
/// How long another command's work on a container is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// Version of the specification that is followed.
pub(super) const OCI_VERSION: &str = "1.2.0";

/// A container's state, as the runtime specification counts them, and one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// Being made.
    Creating,
    /// Made, its program not started.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are stopped where they are.
    Paused,
    /// Its program has ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// What is written down of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its first process; 0 while there is none yet.
    pub(super) pid: u32,
    /// When that was started, in ticks since boot.
    pub(super) start_time: u64,
    /// Where its configuration came from.
    pub(super) bundle: PathBuf,
    /// When it was made (RFC 3339).
    pub(super) created: String,
    /// Its control groups.
    pub(super) cgroup: BundleCgroup,
}

/// A container by name.
#[derive(Debug, Clone)]
pub(super) struct Container {
    /// Its name.
    pub(super) id: String,
    dir: PathBuf,
}

/// All containers of one root.
#[derive(Debug, Clone)]
pub(super) struct Containers {
    root: PathBuf,
}

impl Containers {
    /// Those under `root`, which need not exist.
    pub(super) fn at(root: PathBuf) -> Containers {
        Containers { root }
    }

    /// One of them, which need not exist.
    pub(super) fn named(&self, id: &str) -> Result<Container, OciError> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_+-.".contains(&c);
        let first = id.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_');
        if first && id.len() <= ID_BYTES_MAX && id.bytes().all(allowed) {
            Ok(Container { id: id.to_owned(), dir: self.root.join(id) })
        } else {
            Err(OciError::Id(id.to_owned()))
        }
    }

    /// All that exist, by name.
    pub(super) fn all(&self) -> Result<Vec<Container>, OciError> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(OciError::file("list", &self.root))?,
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut all: Vec<_> = names.filter_map(|name| self.named(&name).ok()).collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }
}

impl Container {
    /// Takes the name, and the lock with it.
    pub(super) fn claim(&self) -> Result<Lock, OciError> {
        let made = std::fs::DirBuilder::new().mode(0o700).create(&self.dir);
        let made = match made {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let root = self.dir.parent().unwrap_or(&self.dir);
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(root)
                    .and_then(|()| std::fs::DirBuilder::new().mode(0o700).create(&self.dir))
            }
            made => made,
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(OciError::Exists(self.id.clone()))
            }
            made => {
                made.map_err(OciError::file("make", &self.dir))?;
                self.lock()
            }
        }
    }

    /// Waits until no other command works on it.
    pub(super) fn lock(&self) -> Result<Lock, OciError> {
        let path = self.dir.join("lock");
        match lock::wait_lock(&path, LOCK_TIMEOUT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OciError::NotFound(self.id.clone())),
            locked => locked
                .map_err(OciError::file("lock", &path))?
                .ok_or_else(|| OciError::Locked(self.id.clone())),
        }
    }

    /// What is written down.
    pub(super) fn record(&self) -> Result<Record, OciError> {
        let path = self.dir.join("state.json");
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OciError::NotFound(self.id.clone()));
            }
            read => read.map_err(OciError::file("read", &path))?,
        };
        serde_json::from_slice(&bytes).map_err(|error| OciError::Config { path, reason: error.to_string() })
    }

    /// Writes it down.
    pub(super) fn write(&self, record: &Record) -> Result<(), OciError> {
        let path = self.dir.join("state.json");
        let bytes = serde_json::to_vec(record)
            .map_err(|error| OciError::Config { path: path.clone(), reason: error.to_string() })?;
        fs::replace(&path, &bytes).map_err(OciError::file("write", &path))
    }

    /// Keeps the configuration as it is now: later changes of the bundle are not to count.
    pub(super) fn keep_config(&self, text: &[u8]) -> Result<(), OciError> {
        let path = self.dir.join("config.json");
        std::fs::write(&path, text).map_err(OciError::file("write", &path))
    }

    /// The kept configuration.
    pub(super) fn config(&self) -> Result<Spec, OciError> {
        let path = self.dir.join("config.json");
        let bytes = std::fs::read(&path).map_err(OciError::file("read", &path))?;
        parse(&path, &bytes)
    }

    /// Where it waits for its start.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("start")
    }

    /// Its state now.
    pub(super) fn status(&self, record: &Record) -> Status {
        if record.pid == 0 {
            // Whoever makes it holds the lock; if nobody does, the making was cut off.
            return match lock::try_lock(&self.dir.join("lock")) {
                Ok(Some(_)) => Status::Stopped,
                Ok(None) | Err(_) => Status::Creating,
            };
        }
        if !process::is_running(record.pid, record.start_time) {
            return Status::Stopped;
        }
        if self.socket().exists() {
            return Status::Created;
        }
        if record.cgroup.is_frozen() { Status::Paused } else { Status::Running }
    }

    /// Forgets it.
    pub(super) fn forget(&self) -> Result<(), OciError> {
        fs::remove_tree(&self.dir).map_err(OciError::file("remove", &self.dir))
    }
}

/// Reads a configuration.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Spec, OciError> {
    let failed =
        |error: serde_json::Error| OciError::Config { path: path.to_owned(), reason: error.to_string() };
    serde_json::from_slice(bytes).map_err(failed)
}

/// A container's state as `state` prints it and hooks get it (runtime-spec, "State").
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: Status,
    pid: u32,
    bundle: &'a Path,
    annotations: &'a HashMap<String, String>,
}

impl<'a> State<'a> {
    /// Of a container; no process id is told of a container that has none.
    pub(super) fn new(id: &'a str, status: Status, pid: u32, bundle: &'a Path, spec: &'a Spec) -> State<'a> {
        static NONE: std::sync::LazyLock<HashMap<String, String>> = std::sync::LazyLock::new(HashMap::new);
        let pid = if status == Status::Stopped { 0 } else { pid };
        let annotations = spec.annotations().as_ref().unwrap_or(&NONE);
        State { oci_version: OCI_VERSION, id, status, pid, bundle, annotations }
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// What an agent for system calls is told of a process (runtime-spec, "The Container Process State").
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: State<'a>,
}

impl<'a> ProcessState<'a> {
    /// Of the process `pid` of a container in this state.
    pub(super) fn new(pid: u32, state: State<'a>, spec: &'a Spec) -> ProcessState<'a> {
        let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let metadata = seccomp.and_then(|seccomp| seccomp.listener_metadata().as_deref());
        ProcessState { oci_version: OCI_VERSION, fds: ["seccompFd"], pid, metadata, state }
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Where the agent of a configuration waits.
pub(super) fn agent_path(spec: &Spec) -> Option<&Path> {
    spec.linux().as_ref()?.seccomp().as_ref()?.listener_path().as_deref()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn names_that_could_walk_out_of_a_directory_are_refused() {
        let containers = Containers::at("/nowhere".into());
        for id in ["", ".", "..", "a/b", "../x", "a b", "-a", ".a", "a\n", "ä", &"x".repeat(256)] {
            assert!(containers.named(id).is_err(), "{id:?}");
        }
        for id in ["a", "0", "_x", "web-1.2+3", &"f".repeat(64)] {
            assert!(containers.named(id).is_ok(), "{id:?}");
        }
    }
}
