//! What can go wrong in the log service.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the log service cannot work.
#[derive(Debug, Error)]
pub enum LogError {
    /// A directory or file of the logs: check permissions and space.
    #[error("cannot {attempt} {}", path.display())]
    File {
        /// What was tried: `read`, `write`.
        attempt: &'static str,
        /// The directory or file.
        path: PathBuf,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The system refuses a thread or an inotify instance: raise its limits.
    #[error("cannot start the log service's {part}")]
    Start {
        /// The part.
        part: &'static str,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The process is ending.
    #[error("the log service is shutting down")]
    Closed,
}

impl LogError {
    /// Names what was tried on a file.
    pub(super) fn file(attempt: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { attempt, path, source }
    }
}
