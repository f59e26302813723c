//! The lifecycle by hand, and under histories of any order.

use proptest::prelude::*;

use super::*;

const T0: Moment = Moment(1_000_000);

fn traits(class: Class) -> Traits {
    let timings = Timings::default();
    Traits { class, cycle_after: timings.cycle, handover: Handover::AtOnce, timings }
}

fn after(seconds: u64) -> Moment {
    T0.plus(Duration::from_secs(seconds))
}

fn exit(status: u8) -> Event {
    Event::Exited { status, memory: Memory::Within }
}

/// Runs events through the function, and prints what comes out.
fn play(class: Class, events: &[(u64, Event)]) -> (State, Vec<String>) {
    let traits = traits(class);
    let (mut state, mut effects) = begin(&traits, Origin::New, T0);
    for (at, event) in events {
        let (next, more) = step(&traits, state, *event, after(*at));
        state = next;
        effects.extend(more);
    }
    (state, effects.iter().map(print).collect())
}

fn print(effect: &Effect) -> String {
    match effect {
        Effect::Tell(line) => line.to_string(),
        Effect::Fail(error) => error.to_string(),
        Effect::Keep(Departure::Yielding) => "<Keep yielding>".to_owned(),
        Effect::Keep(Departure::Aborting) => "<Keep aborting>".to_owned(),
        Effect::Keep(Departure::Leaving { kill }) => {
            format!("<Keep leaving until {} s>", kill.since(T0).as_secs())
        }
        Effect::Launch
        | Effect::Terminate
        | Effect::HangUp
        | Effect::Kill
        | Effect::Succeed
        | Effect::Clear
        | Effect::Ignored(_) => format!("<{effect:?}>"),
    }
}

