//! From the facts of a death to its name. Pure: a list of rules, of which the first that knows an answer gives it.
//!
//! What the kernel counted comes first, then what the platform did, then what the program said, then how it ended.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::domain::Bytes;
use crate::supervisor::postmortem::{Death, Ending, Kind, Passage, said};
use crate::wire::diagnosis::{Diagnosis, Remark};

/// An end within this time of the launch is one at once.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Waiting in less of the last minute than this is nothing to speak of, per cent.
const PRESSURE_PERCENT_MIN: f64 = 20.0;
/// A shell's statuses for a program that is not there, and for one that cannot be run (bash(1), EXIT STATUS).
const STATUS_NOT_FOUND: u8 = 127;
const STATUS_NOT_EXECUTABLE: u8 = 126;
/// Signals (signal(7)).
const SIGABRT: u8 = 6;
const SIGBUS: u8 = 7;
const SIGSEGV: u8 = 11;
const SIGSYS: u8 = 31;

type Rule = fn(&Death) -> Option<Diagnosis>;

/// In this order: a later rule may take for granted that the earlier ones had no answer.
const RULES: &[Rule] =
    &[never_ran, killed_for_memory, was_asked, bound_no_port, out_of_tasks, said_so, by_signal, by_status];

/// Why it ended.
#[must_use]
pub fn diagnose(death: &Death) -> Diagnosis {
    RULES.iter().find_map(|rule| rule(death)).unwrap_or(Diagnosis::Lost)
}

/// What else is worth telling.
#[must_use]
pub fn remarks(death: &Death) -> Vec<Remark> {
    let named = diagnose(death);
    let mut remarks = Vec::new();
    if let Some((used, quota)) = over_quota(death)
        && !matches!(named, Diagnosis::OverQuota { .. } | Diagnosis::MemoryKilled { .. })
    {
        remarks.push(Remark::OverQuota { used, quota });
    }
    if death.memory.kills > 0 && !matches!(named, Diagnosis::MemoryKilled { .. }) {
        remarks.push(Remark::MemoryKills(death.memory.kills));
    }
    if death.tasks.refused > 0 && !matches!(named, Diagnosis::TooManyTasks { .. }) {
        remarks.push(Remark::RefusedTasks { count: death.tasks.refused, limit: death.tasks.limit });
    }
    if !death.refused_calls.is_empty() && !matches!(named, Diagnosis::NotPermitted { .. }) {
        remarks.push(Remark::RefusedCalls(death.refused_calls.clone()));
    }
    remarks.extend(loopback(death));
    let pressure = [
        ("a processor", death.pressure.cpu),
        ("memory", death.pressure.memory),
        ("a disk", death.pressure.io),
    ];
    let high = |(resource, percent): (&'static str, Option<f64>)| {
        let percent = percent.filter(|percent| *percent >= PRESSURE_PERCENT_MIN)?;
        Some(Remark::Pressure { resource, percent })
    };
    remarks.extend(pressure.into_iter().filter_map(high));
    remarks
}

/// Whether a web dyno had its port where only its own loopback reaches it.
fn loopback(death: &Death) -> Option<Remark> {
    let on_port: Vec<IpAddr> = (death.listened.iter().flatten())
        .filter(|socket| socket.port() == death.port)
        .map(SocketAddr::ip)
        .collect();
    if death.kind != Kind::Web || on_port.is_empty() || !on_port.iter().all(IpAddr::is_loopback) {
        return None;
    }
    let is_v6 = on_port.iter().all(|address| *address == Ipv6Addr::LOCALHOST);
    Some(if is_v6 { Remark::LoopbackV6Only } else { Remark::LoopbackOnly })
}

fn over_quota(death: &Death) -> Option<(Bytes, Bytes)> {
    let memory = &death.memory;
    (memory.sampled > memory.quota).then_some((Bytes(memory.sampled), Bytes(memory.quota)))
}

fn never_ran(death: &Death) -> Option<Diagnosis> {
    match &death.ending {
        Ending::NotStarted(reason) => Some(Diagnosis::NotStarted { reason: reason.clone() }),
        Ending::Lost => Some(Diagnosis::Lost),
        Ending::Code(_) | Ending::Signal(_) => None,
    }
}

