//! Why a batch was not delivered, by what follows from it.

use std::io;

use thiserror::Error;

/// Why a batch was not taken. Names no more of the destination than the caller knows.
#[derive(Debug, Error)]
pub enum DeliverError {
    /// The receiver will never take this batch.
    #[error("the receiver refuses it with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The receiver failed on this batch; it may have to do with what is in it.
    #[error("the receiver fails with status {status}")]
    Failed {
        /// The HTTP status.
        status: u16,
    },
    /// The receiver asks for patience.
    #[error("the receiver is busy: it answers with status {status}")]
    Busy {
        /// The HTTP status.
        status: u16,
    },
    /// Nobody is there.
    #[error("it cannot be connected to")]
    Connect {
        /// The kernel's errno, or what the resolver says.
        source: io::Error,
    },
    /// The administrator has not allowed to connect to where it is.
    #[error("its address is not one of the public Internet, and drains.private_networks is not set")]
    NotAllowed,
    /// Somebody is there who cannot prove who it is.
    #[error("its certificate does not hold: {error}")]
    Certificate {
        /// What is wrong.
        error: String,
    },
    /// This host has nothing to check certificates against.
    #[error("this host trusts no certificate authority: install ca-certificates")]
    NoTrust,
    /// The connection broke, or the receiver closed it.
    #[error("the connection to it broke")]
    Broken {
        /// What happened to it.
        source: io::Error,
    },
    /// It took too long.
    #[error("it did not {attempt} within {limit_s} seconds")]
    Slow {
        /// What was waited for.
        attempt: &'static str,
        /// For how long.
        limit_s: u64,
    },
}

impl DeliverError {
    /// The connection broke for this reason.
    pub(super) fn broken(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Broken { source: io::Error::other(reason) }
    }

    /// With its cause: one line for the node's own log.
    pub(super) fn told(&self) -> String {
        let cause = std::error::Error::source(self);
        cause.map_or_else(|| self.to_string(), |cause| format!("{self} ({cause})"))
    }
}
