//! What is done to start a container that a bundle describes, as lists: `Prepare` by the starting process before the clone, `Step` by
//! the container's own process after it. The container's process is the user's: there is no init beside it.

use std::fmt;
use std::path::PathBuf;

use super::options::Options;
use crate::sys::namespace::Kind;
use crate::sys::rights::{Capabilities, Limited};
use crate::sys::scheduling::{IoPriority, Scheduling};
use crate::sys::tree::{Change, Extent, Node, Propagation};

/// Place of a prepared mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(pub usize);

/// A map of ids of one user namespace, as the kernel takes it: lines of (inside, outside, count).
pub type IdMap = Vec<(u32, u32, u32)>;

/// Users and groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdMaps {
    /// Users.
    pub users: IdMap,
    /// Groups.
    pub groups: IdMap,
}

/// Prepared by the starting process, which sees the host and may do everything: detached mounts, in the order of their slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepare {
    /// The root, with what is mounted in it.
    Root {
        /// On the host.
        path: PathBuf,
        /// What it shares with the host.
        propagation: Propagation,
    },
    /// Something of the host.
    Bind {
        /// On the host.
        source: PathBuf,
        /// Alone or with all below it, and as what.
        options: Options,
        /// For id-mapped mounts.
        ids: Option<IdMaps>,
    },
    /// A device directory in memory.
    Devices {
        /// Options of the file system.
        options: Vec<String>,
        /// Attributes of the mount; read-only is left to the end.
        attributes: u64,
        /// Host user and group of the container's root.
        owner: (u32, u32),
        /// Device files, by their path below the directory.
        nodes: Vec<(PathBuf, Node)>,
    },
    /// An empty file and an empty directory to cover things with, and device files that are wanted outside the device directory.
    Covers(Vec<Node>),
    /// The kernel's device tree, as the network namespace that is joined has it.
    Sysfs {
        /// Attributes of the mount.
        attributes: u64,
    },
}

/// Done by the container's process, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Enter the mount namespace that is there already, with its root.
    JoinMounts,
    /// Wait until the ids are mapped.
    AwaitIds,
    /// Become user 0 of the new user namespace.
    BecomeRoot,
    /// A session of its own.
    NewSession,
    /// A session keyring of its own.
    NewKeyring,
    /// Cut the new mount namespace off from the host's.
    Propagate(Propagation),
    /// Attach the covers where only this process can reach them.
    AttachCovers(Slot),
    /// Attach the root.
    AttachRoot(Slot),
    /// Attach a prepared mount.
    Attach {
        /// Which.
        slot: Slot,
        /// Where, inside.
        target: PathBuf,
    },
    /// Mount a new file system.
    Mount {
        /// Its type.
        kind: String,
        /// Its source.
        source: PathBuf,
        /// Where, inside.
        target: PathBuf,
        /// Its options.
        options: Options,
    },
    /// Attach the container's own control groups.
    AttachCgroups {
        /// Where, inside.
        target: PathBuf,
        /// Its options.
        options: Options,
    },
    /// A device file outside the prepared device directory.
    AttachDevice {
        /// Which of the prepared ones.
        index: usize,
        /// Where, inside.
        target: PathBuf,
    },
    /// The usual links in the device directory.
    LinkDevices,
    /// Change a mount when nothing is to be made in it any more.
    Seal {
        /// Where, inside.
        target: PathBuf,
        /// How.
        change: Change,
        /// Of what.
        extent: Extent,
    },
    /// Take the loopback device up.
    LoopbackUp,
    /// Wait until the starter has run its hooks.
    AwaitRuntimeHooks,
    /// Run the hooks of this point.
    ContainerHooks,
    /// Open the terminal and hand its other end out.
    OpenTerminal {
        /// Its size, if the specification has one: lines and characters.
        size: Option<(u16, u16)>,
        /// Its user, who may open it again.
        owner: u32,
    },
    /// Set a kernel parameter.
    Sysctl {
        /// Its dotted name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Make the covers read-only, and without devices. When no device file is to be taken from beside them any more.
    SealCovers,
    /// Cover a file or directory, if it is there.
    Mask(PathBuf),
    /// Make a file or directory read-only, if it is there.
    MakeReadOnly(PathBuf),
    /// Make the root read-only.
    SealRoot,
    /// Make the root the root, and drop the host's.
    PivotRoot,
    /// Make the root the root, the host's staying reachable for whoever may change roots.
    ChangeRoot,
    /// What the root shares, from here on.
    PropagateRoot(Propagation, Extent),
    /// Set the host name.
    SetHostName(String),
    /// Set the NIS domain name.
    SetDomainName(String),
    /// Hide the path of the control group. After the last of them is entered.
    EnterCgroupNamespace,
    /// Set the execution domain.
    SetPersonality(u32),
    /// Set from which nodes memory is taken. After the last of the control groups is entered, which may leave it some of them only.
    SetMemoryPolicy {
        /// `MPOL_*`, with its flags.
        mode: u32,
        /// Numbers of nodes.
        nodes: Vec<usize>,
    },
    /// Find the program and the working directory.
    FindProgram(PathBuf),
    /// Install the filter for the system calls that an agent decides on, and hand over where it takes them.
    EngageAgent,
    /// All is ready: say so, and wait for the start.
    AwaitStart,
    /// Run the hooks of this point.
    StartHooks,
    /// Say that what is left is becoming the program; from here on the filter may forbid to say so. Default effects for all signals.
    Announce,
    /// File mode creation mask.
    Umask(u32),
    /// Install the system call filter.
    InstallSeccomp,
    /// Leave these in the bounding set.
    Bound(u64),
    /// Become the user.
    BecomeUser {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Further groups.
        groups: Vec<u32>,
    },
    /// Set the other capability sets.
    SetCapabilities(Capabilities),
    /// No exec gains rights.
    NoNewPrivileges,
    /// Become the user's program.
    Exec,
}

