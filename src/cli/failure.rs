//! Why a command failed, what the user reads about it, and the exit status.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::stack::StackError;
use crate::wire::api_errors::ErrorBody;

/// Exit status of a command that was understood and failed.
const STATUS_FAILED: u8 = 1;
/// Exit status of a command that was not understood.
pub(super) const STATUS_USAGE: u8 = 2;

/// Why a command failed.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// The command line asks for nothing that exists.
    #[error("{0}")]
    Usage(String),
    /// No app is named.
    #[error(
        "Missing required flag app: name it with -a, or run this in a git repository that has a remote of the node."
    )]
    NoApp,
    /// Several remotes could be meant.
    #[error("The remotes {} name different apps: choose one with -r, or an app with -a.", .0.join(", "))]
    AmbiguousRemote(Vec<String>),
    /// The named remote does not exist, or leads to no app of a node.
    #[error("The git remote {0} names no app: see `git remote -v`, or name the app with -a.")]
    NoSuchRemote(String),
    /// Nobody listens on the node's socket.
    #[error("The node is not running: nobody listens on {}.\nStart it with `dyno serve`, or name another node with --root or --socket.", .0.display())]
    NodeDown(PathBuf),
    /// The socket is not for this user.
    #[error("You may not use the node at {}: run this as root, or as the user the node runs as.", .0.display())]
    NodeDenied(PathBuf),
    /// Nobody answers at a node's address.
    #[error(
        "Cannot reach the node at {origin}: {source}.\nSee whether it runs, and whether a tunnel to it is open."
    )]
    HostDown {
        /// Where.
        origin: String,
        /// Why.
        source: io::Error,
    },
    /// The node's certificate is nobody's that this machine trusts.
    #[error(
        "Cannot trust the node at {origin}: {source}.\nGive --authority or DYNO_AUTHORITY the file that `dyno trust --print` prints on the node."
    )]
    Untrusted {
        /// Where.
        origin: String,
        /// Why.
        source: io::Error,
    },
    /// There is no token for the node, or it takes it no longer.
    #[error("You are not logged in at {0}: run `dyno login`.")]
    LoggedOut(String),
    /// The connection to the node broke.
    #[error(
        "The connection to the node broke while {attempt}: {source}.\nSee whether it still runs, and try again."
    )]
    Connection {
        /// What was being done.
        attempt: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The node answers what this version does not understand.
    #[error(
        "The node's answer cannot be read ({0}).\nIs `dyno` of the same version as the running node? See `dyno version`."
    )]
    Answer(String),
    /// The node refuses.
    #[error("{}", .0.message)]
    Refused(ErrorBody),
    /// Something on this machine fails.
    #[error("Cannot {attempt}: {source}.")]
    Local {
        /// What was tried.
        attempt: String,
        /// Why.
        source: io::Error,
    },
    /// A stack cannot be built; the sentence says what to do.
    #[error("{}", with_causes(.0))]
    Stack(StackError),
    /// The user changed their mind.
    #[error("Confirmation {typed} did not match \u{2b22} {app}. Aborted.")]
    NotConfirmed {
        /// What was typed.
        typed: String,
        /// The app.
        app: String,
    },
    /// A release was made whose command has failed.
    #[error(
        "Release v{version} failed: its command did not succeed, and what runs has not changed.\nSee `dyno releases:output v{version}`."
    )]
    ReleaseCommand {
        /// The release.
        version: u64,
    },
    /// A build that has made nothing; its output has told why.
    #[error("The build failed. See `dyno builds:output {build} -a {app}`.")]
    Build {
        /// The app.
        app: String,
        /// The build.
        build: uuid::Uuid,
    },
    /// Who watched a build has gone.
    #[error(
        "The build goes on. `dyno builds:output {build} -a {app}` shows it, `dyno builds:cancel {build} -a {app}` ends it."
    )]
    BuildGoesOn {
        /// The app.
        app: String,
        /// The build.
        build: uuid::Uuid,
    },
    /// Tests whose end the node did not tell.
    #[error("The node did not tell how the tests ended. Run them again.")]
    TestsCut,
    /// Who watched tests has gone.
    #[error("The tests go on. `dyno ci:info {number} -p {pipeline}` shows them.")]
    TestsGoOn {
        /// The pipeline.
        pipeline: String,
        /// The run.
        number: u64,
    },
    /// A promotion that did not come to all of its apps, each told with its reason already.
    #[error("{failed} of {of} apps did not get the promotion.")]
    Promotion {
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
    },
    /// What was asked for does not exist; the sentence says so.
    #[error("{0}")]
    Nothing(String),
}

impl Failure {
    /// A failure on this machine; `attempt` completes "Cannot ...".
    pub(super) fn local(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Local { attempt, source }
    }

    /// A broken connection; `attempt` completes "while ...".
    pub(super) fn connection<E>(attempt: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Connection { attempt, source: source.into() }
    }

    /// The exit status.
    pub(super) fn status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::NoApp | Self::AmbiguousRemote(_) | Self::NoSuchRemote(_) => STATUS_USAGE,
            Self::NodeDown(_)
            | Self::NodeDenied(_)
            | Self::HostDown { .. }
            | Self::Untrusted { .. }
            | Self::LoggedOut(_)
            | Self::Connection { .. }
            | Self::Answer(_)
            | Self::Refused(_)
            | Self::Local { .. }
            | Self::Stack(_)
            | Self::NotConfirmed { .. }
            | Self::ReleaseCommand { .. }
            | Self::Build { .. }
            | Self::BuildGoesOn { .. }
            | Self::TestsCut
            | Self::TestsGoOn { .. }
            | Self::Promotion { .. }
            | Self::Nothing(_) => STATUS_FAILED,
        }
    }

    /// The lines for the user, as the platform's tools print them (platform reference 8.1).
    pub(super) fn text(&self) -> String {
        let mut lines: Vec<String> = self.to_string().lines().map(str::to_owned).collect();
        if let Some(first) = lines.first_mut() {
            *first = format!("Error: {first}");
        }
        if let Self::Refused(body) = self {
            lines.extend([String::new(), format!("Error ID: {}", body.id)]);
        }
        lines.iter().map(|line| format!(" \u{203a}   {line}").trim_end().to_owned() + "\n").collect()
    }
}

/// A failure and what it was caused by, outermost first.
fn with_causes(failure: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(failure.source(), |cause| cause.source());
    std::iter::once(failure).chain(causes).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn failures_name_what_to_do() {
        let body = ErrorBody {
            id: "not_found".to_owned(),
            message: "Couldn't find that app.".to_owned(),
            resource: Some("app".to_owned()),
        };
        let refused = Failure::Refused(body);
        let down = Failure::NodeDown(PathBuf::from("/run/dyno/api.sock"));
        assert_eq!((refused.status(), down.status(), Failure::NoApp.status()), (1, 1, 2));
        insta::assert_snapshot!(refused.text() + &down.text() + &Failure::NoApp.text(), @r"
         ›   Error: Couldn't find that app.
         ›
         ›   Error ID: not_found
         ›   Error: The node is not running: nobody listens on /run/dyno/api.sock.
         ›   Start it with `dyno serve`, or name another node with --root or --socket.
         ›   Error: Missing required flag app: name it with -a, or run this in a git repository that has a remote of the node.
        ");
    }
}
