//! The steps a plan consists of: a closed list for each of the three processes that take them, in the order in which they are taken.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::runtime::facts::OverlayLayers;
use crate::runtime::limits::Limits;
use crate::runtime::spec::{Access, Exec, IdMapped, IdRange, Network, StdioKind};

/// Place of a prepared mount in the list that goes from the spawner to init.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot(pub usize);

/// Taken by the spawner, as root of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostStep {
    /// Make the control group and set its limits. First: the container is born inside.
    CreateCgroup(Limits),
    /// Make the files and pipes that the container writes to.
    OpenStreams(StdioKind),
    /// Clone the container's first process with all its namespaces.
    Clone(Network),
    /// Tell the kernel which host ids the container's stand for.
    MapIds(IdRange),
    /// The root: id-mapped read-only layers, as an overlay if there are several.
    PrepareRoot {
        /// Where it is kept.
        slot: Slot,
        /// Lowest first.
        layers: Vec<PathBuf>,
        /// How an overlay takes them.
        by: OverlayLayers,
    },
    /// A copy of the device directory.
    PrepareDevices(Slot),
    /// The file and the directory that cover what is masked.
    PrepareMasks(Slot),
    /// The kernel's device tree, as the container's network namespace sees it.
    PrepareSysfs(Slot),
    /// Memory.
    PrepareTmpfs {
        /// Where it is kept.
        slot: Slot,
        /// Most it may hold.
        size_bytes: u64,
        /// Permission bits of its top directory.
        mode: u32,
        /// Host user and group that own its top directory.
        owner: (u32, u32),
        /// Whether programs may be run from it.
        exec: Exec,
    },
    /// A file or directory of the host.
    PrepareBind {
        /// Where it is kept.
        slot: Slot,
        /// What.
        source: IdMapped,
        /// Whether it may be written.
        access: Access,
        /// Whether programs may be run from it.
        exec: Exec,
    },
    /// Room of a limited size for what the container writes. Before anything is made in it.
    PrepareDisk {
        /// The scratch directory that it takes the place of.
        scratch: PathBuf,
        /// Most it may hold.
        size_bytes: u64,
    },
    /// A private writable directory.
    PrepareScratch {
        /// Where it is kept.
        slot: Slot,
        /// The scratch directory.
        scratch: PathBuf,
        /// Its name there.
        name: String,
        /// Permission bits.
        mode: u32,
        /// Host user and group that own it.
        owner: (u32, u32),
    },
    /// A writable layer over read-only ones.
    PrepareOverlay {
        /// Where it is kept.
        slot: Slot,
        /// Lowest first.
        lowers: Vec<IdMapped>,
        /// Directory of the writable layer.
        scratch: PathBuf,
        /// Host user and group of its top directory.
        owner: (u32, u32),
        /// How an overlay takes the layers.
        by: OverlayLayers,
    },
    /// Small generated files, in one memory file system.
    PrepareFiles {
        /// Where the file system is kept, in which they can be written anew.
        all: Slot,
        /// The files.
        files: Vec<GeneratedFile>,
    },
    /// Hand the prepared mounts to init.
    SendMounts,
    /// Write down what was started, so that it can be found again. While init is at work, and before the application can be.
    Record,
    /// Put the container under the version 1 controllers. Together with init's own work, because the kernel takes its time.
    AttachControllers,
    /// Let init go on to start the application.
    Release,
    /// Take init out of the application's limits. Last: nobody waits for it.
    MoveInit,
}

