//! Why a node does not start, or does not end in order.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::build::BuildFailure;
use crate::daemon::{ConfigError, InstanceError};
use crate::domain::UnknownSize;
use crate::flows::{AuthorityError, FlowError, TokenError};
use crate::git::HostKeyError;
use crate::local::LocalError;
use crate::logs::LogError;
use crate::router::ListenError;
use crate::router::apart::RemoteError;
use crate::runtime::cgroup::CgroupError;
use crate::runtime::client::RuntimeError;
use crate::runtime::container::ContainerError;
use crate::runtime::network::NetworkError;
use crate::stack::StackError;
use crate::store::StoreError;

/// Why a node does not start, or does not end in order.
#[derive(Debug, Error)]
pub(super) enum DaemonError {
    /// What it was told makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another process is this node.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The git endpoint cannot listen.
    #[error(
        "cannot listen on {address} for git pushes and the API: another program may use this port (`ss -ltnp` names it); choose another with --git-port"
    )]
    GitPort {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Git over SSH cannot listen.
    #[error(
        "cannot listen on {address} for git over SSH: another program may use this port (`ss -ltnp` names it); choose another with --ssh-port"
    )]
    SshPort {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The key by which clients of SSH know the node.
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
    /// The router cannot listen.
    #[error(transparent)]
    Router(#[from] ListenError),
    /// A router process does not start.
    #[error("the router does not start: {said}")]
    RouterStart {
        /// Its last words.
        said: String,
    },
    /// A router process has ended as soon as it served.
    #[error("the router has ended as soon as it served: router.log in the run directory says why")]
    RouterLost,
    /// A router process cannot be spoken with.
    #[error(transparent)]
    RouterLink(#[from] RemoteError),
    /// A router process does not end.
    #[error("the router has not ended after {0} s: try again, or kill the process `dyno router`")]
    RouterStays(u64),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The logs.
    #[error(transparent)]
    Logs(#[from] LogError),
    /// The certificates of the API.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Containers cannot be run here; `dyno doctor` says more.
    #[error("containers cannot be run here: `dyno doctor` says what is missing")]
    Runtime(#[from] RuntimeError),
    /// The control groups.
    #[error("the control groups cannot be removed")]
    Groups(#[from] CgroupError),
    /// A container resists.
    #[error("a container cannot be removed")]
    Container(#[from] ContainerError),
    /// A container does not end.
    #[error("container {0} does not end although it was killed: it waits for the kernel; try again later")]
    Unkillable(String),
    /// The network.
    #[error("the network of the dynos")]
    Network(#[from] NetworkError),
    /// The start of the apps.
    #[error("taking up the apps")]
    Resume(#[from] FlowError),
    /// The app of a working directory.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// Its build.
    #[error(transparent)]
    Build(#[from] BuildFailure),
    /// Its stack.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// A size that this node has not.
    #[error(transparent)]
    Size(#[from] UnknownSize),
    /// There is no index left.
    #[error(
        "every index of this machine that could be had is taken, or its addresses are in use: end another node or `dyno local`, or name an \
         index with --index"
    )]
    NoIndex,
    /// Signals cannot be received.
    #[error("cannot wait for signals")]
    Signals {
        /// Why not.
        source: io::Error,
    },
    /// A file or folder of the node.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process still is this node.
    #[error("the node has not ended after {0} s; its own log says why")]
    StillRunning(u64),
}

impl DaemonError {
    /// For `map_err`: names the file.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }
}
