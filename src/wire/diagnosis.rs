//! Why a dyno has ended, by name, and what to do about it: the texts of `dyno why`.

use std::fmt;

use crate::domain::Bytes;

/// What is wrong, or is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// It was asked to stop, and did.
    Stopped,
    /// A one-off dyno that has done its work.
    Completed,
    /// Its client went away.
    ClientGone,
    /// The node could not start it.
    NotStarted {
        /// Why.
        reason: String,
    },
    /// The kernel ended it for its memory (R15).
    MemoryKilled {
        /// What its size grants.
        quota: Bytes,
        /// Where it is ended.
        limit: Bytes,
    },
    /// A language's own limit of memory.
    HeapExhausted {
        /// What it said.
        line: String,
    },
    /// It ended while it used more than its size grants (R14).
    OverQuota {
        /// The most it was seen to use.
        used: Bytes,
        /// What its size grants.
        quota: Bytes,
    },
    /// It listened, but not on its port (R10).
    WrongPort {
        /// Where.
        listened: Vec<String>,
        /// Its port.
        port: u16,
    },
    /// It listened nowhere (R10).
    NoPort {
        /// Its port.
        port: u16,
    },
    /// It did not end when asked to (R12).
    ExitTimeout,
    /// There is no such program.
    CommandNotFound {
        /// Which, where that is known.
        program: Option<String>,
    },
    /// A file that is no program, or may not be run.
    NotExecutable {
        /// What was said of it, where that is known.
        line: Option<String>,
    },
    /// A library that is not in the slug.
    MissingModule {
        /// Which.
        module: String,
        /// Where it should have come from.
        declared_in: &'static str,
    },
    /// A config var that is not set.
    MissingConfigVar {
        /// Which.
        name: String,
    },
    /// The program does not parse.
    SyntaxError {
        /// What it said.
        line: String,
    },
    /// Two of its processes want one port.
    PortInUse {
        /// What it said.
        line: String,
    },
    /// Its disk is full.
    DiskFull {
        /// What it said.
        line: String,
    },
    /// It wanted to change a file of the stack.
    ReadOnly {
        /// What it said.
        line: String,
    },
    /// More processes and threads than its size grants.
    TooManyTasks {
        /// How many it grants.
        limit: u64,
    },
    /// More open files than one process may have.
    TooManyFiles {
        /// What it said.
        line: String,
    },
    /// A name that nobody knows.
    UnknownHost {
        /// What it said.
        line: String,
    },
    /// A service that does not answer.
    Unreachable {
        /// What it said.
        line: String,
    },
    /// Something that dynos may not do.
    NotPermitted {
        /// What it said.
        line: String,
        /// System calls that were refused it, by name, and how often; none where something else was.
        calls: Vec<(String, u64)>,
    },
    /// A system call of another architecture.
    ForeignCall,
    /// It did something to its memory that a program must not do.
    Segfault,
    /// It gave itself up.
    Aborted,
    /// Another signal ended it.
    Signalled {
        /// Its name.
        signal: &'static str,
    },
    /// It ended at once, and called that well.
    EndedAtOnce,
    /// It ended by itself, and called that well.
    EndedByItself,
    /// It failed.
    Failed {
        /// With which status.
        status: u8,
        /// The line that most looks like a reason.
        line: Option<String>,
    },
    /// Nobody saw it.
    Lost,
}

/// A diagnosis in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its name, for programs.
    pub name: &'static str,
    /// What happened, one sentence.
    pub what: String,
    /// What to do, one or two sentences; empty where nothing need be done.
    pub advice: &'static str,
}

/// A fact beside the diagnosis that is worth a sentence.
#[derive(Clone, Debug, PartialEq)]
pub enum Remark {
    /// It used more than its size grants.
    OverQuota {
        /// The most it was seen to use.
        used: Bytes,
        /// What its size grants.
        quota: Bytes,
    },
    /// A process of it was killed for want of memory.
    MemoryKills(u64),
    /// Processes or threads were refused.
    RefusedTasks {
        /// How often.
        count: u64,
        /// How many its size grants.
        limit: u64,
    },
    /// System calls were refused, by name, and how often.
    RefusedCalls(Vec<(String, u64)>),
    /// It had its port on IPv4's loopback only.
    LoopbackOnly,
    /// It had its port on IPv6's loopback only.
    LoopbackV6Only,
    /// It waited a good part of its last minute.
    Pressure {
        /// For what.
        resource: &'static str,
        /// Share of that minute, per cent.
        percent: f64,
    },
}

// === impl Diagnosis ===

