//! Why an OCI command failed.

use std::io;
use std::path::{Path, PathBuf};

use crate::runtime::bundle::BundleError;
use crate::runtime::cgroup::CgroupError;
use crate::runtime::plan::PlanError;

use super::containers::Status;

/// Why an OCI command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum OciError {
    /// It was not understood.
    #[error("{0}")]
    Usage(String),
    /// The name is no name.
    #[error(
        "{0:?} is no container id: letters, digits, and _ + - . from the second character on, 255 at most"
    )]
    Id(String),
    /// There is no such container.
    #[error("container {0:?} does not exist")]
    NotFound(String),
    /// The name is taken.
    #[error("container with id {0:?} exists already: delete it, or choose another id")]
    Exists(String),
    /// The container's state does not allow it.
    #[error("cannot {verb} container {id:?}: it is {status}{hint}")]
    State {
        /// What was wanted.
        verb: &'static str,
        /// Which container.
        id: String,
        /// Its state.
        status: Status,
        /// What to do.
        hint: &'static str,
    },
    /// Another command works on the container.
    #[error("container {0:?} is being worked on by another command for too long: try again")]
    Locked(String),
    /// A process does not end.
    #[error(
        "process {0} has not ended 10 s after SIGKILL: it waits for the kernel; delete the container again later"
    )]
    Unkillable(u32),
    /// The configuration is not readable.
    #[error("could not read {}: {reason}", path.display())]
    Config {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file operation failed.
    #[error("could not {attempt} {}: {source}", path.display())]
    File {
        /// What was tried.
        attempt: &'static str,
        /// With what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The runtime refused.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl From<PlanError> for OciError {
    fn from(error: PlanError) -> OciError {
        OciError::Bundle(error.into())
    }
}

impl From<CgroupError> for OciError {
    fn from(error: CgroupError) -> OciError {
        OciError::Bundle(error.into())
    }
}

impl OciError {
    /// For a file operation.
    pub(super) fn file(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OciError + use<> {
        let path = path.to_owned();
        move |source| OciError::File { attempt, path, source }
    }
}

/// The error with its causes, in one line.
pub(super) fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
