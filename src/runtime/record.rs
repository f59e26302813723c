//! What is written down of a container, so that whoever comes later finds it: `<run>/containers/<id>/`.
//!
//! `record.json` is written by the spawner before the application starts; `exit.init` by init, through a descriptor, as its last
//! act; `exit` by the spawner when init has ended (it knows how, should init have been killed); `refused` by init, while it lives;
//! `process.json` by the spawner once the application runs; `log.ring` is `sys::ring`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::runtime::exit::Exit;
use crate::runtime::plan::{PLAN_FORMAT, Plan, ProcessStep};
use crate::runtime::spec::ContainerId;
use crate::sys::fs;

/// Ending of a directory that is being removed; no container's name has a dot.
const REMOVED: &str = "removed";
/// Name of the file with a `ProcessRecord`.
const PROCESS: &str = "process.json";

/// A container that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name.
    pub id: ContainerId,
    /// Process id of init.
    pub pid: u32,
    /// When init was started, in clock ticks since boot: with the id it names the process.
    pub start_time: u64,
    /// Device and inode of the network namespace.
    pub netns: (u64, u64),
    /// Name of the node's subtree of control groups.
    pub cgroup_root: String,
    /// Directories of writable layers, removed with the container.
    pub scratch: Vec<PathBuf>,
    /// When it was started.
    pub started_at: SystemTime,
    /// The caller's.
    pub labels: BTreeMap<String, String>,
}

/// A call that the filter of system calls refused to a container's application, of those worth telling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCall {
    /// As the kernel calls it: `unshare`.
    pub name: String,
    /// How often; at least so often where init was killed.
    pub count: u64,
}

/// How the application's first process became the application, so that further commands in its container become theirs the same way.
/// Not printed: the environment holds secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runtime) struct ProcessRecord {
    /// Form of the steps (`plan::PLAN_FORMAT`).
    pub(in crate::runtime) format: u32,
    /// Its steps.
    pub(in crate::runtime) steps: Vec<ProcessStep>,
    /// Its environment, as `NAME=value`.
    pub(in crate::runtime) env: Vec<String>,
    /// Host user and group of the application.
    pub(in crate::runtime) owner: (u32, u32),
}

impl ProcessRecord {
    pub(in crate::runtime) fn of(plan: &Plan) -> ProcessRecord {
        let Plan { process, env, owner, .. } = plan.clone();
        ProcessRecord { format: PLAN_FORMAT, steps: process, env, owner }
    }
}

/// Size of the file with the refused calls, bytes: all it may ever hold, so that each write is over the one before.
pub(super) const REFUSED_BYTES: usize = 2048;

/// The files of one container.
#[derive(Debug, Clone)]
pub struct ContainerDir(PathBuf);

impl ContainerDir {
    /// Of the container with this name.
    #[must_use]
    pub fn of(run_dir: &Path, id: &ContainerId) -> ContainerDir {
        ContainerDir(all(run_dir).join(id.as_str()))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The ring of output lines.
    #[must_use]
    pub fn log_ring(&self) -> PathBuf {
        self.0.join("log.ring")
    }

    /// The file that init writes its last words to.
    #[must_use]
    pub fn init_exit(&self) -> PathBuf {
        self.0.join("exit.init")
    }

    /// The file that init writes the application's refused calls to.
    #[must_use]
    pub fn init_refused(&self) -> PathBuf {
        self.0.join("refused")
    }

    /// The application's refused calls, in the order in which they were first made. Of a container that lives they may just be written.
    ///
    /// # Errors
    /// The kernel's errno; `InvalidData`.
    pub fn refused_calls(&self) -> io::Result<Vec<RefusedCall>> {
        match std::fs::read(self.init_refused()) {
            Ok(bytes) if bytes.is_empty() => Ok(Vec::new()),
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            // Of a spawner that did not hear of them.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Reads the record.
    ///
    /// # Errors
    /// `NotFound` if nothing was started; `InvalidData` if it is not as known.
    pub fn record(&self) -> io::Result<Record> {
        Ok(serde_json::from_slice(&std::fs::read(self.0.join("record.json"))?)?)
    }

    /// Writes the record.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn write_record(&self, record: &Record) -> io::Result<()> {
        fs::replace(&self.0.join("record.json"), &serde_json::to_vec(record)?)
    }

    /// How the application became what it is.
    ///
    /// # Errors
    /// `NotFound` where an earlier program started the container; `InvalidData` if it is not as known.
    pub(in crate::runtime) fn process(&self) -> io::Result<ProcessRecord> {
        Ok(serde_json::from_slice(&std::fs::read(self.0.join(PROCESS))?)?)
    }

    /// Writes down how the application became what it is.
    ///
    /// # Errors
    /// The kernel's errno.
    pub(in crate::runtime) fn write_process(&self, process: &ProcessRecord) -> io::Result<()> {
        fs::replace(&self.0.join(PROCESS), &serde_json::to_vec(process)?)
    }

    /// How the container ended, as the spawner wrote it; `None` while it did not.
    ///
    /// # Errors
    /// The kernel's errno; `InvalidData`.
    pub fn exit(&self) -> io::Result<Option<Exit>> {
        read_exit(&self.0.join("exit"))
    }

    /// Removes the directory; fine if it is gone. Takes it out of the way first: the spawner may be about to write into it.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn remove(&self) -> io::Result<()> {
        let aside = self.0.with_extension(REMOVED);
        match std::fs::rename(&self.0, &aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => fs::remove_tree(&aside),
        }
    }

    /// Init's last words; `None` if it has had none.
    ///
    /// # Errors
    /// The kernel's errno; `InvalidData`.
    pub fn last_words(&self) -> io::Result<Option<Exit>> {
        read_exit(&self.init_exit())
    }

    /// Writes down how the container ended.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn write_exit(&self, exit: &Exit) -> io::Result<()> {
        fs::replace(&self.0.join("exit"), &serde_json::to_vec(exit)?)
    }
}

/// Where all containers of a node are kept.
#[must_use]
pub fn all(run_dir: &Path) -> PathBuf {
    run_dir.join("containers")
}

fn read_exit(path: &Path) -> io::Result<Option<Exit>> {
    match std::fs::read(path) {
        Ok(bytes) if bytes.is_empty() => Ok(None),
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    /// As the first spawner wrote it, and never changed: a container whose record cannot be read is taken for the rest of one.
    #[test]
    fn records_of_earlier_spawners_are_read() {
        let text = r#"{"id":"c1","pid":7,"start_time":8,"netns":[4,5],"cgroup_root":"dyno0","scratch":["/var/lib/dyno/scratch/c1"],
            "started_at":{"secs_since_epoch":1795415284,"nanos_since_epoch":0},"labels":{"purpose":"test"}}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!((record.id.as_str(), record.pid, record.start_time, record.netns), ("c1", 7, 8, (4, 5)));
        let exit: Exit = serde_json::from_str(
            r#"{"status":{"Code":3},"at":{"secs_since_epoch":1,"nanos_since_epoch":0},"oom":false}"#,
        )
        .unwrap();
        assert_eq!(exit.shell_status(), 3);
    }
}
