//! What can go wrong with a stack, and what to do about it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a stack could not be found or built.
#[derive(Debug, Error)]
pub enum StackError {
    /// No stack of that name is known to this binary.
    #[error("there is no stack `{name}`; this version knows: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are, with commas.
        known: String,
    },
    /// The stack is known but not on this node's disk.
    #[error("stack `{0}` is not built on this node: run `dyno stacks:build {0}` as root")]
    NotBuilt(String),
    /// An import would take the name of a stack that is built from data.
    #[error("`{0}` is a stack that this program builds itself: import under another name")]
    NameTaken(String),
    /// An image cannot be imported.
    #[error("cannot import {image}: {reason}")]
    Image {
        /// As it was asked for.
        image: String,
        /// One clause.
        reason: String,
    },
    /// The stack has no such set of packages.
    #[error("stack `{stack}` has no packages of the name `{name}`; it has: {known}")]
    UnknownLayer {
        /// The name asked for.
        name: String,
        /// The stack.
        stack: String,
        /// The names there are, with commas.
        known: String,
    },
    /// No data service of that name is known to this binary.
    #[error("there is no data service `{name}`; this version knows: {known}")]
    UnknownService {
        /// The name asked for.
        name: String,
        /// The names there are, with commas.
        known: String,
    },
    /// A data service's description is faulty.
    #[error("the description of data service `{name}` is faulty: {reason}")]
    Service {
        /// The service.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer that something was built on is gone.
    #[error("the packages `{id}` over stack `{stack}` are not on this node any more: deploy the app again")]
    LayerMissing {
        /// The stack.
        stack: String,
        /// The layer's content id.
        id: String,
    },
    /// A record of a built stack cannot be read.
    #[error(
        "the record of a built stack at {path} is damaged ({reason}): remove its directory and build it again"
    )]
    Record {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A stack's description is faulty.
    #[error("the description of stack `{name}` is faulty: {reason}")]
    Manifest {
        /// The stack.
        name: String,
        /// What the parser says.
        reason: String,
    },
    /// The process is not root.
    #[error("building a stack unpacks packages with their owners: run it as root")]
    NotRoot,
    /// A program the build needs is missing on the host.
    #[error("`{program}` is missing: install it with `apt-get install {package}`")]
    ToolMissing {
        /// The program.
        program: &'static str,
        /// The Debian package that holds it.
        package: &'static str,
    },
    /// Too little free space.
    #[error(
        "{path} has {free_mib} MiB free, and building a stack needs {needed_mib} MiB: free some space, or use another directory"
    )]
    DiskFull {
        /// Where the stack would be.
        path: PathBuf,
        /// What is free, in MiB.
        free_mib: u64,
        /// What is needed, in MiB.
        needed_mib: u64,
    },
    /// Another process builds a stack on this node.
    #[error("another stack build is under way on this node: wait until it ends, then try again")]
    Busy,
    /// The host has no apt sources of its suite.
    #[error(
        "no Debian package source of this host ({host_suite}) was found in {path}: a stack is built from them"
    )]
    NoSources {
        /// The host's suite.
        host_suite: String,
        /// Where sources were looked for.
        path: PathBuf,
    },
    /// The keys of the suite's archive are not on the host.
    #[error(
        "the archive keys of {suite} are missing ({detail}): run `apt-get install debian-archive-keyring`"
    )]
    KeyringMissing {
        /// The stack's suite.
        suite: String,
        /// The missing file, or what apt said.
        detail: String,
    },
    /// The package archive does not answer.
    #[error(
        "the package archive cannot be reached: check the network, the proxy settings and apt's sources\n{0}"
    )]
    Network(String),
    /// The file system cannot carry an overlay.
    #[error(
        "no overlay can be mounted over {0}: the directory must lie on a local file system such as ext4 or xfs, not on an overlay or a network share"
    )]
    Overlay(PathBuf),
    /// A step of the build failed otherwise.
    #[error("{step} failed ({status}); its last lines:\n{tail}")]
    Step {
        /// What was done.
        step: &'static str,
        /// How it ended.
        status: String,
        /// The last lines it wrote.
        tail: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl StackError {
    /// For `map_err`: the attempt and its object.
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
