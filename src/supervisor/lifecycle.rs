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
//! both bear the same name while the old one goes. One-off dynos never crash: they end. An event that means nothing in
//! a state leaves it as it is and says so with [`Effect::Ignored`].

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

/// What stays the same through a dyno's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// Its kind.
    pub class: Class,
    /// Its age at which it is cycled, the random share included; a one-off's time to live when that is shorter.
    pub cycle_after: Duration,
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

/// What has to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make a container and run the process in it; the log says so with the command.
    Launch,
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
    /// The name is free: start a successor.
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
            (launching, vec![changed(DynoState::Down, DynoState::Starting), Effect::Launch])
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
        Event::ClientGone => client_gone(traits, state, now),
        Event::Launched => launched(traits, state, now),
        Event::LaunchFailed => launch_failed(traits, state, now),
        Event::Listening => listening(state, now),
        Event::Exited { status, memory } => exited(traits, state, Exit { status, memory, now }),
        Event::Stop(leave) => stop(traits, state, leave, now),
        Event::Kill => kill(traits, state, now),
        Event::Tick => tick(traits, state, now),
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
        State::Stopping { kill } => Some(kill),
        State::Killing { again, .. } => Some(again),
        State::Launching { .. } | State::Aborting | State::Ended => None,
    }
}

/// The word for `state`; `None` for a dyno on its way out, whose name may be another's already.
#[must_use]
pub fn shown(state: State) -> Option<DynoState> {
    match state {
        State::Launching { .. } | State::Booting { .. } => Some(DynoState::Starting),
        State::Killing { then: AfterKill::Crash { .. }, .. } => Some(DynoState::Starting),
        State::Up { .. } | State::HangingUp { .. } => Some(DynoState::Up),
        State::Crashed { .. } => Some(DynoState::Crashed),
        State::Aborting | State::Stopping { .. } | State::Ended => None,
        State::Killing { then: AfterKill::Leave, .. } => None,
    }
}

struct Exit {
    status: u8,
    memory: Memory,
    now: Moment,
}

fn changed(from: DynoState, to: DynoState) -> Effect {
    Effect::Tell(DynoLine::StateChanged { from: from.as_str(), to: to.as_str() })
}

fn ignored(state: State, why: &'static str) -> (State, Vec<Effect>) {
    (state, vec![Effect::Ignored(why)])
}

fn client_gone(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
    match (traits.class, state) {
        (Class::Attached, State::Launching { .. }) => (State::Aborting, vec![]),
        (Class::Attached, State::Up { .. }) => {
            let next = now.plus(traits.timings.hangup);
            let effects = vec![Effect::Tell(DynoLine::ClientClosed), Effect::HangUp];
            (State::HangingUp { hangups: 1, next }, effects)
        }
        (
            Class::Attached,
            State::Booting { .. }
            | State::Crashed { .. }
            | State::HangingUp { .. }
            | State::Aborting
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Ended,
        ) => ignored(state, "the dyno is on its way out"),
        (Class::Web | Class::Worker | Class::Detached, _) => ignored(state, "the dyno has no client"),
    }
}