impl Diagnosis {
    /// In words.
    #[expect(clippy::too_many_lines, reason = "a table, one row a diagnosis")]
    #[must_use]
    pub fn told(&self) -> Told {
        let (name, what, advice) = match self {
            Self::Stopped => ("stopped", "It was asked to stop, and did.".to_owned(), ""),
            Self::Completed => ("completed", "It did its work and ended with status 0.".to_owned(), ""),
            Self::ClientGone => (
                "client_gone",
                "Its client went away, and it ended with it.".to_owned(),
                "Work that must outlive a terminal is for `dyno run:detached`.",
            ),
            Self::NotStarted { reason } => (
                "not_started",
                format!("The node could not start it: {reason}."),
                "What it ran is not at fault. The node's own log says more; it is tried again by itself.",
            ),
            Self::Lost => (
                "lost",
                "It ended while nobody could see how, as after a reset of the machine.".to_owned(),
                "The machine's own journal may say more.",
            ),
            Self::ExitTimeout => (
                "exit_timeout",
                "It did not end within its grace time after SIGTERM, and was ended by force (R12)."
                    .to_owned(),
                "Handle SIGTERM: take no new work, finish or hand back what is at hand, and exit. A shell in front of \
                 the program must `exec` it, or the program never hears the signal.",
            ),
            Self::MemoryKilled { quota, limit } => (
                "memory_killed",
                format!(
                    "It needed more than {}, where a dyno with a quota of {} is ended (R15).",
                    mebibytes(*limit),
                    mebibytes(*quota)
                ),
                "Run fewer workers or threads in a dyno (WEB_CONCURRENCY), look for what holds on to memory, or give \
                 it a larger size with `dyno ps:scale TYPE=1:SIZE`.",
            ),
            Self::HeapExhausted { line } => (
                "heap_exhausted",
                format!("The language's own limit of memory was reached: {line}"),
                "Raise that limit (NODE_OPTIONS=--max-old-space-size, JAVA_OPTS=-Xmx) where the dyno's quota has \
                 room for it, or give the dyno a larger size.",
            ),
            Self::OverQuota { used, quota } => (
                "over_quota",
                format!(
                    "It used {} of a quota of {} when it ended (R14).",
                    mebibytes(*used),
                    mebibytes(*quota)
                ),
                "What ended it is not known for certain; less memory or a larger size is worth a try.",
            ),
            Self::DiskFull { line } => (
                "disk_full",
                format!("The dyno's disk is full: {line}"),
                "What a dyno writes to /app, /tmp and /var/tmp together is limited to its memory quota, and gone with \
                 it. Write less, delete sooner, or keep files elsewhere.",
            ),
            Self::ReadOnly { line } => (
                "read_only",
                format!("It wanted to change a file that no dyno may change: {line}"),
                "A dyno may write to /app, /tmp, /var/tmp and /dev/shm; the rest is the stack's and shared by all.",
            ),
            Self::TooManyTasks { limit } => (
                "too_many_tasks",
                format!("It wanted more than the {limit} processes and threads that its size grants."),
                "Lower the number of workers and threads, or give it a larger size.",
            ),
            Self::TooManyFiles { line } => (
                "too_many_files",
                format!("A process of it had as many files and connections open as one may: {line}"),
                "Close what is done with, and bound the pools of connections.",
            ),
            Self::NotPermitted { line, calls } if !calls.is_empty() => (
                "not_permitted",
                format!("It made a system call that no dyno may ({}): {line}", listed(calls)),
                "No right and no size allows it. Turn off what makes the call, if the program can do without (the sandbox \
                 inside of a browser, a debugger), or run that part elsewhere.",
            ),
            Self::NotPermitted { line, .. } => (
                "not_permitted",
                format!("It wanted something that needs rights which no dyno has: {line}"),
                "A dyno's programs are nobody's administrators: they change no owner, clock, priority or interface.",
            ),
            Self::ForeignCall => (
                "foreign_call",
                "It made a system call of another architecture (SIGSYS), which no dyno may.".to_owned(),
                "Build the program for this machine's own architecture, 64 bits wide.",
            ),
            Self::WrongPort { listened, port } => (
                "wrong_port",
                format!("It listened on {}, not on $PORT, which was {port} (R10).", listened.join(", ")),
                "Read the port from the environment variable PORT at every start; it is another each time.",
            ),
            Self::NoPort { port } => (
                "no_port",
                format!("It listened on no port within its boot time; $PORT was {port} (R10)."),
                "Bind $PORT before slow work, or move work without requests to a type that is not called web.",
            ),
            Self::PortInUse { line } => (
                "port_in_use",
                format!("Two processes of the dyno wanted one port: {line}"),
                "Only one of them can have $PORT. Start one server in a dyno, or have its workers share the socket.",
            ),
            Self::UnknownHost { line } => (
                "unknown_host",
                format!("It looked for a host that nobody knows: {line}"),
                "Compare the host in the config var (`dyno config`) with that of the service.",
            ),
            Self::Unreachable { line } => (
                "unreachable",
                format!("A service that it needs did not take the connection: {line}"),
                "Compare address and port in the config var (`dyno config`). Dynos reach neither this machine's \
                 loopback nor private networks.",
            ),
            Self::CommandNotFound { program } => (
                "command_not_found",
                match program {
                    Some(program) => format!("There is no program {program} in the slug or the stack (127)."),
                    None => "There is no such program in the slug or the stack (127).".to_owned(),
                },
                "Look at the command in the Procfile, and whether its package is among those that are installed.",
            ),
            Self::NotExecutable { line } => (
                "not_executable",
                match line {
                    Some(line) => format!("The file may not be run, or is no program (126): {line}"),
                    None => "The file may not be run, or is no program (126).".to_owned(),
                },
                "`chmod +x` it and commit that (`git update-index --chmod=+x FILE`), or name its interpreter.",
            ),
            Self::MissingModule { module, declared_in } => (
                "missing_module",
                format!("{module} is not in the slug."),
                match *declared_in {
                    "requirements.txt" => "Add the package to requirements.txt, commit, and push.",
                    "package.json" => {
                        "Add the package to the dependencies of package.json (not to devDependencies, \
                                       which are pruned), commit with the lock file, and push."
                    }
                    "Gemfile" => {
                        "Add the gem to the Gemfile, run `bundle install`, commit both files, and push."
                    }
                    _ => "Declare it where the buildpack looks for packages, commit, and push.",
                },
            ),
            Self::MissingConfigVar { name } => (
                "missing_config_var",
                format!("The config var {name} is not set."),
                "Set it with `dyno config:set NAME=VALUE`; files such as .env are not read in a dyno.",
            ),
            Self::SyntaxError { line } => (
                "syntax_error",
                format!("The program does not parse: {line}"),
                "Compare the language's version here with the one that it was written for, and correct the line.",
            ),
            Self::Segfault => (
                "segfault",
                "It used memory that was not its own (SIGSEGV).".to_owned(),
                "The fault is in native code: of the program, or of a library with an extension. Rebuild it for this \
                 stack, or take another version.",
            ),
            Self::Aborted => (
                "aborted",
                "It gave itself up (SIGABRT), as after a failed assertion.".to_owned(),
                "The lines before its end usually say which one.",
            ),
            Self::Signalled { signal } => (
                "signalled",
                format!("The signal {signal} ended it, and the platform has not sent it."),
                "Something in the dyno sent it, or the program did what the kernel answers so.",
            ),
            Self::EndedAtOnce => (
                "ended_at_once",
                "It ended at once with status 0, and a process type is meant to run on.".to_owned(),
                "The command must stay in the foreground: not a daemon, not a script that starts one. Work that ends \
                 is for `dyno run`.",
            ),
            Self::EndedByItself => (
                "ended_by_itself",
                "It ended by itself with status 0, and a process type is meant to run on.".to_owned(),
                "Look for the place where it decides to end. Work that ends is for `dyno run`.",
            ),
            Self::Failed { status, line } => (
                "failed",
                match line {
                    Some(line) => format!("It failed with status {status}: {line}"),
                    None => format!("It failed with status {status} and said nothing that tells why."),
                },
                "The lines before its end are what the program itself has to say.",
            ),
        };
        Told { name, what, advice }
    }
}

