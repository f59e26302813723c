//! How a dyno ended: beyond the platform's API.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The end of one dyno.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Death {
    /// The dyno's identity.
    pub id: Uuid,
    /// `web.1`.
    pub name: String,
    /// The number of the release it ran.
    pub release: u64,
    /// The command as the Procfile has it.
    pub command: String,
    /// `Standard-1X`.
    pub size: String,
    /// ISO time of its launch.
    pub launched_at: String,
    /// ISO time of its end.
    pub ended_at: String,
    /// Seconds between the two.
    pub lived_s: f64,
    /// Whether it went as it should.
    pub orderly: bool,
    /// The exit code of its first process; none where a signal ended it, or nobody saw.
    pub exit_code: Option<u8>,
    /// The signal that ended its first process.
    pub signal: Option<u8>,
    /// The part of its life: `starting`, `booting`, `boot_timeout`, `running`, `client_gone`, `asked` or `forced`.
    pub passage: String,
    /// Why, by name.
    pub diagnosis: Diagnosis,
    /// What else is worth telling, one sentence each.
    pub remarks: Vec<String>,
    /// Its `$PORT`.
    pub port: u16,
    /// Addresses it listened on when it was last looked at; none where nobody looked.
    pub listened: Option<Vec<String>>,
    /// Its memory.
    pub memory: DeathMemory,
    /// Its processes and threads.
    pub tasks: DeathTasks,
    /// System calls that were refused it, in the order in which it first made them.
    #[serde(default)]
    pub refused_calls: Vec<DeathCall>,
    /// How much it waited in its last minute.
    pub pressure: DeathPressure,
    /// Its last lines, oldest first; none where a client had its output.
    pub last_lines: Option<Vec<String>>,
}

/// Why a dyno ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// For programs: `wrong_port`.
    pub name: String,
    /// What happened, one sentence.
    pub what: String,
    /// What to do; empty where nothing need be done.
    pub advice: String,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeathMemory {
    /// What its size grants.
    pub quota: u64,
    /// Where it is ended.
    pub limit: u64,
    /// The most it used at once, cached files included; none where the kernel does not tell.
    pub peak: Option<u64>,
    /// How often it came up against the limit.
    pub limit_hits: u64,
    /// Processes the kernel killed for want of memory.
    pub kills: u64,
}

/// Processes and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeathTasks {
    /// How many its size grants.
    pub limit: u64,
    /// How often one more was refused.
    pub refused: u64,
}

/// A system call that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeathCall {
    /// As the kernel calls it: `unshare`.
    pub name: String,
    /// How often; at least so often where it was ended by force.
    pub count: u64,
}

/// Share of the last minute in which some process waited, per cent; none where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeathPressure {
    /// For a processor.
    pub cpu: Option<f64>,
    /// For memory.
    pub memory: Option<f64>,
    /// For disks.
    pub io: Option<f64>,
}
