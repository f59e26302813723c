//! What each event makes of each state.

use super::{
    AfterKill, Class, Departure, Effect, HANGUPS_MAX, Handover, Leave, Memory, State, Traits, deadline, shown,
};
use crate::domain::DynoState;
use crate::supervisor::Moment;
use crate::wire::codes::DynoError;
use crate::wire::logline::DynoLine;

/// How and when a process ended.
pub(super) struct Exit {
    pub(super) status: u8,
    pub(super) memory: Memory,
    pub(super) now: Moment,
}

pub(super) fn changed(from: DynoState, to: DynoState) -> Effect {
    Effect::Tell(DynoLine::StateChanged { from: from.as_str(), to: to.as_str() })
}

fn ignored(state: State, why: &'static str) -> (State, Vec<Effect>) {
    (state, vec![Effect::Ignored(why)])
}

pub(super) fn client_gone(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
    match (traits.class, state) {
        (Class::Attached, State::Launching { .. }) => abort(vec![]),
        (Class::Attached, State::Up { .. }) => {
            let next = now.plus(traits.timings.hangup);
            let effects = vec![Effect::Tell(DynoLine::ClientClosed), Effect::HangUp];
            (State::HangingUp { hangups: 1, next }, effects)
        }
        (
            Class::Attached,
            State::Booting { .. }
            | State::Yielding { .. }
            | State::Crashed { .. }
            | State::HangingUp { .. }
            | State::Aborting
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Ended,
        ) => ignored(state, "the dyno is on its way out"),
        (Class::Web | Class::Worker | Class::Detached, _) => ignored(state, "the dyno has no client"),
    }
}

pub(super) fn launched(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
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
            | State::Yielding { .. }
            | State::Crashed { .. }
            | State::HangingUp { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Ended,
            _,
        ) => ignored(state, "no launch was under way"),
    }
}

pub(super) fn launch_failed(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
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
        | State::Yielding { .. }
        | State::Crashed { .. }
        | State::HangingUp { .. }
        | State::Draining { .. }
        | State::Stopping { .. }
        | State::Killing { .. }
        | State::Ended => ignored(state, "no launch was under way"),
    }
}

pub(super) fn listening(state: State, now: Moment) -> (State, Vec<Effect>) {
    match state {
        State::Booting { launched, crashes } => {
            (State::Up { launched, since: now, crashes }, vec![changed(DynoState::Starting, DynoState::Up)])
        }
        State::Launching { .. }
        | State::Up { .. }
        | State::Yielding { .. }
        | State::Crashed { .. }
        | State::HangingUp { .. }
        | State::Aborting
        | State::Draining { .. }
        | State::Stopping { .. }
        | State::Killing { .. }
        | State::Ended => ignored(state, "the dyno is not booting"),
    }
}

/// The end of the process. Every end of a dyno that nobody asked to stop is a crash, status 0 included.
pub(super) fn exited(traits: &Traits, state: State, exit: Exit) -> (State, Vec<Effect>) {
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
        State::Booting { launched, crashes }
        | State::Up { launched, crashes, .. }
        | State::Yielding { launched, crashes } => {
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
        State::Draining { .. } | State::Stopping { .. } | State::Killing { then: AfterKill::Leave, .. }
            if formation =>
        {
            effects.push(Effect::Clear);
            (State::Ended, effects)
        }
        State::HangingUp { .. } | State::Draining { .. } | State::Stopping { .. } | State::Killing { .. } => {
            complete(DynoState::Up, effects)
        }
        State::Launching { .. } | State::Crashed { .. } | State::Aborting | State::Ended => {
            ignored(state, "no process was running")
        }
    }
}

/// SIGTERM to all, after `effects`; the grace time begins.
fn terminate(traits: &Traits, now: Moment, mut effects: Vec<Effect>) -> (State, Vec<Effect>) {
    let kill = now.plus(traits.timings.grace);
    let keep = Effect::Keep(Departure::Leaving { kill });
    effects.extend([keep, Effect::Tell(DynoLine::StoppingWithSigterm), Effect::Terminate]);
    (State::Stopping { kill }, effects)
}

/// SIGTERM as soon as there is something to get it, after `effects`.
fn abort(mut effects: Vec<Effect>) -> (State, Vec<Effect>) {
    effects.push(Effect::Keep(Departure::Aborting));
    (State::Aborting, effects)
}

