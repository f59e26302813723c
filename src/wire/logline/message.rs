//! The platform's own sentences in the log (platform reference 1.3, 3.8, 5.5 and 6).

use std::fmt;
use std::time::SystemTime;

use crate::domain::{Bytes, DynoName, Formation, Version};
use crate::wire::codes::Code;
use crate::wire::logline::line::display_time;

/// What the dyno manager says of a dyno, as `heroku[<dyno>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DynoLine {
    /// A transition, in the words of the platform; `created`, `provisioning` and `complete` occur only here.
    StateChanged {
        /// The state before.
        from: &'static str,
        /// The state after.
        to: &'static str,
    },
    /// The process is launched.
    StartingProcess {
        /// The command with `$VAR` and `${VAR}` replaced from the dyno's environment.
        command: String,
    },
    /// The process has ended.
    ProcessExited {
        /// The shell's number: the exit code, or 128 and the signal.
        status: u8,
    },
    /// A stop begins.
    StoppingWithSigterm,
    /// A stop ends by force after its grace time.
    StoppingRemainingWithSigkill,
    /// One process is ended by force: it never came up, or took too much memory.
    StoppingProcessWithSigkill,
    /// A restart on request begins.
    Restarting,
    /// A restart for age begins.
    Cycling,
    /// The dyno is put to sleep for want of traffic.
    Idling,
    /// The dyno is woken.
    Unidling,
    /// An attached one-off dyno waits for its terminal.
    AwaitingClient,
    /// The terminal of an attached one-off dyno has gone away.
    ClientClosed,
    /// A release command took longer than it may and is stopped.
    ReleaseTimedOut {
        /// How long it may take, seconds.
        limit_s: u64,
    },
    /// Nobody saw the end of a release command.
    ReleaseLost,
    /// The process could not be started at all; `reason` says why.
    StartFailed {
        /// One clause.
        reason: String,
    },
    /// What should take over from a web dyno that serves has not come up, so that nothing is switched. A line of our own:
    /// the platform switches all the same.
    NotSwitched {
        /// The release that has not come up.
        to: Version,
        /// The release that serves; the same where the dyno was only restarted.
        serving: Version,
    },
    /// It should start, and those that it is to replace have the memory for it. A line of our own.
    WaitingForMemory,
}

impl fmt::Display for DynoLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateChanged { from, to } => write!(f, "State changed from {from} to {to}"),
            Self::StartingProcess { command } => write!(f, "Starting process with command `{command}`"),
            Self::ProcessExited { status } => write!(f, "Process exited with status {status}"),
            Self::StoppingWithSigterm => f.write_str("Stopping all processes with SIGTERM"),
            Self::StoppingRemainingWithSigkill => f.write_str("Stopping remaining processes with SIGKILL"),
            Self::StoppingProcessWithSigkill => f.write_str("Stopping process with SIGKILL"),
            Self::Restarting => f.write_str("Restarting"),
            Self::Cycling => f.write_str("Cycling"),
            Self::Idling => f.write_str("Idling"),
            Self::Unidling => f.write_str("Unidling"),
            Self::AwaitingClient => f.write_str("Awaiting client"),
            Self::ClientClosed => f.write_str("Client connection closed. Sending SIGHUP to all processes"),
            Self::ReleaseTimedOut { limit_s } => {
                write!(f, "Release command stopped: it took longer than {limit_s} seconds")
            }
            Self::ReleaseLost => {
                f.write_str("Release command lost: the node went down and did not see how it ended")
            }
            Self::StartFailed { reason } => write!(f, "Failed to start process: {reason}"),
            Self::NotSwitched { to, serving } if to == serving => {
                write!(f, "Not restarted: the new process has not come up, and the one before serves on")
            }
            Self::WaitingForMemory => f.write_str(
                "Waiting for memory: the node has none for old and new processes side by side, and replaces them in steps",
            ),
            Self::NotSwitched { to, serving } => {
                write!(f, "Not switched to release {to}: it has not come up, and {serving} serves on")
            }
        }
    }
}

/// Who starts timed jobs (platform reference 1.1).
const SCHEDULER: &str = "scheduler@addons.heroku.com";

