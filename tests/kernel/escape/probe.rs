//! What a probe is: an attack as data, and what came of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::support::patience::patient;

/// One attack.
pub(crate) struct Probe {
    /// Name, unique in the suite.
    pub(crate) name: &'static str,
    /// What it reaches for, as a clause that completes "it tries to".
    pub(crate) attacks: &'static str,
    /// The answers that count as a refusal. Any other answer, a better one included, fails the test: somebody must look.
    pub(crate) refusals: &'static [Refusal],
    /// With whom it shares a container.
    pub(crate) company: Company,
    /// The attack itself, in a process of its own. So made that it harms nobody where it succeeds, for that is tried first: it asks
    /// with arguments that are refused after the check of rights, opens and does not write, takes little and gives it back.
    pub(crate) attempt: fn(&Aims) -> Verdict,
}

/// An answer that counts as a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The kernel's errno.
    Errno(i32),
    /// It worked, and there was nothing to be had.
    Nothing,
    /// The process was ended by this signal.
    Killed(i32),
}

/// With whom a probe shares a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// With all the others, one after the other.
    Shared,
    /// With nobody, because its refusal ends the container.
    Alone,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// It succeeded: with what.
    Got(String),
    /// The kernel's errno.
    Errno(i32),
    /// Nothing was to be had: what was looked at.
    Nothing(String),
    /// Its process was ended by this signal.
    Killed(i32),
    /// This machine has nothing to attack, or its root lacks the right: which.
    Absent(String),
}

/// What the probes aim at: made by the stage, handed to the program.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Aims {
    /// Whether the container is the one without isolation.
    pub(crate) loose: bool,
    /// Process that is none of the container's business, as its own namespace numbers it.
    pub(crate) canary_pid: i32,
    /// A directory that only the host has; its path is in no root.
    pub(crate) host_dir: String,
    /// Name of the node's subtree of control groups.
    pub(crate) cgroup_root: String,
    /// Address and port of a server each, by what stands behind it.
    pub(crate) servers: Vec<(String, String)>,
    /// Descriptors that the program began with, beyond the standard streams.
    pub(crate) inherited: Vec<String>,
    /// Processor time, memory and the like that a probe may take at most, so that showing it harms nobody.
    pub(crate) appetite: Appetite,
}

/// How long one probe may take, on a machine of today.
const PROBE_TIME: Duration = Duration::from_secs(10);

/// How much the probes of exhaustion take: more than a container's limits allow, little enough for the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Appetite {
    /// Time, for each probe.
    pub(crate) time: Duration,
    /// Memory, in bytes.
    pub(crate) memory_bytes: usize,
    /// Processes or threads.
    pub(crate) tasks: usize,
    /// Descriptors.
    pub(crate) descriptors: usize,
    /// Bytes in files.
    pub(crate) disk_bytes: u64,
    /// Files.
    pub(crate) files: usize,
}

impl Default for Appetite {
    fn default() -> Appetite {
        Appetite {
            time: patient(PROBE_TIME),
            memory_bytes: 192 << 20,
            tasks: 200,
            descriptors: 2000,
            disk_bytes: 96 << 20,
            files: 20_000,
        }
    }
}

impl Probe {
    /// A probe that shares its container.
    pub(crate) const fn new(
        name: &'static str,
        attacks: &'static str,
        refusals: &'static [Refusal],
        attempt: fn(&Aims) -> Verdict,
    ) -> Probe {
        Probe { name, attacks, refusals, company: Company::Shared, attempt }
    }

    /// The same, in a container of its own.
    pub(crate) const fn alone(mut self) -> Probe {
        self.company = Company::Alone;
        self
    }

    /// Whether a verdict is one of the refusals expected.
    pub(crate) fn is_refused(&self, verdict: &Verdict) -> bool {
        is_among(self.refusals, verdict)
    }
}

/// Whether a verdict is one of these refusals.
pub(crate) fn is_among(refusals: &[Refusal], verdict: &Verdict) -> bool {
    let refusal = match verdict {
        Verdict::Errno(errno) => Refusal::Errno(*errno),
        Verdict::Nothing(_) => Refusal::Nothing,
        Verdict::Killed(signal) => Refusal::Killed(*signal),
        Verdict::Got(_) | Verdict::Absent(_) => return false,
    };
    refusals.contains(&refusal)
}

impl Verdict {
    /// Why a probe that does not succeed without isolation has nothing to attack here; `None` if that is no reason.
    pub(crate) fn absence(&self) -> Option<String> {
        match self {
            Verdict::Absent(what) => Some(what.clone()),
            Verdict::Errno(errno) => {
                let told = std::io::Error::from_raw_os_error(*errno);
                ABSENCES.contains(errno).then(|| format!("this kernel does not offer it ({told})"))
            }
            Verdict::Got(_) | Verdict::Nothing(_) | Verdict::Killed(_) => None,
        }
    }
}

/// What the kernel answers to somebody with every right when it lacks the thing itself.
const ABSENCES: &[i32] = &[
    libc::ENOENT,
    libc::ENOSYS,
    libc::ENODEV,
    libc::ENXIO,
    libc::EOPNOTSUPP,
    libc::EAFNOSUPPORT,
    libc::EPROTONOSUPPORT,
    libc::ESOCKTNOSUPPORT,
];

/// The verdict on something that must not even be looked at.
pub(crate) fn got<T>(result: std::io::Result<T>, what: impl FnOnce(T) -> String) -> Verdict {
    match result {
        Ok(value) => Verdict::Got(what(value)),
        Err(error) => Verdict::Errno(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// The verdict on a call that the kernel must turn away at the gate. Made with arguments that can do no harm: an errno in `beyond`
/// is given only to those who have passed the gate.
pub(crate) fn gate(result: Result<usize, i32>, beyond: &[i32]) -> Verdict {
    match result {
        Ok(value) => Verdict::Got(format!("it returned {value}")),
        Err(errno) if beyond.contains(&errno) => {
            Verdict::Got(format!("past the check of rights: {}", std::io::Error::from_raw_os_error(errno)))
        }
        Err(errno) => Verdict::Errno(errno),
    }
}
