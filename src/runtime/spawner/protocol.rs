//! What is said between a client and the spawner, and between the spawner and the container it is starting: one JSON value a packet.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::runtime::exit::ExitStatus;
use crate::runtime::record::Record;
use crate::runtime::spawner::trace::{Lap, Trace};
use crate::sys::message::{Channel, Packet};

/// Version of what is said here, records and plans apart: raised with every change that the other end would not understand. A
/// control plane may meet the spawner of an earlier build, and of a later one; `Hello` and `Retire` with their answers are how
/// they part, and stay as they are in every version.
pub(crate) const PROTOCOL: u32 = 2;

/// Largest plan, in bytes.
pub(crate) const PLAN_BYTES_MAX: u64 = 8 << 20;

/// A client's request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Say who you are.
    Hello,
    /// Start a container. Descriptors: the plan in a file, then the network namespace to join, if one is.
    Start {
        /// Form of the plan (`plan::PLAN_FORMAT`).
        format: u32,
        /// Whether to tell what each step took.
        trace: Trace,
    },
    /// Run a further command in a container. Descriptor: the `Entry` in a file. The connection is the command's from then on: closing
    /// it hangs up.
    Enter,
    /// Answer, when all requests before this one are answered.
    Ping,
    /// Take no more requests, and end when the last container has.
    Retire,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Who speaks.
    Hello {
        /// Its `PROTOCOL`.
        protocol: u32,
        /// The build of the program it runs (`SpawnerConfig::build`).
        build: String,
    },
    /// Descriptors: the pidfd of init, then the terminal, or the three pipes (input, output, errors).
    Started {
        /// As it was written down.
        record: Record,
        /// Time each phase took.
        timings: Timings,
        /// Time each step took, if that was asked for.
        laps: Vec<Lap>,
    },
    /// A further command runs. Descriptors: the terminal, or the three pipes (input, output, errors).
    Entered {
        /// Its process id, on the host.
        pid: u32,
    },
    /// It has ended.
    Ended(ExitStatus),
    /// It was not started; nothing is left of the attempt.
    Failed(StepFailed),
    /// The plan is of another form: retire this spawner and start one of one's own kind.
    OtherFormat,
    /// Here.
    Pong,
    /// Done.
    Retired,
}

/// What the client says to a further command that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ClientSays {
    /// Pass this signal on, by its number.
    Signal(u8),
}

/// Time the phases of a start took, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Making the control group.
    pub cgroup_us: u64,
    /// Cloning the namespaces and mapping ids.
    pub clone_us: u64,
    /// Preparing the mounts.
    pub mounts_us: u64,
    /// Attaching to version 1 controllers.
    pub attach_us: u64,
    /// From then until the application's exec.
    pub exec_us: u64,
}

/// What the container says while it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChildSays {
    /// Descriptor: the application's terminal.
    Terminal,
    /// The next thing is exec; the channel closes with it. With what init and the application's first process took, if asked.
    Executing(Vec<Lap>),
    /// It did not work.
    Failed(StepFailed),
}

/// What the spawner says to the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HostSays {
    /// The ids stand for the host's.
    Mapped,
    /// Descriptors: the prepared mounts, by slot.
    Mounts,
    /// Start the application.
    Release,
}

/// The step at which a start failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{side} step {index} failed: {step}: {reason}")]
pub struct StepFailed {
    /// Whose step.
    pub side: Side,
    /// Its place in that list of the plan.
    pub index: usize,
    /// The step.
    pub step: String,
    /// The kernel's errno; 0 where the kernel had no part in it.
    pub errno: i32,
    /// The reason in words.
    pub reason: String,
}

impl StepFailed {
    pub(crate) fn new(side: Side, index: usize, step: impl fmt::Display, error: &io::Error) -> StepFailed {
        StepFailed {
            side,
            index,
            step: step.to_string(),
            errno: error.raw_os_error().unwrap_or(0),
            reason: error.to_string(),
        }
    }
}

/// Which of the plan's lists a step is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// The spawner's.
    Host,
    /// Init's.
    Init,
    /// The application's first process's.
    Process,
}

impl fmt::Display for Side {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Side::Host => "host",
            Side::Init => "init",
            Side::Process => "process",
        })
    }
}

/// Sends one value.
pub(crate) fn say(
    channel: &Channel,
    value: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    channel.send(&serde_json::to_vec(value)?, descriptors)
}

/// Waits for one value; `None` when the other end is closed.
pub(crate) fn hear<T: DeserializeOwned>(
    channel: &Channel,
    timeout: Duration,
) -> io::Result<Option<(T, Vec<std::os::fd::OwnedFd>)>> {
    let Some(Packet { bytes, descriptors }) = channel.receive(timeout)? else { return Ok(None) };
    Ok(Some((serde_json::from_slice(&bytes)?, descriptors)))
}
