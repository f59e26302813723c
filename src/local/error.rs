//! Why a directory's app does not run.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::domain::ConfigVarsError;
use crate::local::FormationError;
use crate::supervisor::engine::EngineError;
use crate::wire::dotenv::DotenvError;
use crate::wire::procfile::ProcfileError;

/// Why a directory's app does not run.
#[derive(Debug, Error)]
pub enum LocalError {
    /// Containers are root's to make.
    #[error("the processes run in containers, which takes root: run it again with sudo")]
    NotRoot,
    /// There is nothing to be run as asked.
    #[error(transparent)]
    Formation(#[from] FormationError),
    /// The Procfile cannot be taken.
    #[error("the file {} cannot be taken: {source}", path.display())]
    Procfile {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: ProcfileError,
    },
    /// There is neither a Procfile nor a build that tells of process types.
    #[error(
        "there is no Procfile here, and no build has told of process types: write one, such as `web: COMMAND`, or name another file \
         with --procfile"
    )]
    NoProcessTypes,
    /// A file of variables cannot be taken.
    #[error("the file {} cannot be taken: {source}", path.display())]
    Dotenv {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: DotenvError,
    },
    /// Its variables cannot be.
    #[error("the variables cannot be given to a process")]
    Config(#[from] ConfigVarsError),
    /// Another program has the port.
    #[error(
        "port {port} of this machine cannot be had: `ss -ltnp` names who has it; choose another with --port"
    )]
    Port {
        /// Which.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// A process did not start.
    #[error(transparent)]
    Start(#[from] EngineError),
    /// The source could not be packed.
    #[error("the files of {} cannot be packed for the build: {said}", dir.display())]
    Pack {
        /// The directory.
        dir: PathBuf,
        /// What the program that packs has said.
        said: String,
    },
    /// The source is larger than a build may be given.
    #[error("the files of {} hold more than {limit_mib} MiB: name those that no build needs in .gitignore", dir.display())]
    TooLarge {
        /// The directory.
        dir: PathBuf,
        /// The limit, MiB.
        limit_mib: u64,
    },
    /// A file or directory.
    #[error("cannot {attempt} {}", path.display())]
    File {
        /// What was tried.
        attempt: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// This terminal.
    #[error("cannot {attempt}")]
    Terminal {
        /// What was tried.
        attempt: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl LocalError {
    /// For `map_err` on a file operation.
    pub fn file(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { attempt, path, source }
    }

    /// For `map_err` on what is done with this terminal; completes "cannot ...".
    pub(super) fn terminal(attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Terminal { attempt, source }
    }
}
