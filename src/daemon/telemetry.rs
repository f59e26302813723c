//! The node's own log, on standard error; not to be confused with the logs of apps.

use tracing_subscriber::EnvFilter;

use crate::daemon::config::LogFormat;
use crate::sys::tty;

/// What a node logs when `DYNO_LOG` says nothing.
pub(super) const SERVING: &str = "info";
/// The same for a command that shows something else on its terminal.
pub(super) const WARNINGS: &str = "warn";

/// Starts the log; once a process. `usual` is what is logged when `DYNO_LOG` says nothing.
pub(super) fn start(format: LogFormat, usual: &str) {
    let filter = EnvFilter::try_from_env("DYNO_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Otherwise a line that cannot be written, to a file on a full disk, is complained of on standard error by a macro that panics
        // where it cannot write either.
        .log_internal_errors(false)
        .with_ansi(tty::stderr_is_terminal());
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = started {
        tracing::warn!(%error, "the log was started before");
    }
}
