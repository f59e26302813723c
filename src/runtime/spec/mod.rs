//! What a caller asks for: a `Sandbox`. `hardened` spells it as an OCI specification plus our extensions; the plan is made of that.

mod hardened;
mod id;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::runtime::limits::Limits;

pub use hardened::{ContainerSpec, Extensions};
pub use id::{ContainerId, InvalidContainerId};

/// A container as callers describe it: what it sees, what it runs, what it may use. Everything not named here is as closed
/// as the kernel allows: all namespaces new, no capabilities, `no_new_privs`, the system call filter, masked `/proc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// Name of the container on this node; at most one lives under a name.
    pub id: ContainerId,
    /// Host name seen inside.
    pub hostname: String,
    /// Directories that make up the root, lowest first; read-only. The ids on disk appear inside as `0..len` of `ids`.
    pub root_layers: Vec<PathBuf>,
    /// The host ids the container's ids stand for.
    pub ids: IdRange,
    /// What is laid over the root, in this order. Every target must exist in the root or in a mount before it.
    pub mounts: Vec<SandboxMount>,
    /// The application.
    pub process: Process,
    /// What it may use.
    pub limits: Limits,
    /// What it reaches.
    pub network: Network,
    /// Where its standard streams lead.
    pub stdio: StdioKind,
    /// Kept in the container's record and handed back at adoption; not interpreted here.
    pub labels: BTreeMap<String, String>,
}

/// Container ids `0..len` stand for host ids `host_base..host_base + len`, for users and groups alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// First host id.
    pub host_base: u32,
    /// How many.
    pub len: u32,
}

impl IdRange {
    /// The host's id of a container id; `None` beyond the range.
    #[must_use]
    pub fn host(self, inside: u32) -> Option<u32> {
        if inside < self.len { self.host_base.checked_add(inside) } else { None }
    }
}

/// Something laid over the root. All are mounted without device files and without set-user-id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxMount {
    /// A writable layer over read-only ones.
    Overlay {
        /// Read-only layers, lowest first.
        lowers: Vec<IdMapped>,
        /// Host directory of the writable layer; `upper` and `work` are made inside, rightly owned.
        scratch: PathBuf,
        /// Where, inside.
        target: PathBuf,
        /// Container user and group that own the top directory.
        owner: (u32, u32),
    },
    /// An empty writable directory of the container's own, gone with it.
    Scratch {
        /// Host directory of the container's scratch, as an overlay's.
        scratch: PathBuf,
        /// Name of the directory there, unlike that of any other.
        name: String,
        /// Where, inside.
        target: PathBuf,
        /// Permission bits.
        mode: u32,
        /// Container user and group that own it.
        owner: (u32, u32),
    },
    /// A directory or file of the host.
    Bind {
        /// What.
        source: IdMapped,
        /// Where, inside.
        target: PathBuf,
        /// Whether the container may write.
        access: Access,
        /// Whether the container may run programs from it.
        exec: Exec,
    },
    /// Memory; counted against the container's memory limit.
    Tmpfs {
        /// Where, inside.
        target: PathBuf,
        /// Most it may hold, in bytes.
        size_bytes: u64,
        /// Permission bits of its top directory.
        mode: u32,
        /// Container user and group that own its top directory.
        owner: (u32, u32),
        /// Whether the container may run programs from it.
        exec: Exec,
    },
    /// A small generated file, read-only and owned by the container's root. `Container::rewrite` changes what it says.
    File {
        /// Where, inside; an existing file.
        target: PathBuf,
        /// What it holds.
        contents: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
}

impl SandboxMount {
    /// Where, inside.
    #[must_use]
    pub fn target(&self) -> &std::path::Path {
        match self {
            SandboxMount::Overlay { target, .. }
            | SandboxMount::Scratch { target, .. }
            | SandboxMount::Bind { target, .. }
            | SandboxMount::Tmpfs { target, .. }
            | SandboxMount::File { target, .. } => target,
        }
    }
}

/// A host path and how the ids on its disk appear inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapped {
    /// On the host.
    pub path: PathBuf,
    /// `(on disk, inside)`: the one id, as user and group, that owns everything there and the container id it appears as.
    /// `None` maps `0..len` as for the root layers.
    pub disk: Option<(u32, u32)>,
}

/// Whether a mount may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// No.
    ReadOnly,
    /// Yes.
    ReadWrite,
}

/// Whether programs may be run from a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exec {
    /// Yes.
    Allowed,
    /// No.
    Denied,
}

/// The application's first process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments; a program without `/` is looked for in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory, inside.
    pub cwd: PathBuf,
    /// Container user. Not 0: that is init's.
    pub uid: u32,
    /// Container group.
    pub gid: u32,
    /// File mode creation mask.
    pub umask: u32,
}

/// What the container reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// Only itself: a fresh network namespace with `lo`.
    Isolated,
    /// The network namespace at this path, made ready by the caller (a path through `/proc/<pid>/fd/` will do). It stays
    /// open until the container has started; from then on the container keeps it.
    Joined(PathBuf),
}

/// Where the application's standard streams lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StdioKind {
    /// Output and errors as lines to the container's log ring; input is empty.
    Log,
    /// A terminal of this size; the caller gets its other end.
    Terminal {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        cols: u16,
    },
    /// Three pipes; the caller gets their other ends.
    Pipes,
}

/// A socket that waits for connections inside a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListeningSocket {
    /// Address and port it is bound to.
    pub address: SocketAddr,
}