/// Refused calls: `unshare` 3 times, `mount` once.
fn listed(calls: &[(String, u64)]) -> String {
    let told = |(name, count): &(String, u64)| {
        let what = called(name);
        match count {
            1 => format!("{what} once"),
            2 => format!("{what} twice"),
            count => format!("{what} {count} times"),
        }
    };
    calls.iter().map(told).collect::<Vec<_>>().join(", ")
}

/// A refused call; of one that is refused with some arguments only, which.
fn called(name: &str) -> String {
    let with = match name {
        "clone" => " with a new namespace",
        "socket" | "socketpair" => " of a family or protocol that dynos do not have",
        "ioctl" => " that types into a terminal",
        "personality" => " that makes memory less safe",
        "mknod" | "mknodat" => " of a device",
        _ => "",
    };
    format!("`{name}`{with}")
}

fn mebibytes(bytes: Bytes) -> String {
    format!("{} MB", bytes.0 >> 20)
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverQuota { used, quota } => write!(
                f,
                "It used up to {} of a quota of {} (R14).",
                mebibytes(*used),
                mebibytes(*quota)
            ),
            Self::MemoryKills(count) => {
                write!(f, "Processes that the kernel killed for want of memory: {count}.")
            }
            Self::RefusedTasks { count, limit } => write!(
                f,
                "Processes or threads refused because {limit} were there: {count}."
            ),
            Self::RefusedCalls(calls) => write!(f, "System calls of it were refused: {}.", listed(calls)),
            Self::LoopbackOnly => f.write_str(
                "It had $PORT on 127.0.0.1 only. The router comes from within, so that works here; elsewhere 0.0.0.0 is \
                 asked for.",
            ),
            Self::LoopbackV6Only => f.write_str(
                "It had $PORT on [::1] only, where the router does not come: bind 0.0.0.0 or [::].",
            ),
            Self::Pressure { resource, percent } => {
                write!(f, "Some process of it waited for {resource} in {percent:.0}% of its last minute.")
            }
        }
    }
}