fn launched(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
    match (state, traits.class) {
        (State::Launching { crashes, .. }, Class::Web) => (State::Booting { launched: now, crashes }, vec![]),
        (State::Launching { crashes, .. }, Class::Worker | Class::Detached | Class::Attached) => (
            State::Up { launched: now, since: now, crashes },
            vec![changed(DynoState::Starting, DynoState::Up)],
        ),
        (State::Aborting, _) => terminate(traits, now, vec![]),
        (
            State::Booting { .. }
            | State::Up { .. }
            | State::Crashed { .. }
            | State::HangingUp { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Ended,
            _,
        ) => ignored(state, "no launch was under way"),
    }
}

fn launch_failed(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
    match state {
        State::Launching { crashes, .. } if traits.class.is_formation() => {
            let retry = now.plus(traits.timings.launch_retry);
            let effects = vec![changed(DynoState::Starting, DynoState::Crashed)];
            (State::Crashed { since: now, crashes, retry }, effects)
        }
        State::Launching { .. } => (State::Ended, vec![changed(DynoState::Starting, DynoState::Complete)]),
        State::Aborting => (State::Ended, vec![]),
        State::Booting { .. }
        | State::Up { .. }
        | State::Crashed { .. }
        | State::HangingUp { .. }
        | State::Stopping { .. }
        | State::Killing { .. }
        | State::Ended => ignored(state, "no launch was under way"),
    }
}

fn listening(state: State, now: Moment) -> (State, Vec<Effect>) {
    match state {
        State::Booting { launched, crashes } => {
            (State::Up { launched, since: now, crashes }, vec![changed(DynoState::Starting, DynoState::Up)])
        }
        State::Launching { .. }
        | State::Up { .. }
        | State::Crashed { .. }
        | State::HangingUp { .. }
        | State::Aborting
        | State::Stopping { .. }
        | State::Killing { .. }
        | State::Ended => ignored(state, "the dyno is not booting"),
    }
}

/// The end of the process. Every end of a dyno that nobody asked to stop is a crash, status 0 included.
fn exited(traits: &Traits, state: State, exit: Exit) -> (State, Vec<Effect>) {
    let mut effects = vec![];
    if exit.memory == Memory::Exceeded {
        effects.push(Effect::Fail(DynoError::MEMORY_QUOTA_VASTLY_EXCEEDED));
        effects.push(Effect::Tell(DynoLine::StoppingProcessWithSigkill));
    }
    effects.push(Effect::Tell(DynoLine::ProcessExited { status: exit.status }));
    let crash = |crashes: u32, from: DynoState, mut effects: Vec<Effect>| {
        effects.extend([changed(from, DynoState::Crashed), Effect::Clear]);
        let retry = exit.now.plus(traits.timings.crash_delays.after(crashes));
        (State::Crashed { since: exit.now, crashes: crashes.saturating_add(1), retry }, effects)
    };
    let complete = |from: DynoState, mut effects: Vec<Effect>| {
        effects.extend([changed(from, DynoState::Complete), Effect::Clear]);
        (State::Ended, effects)
    };
    let formation = traits.class.is_formation();
    match state {
        State::Booting { launched, crashes } | State::Up { launched, crashes, .. } => {
            let from = shown(state).unwrap_or(DynoState::Up);
            let healthy = exit.now.since(launched) >= traits.timings.healthy;
            if formation {
                crash(if healthy { 0 } else { crashes }, from, effects)
            } else {
                complete(from, effects)
            }
        }
        State::Killing { then: AfterKill::Crash { crashes }, .. } => {
            crash(crashes, DynoState::Starting, effects)
        }
        State::Stopping { .. } | State::Killing { then: AfterKill::Leave, .. } if formation => {
            effects.push(Effect::Clear);
            (State::Ended, effects)
        }
        State::HangingUp { .. } | State::Stopping { .. } | State::Killing { .. } => {
            complete(DynoState::Up, effects)
        }
        State::Launching { .. } | State::Crashed { .. } | State::Aborting | State::Ended => {
            ignored(state, "no process was running")
        }
    }
}

/// SIGTERM to all, after `effects`; the grace time begins.
fn terminate(traits: &Traits, now: Moment, mut effects: Vec<Effect>) -> (State, Vec<Effect>) {
    effects.extend([Effect::Tell(DynoLine::StoppingWithSigterm), Effect::Terminate]);
    (State::Stopping { kill: now.plus(traits.timings.grace) }, effects)
}

/// The lines that announce a leave, and the call for a successor.
fn announce_leave(traits: &Traits, state: State, leave: Leave) -> Vec<Effect> {
    let from = shown(state).filter(|_| traits.class.is_formation());
    let mut effects = vec![];
    let to = match leave {
        Leave::Down => DynoState::Down,
        Leave::Restart | Leave::Outdated => DynoState::Starting,
    };
    if leave == Leave::Restart && traits.class.is_formation() {
        effects.push(Effect::Tell(DynoLine::Restarting));
    }
    if let Some(from) = from.filter(|from| *from != to) {
        effects.push(changed(from, to));
    }
    effects
}

/// Asks for a successor where the leave is not for good. It comes last, since the log tells the old one's stop first.
fn succeed(traits: &Traits, leave: Leave, state: State, mut effects: Vec<Effect>) -> (State, Vec<Effect>) {
    match leave {
        Leave::Down => {}
        Leave::Restart | Leave::Outdated if traits.class.is_formation() => effects.push(Effect::Succeed),
        Leave::Restart | Leave::Outdated => {}
    }
    (state, effects)
}

fn stop(traits: &Traits, state: State, leave: Leave, now: Moment) -> (State, Vec<Effect>) {
    let told = announce_leave(traits, state, leave);
    match state {
        State::Crashed { .. } => succeed(traits, leave, State::Ended, told),
        State::Launching { .. } => succeed(traits, leave, State::Aborting, told),
        State::Booting { .. } | State::Up { .. } | State::HangingUp { .. } => {
            let (state, effects) = terminate(traits, now, told);
            succeed(traits, leave, state, effects)
        }
        State::Killing { then: AfterKill::Crash { .. }, again } => {
            succeed(traits, leave, State::Killing { then: AfterKill::Leave, again }, told)
        }
        State::Aborting
        | State::Stopping { .. }
        | State::Killing { then: AfterKill::Leave, .. }
        | State::Ended => ignored(state, "the dyno is on its way out"),
    }
}

fn kill(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
    let killing = State::Killing { then: AfterKill::Leave, again: now.plus(traits.timings.kill_again) };
    match state {
        State::Crashed { .. } => (State::Ended, vec![]),
        State::Launching { .. } => (State::Aborting, vec![]),
        State::Booting { .. }
        | State::Up { .. }
        | State::HangingUp { .. }
        | State::Stopping { .. }
        | State::Killing { .. } => {
            (killing, vec![Effect::Tell(DynoLine::StoppingRemainingWithSigkill), Effect::Kill])
        }
        State::Aborting | State::Ended => ignored(state, "nothing runs yet, or any more"),
    }
}

fn tick(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
    if deadline(traits, state).is_none_or(|due| now < due) {
        return ignored(state, "nothing is due");
    }
    match state {
        State::Booting { launched, crashes } if now >= launched.plus(traits.timings.boot) => {
            let effects = vec![
                Effect::Fail(DynoError::boot_timeout(traits.timings.boot.as_secs())),
                Effect::Tell(DynoLine::StoppingProcessWithSigkill),
                Effect::Kill,
            ];
            let again = now.plus(traits.timings.kill_again);
            (State::Killing { then: AfterKill::Crash { crashes }, again }, effects)
        }
        State::Booting { .. } | State::Up { .. } => cycle(traits, state, now),
        State::Crashed { crashes, .. } => (
            State::Launching { since: now, crashes },
            vec![changed(DynoState::Crashed, DynoState::Starting), Effect::Launch],
        ),
        State::HangingUp { hangups, .. } if hangups < HANGUPS_MAX => {
            let next = now.plus(traits.timings.hangup);
            let effects = vec![Effect::Tell(DynoLine::ClientClosed), Effect::HangUp];
            (State::HangingUp { hangups: hangups + 1, next }, effects)
        }
        State::HangingUp { .. } => terminate(traits, now, vec![Effect::Fail(DynoError::DETACHED)]),
        State::Stopping { .. } => {
            let effects = vec![
                Effect::Fail(DynoError::exit_timeout(traits.timings.grace.as_secs())),
                Effect::Tell(DynoLine::StoppingRemainingWithSigkill),
                Effect::Kill,
            ];
            (State::Killing { then: AfterKill::Leave, again: now.plus(traits.timings.kill_again) }, effects)
        }
        State::Killing { then, .. } => {
            (State::Killing { then, again: now.plus(traits.timings.kill_again) }, vec![Effect::Kill])
        }
        State::Launching { .. } | State::Aborting | State::Ended => ignored(state, "nothing is due"),
    }
}

/// The age limit: a formation dyno is replaced, a one-off ends.
fn cycle(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
    let leave = if traits.class.is_formation() { Leave::Outdated } else { Leave::Down };
    let mut effects = vec![Effect::Tell(DynoLine::Cycling)];
    effects.extend(announce_leave(traits, state, leave));
    let (state, effects) = terminate(traits, now, effects);
    succeed(traits, leave, state, effects)
}

#[cfg(test)]
mod test;
