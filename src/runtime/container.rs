//! A container that was started: waiting for its end, signals, figures, removal. All of it works for adopted ones as well.

mod listening;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::runtime::cgroup::{CgroupError, Cgroups, ContainerCgroup, Usage};
use crate::runtime::client::Outcome;
use crate::runtime::exit::{Exit, ExitStatus};
use crate::runtime::init::FILES_FD;
use crate::runtime::plan::file_name;
use crate::runtime::record::{ContainerDir, Record, RefusedCall};
use crate::runtime::spec::{ContainerId, ListeningSocket};
use crate::sys::netns::NetnsRef;
use crate::sys::{clock, fs, process};

/// How long the spawner may take to write down the end of a container whose init was killed.
pub(crate) const EXIT_RECORD_WAIT: Duration = Duration::from_secs(2);
/// Pause between two looks at that.
const EXIT_RECORD_PAUSE: Duration = Duration::from_millis(2);
/// Pause between two looks at a process that cannot be waited for by descriptor.
const FATE_PAUSE: Duration = Duration::from_millis(100);
/// Number of the signal that ends a process whatever it thinks of it.
const SIGKILL: u8 = 9;

/// A handle to a container. Cheap to clone; dropping it does nothing to the container.
#[derive(Debug, Clone)]
pub struct Container {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    record: Record,
    dir: ContainerDir,
    /// `None` if init had ended when the handle was made.
    pidfd: Option<OwnedFd>,
    cgroups: Cgroups,
}

/// Signals an application is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Hang up.
    Hangup,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    /// Die at once.
    Kill,
    /// Please end.
    Terminate,
    /// For its own use.
    User1,
    /// For its own use.
    User2,
    /// The window has another size.
    WindowChanged,
}

impl Signal {
    /// The kernel's number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Signal::Hangup => 1,
            Signal::Interrupt => 2,
            Signal::Quit => 3,
            Signal::Kill => SIGKILL,
            Signal::User1 => 10,
            Signal::User2 => 12,
            Signal::Terminate => 15,
            Signal::WindowChanged => 28,
        }
    }
}

/// Why something could not be done to a container.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Its control groups.
    #[error("could not {attempt} the container {id}")]
    Cgroup {
        /// What was tried.
        attempt: &'static str,
        /// Which container.
        id: ContainerId,
        /// Why not.
        source: Box<CgroupError>,
    },
    /// Its files or processes.
    #[error("could not {attempt} the container {id}")]
    Kernel {
        /// What was tried.
        attempt: &'static str,
        /// Which container.
        id: ContainerId,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It runs.
    #[error("the container {id} still runs; end it before it is removed")]
    Running {
        /// Which container.
        id: ContainerId,
    },
}

impl Container {
    pub(crate) fn new(
        record: Record,
        dir: ContainerDir,
        pidfd: Option<OwnedFd>,
        cgroups: Cgroups,
    ) -> Container {
        let pidfd = pidfd.or_else(|| open_init(&record));
        Container { inner: Arc::new(Inner { record, dir, pidfd, cgroups }) }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.inner.record.id
    }

    /// Process id of its init, on the host.
    #[must_use]
    pub fn init_pid(&self) -> u32 {
        self.inner.record.pid
    }

    /// When it was started.
    #[must_use]
    pub fn started_at(&self) -> SystemTime {
        self.inner.record.started_at
    }