/// What a user did, as `app[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiLine {
    /// The app was created.
    InitialRelease {
        /// Who did it.
        user: String,
    },
    /// The app got its log.
    EnableLogplex {
        /// Who did it.
        user: String,
    },
    /// A release exists.
    ReleaseCreated {
        /// Its number.
        version: Version,
        /// Who made it.
        user: String,
    },
    /// The command of a release begins.
    ReleaseCommandRuns {
        /// The release's number.
        version: Version,
        /// Who made it.
        user: String,
    },
    /// The command of a release has failed; nothing that runs has changed.
    ReleaseCommandFailed {
        /// The release's number.
        version: Version,
        /// Who made it.
        user: String,
    },
    /// A build begins.
    BuildStarted {
        /// Who pushed.
        user: String,
    },
    /// A build has made a slug.
    BuildSucceeded,
    /// A build has failed; nothing changed.
    BuildFailed,
    /// Something about a slug that was packed elsewhere.
    SlugWarned {
        /// The warning.
        warning: String,
    },
    /// What a release is: `Deploy 1a2b3c4d`, `Set FOO config vars`, `Rollback to v3`.
    Described {
        /// The release's description.
        description: String,
        /// Who did it.
        user: String,
    },
    /// The formation after a change, whole.
    Scaled {
        /// Every type of it.
        formation: Formation,
        /// Who did it.
        user: String,
    },
    /// A timed job's time has come, or somebody has asked for it.
    Scheduled {
        /// Its command as it was given.
        command: String,
    },
    /// A backup is due and cannot be taken now.
    BackupWaits {
        /// Of which add-on.
        add_on: String,
        /// The refusal.
        why: String,
    },
    /// An add-on is to be given the contents of another and cannot be now.
    ForkWaits {
        /// Which add-on.
        add_on: String,
        /// What hinders.
        why: String,
    },
    /// A command was asked for in a dyno that runs.
    Visit {
        /// The command as typed.
        command: String,
        /// In which dyno.
        dyno: DynoName,
        /// Who asked.
        user: String,
    },
    /// A one-off dyno was asked for.
    OneOff {
        /// Its command as typed.
        command: String,
        /// Who asked.
        user: String,
    },
}

impl ApiLine {
    /// Whether the platform rounds this line's time down to a second.
    pub(super) fn has_whole_seconds(&self) -> bool {
        match self {
            Self::BuildStarted { .. } | Self::BuildSucceeded | Self::BuildFailed => true,
            Self::InitialRelease { .. }
            | Self::EnableLogplex { .. }
            | Self::ReleaseCreated { .. }
            | Self::ReleaseCommandRuns { .. }
            | Self::ReleaseCommandFailed { .. }
            | Self::SlugWarned { .. }
            | Self::Described { .. }
            | Self::Scaled { .. }
            | Self::Scheduled { .. }
            | Self::BackupWaits { .. }
            | Self::ForkWaits { .. }
            | Self::Visit { .. }
            | Self::OneOff { .. } => false,
        }
    }
}

impl fmt::Display for ApiLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InitialRelease { user } => write!(f, "Initial release by user {user}"),
            Self::EnableLogplex { user } => write!(f, "Enable Logplex by user {user}"),
            Self::ReleaseCreated { version, user } => write!(f, "Release {version} created by user {user}"),
            Self::ReleaseCommandRuns { version, user } => {
                write!(f, "Running release {version} commands by user {user}")
            }
            Self::ReleaseCommandFailed { version, user } => {
                write!(f, "Release {version} command failed by user {user}")
            }
            Self::BuildStarted { user } => write!(f, "Build started by user {user}"),
            Self::BuildSucceeded => f.write_str("Build succeeded"),
            Self::BuildFailed => f.write_str("Build failed"),
            Self::SlugWarned { warning } => f.write_str(warning),
            Self::Described { description, user } => write!(f, "{description} by user {user}"),
            Self::Scaled { formation, user } => {
                f.write_str("Scaled to")?;
                for entry in formation.entries() {
                    write!(f, " {}@{}:{}", entry.process_type, entry.quantity, entry.size)?;
                }
                write!(f, " by user {user}")
            }
            Self::Scheduled { command } => {
                write!(f, "Starting process with command `{command}` by user {SCHEDULER}")
            }
            Self::BackupWaits { add_on, why } => {
                write!(f, "The scheduled backup of {add_on} waits, and is tried again: {why}")
            }
            Self::ForkWaits { add_on, why } => {
                write!(
                    f,
                    "{add_on} is not given the contents of the other add-on yet; it is tried again: {why}"
                )
            }
            Self::Visit { command, dyno, user } => {
                write!(f, "Starting process with command `{command}` in {dyno} by user {user}")
            }
            Self::OneOff { command, user } => {
                write!(f, "Starting process with command `{command}` by user {user}")
            }
        }
    }
}

