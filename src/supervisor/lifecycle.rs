//! The life of one dyno: a state, an event and one total function between them. Pure.
//!
//! ```text
//!              ┌────────▶ Launching ──launched──▶ Booting ──port bound──▶ Up ──client gone──▶ HangingUp
//!    wait over │           │     │ └──launched, not web────────────────▶ ┆                       │
//!              │   start   │     │                  │                    │                       │
//!              │   failed  │     │ stop             │ exit               │ exit                  │ exit, or
//!              │           ▼     ▼                  │                    │                       │ R16
//!              └────── Crashed   Aborting           │                    │                       │
//!                        ▲ │       │ launched       ▼                    ▼                       ▼
//!       formation, exit ─┘ │       └─────────────▶ Stopping ◀─ stop, age: SIGTERM to all ────────┘
//!                     stop │                        │    │ 30 s, R12
//!                          ▼                   exit │    ▼          R10, from Booting
//!                        Ended ◀────────────────────┴─ Killing ◀───────────────────
//! ```
//!
//! A dyno that must be replaced (restart, release, age) leaves through `Stopping` and asks for a successor at once;
//! both bear the same name while the old one goes. Where its traits say [`Handover::Overlap`], a dyno that is up serves
//! on until the successor does:
//!
//! ```text
//!    Up ──restart, age──▶ Yielding ──exit──▶ Crashed
//!    │                        │
//!    └─────── replaced ───────┴──▶ Draining ──span over, stop: SIGTERM to all──▶ Stopping
//! ```
//!
//! A dyno that is told to go goes on with that under the next run of the node: [`Effect::Keep`] comes before it is told,
//! and [`resume`] begins where that ended.
//!
//! One-off dynos never crash: they end. An event that means nothing in a state leaves it as it is and says so with
//! [`Effect::Ignored`].

mod events;

use std::time::Duration;

use crate::domain::DynoState;
use crate::supervisor::Moment;
use crate::supervisor::backoff::CrashDelays;
use crate::wire::codes::DynoError;
use crate::wire::logline::DynoLine;

/// What kind of dyno it is, as far as its life goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Of the formation, and must bind its port.
    Web,
    /// Of the formation, any other type.
    Worker,
    /// A one-off whose output goes to the log.
    Detached,
    /// A one-off with a client at its terminal or pipes.
    Attached,
}

impl Class {
    /// Whether the formation asks for it, so that it is restarted.
    #[must_use]
    pub fn is_formation(self) -> bool {
        match self {
            Self::Web | Self::Worker => true,
            Self::Detached | Self::Attached => false,
        }
    }
}

/// The spans of the platform, in one place so that tests can shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How long a web dyno may take to bind its port (R10).
    pub boot: Duration,
    /// From SIGTERM to SIGKILL (R12).
    pub grace: Duration,
    /// From when a dyno gets no more requests, since its successor does, to its SIGTERM: requests that it has may end.
    pub drain: Duration,
    /// Between two SIGKILLs, where the first was not enough.
    pub kill_again: Duration,
    /// Uptime after which earlier crashes are forgotten.
    pub healthy: Duration,
    /// The wait after a crash.
    pub crash_delays: CrashDelays,
    /// The wait after a start that the node itself could not make.
    pub launch_retry: Duration,
    /// Between two SIGHUPs to a dyno whose client is gone.
    pub hangup: Duration,
    /// The age at which every dyno is cycled.
    pub cycle: Duration,
    /// The most that a dyno's own random share adds to that age.
    pub cycle_jitter: Duration,
    /// Between two looks at what a dyno uses.
    pub sample: Duration,
}

/// How many SIGHUPs a dyno gets whose client is gone, before R16 and its stop.
pub const HANGUPS_MAX: u32 = 3;

impl Default for Timings {
    /// The platform's (reference 1.8 to 1.12 and 6).
    fn default() -> Self {
        Self {
            boot: Duration::from_secs(60),
            grace: Duration::from_secs(30),
            drain: Duration::from_secs(2),
            kill_again: Duration::from_secs(5),
            healthy: Duration::from_secs(10 * 60),
            crash_delays: CrashDelays::default(),
            launch_retry: Duration::from_secs(30),
            hangup: Duration::from_secs(5),
            cycle: Duration::from_secs(24 * 60 * 60),
            cycle_jitter: Duration::from_secs(216 * 60),
            sample: Duration::from_secs(20),
        }
    }
}