/// The lines that announce a leave. What is replaced without a gap changes no state that anybody sees.
fn announce_leave(traits: &Traits, state: State, leave: Leave) -> Vec<Effect> {
    let from = shown(state).filter(|_| traits.class.is_formation());
    let mut effects = vec![];
    let to = match leave {
        Leave::Down => DynoState::Down,
        Leave::Restart | Leave::Outdated => DynoState::Starting,
        Leave::Replaced => return effects,
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
        Leave::Down | Leave::Replaced => {}
        Leave::Restart | Leave::Outdated if traits.class.is_formation() => effects.push(Effect::Succeed),
        Leave::Restart | Leave::Outdated => {}
    }
    (state, effects)
}

/// A dyno that is up and may overlap with its successor serves on; every other goes at once.
pub(super) fn relieve(traits: &Traits, state: State, leave: Leave, now: Moment) -> (State, Vec<Effect>) {
    match (traits.handover, state) {
        (Handover::Overlap, State::Up { launched, crashes, .. }) if traits.class == Class::Web => {
            let told = (leave == Leave::Restart).then_some(Effect::Tell(DynoLine::Restarting));
            let keep = Effect::Keep(Departure::Yielding);
            let effects = [keep].into_iter().chain(told).chain([Effect::Succeed]).collect();
            (State::Yielding { launched, crashes }, effects)
        }
        (Handover::Overlap, State::Yielding { .. }) => ignored(state, "the dyno waits to be relieved"),
        (Handover::Overlap | Handover::AtOnce, _) => stop(traits, state, leave, now),
    }
}

pub(super) fn stop(traits: &Traits, state: State, leave: Leave, now: Moment) -> (State, Vec<Effect>) {
    let told = announce_leave(traits, state, leave);
    match state {
        State::Up { .. } | State::Yielding { .. } if leave == Leave::Replaced => {
            (State::Draining { until: now.plus(traits.timings.drain) }, told)
        }
        State::Crashed { .. } => succeed(traits, leave, State::Ended, told),
        State::Launching { .. } => {
            let (state, effects) = abort(told);
            succeed(traits, leave, state, effects)
        }
        State::Booting { .. } | State::Up { .. } | State::Yielding { .. } | State::HangingUp { .. } => {
            let (state, effects) = terminate(traits, now, told);
            succeed(traits, leave, state, effects)
        }
        // The node or the app goes: there is nothing left to wait for.
        State::Draining { .. } if leave == Leave::Down => terminate(traits, now, vec![]),
        State::Killing { then: AfterKill::Crash { .. }, again } => {
            succeed(traits, leave, State::Killing { then: AfterKill::Leave, again }, told)
        }
        State::Aborting
        | State::Draining { .. }
        | State::Stopping { .. }
        | State::Killing { then: AfterKill::Leave, .. }
        | State::Ended => ignored(state, "the dyno is on its way out"),
    }
}

pub(super) fn kill(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
    let killing = State::Killing { then: AfterKill::Leave, again: now.plus(traits.timings.kill_again) };
    match state {
        State::Crashed { .. } => (State::Ended, vec![]),
        State::Launching { .. } => abort(vec![]),
        State::Booting { .. }
        | State::Up { .. }
        | State::Yielding { .. }
        | State::HangingUp { .. }
        | State::Draining { .. }
        | State::Stopping { .. }
        | State::Killing { .. } => {
            (killing, vec![Effect::Tell(DynoLine::StoppingRemainingWithSigkill), Effect::Kill])
        }
        State::Aborting | State::Ended => ignored(state, "nothing runs yet, or any more"),
    }
}

pub(super) fn tick(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
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
        State::Draining { .. } => terminate(traits, now, vec![]),
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
        State::Launching { .. } | State::Yielding { .. } | State::Aborting | State::Ended => {
            ignored(state, "nothing is due")
        }
    }
}

/// The age limit: a formation dyno is replaced, a one-off ends.
fn cycle(traits: &Traits, state: State, now: Moment) -> (State, Vec<Effect>) {
    let leave = if traits.class.is_formation() { Leave::Outdated } else { Leave::Down };
    let (state, mut effects) = relieve(traits, state, leave, now);
    effects.insert(0, Effect::Tell(DynoLine::Cycling));
    (state, effects)
}