    /// The labels it was started with.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.inner.record.labels
    }

    /// The ring with its output (`sys::ring`), if that is where it leads.
    #[must_use]
    pub fn log_ring(&self) -> PathBuf {
        self.inner.dir.log_ring()
    }

    /// Its network namespace: checked when opened, so that another process with init's old id is not taken for it.
    #[must_use]
    pub fn netns(&self) -> NetnsRef {
        let Record { pid, netns: (dev, ino), .. } = self.inner.record;
        NetnsRef { path: format!("/proc/{pid}/ns/net").into(), dev, ino }
    }

    /// Waits for the end. May be called by several at once, and after the end.
    pub async fn wait(&self) -> Exit {
        if let Some(pidfd) = &self.inner.pidfd {
            let ended = match pidfd.try_clone() {
                Ok(pidfd) => process::ended(pidfd).await.is_ok(),
                Err(_) => false,
            };
            // No descriptors left to wait with: look from time to time.
            while !ended && self.is_running() {
                tokio::time::sleep(FATE_PAUSE).await;
            }
        }
        let deadline = clock::monotonic() + EXIT_RECORD_WAIT;
        loop {
            if let Some(exit) = self.written_exit() {
                return exit;
            }
            if clock::monotonic() >= deadline {
                return self.lost();
            }
            tokio::time::sleep(EXIT_RECORD_PAUSE).await;
        }
    }

    /// Whether its init lives.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let same = |start: u64| start == self.inner.record.start_time;
        let has_descriptor = self.inner.pidfd.is_some();
        has_descriptor && process::start_time(self.init_pid()).is_ok_and(same) && !self.is_zombie()
    }

    /// Ended, though its parent has not looked yet.
    fn is_zombie(&self) -> bool {
        let Some(pidfd) = &self.inner.pidfd else { return false };
        let at_once = Some(Duration::ZERO);
        process::wait_readable(&[std::os::fd::AsFd::as_fd(pidfd)], at_once).is_ok_and(|ready| ready == [true])
    }

    /// How it ended, if it has and that was written down already. Does not wait.
    #[must_use]
    pub fn ended(&self) -> Option<Exit> {
        self.written_exit()
    }

    /// What became of it. Of one that has just ended, its spawner may have to write that down still: it is waited for until
    /// `deadline`. Blocks the thread.
    pub(crate) fn fate(&self, deadline: Instant) -> Outcome {
        if self.is_running() {
            return Outcome::Alive;
        }
        loop {
            if let Some(exit) = self.written_exit() {
                return Outcome::Gone(exit);
            }
            if clock::monotonic() >= deadline {
                return Outcome::Gone(self.lost());
            }
            std::thread::sleep(EXIT_RECORD_PAUSE);
        }
    }

    /// What the filter of system calls refused its application, of the calls worth telling; none where that cannot be read.
    #[must_use]
    pub fn refused_calls(&self) -> Vec<RefusedCall> {
        self.inner.dir.refused_calls().unwrap_or_default()
    }

    /// Init's own words come first: they are there when it ends, whether or not a spawner lives.
    fn written_exit(&self) -> Option<Exit> {
        if let Ok(Some(exit)) = self.inner.dir.exit() {
            return Some(exit);
        }
        let words = self.inner.dir.last_words().ok().flatten()?;
        let oom = self.cgroup().and_then(|group| group.events()).is_ok_and(|events| events.oom_kills > 0);
        Some(Exit { oom, ..words })
    }

    fn lost(&self) -> Exit {
        let exit = Exit { status: ExitStatus::Lost, at: clock::now(), oom: false };
        // So that all who ask later hear the same; if it cannot be written they hear it again.
        let _ = self.inner.dir.write_exit(&exit);
        exit
    }

    /// Sends a signal to every process of the application; init is none. Says to how many.
    ///
    /// # Errors
    /// Its control group cannot be read.
    pub fn signal_all(&self, signal: Signal) -> Result<usize, ContainerError> {
        let pids = || self.cgroup().and_then(|group| group.app_pids()).map_err(self.cgroup_error("signal"));
        let opened: Vec<_> =
            pids()?.into_iter().filter_map(|pid| Some((pid, process::open_pid(pid).ok()?))).collect();
        // Those still listed are those that were opened: an id is not given anew while a descriptor shows its owner alive.
        let listed = pids()?;
        let is_meant = |(pid, _): &&(u32, OwnedFd)| *pid != self.init_pid() && listed.contains(pid);
        let signalled = opened.iter().filter(is_meant);
        Ok(signalled.filter(|(_, pidfd)| process::signal_descriptor(pidfd, signal.number()).is_ok()).count())
    }

    /// Ends the application at once, with all its processes. Init passes on what they had said, writes down how it ended, and ends.
    ///
    /// # Errors
    /// Its control group is gone, or cannot be reached.
    pub fn kill_application(&self) -> Result<(), ContainerError> {
        let killed = self.cgroup().and_then(|group| group.kill_app());
        killed.map_err(self.cgroup_error("kill the application of"))
    }

    /// Ends it at once, with all its processes. What they had said and init has not passed on is lost.
    ///
    /// # Errors
    /// Neither the control group nor init can be reached, and it runs.
    pub fn kill(&self) -> Result<(), ContainerError> {
        let by_group = self.cgroup().and_then(|group| group.kill());
        // The death of init is the death of all.
        let by_init = match &self.inner.pidfd {
            Some(pidfd) if self.is_running() => process::signal_descriptor(pidfd, SIGKILL),
            Some(_) | None => Ok(()),
        };
        match (by_group, by_init) {
            (Err(source), Err(_)) => Err(self.cgroup_error("kill")(source)),
            (Ok(()), _) | (_, Ok(())) => Ok(()),
        }
    }

    /// Sockets on which it waits for connections.
    ///
    /// # Errors
    /// It has ended.
    pub fn listening(&self) -> Result<Vec<ListeningSocket>, ContainerError> {
        listening::sockets(self.init_pid()).map_err(self.kernel_error("list the sockets of"))
    }

    /// What it uses now.
    ///
    /// # Errors
    /// Its control group cannot be read.
    pub fn usage(&self) -> Result<Usage, ContainerError> {
        self.cgroup().and_then(|group| group.usage()).map_err(self.cgroup_error("measure"))
    }

    /// Has generated files say something else, each named by its target. In place: who has one open reads on in it, and for a moment
    /// may find some of the old and some of the new.
    ///
    /// # Errors
    /// It has ended, was started by a program that did not offer this, or never had such a file.
    pub fn rewrite(&self, files: &[(&Path, String)]) -> Result<(), ContainerError> {
        let (pid, failed) = (self.init_pid(), self.kernel_error("rewrite files of"));
        let place = PathBuf::from(format!("/proc/{pid}/fd/{FILES_FD}"));
        let rewritten = files.iter().try_for_each(|(target, text)| {
            let file = std::fs::File::options().write(true).open(place.join(file_name(target)))?;
            // If it is init's after the opening, it was before.
            if process::start_time(pid)? != self.inner.record.start_time {
                return Err(io::ErrorKind::NotFound.into());
            }
            file.write_all_at(text.as_bytes(), 0)?;
            file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))
        });
        rewritten.map_err(failed)
    }

    /// Its control groups, for what is not offered here.
    ///
    /// # Errors
    /// They are gone.
    pub fn cgroup(&self) -> Result<ContainerCgroup, CgroupError> {
        self.inner.cgroups.open(self.id().as_str())
    }

    /// Removes what is left after its end: control groups, writable layers, records. May be repeated.
    ///
    /// # Errors
    /// `Running`, or something would not go; what did is gone, and a further try goes on.
    pub async fn remove(&self) -> Result<(), ContainerError> {
        if self.is_running() {
            return Err(ContainerError::Running { id: self.id().clone() });
        }
        let container = self.clone();
        let removed = tokio::task::spawn_blocking(move || container.remove_now()).await;
        removed.unwrap_or_else(|error| Err(self.kernel_error("remove")(io::Error::other(error))))
    }

    /// The record goes last: until then the rest can be found by it.
    fn remove_now(&self) -> Result<(), ContainerError> {
        let inner = &self.inner;
        inner.cgroups.remove_everywhere(self.id().as_str()).map_err(self.cgroup_error("remove"))?;
        for dir in &inner.record.scratch {
            fs::remove_tree(dir).map_err(self.kernel_error("remove a writable layer of"))?;
        }
        inner.dir.remove().map_err(self.kernel_error("remove the record of"))
    }

    fn cgroup_error(&self, attempt: &'static str) -> impl FnOnce(CgroupError) -> ContainerError + use<> {
        let id = self.id().clone();
        move |source| ContainerError::Cgroup { attempt, id, source: source.into() }
    }

    fn kernel_error(&self, attempt: &'static str) -> impl FnOnce(io::Error) -> ContainerError + use<> {
        let id = self.id().clone();
        move |source| ContainerError::Kernel { attempt, id, source }
    }
}

/// A descriptor for the init of a record, if the process that has its id is still that one.
fn open_init(record: &Record) -> Option<OwnedFd> {
    // The descriptor first: if the start time is right afterwards, it was right when the descriptor was opened.
    let pidfd = process::open_pid(record.pid).ok()?;
    (process::start_time(record.pid).ok()? == record.start_time).then_some(pidfd)
}