#[test]
fn a_web_dyno_boots_and_crashes_and_starts_again_at_once() {
    let (state, told) = play(
        Class::Web,
        &[(0, Event::Launched), (3, Event::Listening), (9, exit(1)), (9, Event::Tick), (9, Event::Launched)],
    );
    assert_eq!(state, State::Booting { launched: after(9), crashes: 1 });
    insta::assert_snapshot!(told.join("\n"), @r"
    State changed from down to starting
    <Launch>
    State changed from starting to up
    Process exited with status 1
    State changed from up to crashed
    <Clear>
    State changed from crashed to starting
    <Launch>
    ");
}

#[test]
fn a_web_dyno_that_binds_no_port_is_killed_after_60_seconds() {
    let (state, told) =
        play(Class::Web, &[(0, Event::Launched), (59, Event::Tick), (60, Event::Tick), (61, exit(137))]);
    assert_eq!(state, State::Crashed { since: after(61), crashes: 1, retry: after(61) });
    insta::assert_snapshot!(told.join("\n"), @r#"
    State changed from down to starting
    <Launch>
    <Ignored("nothing is due")>
    Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch
    Stopping process with SIGKILL
    <Kill>
    Process exited with status 137
    State changed from starting to crashed
    <Clear>
    "#);
}

#[test]
fn a_worker_is_up_when_launched_and_status_0_is_a_crash() {
    let (state, told) = play(Class::Worker, &[(0, Event::Launched), (5, exit(0))]);
    assert!(matches!(state, State::Crashed { crashes: 1, .. }));
    assert!(told.contains(&"State changed from up to crashed".to_owned()));
}

#[test]
fn a_stop_has_30_seconds_of_grace_and_then_kills() {
    let (state, told) = play(
        Class::Worker,
        &[
            (0, Event::Launched),
            (10, Event::Stop(Leave::Down)),
            (39, Event::Tick),
            (40, Event::Tick),
            (45, Event::Tick),
            (46, exit(137)),
        ],
    );
    assert_eq!(state, State::Ended);
    insta::assert_snapshot!(told.join("\n"), @r#"
    State changed from down to starting
    <Launch>
    State changed from starting to up
    State changed from up to down
    <Keep leaving until 40 s>
    Stopping all processes with SIGTERM
    <Terminate>
    <Ignored("nothing is due")>
    Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM
    Stopping remaining processes with SIGKILL
    <Kill>
    <Kill>
    Process exited with status 137
    <Clear>
    "#);
}

#[test]
fn a_restart_tells_the_change_stops_and_asks_for_a_successor() {
    let (_, told) = play(Class::Worker, &[(0, Event::Launched), (10, Event::Stop(Leave::Restart))]);
    insta::assert_snapshot!(told[3..].join("\n"), @r"
    Restarting
    State changed from up to starting
    <Keep leaving until 40 s>
    Stopping all processes with SIGTERM
    <Terminate>
    <Succeed>
    ");
}

/// The same for web dynos that overlap.
fn play_overlapping(events: &[(u64, Event)]) -> (State, Vec<String>) {
    let traits = Traits { handover: Handover::Overlap, ..traits(Class::Web) };
    let (mut state, _) = begin(&traits, Origin::New, T0);
    let mut effects = vec![];
    for (at, event) in events {
        let (next, more) = step(&traits, state, *event, after(*at));
        state = next;
        effects.extend(more);
    }
    (state, effects.iter().map(print).collect())
}

#[test]
fn a_web_dyno_that_overlaps_serves_until_it_is_replaced_and_then_drains() {
    let (state, told) = play_overlapping(&[
        (0, Event::Launched),
        (1, Event::Listening),
        (9, Event::Relieve(Leave::Restart)),
        (9, Event::Relieve(Leave::Restart)),
        (60, Event::Stop(Leave::Replaced)),
        (61, Event::Tick),
        (62, Event::Tick),
        (63, exit(143)),
    ]);
    assert_eq!(state, State::Ended);
    insta::assert_snapshot!(told.join("\n"), @r#"
    State changed from starting to up
    <Keep yielding>
    Restarting
    <Succeed>
    <Ignored("the dyno waits to be relieved")>
    <Ignored("nothing is due")>
    <Keep leaving until 92 s>
    Stopping all processes with SIGTERM
    <Terminate>
    Process exited with status 143
    <Clear>
    "#);
}

#[test]
fn a_web_dyno_that_overlaps_and_is_a_day_old_asks_to_be_relieved() {
    let day = 24 * 60 * 60;
    let (state, told) =
        play_overlapping(&[(0, Event::Launched), (1, Event::Listening), (day, Event::Tick), (day, exit(1))]);
    assert!(matches!(state, State::Crashed { crashes: 1, .. }), "it dies of itself before: {state:?}");
    assert_eq!(told[1..4], ["Cycling", "<Keep yielding>", "<Succeed>"]);
}

#[test]
fn a_departure_is_resumed_and_its_grace_time_does_not_begin_anew() {
    let traits = traits(Class::Web);
    let grace = traits.timings.grace;
    let up = State::Up { launched: T0, since: T0, crashes: 2 };
    let leaving = |kill| Departure::Leaving { kill };
    assert_eq!(resume(&traits, up, leaving(after(7)), after(1)), State::Stopping { kill: after(7) });
    let latest = State::Stopping { kill: after(1).plus(grace) };
    assert_eq!(resume(&traits, up, leaving(after(900)), after(1)), latest, "whatever the clocks say");
    let yields = State::Yielding { launched: T0, crashes: 2 };
    assert_eq!(resume(&traits, up, Departure::Yielding, after(1)), yields);
    let boots = State::Booting { launched: T0, crashes: 0 };
    assert_eq!(resume(&traits, boots, Departure::Yielding, after(1)), latest, "it serves nobody");
    assert_eq!(resume(&traits, up, Departure::Aborting, after(1)), latest, "it has got no SIGTERM yet");
}

#[test]
fn what_is_not_up_has_nothing_to_hand_over() {
    let (state, told) = play_overlapping(&[(0, Event::Launched), (9, Event::Relieve(Leave::Restart))]);
    assert!(matches!(state, State::Stopping { .. }));
    assert!(told.contains(&"<Terminate>".to_owned()) && told.contains(&"<Succeed>".to_owned()), "{told:?}");
}

#[test]
fn a_dyno_a_day_old_is_cycled_and_a_one_off_ends() {
    let day = 24 * 60 * 60;
    let (_, told) = play(Class::Worker, &[(0, Event::Launched), (day - 1, Event::Tick), (day, Event::Tick)]);
    assert_eq!(told[4], "Cycling");
    assert_eq!(told.last().unwrap(), "<Succeed>");
    let (state, told) = play(Class::Detached, &[(0, Event::Launched), (day, Event::Tick), (day, exit(143))]);
    assert_eq!(state, State::Ended);
    assert!(told.contains(&"State changed from up to complete".to_owned()));
    assert!(!told.contains(&"<Succeed>".to_owned()));
}

#[test]
fn a_one_off_whose_client_goes_is_hung_up_three_times_and_then_stopped() {
    let (state, told) = play(
        Class::Attached,
        &[
            (0, Event::Launched),
            (1, Event::ClientGone),
            (6, Event::Tick),
            (11, Event::Tick),
            (16, Event::Tick),
            (17, exit(143)),
        ],
    );
    assert_eq!(state, State::Ended);
    assert_eq!(told.iter().filter(|line| *line == "<HangUp>").count(), 3);
    insta::assert_snapshot!(told[8..].join("\n"), @r"
    Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed.
    <Keep leaving until 46 s>
    Stopping all processes with SIGTERM
    <Terminate>
    Process exited with status 143
    State changed from up to complete
    <Clear>
    ");
}

#[test]
fn uptime_forgives_crashes_and_short_lives_add_up() {
    let traits = traits(Class::Worker);
    let up = |crashes| State::Up { launched: T0, since: T0, crashes };
    let retry = |state, at| {
        let State::Crashed { retry, crashes, .. } = step(&traits, state, exit(1), after(at)).0 else {
            panic!("an exit is a crash")
        };
        (retry.since(after(at)).as_secs() / 60, crashes)
    };
    assert_eq!(retry(up(0), 1), (0, 1));
    assert_eq!(retry(up(1), 1), (10, 2));
    assert_eq!(retry(up(5), 599), (160, 6));
    assert_eq!(retry(up(5), 600), (0, 1), "ten minutes of uptime");
}

#[test]
fn memory_far_over_the_quota_is_told_before_the_exit() {
    let event = Event::Exited { status: 137, memory: Memory::Exceeded };
    let (_, told) = play(Class::Worker, &[(0, Event::Launched), (1, event)]);
    insta::assert_snapshot!(told[3..].join("\n"), @r"
    Error R15 (Memory quota vastly exceeded)
    Stopping process with SIGKILL
    Process exited with status 137
    State changed from up to crashed
    <Clear>
    ");
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::ClientGone),
        Just(Event::Launched),
        Just(Event::LaunchFailed),
        Just(Event::Listening),
        any::<u8>().prop_map(exit),
        Just(Event::Stop(Leave::Down)),
        Just(Event::Stop(Leave::Restart)),
        Just(Event::Stop(Leave::Outdated)),
        Just(Event::Relieve(Leave::Restart)),
        Just(Event::Stop(Leave::Replaced)),
        Just(Event::Kill),
        Just(Event::Tick),
    ]
}

fn classes() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Web), Just(Class::Worker), Just(Class::Detached), Just(Class::Attached)]
}

fn handovers() -> impl Strategy<Value = Handover> {
    prop_oneof![Just(Handover::Overlap), Just(Handover::AtOnce)]
}

/// Whether a container may exist in a state.
fn runs(state: State) -> bool {
    match state {
        State::Booting { .. }
        | State::Up { .. }
        | State::Yielding { .. }
        | State::HangingUp { .. }
        | State::Draining { .. }
        | State::Stopping { .. }
        | State::Killing { .. } => true,
        State::Launching { .. } | State::Crashed { .. } | State::Aborting | State::Ended => false,
    }
}

proptest! {
    /// Whatever happens in whatever order: nothing is launched beside a container or a launch, signals go only to what
    /// runs, an end clears up once, and a state that runs or waits has a deadline.
    #[test]
    fn any_history_keeps_the_rules(
        class in classes(), handover in handovers(), history in proptest::collection::vec((events(), 0u64..100_000), 0..60)
    ) {
        let traits = Traits { handover, ..traits(class) };
        let (mut state, _) = begin(&traits, Origin::New, T0);
        let (mut now, mut kept) = (T0, None);
        for (event, pause) in history {
            now = now.plus(Duration::from_secs(pause));
            let before = state;
            let (next, effects) = step(&traits, state, event, now);
            state = next;
            for effect in &effects {
                match effect {
                    Effect::Launch => {
                        let idle = matches!(before, State::Crashed { .. });
                        prop_assert!(idle, "launched in {before:?}");
                    }
                    Effect::Terminate | Effect::HangUp | Effect::Kill => {
                        prop_assert!(runs(before) || event == Event::Launched, "{effect:?} in {before:?}");
                    }
                    Effect::Clear => prop_assert!(runs(before) && !runs(state)),
                    Effect::Succeed => {
                        let yields = matches!(state, State::Yielding { .. });
                        prop_assert!(class.is_formation() && shown(before).is_some());
                        prop_assert!(shown(state).is_none() || (yields && handover == Handover::Overlap));
                    }
                    Effect::Keep(departure) => kept = Some(*departure),
                    Effect::Ignored(_) => prop_assert_eq!(before, state),
                    Effect::Tell(_) | Effect::Fail(_) => {}
                }
            }
            // What is on its way out is so under the next run of the node, too.
            match state {
                State::Yielding { .. } => prop_assert_eq!(kept, Some(Departure::Yielding)),
                State::Stopping { kill } => prop_assert_eq!(kept, Some(Departure::Leaving { kill })),
                State::Aborting => prop_assert_eq!(kept, Some(Departure::Aborting)),
                State::Launching { .. }
                | State::Booting { .. }
                | State::Up { .. }
                | State::Crashed { .. }
                | State::HangingUp { .. }
                | State::Draining { .. }
                | State::Killing { .. }
                | State::Ended => {}
            }
            let place = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
            let kept_at = place(|effect| matches!(effect, Effect::Keep(_)));
            let done_at = place(|effect| matches!(effect, Effect::Terminate | Effect::Succeed));
            prop_assert!(kept_at.is_none() || done_at.is_none() || kept_at < done_at);
            let waits = matches!(
                state,
                State::Launching { .. } | State::Yielding { .. } | State::Aborting | State::Ended
            );
            prop_assert_eq!(deadline(&traits, state).is_none(), waits);
            prop_assert!(before != State::Ended || state == State::Ended);
            let crashed = matches!(state, State::Crashed { .. });
            prop_assert!(class.is_formation() || !crashed);
        }
    }

    /// From any state a stop, with an engine that does what it is told, leads to the end.
    #[test]
    fn a_stop_always_ends(
        class in classes(), handover in handovers(), history in proptest::collection::vec(events(), 0..30)
    ) {
        let traits = Traits { handover, ..traits(class) };
        let (mut state, _) = begin(&traits, Origin::New, T0);
        let mut now = T0;
        for event in history {
            state = step(&traits, state, event, now).0;
        }
        state = step(&traits, state, Event::Stop(Leave::Down), now).0;
        let mut killed = false;
        for _ in 0..8 {
            let event = match state {
                State::Ended => break,
                State::Aborting => Event::Launched,
                State::Killing { .. } if killed => exit(137),
                State::Killing { .. }
                | State::Launching { .. }
                | State::Booting { .. }
                | State::Up { .. }
                | State::Yielding { .. }
                | State::Crashed { .. }
                | State::HangingUp { .. }
                | State::Draining { .. }
                | State::Stopping { .. } => Event::Tick,
            };
            now = deadline(&traits, state).unwrap_or(now);
            let (next, effects) = step(&traits, state, event, now);
            killed |= effects.contains(&Effect::Kill) || matches!(next, State::Killing { .. });
            state = next;
        }
        prop_assert_eq!(state, State::Ended);
    }
}