/// A limit of one process's resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// Which.
    pub what: Limited,
    /// Soft.
    pub soft: u64,
    /// Hard.
    pub hard: u64,
}

/// When a process gets the processor and the disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turns {
    /// How processors are shared with it.
    pub scheduling: Option<Scheduling>,
    /// How its reading and writing is ranked.
    pub io: Option<IoPriority>,
    /// Which processors it runs on; not for a container's first process.
    pub processors: Processors,
}

/// Lists of processors; an empty one leaves things as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Processors {
    /// Of the starter, before it makes the process.
    pub at_first: Vec<usize>,
    /// Of the process, once it is in the container's groups.
    pub finally: Vec<usize>,
}

/// Namespaces of the container; kinds that are in neither list are the caller's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespacePlan {
    /// Made.
    pub new: Vec<Kind>,
    /// Entered.
    pub joined: Vec<(Kind, PathBuf)>,
}

impl NamespacePlan {
    /// Whether a kind is made.
    #[must_use]
    pub fn makes(&self, kind: Kind) -> bool {
        self.new.contains(&kind)
    }

    /// The path of a kind that is entered.
    #[must_use]
    pub fn joins(&self, kind: Kind) -> Option<&PathBuf> {
        self.joined.iter().find(|(joined, _)| *joined == kind).map(|(_, path)| path)
    }
}

impl fmt::Display for Prepare {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Prepare::Root { path, .. } => write!(out, "open the root file system {}", path.display()),
            Prepare::Bind { source, .. } => write!(out, "open the mount source {}", source.display()),
            Prepare::Devices { .. } => out.write_str("make the device directory"),
            Prepare::Covers(_) => out.write_str("prepare what covers masked paths"),
            Prepare::Sysfs { .. } => out.write_str("mount sysfs"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Mount { kind, target, .. } => write!(out, "mount {kind} at {}", target.display()),
            Step::AttachCgroups { target, .. } => {
                write!(out, "mount the control groups at {}", target.display())
            }
            Step::Attach { target, .. } => write!(out, "mount at {}", target.display()),
            Step::AttachDevice { target, .. } => write!(out, "make the device {}", target.display()),
            Step::Seal { target, .. } => write!(out, "change the mount at {}", target.display()),
            Step::Mask(path) => write!(out, "mask {}", path.display()),
            Step::MakeReadOnly(path) => write!(out, "make {} read-only", path.display()),
            Step::Sysctl { name, value } => write!(out, "set the kernel parameter {name} to {value:?}"),
            Step::SetHostName(name) => write!(out, "set the host name {name:?}"),
            Step::SetDomainName(name) => write!(out, "set the domain name {name:?}"),
            Step::FindProgram(directory) => write!(out, "find the program from {}", directory.display()),
            Step::BecomeUser { uid, gid, .. } => write!(out, "become user {uid} and group {gid}"),
            Step::AttachRoot(_) => out.write_str("attach the root file system"),
            Step::PivotRoot | Step::ChangeRoot => out.write_str("change to the root file system"),
            Step::OpenTerminal { .. } => out.write_str("open the terminal"),
            Step::InstallSeccomp => out.write_str("install the system call filter"),
            Step::EngageAgent => out.write_str("install the filter of system calls that an agent decides on"),
            Step::SetMemoryPolicy { nodes, .. } => {
                write!(out, "set the memory policy for the nodes {nodes:?}")
            }
            Step::SetCapabilities(_) | Step::Bound(_) => out.write_str("set the capabilities"),
            Step::ContainerHooks | Step::StartHooks => out.write_str("run the hooks"),
            Step::Exec => out.write_str("run the program"),
            Step::JoinMounts
            | Step::AwaitIds
            | Step::BecomeRoot
            | Step::NewSession
            | Step::NewKeyring
            | Step::Propagate(_)
            | Step::AttachCovers(_)
            | Step::LinkDevices
            | Step::LoopbackUp
            | Step::AwaitRuntimeHooks
            | Step::SealRoot
            | Step::PropagateRoot(..)
            | Step::EnterCgroupNamespace
            | Step::SetPersonality(_)
            | Step::AwaitStart
            | Step::Announce
            | Step::Umask(_)
            | Step::NoNewPrivileges
            | Step::SealCovers => write!(out, "{self:?}"),
        }
    }
}