/// Lines that were lost, and where (platform reference 5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DroppedLine {
    /// In the log service: it was offered more than it could write.
    Buffer {
        /// How many.
        count: u64,
        /// When the first was lost.
        since: SystemTime,
    },
    /// In one tail session, whose reader was slow.
    Tail {
        /// How many.
        count: u64,
        /// When the first was lost.
        since: SystemTime,
    },
    /// Where the dyno runs: it wrote more than was collected.
    Dyno {
        /// How many.
        count: u64,
        /// When the first was lost.
        since: SystemTime,
    },
    /// On their way from the dyno: they were collected and could not be read.
    Delivery {
        /// How many at least.
        count: u64,
        /// When the first was lost.
        since: SystemTime,
    },
}

impl fmt::Display for DroppedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buffer { count, since } => {
                let since = display_time(*since);
                write!(f, "Error L10 (output buffer overflow): {count} messages dropped since {since}.")
            }
            Self::Tail { count, since } => {
                let since = display_time(*since);
                write!(
                    f,
                    "Error L11 (Tail buffer overflow) -> This tail session dropped {count} messages since {since}."
                )
            }
            Self::Dyno { count, since } => {
                write!(f, "Error L12: {count} messages dropped since {}.", display_time(*since))
            }
            Self::Delivery { count, since } => {
                write!(f, "Error L13: {count} messages lost since {}.", display_time(*since))
            }
        }
    }
}

/// The history of lines cannot be read at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnavailableLine;

impl fmt::Display for UnavailableLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error {} ({})", Code::L15, Code::L15.text())
    }
}

/// The data of a service and the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskLine {
    /// There is more of it than its plan has.
    Full {
        /// What it takes.
        used: Bytes,
        /// What its plan has.
        limit: Bytes,
    },
    /// The node's disk is full.
    NodeFull {
        /// What is free of it.
        free: Bytes,
    },
    /// It takes writes again.
    Freed,
}

impl fmt::Display for DiskLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { used, limit } => write!(
                f,
                "Disk full: the data takes {used} of the {limit} of its plan. Writes are refused until it takes a tenth less; \
                 delete some of it, or take a larger plan with addons:upgrade."
            ),
            Self::NodeFull { free } => write!(
                f,
                "Disk full: {free} of the node's disk are free. Writes are refused until there is more; whoever runs the node \
                 has to make room."
            ),
            Self::Freed => f.write_str("The disk has room again: writes are taken."),
        }
    }
}

/// A drain's certificate does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateLine {
    /// What is wrong with it: `unknown ca`.
    pub error: String,
    /// Where the drain sends to, without what is secret.
    pub uri: String,
}

impl fmt::Display for CertificateLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, uri } = self;
        write!(f, "Error L14 (certificate validation): error=\"{error}\" uri=\"{uri}\"")
    }
}

/// A drain leads to an address of the node or its networks, where drains may not lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreachedLine {
    /// Where the drain sends to, without what is secret.
    pub uri: String,
}