/// What comes first when a dyno is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Handover {
    /// The successor comes up, then the old one goes.
    #[default]
    Overlap,
    /// The old one goes, and the successor starts meanwhile, as the platform does it.
    AtOnce,
}

/// What stays the same through a dyno's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// Its kind.
    pub class: Class,
    /// Its age at which it is cycled, the random share included; a one-off's time to live when that is shorter.
    pub cycle_after: Duration,
    /// What comes first when it is replaced; only web dynos overlap.
    pub handover: Handover,
    /// The node's spans.
    pub timings: Timings,
}

/// Why a dyno has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leave {
    /// Nobody wants it any more.
    Down,
    /// A restart on request; another takes its place.
    Restart,
    /// A new release or size; another takes its place.
    Outdated,
    /// Another has taken its place already, or is no longer to take it.
    Replaced,
}

/// Where a dyno is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The node is making the container.
    Launching {
        /// Since when.
        since: Moment,
        /// Crashes in a row before.
        crashes: u32,
    },
    /// Web, launched, has not bound its port.
    Booting {
        /// When the process was launched.
        launched: Moment,
        /// Crashes in a row before.
        crashes: u32,
    },
    /// Launched, and bound to its port when it is web.
    Up {
        /// When the process was launched.
        launched: Moment,
        /// Since when it is up.
        since: Moment,
        /// Crashes in a row before.
        crashes: u32,
    },
    /// Up, and serves until its successor does.
    Yielding {
        /// When the process was launched.
        launched: Moment,
        /// Crashes in a row before.
        crashes: u32,
    },
    /// Nothing runs; waits for its next start.
    Crashed {
        /// Since when.
        since: Moment,
        /// Crashes in a row, this one included.
        crashes: u32,
        /// When it starts again.
        retry: Moment,
    },
    /// Up, but its client has gone away.
    HangingUp {
        /// SIGHUPs sent.
        hangups: u32,
        /// When the next step is due.
        next: Moment,
    },
    /// Must go, but the node is still making its container.
    Aborting,
    /// Gets no more requests, and ends those it has.
    Draining {
        /// When SIGTERM follows.
        until: Moment,
    },
    /// Has got SIGTERM.
    Stopping {
        /// When SIGKILL follows.
        kill: Moment,
    },
    /// Has got SIGKILL.
    Killing {
        /// What follows its end.
        then: AfterKill,
        /// When it gets it again.
        again: Moment,
    },
    /// Gone for good.
    Ended,
}

/// What follows a dyno's end by SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AfterKill {
    /// It never came up: a crash, with so many before it.
    Crash {
        /// Crashes in a row before.
        crashes: u32,
    },
    /// It had to go.
    Leave,
}

/// What can happen to a dyno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The client of an attached dyno has gone.
    ClientGone,
    /// The process runs.
    Launched,
    /// The node could not start it.
    LaunchFailed,
    /// Its port is bound.
    Listening,
    /// Its first process has ended, and with it the container.
    Exited {
        /// The shell's number for the exit.
        status: u8,
        /// Whether the kernel ended it for want of memory.
        memory: Memory,
    },
    /// Another shall take its place; it may go first, or serve until then, as its traits say.
    Relieve(Leave),
    /// It has to go.
    Stop(Leave),
    /// It has to go without grace.
    Kill,
    /// Time has passed.
    Tick,
}

/// Whether a dyno stayed within its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// It did.
    Within,
    /// It did not, and was killed for it (R15).
    Exceeded,
}

/// What is kept of a dyno's way out, for the next run of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Departure {
    /// It serves until its successor does.
    Yielding,
    /// It gets SIGTERM as soon as it runs.
    Aborting,
    /// It has got SIGTERM.
    Leaving {
        /// When SIGKILL follows.
        kill: Moment,
    },
}

