//! What is known of a dyno that has ended: plain facts, as they are kept on disk.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::supervisor::postmortem::{diagnose, remarks};
use crate::wire::diagnosis::{Remark, Told};

/// The end of one dyno, and what led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Death {
    /// The dyno's identity.
    pub id: Uuid,
    /// Its name: `web.1`.
    pub name: String,
    /// What kind of dyno it was.
    pub kind: Kind,
    /// The number of the release it ran.
    pub release: u64,
    /// What it ran, as written.
    pub command: String,
    /// How large it was: `Standard-1X`.
    pub size: String,
    /// Its `$PORT`.
    pub port: u16,
    /// When it was launched.
    pub launched: SystemTime,
    /// When it ended.
    pub at: SystemTime,
    /// How.
    pub ending: Ending,
    /// In which part of its life.
    pub passage: Passage,
    /// Its memory.
    pub memory: MemoryFacts,
    /// Its processes and threads.
    pub tasks: TaskFacts,
    /// Calls that the filter of system calls refused it, by name, and how often. Nobody told of them in older accounts.
    #[serde(default)]
    pub refused_calls: Vec<(String, u64)>,
    /// How much it waited in its last minute.
    pub pressure: PressureFacts,
    /// Where it listened when it was last looked at; none where nobody looked.
    pub listened: Option<Vec<SocketAddr>>,
    /// Its last lines, oldest first; none where a client had its output.
    pub last_lines: Option<Vec<String>>,
}

impl Death {
    /// Why it ended, in words.
    #[must_use]
    pub fn diagnosis(&self) -> Told {
        diagnose(self).told()
    }

    /// What else is worth telling.
    #[must_use]
    pub fn remarks(&self) -> Vec<Remark> {
        remarks(self)
    }

    /// The exit code of its first process, or the signal that ended it.
    #[must_use]
    pub fn exit_code_and_signal(&self) -> (Option<u8>, Option<u8>) {
        match self.ending {
            Ending::Code(code) => (Some(code), None),
            Ending::Signal(signal) => (None, Some(signal)),
            Ending::Lost | Ending::NotStarted(_) => (None, None),
        }
    }

    /// How long it lived.
    #[must_use]
    pub fn lived(&self) -> Duration {
        self.at.duration_since(self.launched).unwrap_or_default()
    }

    /// Whether it went as it should: asked to stop and did, or a one-off that has done its work.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        let well = self.ending == Ending::Code(0);
        match (self.passage, self.kind) {
            (Passage::Asked | Passage::ClientGone, _) => true,
            (Passage::Running, Kind::OneOff | Kind::Attached) => well,
            (Passage::Running, Kind::Web | Kind::Worker) => false,
            (Passage::Starting | Passage::Booting | Passage::BootTimeout | Passage::Forced, _) => false,
        }
    }
}

/// What kind of dyno it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Of the formation, and had to bind its port.
    Web,
    /// Of the formation, any other type.
    Worker,
    /// A one-off whose output went to the log.
    OneOff,
    /// A one-off with a client at its terminal or pipes.
    Attached,
}

/// How its first process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It exited with this code.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
    /// Nobody was there to see.
    Lost,
    /// It never ran; the reason.
    NotStarted(String),
}

impl Ending {
    /// The number of the signal that ended the program, also where a shell reports it as 128 and the signal.
    #[must_use]
    pub fn signal(&self) -> Option<u8> {
        const SHELL_BASE: u8 = 128;
        const SIGNALS: std::ops::RangeInclusive<u8> = 1..=64;
        match self {
            Self::Signal(signal) => Some(*signal),
            Self::Code(code) => code.checked_sub(SHELL_BASE).filter(|signal| SIGNALS.contains(signal)),
            Self::Lost | Self::NotStarted(_) => None,
        }
    }
}

/// The part of a dyno's life in which it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passage {
    /// The node was making its container.
    Starting,
    /// Web, and had not bound its port.
    Booting,
    /// The same, and its time for it was over (R10).
    BootTimeout,
    /// It ran.
    Running,
    /// Its client had gone.
    ClientGone,
    /// Another had taken its place, or it was asked to stop, within its grace time.
    Asked,
    /// It was asked to stop, and ended by force (R12).
    Forced,
}

impl Passage {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Booting => "booting",
            Self::BootTimeout => "boot_timeout",
            Self::Running => "running",
            Self::ClientGone => "client_gone",
            Self::Asked => "asked",
            Self::Forced => "forced",
        }
    }
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFacts {
    /// What its size grants.
    pub quota: u64,
    /// Where the kernel ends it.
    pub limit: u64,
    /// The most it used at once, cached files included; 0 where the kernel does not tell.
    pub peak: u64,
    /// The most it used at a sample without cached files; 0 if it was never sampled.
    pub sampled: u64,
    /// How often it came up against the limit.
    pub limit_hits: u64,
    /// Processes the kernel killed for want of memory.
    pub kills: u64,
}

/// Processes and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFacts {
    /// How many its size grants.
    pub limit: u64,
    /// How often one more was refused.
    pub refused: u64,
}

/// Share of the last minute in which some process waited, per cent; none where the kernel does not account for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PressureFacts {
    /// For a processor.
    pub cpu: Option<f64>,
    /// For memory.
    pub memory: Option<f64>,
    /// For disks.
    pub io: Option<f64>,
}