impl fmt::Display for UnreachedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uri } = self;
        write!(
            f,
            "Drain not reached: uri=\"{uri}\" leads to an address that is not of the public Internet; use another, or have the \
             node's administrator set drains.private_networks"
        )
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::domain::{DynoSize, FormationEntry};

    #[test]
    fn the_dyno_managers_sentences_are_the_published_ones() {
        let all = [
            DynoLine::StateChanged { from: "up", to: "starting" },
            DynoLine::StartingProcess { command: "bin/rails server -p 16441".to_owned() },
            DynoLine::ProcessExited { status: 143 },
            DynoLine::StoppingWithSigterm,
            DynoLine::StoppingRemainingWithSigkill,
            DynoLine::StoppingProcessWithSigkill,
            DynoLine::Restarting,
            DynoLine::Cycling,
            DynoLine::Idling,
            DynoLine::Unidling,
            DynoLine::AwaitingClient,
            DynoLine::ClientClosed,
            DynoLine::ReleaseTimedOut { limit_s: 3600 },
            DynoLine::ReleaseLost,
            DynoLine::StartFailed { reason: "no address is free".to_owned() },
            DynoLine::NotSwitched { to: Version(5), serving: Version(4) },
            DynoLine::NotSwitched { to: Version(4), serving: Version(4) },
            DynoLine::WaitingForMemory,
        ];
        let text: Vec<_> = all.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        State changed from up to starting
        Starting process with command `bin/rails server -p 16441`
        Process exited with status 143
        Stopping all processes with SIGTERM
        Stopping remaining processes with SIGKILL
        Stopping process with SIGKILL
        Restarting
        Cycling
        Idling
        Unidling
        Awaiting client
        Client connection closed. Sending SIGHUP to all processes
        Release command stopped: it took longer than 3600 seconds
        Release command lost: the node went down and did not see how it ended
        Failed to start process: no address is free
        Not switched to release v5: it has not come up, and v4 serves on
        Not restarted: the new process has not come up, and the one before serves on
        Waiting for memory: the node has none for old and new processes side by side, and replaces them in steps
        ");
    }

    #[test]
    fn losses_are_told_in_the_published_words() {
        let since = SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(1_795_415_284_170_873);
        let uri = "syslog+tls://logs.example.com:6514".to_owned();
        let text = [
            DroppedLine::Buffer { count: 500, since }.to_string(),
            DroppedLine::Tail { count: 1101, since }.to_string(),
            DroppedLine::Dyno { count: 3, since }.to_string(),
            DroppedLine::Delivery { count: 1, since }.to_string(),
            UnavailableLine.to_string(),
            CertificateLine { error: "unknown ca".to_owned(), uri }.to_string(),
        ];
        insta::assert_snapshot!(text.join("\n"), @r#"
        Error L10 (output buffer overflow): 500 messages dropped since 2026-11-23T06:28:04.170873+00:00.
        Error L11 (Tail buffer overflow) -> This tail session dropped 1101 messages since 2026-11-23T06:28:04.170873+00:00.
        Error L12: 3 messages dropped since 2026-11-23T06:28:04.170873+00:00.
        Error L13: 1 messages lost since 2026-11-23T06:28:04.170873+00:00.
        Error L15 (Tail buffer temporarily unavailable)
        Error L14 (certificate validation): error="unknown ca" uri="syslog+tls://logs.example.com:6514"
        "#);
    }

    #[test]
    fn what_users_do_is_told_in_the_published_words() {
        let user = || "me@example.com".to_owned();
        let entry = |name: &str, quantity, size| FormationEntry {
            process_type: name.parse().unwrap(),
            quantity,
            size,
            stop_grace: None,
        };
        let formation =
            Formation::new([entry("worker", 0, DynoSize::Basic), entry("web", 2, DynoSize::Standard1X)]);
        let all = [
            ApiLine::InitialRelease { user: user() },
            ApiLine::EnableLogplex { user: user() },
            ApiLine::ReleaseCreated { version: Version(3), user: user() },
            ApiLine::ReleaseCommandRuns { version: Version(3), user: user() },
            ApiLine::ReleaseCommandFailed { version: Version(3), user: user() },
            ApiLine::BuildStarted { user: user() },
            ApiLine::BuildSucceeded,
            ApiLine::BuildFailed,
            ApiLine::SlugWarned { warning: "Warning: Your slug size (301 MB) is large.".to_owned() },
            ApiLine::Described { description: "Set FOO, BAR config vars".to_owned(), user: user() },
            ApiLine::Scaled { formation, user: user() },
            ApiLine::Scheduled { command: "rake mails".to_owned() },
            ApiLine::BackupWaits { add_on: "books".to_owned(), why: "Delete one first.".to_owned() },
            ApiLine::ForkWaits { add_on: "books".to_owned(), why: "the disk is full".to_owned() },
            ApiLine::OneOff { command: "bash".to_owned(), user: user() },
            ApiLine::Visit { command: "ls".to_owned(), dyno: "web.1".parse().unwrap(), user: user() },
        ];
        let text: Vec<_> = all.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        Initial release by user me@example.com
        Enable Logplex by user me@example.com
        Release v3 created by user me@example.com
        Running release v3 commands by user me@example.com
        Release v3 command failed by user me@example.com
        Build started by user me@example.com
        Build succeeded
        Build failed
        Warning: Your slug size (301 MB) is large.
        Set FOO, BAR config vars by user me@example.com
        Scaled to web@2:Standard-1X worker@0:Basic by user me@example.com
        Starting process with command `rake mails` by user scheduler@addons.heroku.com
        The scheduled backup of books waits, and is tried again: Delete one first.
        books is not given the contents of the other add-on yet; it is tried again: the disk is full
        Starting process with command `bash` by user me@example.com
        Starting process with command `ls` in web.1 by user me@example.com
        ");
    }
}