/// What has to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make a container and run the process in it; the log says so with the command.
    Launch,
    /// Write this down, before anything is done about it.
    Keep(Departure),
    /// SIGTERM to every process.
    Terminate,
    /// SIGHUP to every process.
    HangUp,
    /// SIGKILL to all at once.
    Kill,
    /// A line for the app's log.
    Tell(DynoLine),
    /// An error for the app's log.
    Fail(DynoError),
    /// Start a successor: the name is free, or its holder waits to be relieved.
    Succeed,
    /// The container has ended: clear its remains away.
    Clear,
    /// The event means nothing here; the words say why.
    Ignored(&'static str),
}

/// A dyno's first state and what brings it about.
#[must_use]
pub fn begin(traits: &Traits, origin: Origin, now: Moment) -> (State, Vec<Effect>) {
    let launching = State::Launching { since: now, crashes: 0 };
    match (traits.class, origin) {
        (Class::Web | Class::Worker, Origin::New) => {
            (launching, vec![events::changed(DynoState::Down, DynoState::Starting), Effect::Launch])
        }
        (Class::Web | Class::Worker, Origin::Successor) | (Class::Detached | Class::Attached, _) => {
            (launching, vec![Effect::Launch])
        }
    }
}

/// Where a dyno's name was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Free.
    New,
    /// On a dyno that is leaving; the log has told the change.
    Successor,
}

/// The one function: what `event` makes of `state` at `now`.
#[must_use]
pub fn step(traits: &Traits, state: State, event: Event, now: Moment) -> (State, Vec<Effect>) {
    match event {
        Event::ClientGone => events::client_gone(traits, state, now),
        Event::Launched => events::launched(traits, state, now),
        Event::LaunchFailed => events::launch_failed(traits, state, now),
        Event::Listening => events::listening(state, now),
        Event::Exited { status, memory } => {
            events::exited(traits, state, events::Exit { status, memory, now })
        }
        Event::Relieve(leave) => events::relieve(traits, state, leave, now),
        Event::Stop(leave) => events::stop(traits, state, leave, now),
        Event::Kill => events::kill(traits, state, now),
        Event::Tick => events::tick(traits, state, now),
    }
}

/// The state of a dyno taken over in `state` that an earlier run of the node has told to go. One that leaves gets its SIGTERM
/// again where it still runs: whether it has got one nobody knows.
#[must_use]
pub fn resume(traits: &Traits, state: State, departure: Departure, now: Moment) -> State {
    let latest = now.plus(traits.timings.grace);
    match (departure, state) {
        (Departure::Yielding, State::Up { launched, crashes, .. }) => State::Yielding { launched, crashes },
        // One that does not serve any more has nothing to hand over.
        (Departure::Yielding | Departure::Aborting, _) => State::Stopping { kill: latest },
        (Departure::Leaving { kill }, _) => State::Stopping { kill: kill.min(latest) },
    }
}

/// When `state` next needs an [`Event::Tick`]; `None` where only an event from outside moves it.
#[must_use]
pub fn deadline(traits: &Traits, state: State) -> Option<Moment> {
    match state {
        State::Booting { launched, .. } => {
            Some(launched.plus(traits.timings.boot).min(launched.plus(traits.cycle_after)))
        }
        State::Up { launched, .. } => Some(launched.plus(traits.cycle_after)),
        State::Crashed { retry, .. } => Some(retry),
        State::HangingUp { next, .. } => Some(next),
        State::Draining { until } => Some(until),
        State::Stopping { kill } => Some(kill),
        State::Killing { again, .. } => Some(again),
        State::Launching { .. } | State::Yielding { .. } | State::Aborting | State::Ended => None,
    }
}

/// The word for `state`; `None` for a dyno on its way out, whose name may be another's already.
#[must_use]
pub fn shown(state: State) -> Option<DynoState> {
    match state {
        State::Launching { .. } | State::Booting { .. } => Some(DynoState::Starting),
        State::Killing { then: AfterKill::Crash { .. }, .. } => Some(DynoState::Starting),
        State::Up { .. } | State::Yielding { .. } | State::HangingUp { .. } => Some(DynoState::Up),
        State::Crashed { .. } => Some(DynoState::Crashed),
        State::Aborting | State::Draining { .. } | State::Stopping { .. } | State::Ended => None,
        State::Killing { then: AfterKill::Leave, .. } => None,
    }
}

#[cfg(test)]
mod test;