/// A file of `PrepareFiles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedFile {
    /// Where it is kept.
    pub slot: Slot,
    /// Its name in the file system.
    pub name: String,
    /// What it holds.
    pub contents: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Taken by init, as root of the container's user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitStep {
    /// Wait until the ids stand for the host's.
    AwaitIds,
    /// Become user 0 of the container.
    BecomeRoot,
    /// A session and a session keyring of its own.
    NewSession,
    /// Make a file system that must be made from inside, mounted nowhere yet.
    Make {
        /// Its type.
        kind: KernelFs,
        /// Its options; an empty value is a flag.
        options: Vec<(String, String)>,
    },
    /// Wait for the prepared mounts.
    ReceiveMounts,
    /// Hold the generated files' file system open for as long as init lives, at a number that the host knows.
    HoldFiles(Slot),
    /// Attach the masks where only init can reach them.
    AttachMasks(Slot),
    /// Attach the root.
    AttachRoot(Slot),
    /// Attach a prepared mount.
    Attach {
        /// Which.
        slot: Slot,
        /// Where, inside.
        target: PathBuf,
    },
    /// Attach the first made file system of this type that is not attached yet.
    AttachMade {
        /// Its type.
        kind: KernelFs,
        /// Where, inside.
        target: PathBuf,
    },
    /// Cover a file or directory of the kernel, if it is there.
    Mask(PathBuf),
    /// Make a file or directory of the kernel read-only, if it is there.
    MakeReadOnly(PathBuf),
    /// Set the host name.
    SetHostName(String),
    /// Take the loopback device up.
    LoopbackUp,
    /// Open the application's terminal and hand its other end out. After devpts is mounted.
    OpenTerminal {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        cols: u16,
        /// The application's user, who may reopen it.
        owner: (u32, u32),
    },
    /// Make the root the root, and drop the host's.
    PivotRoot,
    /// Wait until the spawner has done its part.
    AwaitRelease,
    /// Start the application.
    StartProcess,
    /// Give up all rights: from here on init only relays, reaps and reports.
    DropRights,
}

/// File systems that belong to a namespace and are made from inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KernelFs {
    /// Processes.
    Proc,
    /// Terminals.
    Devpts,
    /// Message queues.
    Mqueue,
}

impl KernelFs {
    /// As the kernel calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            KernelFs::Proc => "proc",
            KernelFs::Devpts => "devpts",
            KernelFs::Mqueue => "mqueue",
        }
    }
}

/// A resource of one process that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limited {
    /// Open files.
    OpenFiles,
    /// Bytes of a core dump.
    CoreBytes,
}

/// Taken by the application's first process, before it becomes the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessStep {
    /// Hide the path of the control groups: those the process was born in are the roots of what it sees.
    EnterCgroupNamespace,
    /// A session of its own.
    NewSession,
    /// Take the standard streams (and the terminal, if that is what they are).
    TakeStreams,
    /// Default effects for all signals, none blocked.
    DefaultSignals,
    /// Limit a resource.
    Limit {
        /// Which.
        what: Limited,
        /// How much.
        value: u64,
    },
    /// Empty the bounding set and lock the secure bits. While there is still the right to.
    DropBounding,
    /// Become the application's user.
    BecomeUser {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Empty all other capability sets.
    ClearCapabilities,
    /// No exec gains rights.
    NoNewPrivileges,
    /// File mode creation mask.
    Umask(u32),
    /// Go to the working directory, and see that it is inside the root.
    ChangeDirectory(PathBuf),
    /// Give up changing files anywhere else, where the kernel offers that. What is not listed is read-only by its mount as well.
    RestrictChanges(Vec<PathBuf>),
    /// Find the program, tell the spawner that all went well, and close everything but the standard streams at exec.
    FindProgram,
    /// Install the system call filter. Last, so that it need not allow what came before.
    InstallSeccomp,
    /// Become the application.
    Exec,
}

impl fmt::Display for HostStep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HostStep::PrepareFiles { all, files } = self else { return write!(out, "{self:?}") };
        // The contents may be secret.
        let shown: Vec<_> =
            files.iter().map(|file| (file.slot.0, &file.name, file.contents.len(), file.mode)).collect();
        write!(out, "PrepareFiles {all:?} (slot, name, bytes, mode) {shown:?}")
    }
}

impl fmt::Display for InitStep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self:?}")
    }
}

impl fmt::Display for ProcessStep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self:?}")
    }
}