/// The platform ends a dyno of which one process died for memory; one that had been asked to stop goes anyway.
fn killed_for_memory(death: &Death) -> Option<Diagnosis> {
    let memory = &death.memory;
    let killed = memory.kills > 0 && death.passage != Passage::Asked;
    killed.then_some(Diagnosis::MemoryKilled { quota: Bytes(memory.quota), limit: Bytes(memory.limit) })
}

fn was_asked(death: &Death) -> Option<Diagnosis> {
    match death.passage {
        Passage::Asked => Some(Diagnosis::Stopped),
        Passage::Forced => Some(Diagnosis::ExitTimeout),
        Passage::ClientGone => Some(Diagnosis::ClientGone),
        Passage::Starting | Passage::Booting | Passage::BootTimeout | Passage::Running => None,
    }
}

fn bound_no_port(death: &Death) -> Option<Diagnosis> {
    if death.passage != Passage::BootTimeout {
        return None;
    }
    let listened: Vec<String> = death.listened.iter().flatten().map(shown).collect();
    let port = death.port;
    Some(if listened.is_empty() {
        Diagnosis::NoPort { port }
    } else {
        Diagnosis::WrongPort { listened, port }
    })
}

/// `port 3000`, and the address where it is not every one.
fn shown(socket: &SocketAddr) -> String {
    let everywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    if everywhere.contains(&socket.ip()) { format!("port {}", socket.port()) } else { socket.to_string() }
}

/// Complained of, for a program may well live with a refusal; and counted by the kernel where the words are not plain.
fn out_of_tasks(death: &Death) -> Option<Diagnosis> {
    let failed = death.ending != Ending::Code(0);
    let is_it = match said::of_tasks(lines(death)) {
        said::OfTasks::Certainly => true,
        said::OfTasks::Perhaps => death.tasks.refused > 0,
        said::OfTasks::No => false,
    };
    (failed && is_it).then_some(Diagnosis::TooManyTasks { limit: death.tasks.limit })
}

/// Words say why a program failed, not why one did not.
fn said_so(death: &Death) -> Option<Diagnosis> {
    if death.ending == Ending::Code(0) {
        return None;
    }
    let mut why = said::why(lines(death))?;
    if let Diagnosis::NotPermitted { calls, .. } = &mut why {
        // What it complains of is known more exactly.
        calls.clone_from(&death.refused_calls);
    }
    Some(why)
}

fn by_signal(death: &Death) -> Option<Diagnosis> {
    let signal = death.ending.signal()?;
    Some(match signal {
        SIGSEGV | SIGBUS => Diagnosis::Segfault,
        SIGABRT => Diagnosis::Aborted,
        SIGSYS => Diagnosis::ForeignCall,
        0..=64 => Diagnosis::Signalled { signal: name(signal) },
        _ => return None,
    })
}

fn by_status(death: &Death) -> Option<Diagnosis> {
    let Ending::Code(status) = death.ending else { return None };
    let formation = matches!(death.kind, Kind::Web | Kind::Worker);
    Some(match status {
        0 if !formation => Diagnosis::Completed,
        0 if death.lived() < AT_ONCE => Diagnosis::EndedAtOnce,
        0 => Diagnosis::EndedByItself,
        STATUS_NOT_FOUND => Diagnosis::CommandNotFound { program: None },
        STATUS_NOT_EXECUTABLE => Diagnosis::NotExecutable { line: None },
        _ => match over_quota(death) {
            Some((used, quota)) => Diagnosis::OverQuota { used, quota },
            None => Diagnosis::Failed { status, line: said::reason(lines(death)) },
        },
    })
}

fn lines(death: &Death) -> &[String] {
    death.last_lines.as_deref().unwrap_or_default()
}

fn name(signal: u8) -> &'static str {
    const NAMES: [&str; 32] = [
        "0",
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    NAMES.get(usize::from(signal)).copied().unwrap_or("SIGRTMIN and above")
}
