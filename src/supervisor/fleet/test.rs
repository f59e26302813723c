//! The fleet by hand: what one wish or one event leads to.

use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::domain::{ConfigVars, DynoSize, Formation, FormationEntry, NetnsAddress, Version, WebState};
use crate::supervisor::lifecycle::Memory;
use crate::supervisor::{ReleaseImage, StackImage};

const T0: Moment = Moment(1_795_415_284_000);
const APP: AppId = AppId(Uuid::nil());

fn image(version: u64) -> Arc<ReleaseImage> {
    let stack = StackImage { name: Default::default(), version: "1".to_owned(), layers: vec![], env: vec![] };
    let commands = [("web", "serve -p $PORT"), ("worker", "work")];
    Arc::new(ReleaseImage {
        version: Version(version),
        slug: "0".repeat(64).parse().unwrap(),
        stack,
        config: ConfigVars::default(),
        commands: commands.map(|(name, command)| (name.parse().unwrap(), command.to_owned())).into(),
        metadata: BTreeMap::new(),
    })
}

fn app(version: u64, quantities: &[(&str, u32)]) -> DesiredApp {
    DesiredApp {
        app: APP,
        name: "sample".parse().unwrap(),
        hostnames: vec!["sample.localhost".parse().unwrap()],
        release: Some(image(version)),
        formation: Formation::new(quantities.iter().map(|(name, quantity)| FormationEntry {
            process_type: name.parse().unwrap(),
            quantity: *quantity,
            size: DynoSize::Basic,
            stop_grace: None,
        })),
        maintenance: false,
        preferences: Preferences { handover: Handover::AtOnce, ..Preferences::default() },
        earlier: vec![],
    }
}

/// The same, of an app whose web dynos overlap.
fn overlapping(version: u64, quantities: &[(&str, u32)]) -> DesiredApp {
    DesiredApp { preferences: Preferences::default(), ..app(version, quantities) }
}

fn fleet() -> Fleet {
    Fleet::new(Timings::default(), 1)
}

fn launches(actions: &[Action]) -> Vec<DynoSpec> {
    let launch = |action: &Action| match action {
        Action::Launch(spec) => Some((**spec).clone()),
        Action::Keep(..) | Action::Signal(..) | Action::Kill(_) | Action::Clear(_) | Action::Log(..) => None,
    };
    actions.iter().filter_map(launch).collect()
}

fn log(actions: &[Action]) -> Vec<String> {
    let line = |action: &Action| match action {
        Action::Log(_, line) => Some(format!("{}: {}", line.ps, String::from_utf8_lossy(&line.message))),
        Action::Launch(_) | Action::Keep(..) | Action::Signal(..) | Action::Kill(_) | Action::Clear(_) => {
            None
        }
    };
    actions.iter().filter_map(line).collect()
}

fn reach() -> Option<Reach> {
    let netns = NetnsAddress { path: "/proc/7/ns/net".into(), device: 1, inode: 2 };
    Some(Reach { netns, address: None })
}

/// Applies, and brings every dyno up.
fn bring_up(fleet: &mut Fleet, desired: DesiredApp, now: Moment) -> Vec<DynoSpec> {
    fleet.apply(desired, now);
    let specs = launches(&fleet.take_actions());
    for spec in &specs {
        fleet.launched(spec.label.id, reach(), now);
        fleet.observe(spec.label.id, Event::Listening, now);
    }
    specs
}

fn web_state(fleet: &Fleet) -> WebState {
    fleet.routes().routes.values().next().unwrap().web.clone()
}

#[test]
fn a_deploy_starts_what_the_formation_asks_for() {
    let mut fleet = fleet();
    let specs = bring_up(&mut fleet, app(1, &[("web", 2), ("worker", 1)]), T0);
    let names: Vec<_> = specs.iter().map(|spec| spec.label.name.to_string()).collect();
    assert_eq!(names, ["web.1", "web.2", "worker.1"]);
    assert_eq!(specs[0].env["PORT"], specs[0].label.port.to_string());
    assert!(matches!(web_state(&fleet), WebState::Up(up) if up.len() == 2));
    assert!(fleet.views().iter().all(|view| view.state == DynoState::Up));
}

#[test]
fn the_log_shows_the_command_with_its_port() {
    let mut fleet = fleet();
    fleet.apply(app(1, &[("web", 1)]), T0);
    let actions = fleet.take_actions();
    let port = launches(&actions)[0].label.port;
    assert_eq!(
        log(&actions),
        [
            "web.1: State changed from down to starting".to_owned(),
            format!("web.1: Starting process with command `serve -p {port}`"),
        ]
    );
}

#[test]
fn scaling_touches_only_the_difference() {
    let mut fleet = fleet();
    let before = bring_up(&mut fleet, app(1, &[("web", 2)]), T0);
    let more = bring_up(&mut fleet, app(1, &[("web", 3)]), T0);
    assert_eq!(more.len(), 1);
    let _ = fleet.take_actions();
    fleet.apply(app(1, &[("web", 1)]), T0);
    let stopped: Vec<_> = fleet
        .take_actions()
        .into_iter()
        .filter(|action| matches!(action, Action::Signal(_, Signal::TERMINATE)))
        .collect();
    assert_eq!(stopped.len(), 2);
    assert!(!stopped.contains(&Action::Signal(before[0].label.id, Signal::TERMINATE)), "web.1 stays");
}

#[test]
fn a_release_replaces_every_dyno_under_its_name_once() {
    let mut fleet = fleet();
    let old = bring_up(&mut fleet, app(1, &[("web", 1)]), T0);
    let _ = fleet.take_actions();
    fleet.apply(app(2, &[("web", 1)]), T0);
    let actions = fleet.take_actions();
    let new = launches(&actions);
    assert_eq!(new.len(), 1);
    assert_ne!(new[0].label.id, old[0].label.id);
    let told = log(&actions);
    assert_eq!(
        told[..2],
        ["web.1: State changed from up to starting", "web.1: Stopping all processes with SIGTERM"]
    );
    assert_eq!(told.len(), 3, "no line of a fresh start: {told:?}");
    assert_eq!(web_state(&fleet), WebState::Booting, "the old one is out of the table before its end");
}

/// The identities that the router is told of.
fn routed(fleet: &Fleet) -> Vec<DynoId> {
    let WebState::Up(up) = web_state(fleet) else { return vec![] };
    up.into_iter().map(|backend| backend.id).collect()
}

fn ids(specs: &[DynoSpec]) -> Vec<DynoId> {
    specs.iter().map(|spec| spec.label.id).collect()
}

#[test]
fn without_a_gap_a_release_boots_behind_the_old_and_takes_over_whole() {
    let mut fleet = fleet();
    let old = bring_up(&mut fleet, overlapping(1, &[("web", 2), ("worker", 1)]), T0);
    let _ = fleet.take_actions();
    fleet.apply(overlapping(2, &[("web", 2), ("worker", 1)]), T0);
    let actions = fleet.take_actions();
    let new = launches(&actions);
    let names: Vec<_> = new.iter().map(|spec| spec.label.name.to_string()).collect();
    assert_eq!(names, ["web.1", "web.2", "worker.1"]);
    let behind: Vec<_> = new.iter().map(|spec| spec.label.behind).collect();
    assert_eq!(behind, [Some(old[0].label.id), Some(old[1].label.id), None]);
    assert!(actions.contains(&Action::Signal(old[2].label.id, Signal::TERMINATE)), "the worker goes at once");
    let shown: Vec<_> =
        fleet.views().iter().map(|view| format!("{} {} {}", view.name, view.state, view.release)).collect();
    let expected =
        ["web.1 up v1", "web.1 starting v2", "web.2 up v1", "web.2 starting v2", "worker.1 starting v2"];
    assert_eq!(shown, expected);
    for spec in &new[..2] {
        assert_eq!(routed(&fleet), ids(&old[..2]), "nothing is switched before all are up");
        fleet.launched(spec.label.id, reach(), T0);
        fleet.observe(spec.label.id, Event::Listening, T0);
    }
    let mut now_routed = routed(&fleet);
    now_routed.sort();
    let mut expected = ids(&new[..2]);
    expected.sort();
    assert_eq!(now_routed, expected);
    let signalled = |actions: &[Action]| -> Vec<DynoId> {
        let signal = |action: &Action| match action {
            Action::Signal(id, Signal::TERMINATE) => Some(*id),
            _ => None,
        };
        actions.iter().filter_map(signal).collect()
    };
    assert_eq!(signalled(&fleet.take_actions()), [], "requests that the old ones have may end");
    fleet.tick(T0.plus(Timings::default().drain));
    let mut stopped = signalled(&fleet.take_actions());
    stopped.sort();
    let mut expected = ids(&old[..2]);
    expected.sort();
    assert_eq!(stopped, expected);
}

#[test]
fn a_release_that_does_not_come_up_is_not_switched_to_and_the_log_says_so() {
    let mut fleet = fleet();
    let old = bring_up(&mut fleet, overlapping(1, &[("web", 1)]), T0);
    fleet.apply(overlapping(2, &[("web", 1)]), T0);
    let new = launches(&fleet.take_actions()).remove(0);
    fleet.launched(new.label.id, reach(), T0);
    fleet.observe(new.label.id, Event::Exited { status: 1, memory: Memory::Within }, T0);
    let told = log(&fleet.take_actions());
    assert_eq!(
        told[told.len() - 2..],
        [
            "web.1: State changed from starting to crashed",
            "web.1: Not switched to release v2: it has not come up, and v1 serves on"
        ]
    );
    assert_eq!(routed(&fleet), ids(&old));
    fleet.tick(T0);
    let again = launches(&fleet.take_actions()).remove(0);
    assert_eq!((again.label.crashes, again.label.behind), (1, Some(old[0].label.id)), "its back-off goes on");
    // The old one crashes as well, and comes back as what it was.
    fleet.observe(old[0].label.id, Event::Exited { status: 1, memory: Memory::Within }, T0);
    fleet.tick(T0);
    let old_again = launches(&fleet.take_actions()).remove(0);
    assert_eq!((old_again.label.release, old_again.label.lineage), (Version(1), old[0].label.id));
    fleet.launched(old_again.label.id, reach(), T0);
    fleet.observe(old_again.label.id, Event::Listening, T0);
    assert_eq!(routed(&fleet), [old_again.label.id]);
    // A further release takes the place of the one that did not come up.
    fleet.apply(overlapping(3, &[("web", 1)]), T0);
    let actions = fleet.take_actions();
    assert_eq!(launches(&actions).iter().map(|spec| spec.label.release).collect::<Vec<_>>(), [Version(3)]);
    assert_eq!(fleet.views().len(), 2);
    assert_eq!(routed(&fleet), [old_again.label.id]);
}

#[test]
fn an_app_whose_newest_release_does_not_come_up_can_be_scaled() {
    let mut fleet = fleet();
    let old = bring_up(&mut fleet, overlapping(1, &[("web", 1)]), T0);
    fleet.apply(overlapping(2, &[("web", 1)]), T0);
    let new = launches(&fleet.take_actions()).remove(0);
    fleet.launched(new.label.id, reach(), T0);
    fleet.observe(new.label.id, Event::Exited { status: 1, memory: Memory::Within }, T0);
    let _ = fleet.take_actions();
    fleet.apply(overlapping(2, &[("web", 2)]), T0);
    let added = launches(&fleet.take_actions());
    let what: Vec<_> = added.iter().map(|spec| (spec.label.release.0, spec.label.behind)).collect();
    assert_eq!(what, [(1, None), (2, Some(added[0].label.id))]);
    fleet.launched(added[0].label.id, reach(), T0);
    fleet.observe(added[0].label.id, Event::Listening, T0);
    let (mut now, mut both) = (routed(&fleet), vec![old[0].label.id, added[0].label.id]);
    now.sort();
    both.sort();
    assert_eq!(now, both);
    // It comes up after all, and takes over whole.
    fleet.tick(T0);
    let again = launches(&fleet.take_actions()).remove(0);
    for id in [again.label.id, added[1].label.id] {
        fleet.launched(id, reach(), T0);
        fleet.observe(id, Event::Listening, T0);
    }
    let (mut now, mut both) = (routed(&fleet), vec![again.label.id, added[1].label.id]);
    now.sort();
    both.sort();
    assert_eq!(now, both);
}

#[test]
fn without_a_gap_a_restart_and_a_cycle_relieve_the_old_one_when_the_new_is_up() {
    for way in 0..2 {
        let mut fleet = fleet();
        let old = bring_up(&mut fleet, overlapping(1, &[("web", 1)]), T0);
        let _ = fleet.take_actions();
        let now = T0.plus(old[0].label.cycle_after);
        match way {
            0 => fleet.restart(APP, &Scope::All, now).unwrap(),
            _ => fleet.tick(now),
        }
        let actions = fleet.take_actions();
        let word = if way == 0 { "web.1: Restarting" } else { "web.1: Cycling" };
        assert_eq!(log(&actions)[0], word);
        let new = launches(&actions).remove(0);
        assert_eq!(routed(&fleet), ids(&old));
        fleet.launched(new.label.id, reach(), now);
        fleet.observe(new.label.id, Event::Listening, now);
        assert_eq!(routed(&fleet), [new.label.id]);
    }
}

#[test]
fn a_node_that_is_killed_in_the_middle_of_a_switch_ends_it() {
    let mut fleet = fleet();
    let first = bring_up(&mut fleet, overlapping(1, &[("web", 1)]), T0);
    let _ = fleet.take_actions();
    fleet.apply(overlapping(2, &[("web", 1)]), T0);
    let second = launches(&fleet.take_actions());
    fleet.launched(second[0].label.id, reach(), T0);
    fleet.observe(second[0].label.id, Event::Listening, T0);
    fleet.apply(overlapping(3, &[("web", 1)]), T0);
    let third = launches(&fleet.take_actions());
    let all = [&first[0], &second[0], &third[0]];
    let earlier = vec![image(1), image(2)];
    // Who runs and listens of the three, and who has to serve then.
    for (found, serves) in [(&all[..2], 0), (&all[..], 1), (&all[1..], 1), (&all[2..], 2)] {
        let mut next = Fleet::new(Timings::default(), 2);
        next.expect(vec![DesiredApp { earlier: earlier.clone(), ..overlapping(3, &[("web", 1)]) }]);
        for spec in found {
            next.take_over(spec.label.clone(), reach(), T0);
            if spec.label.release < Version(3) || serves == 2 {
                next.take_over_up(spec.label.id);
            }
        }
        next.settle(T0);
        assert_eq!(routed(&next), [all[serves].label.id], "found {}", found.len());
    }
}

#[test]
fn a_type_may_have_its_own_time_to_stop() {
    let mut fleet = fleet();
    let workers = |quantity, stop_grace| {
        let entry = FormationEntry {
            process_type: "worker".parse().unwrap(),
            quantity,
            size: DynoSize::Basic,
            stop_grace,
        };
        DesiredApp { formation: Formation::new([entry]), ..app(1, &[]) }
    };
    bring_up(&mut fleet, workers(1, None), T0);
    let longer = Duration::from_secs(300);
    fleet.apply(workers(0, Some(longer)), T0);
    assert_eq!(fleet.deadline(), Some(T0.plus(longer)), "what is set last counts");
}

#[test]
fn every_way_to_restart_starts_one_successor() {
    for way in 0..3 {
        let mut fleet = fleet();
        let specs = bring_up(&mut fleet, app(1, &[("web", 1)]), T0);
        let _ = fleet.take_actions();
        match way {
            0 => fleet.restart(APP, &Scope::All, T0).unwrap(),
            1 => fleet.stop(APP, &Scope::Dyno("web.1".parse().unwrap()), T0).unwrap(),
            _ => fleet.tick(T0.plus(specs[0].label.cycle_after)),
        }
        let actions = fleet.take_actions();
        assert_eq!(launches(&actions).len(), 1, "way {way}");
        assert!(actions.contains(&Action::Signal(specs[0].label.id, Signal::TERMINATE)), "way {way}");
    }
}

#[test]
fn a_crash_keeps_name_and_back_off_and_gets_a_new_identity() {
    let mut fleet = fleet();
    let first = bring_up(&mut fleet, app(1, &[("web", 1)]), T0).remove(0);
    let exit = Event::Exited { status: 1, memory: Memory::Within };
    fleet.observe(first.label.id, exit, T0);
    assert_eq!(web_state(&fleet), WebState::Crashed);
    let _ = fleet.take_actions();
    fleet.tick(T0);
    let second = launches(&fleet.take_actions()).remove(0);
    assert_ne!(second.label.id, first.label.id);
    assert_eq!((second.label.name.to_string().as_str(), second.label.crashes), ("web.1", 1));
    fleet.launched(second.label.id, reach(), T0);
    fleet.observe(second.label.id, exit, T0);
    let _ = fleet.take_actions();
    fleet.tick(T0.plus(Duration::from_secs(599)));
    assert!(launches(&fleet.take_actions()).is_empty());
    fleet.tick(T0.plus(Duration::from_secs(600)));
    assert_eq!(launches(&fleet.take_actions()).len(), 1);
}

#[test]
fn a_release_ends_the_back_off() {
    let mut fleet = fleet();
    let first = bring_up(&mut fleet, app(1, &[("worker", 1)]), T0).remove(0);
    fleet.observe(first.label.id, Event::Exited { status: 1, memory: Memory::Within }, T0);
    let _ = fleet.take_actions();
    fleet.apply(app(2, &[("worker", 1)]), T0);
    let next = launches(&fleet.take_actions()).remove(0);
    assert_eq!((next.label.release, next.label.crashes), (Version(2), 0));
}

fn one_off(name: &str, connection: Connection) -> OneOff {
    OneOff {
        id: DynoId(Uuid::new_v4()),
        name: name.parse().unwrap(),
        app: APP,
        release: image(1),
        command: "worker --once".to_owned(),
        size: DynoSize::Basic,
        env: BTreeMap::from([("TERM".to_owned(), "xterm".to_owned())]),
        connection,
        time_to_live: None,
    }
}

#[test]
fn a_one_off_runs_once_and_releases_leave_it_alone() {
    let mut fleet = fleet();
    fleet.apply(app(1, &[("web", 0)]), T0);
    fleet.run(one_off("run.4711", Connection::Log), T0).unwrap();
    let spec = launches(&fleet.take_actions()).remove(0);
    assert_eq!((spec.label.command.as_str(), spec.env["TERM"].as_str()), ("work --once", "xterm"));
    let taken = fleet.run(one_off("run.4711", Connection::Log), T0);
    assert_eq!(taken, Err(Refusal::NameTaken("run.4711".parse().unwrap())));
    fleet.launched(spec.label.id, reach(), T0);
    let _ = fleet.take_actions();
    fleet.apply(app(2, &[("web", 0)]), T0);
    fleet.restart(APP, &Scope::All, T0).unwrap();
    assert_eq!(fleet.take_actions(), []);
    fleet.observe(spec.label.id, Event::Exited { status: 0, memory: Memory::Within }, T0);
    assert_eq!(
        log(&fleet.take_actions()),
        ["run.4711: Process exited with status 0", "run.4711: State changed from up to complete"]
    );
    assert!(fleet.is_empty());
}

#[test]
fn dynos_that_run_already_are_taken_over_and_not_started_again() {
    let mut fleet = fleet();
    let specs = bring_up(&mut fleet, app(1, &[("web", 1), ("worker", 1)]), T0);
    let later = T0.plus(Duration::from_secs(3600));
    let mut next = Fleet::new(Timings::default(), 2);
    next.expect(vec![app(1, &[("web", 2), ("worker", 1)])]);
    for spec in &specs {
        next.take_over(spec.label.clone(), reach(), later);
        next.take_over_up(spec.label.id);
    }
    next.settle(later);
    let started: Vec<_> =
        launches(&next.take_actions()).iter().map(|spec| spec.label.name.to_string()).collect();
    assert_eq!(started, ["web.2"], "only what is missing");
    let views = next.views();
    assert_eq!(views[0].since, SystemTime::from(T0), "up since it was started, not since it was found");
    assert!(matches!(web_state(&next), WebState::Up(up) if up.len() == 1));
}

/// How they go, as the fleet wants it written down.
fn departures(actions: &[Action]) -> BTreeMap<DynoId, Departure> {
    let departure = |action: &Action| match action {
        Action::Keep(id, departure) => Some((*id, *departure)),
        Action::Launch(_) | Action::Signal(..) | Action::Kill(_) | Action::Clear(_) | Action::Log(..) => None,
    };
    actions.iter().filter_map(departure).collect()
}

#[test]
fn a_restart_goes_on_under_the_next_fleet() {
    for desired in [app(1, &[("web", 1)]), overlapping(1, &[("web", 1)])] {
        let mut fleet = fleet();
        let old = bring_up(&mut fleet, desired.clone(), T0).remove(0);
        let _ = fleet.take_actions();
        fleet.restart(APP, &Scope::All, T0).unwrap();
        let kept = departures(&fleet.take_actions());
        assert_eq!(kept.keys().collect::<Vec<_>>(), [&old.label.id]);
        // The node ends before the successor is launched.
        let later = T0.plus(Duration::from_secs(10));
        let mut next = Fleet::new(Timings::default(), 2);
        next.expect(vec![desired.clone()]);
        next.take_over(old.label.clone(), reach(), later);
        next.take_over_up(old.label.id);
        next.take_over_departure(old.label.id, kept[&old.label.id], later);
        next.settle(later);
        let actions = next.take_actions();
        let new = launches(&actions).remove(0);
        assert!(!log(&actions).iter().any(|line| line.contains("State changed from down")), "{actions:?}");
        if desired.preferences.handover == Handover::Overlap {
            assert_eq!(routed(&next), [old.label.id], "it serves until it is relieved");
        } else {
            assert!(actions.contains(&Action::Signal(old.label.id, Signal::TERMINATE)), "{actions:?}");
            next.tick(T0.plus(Timings::default().grace));
            assert!(next.take_actions().contains(&Action::Kill(old.label.id)), "its time goes on");
        }
        next.launched(new.label.id, reach(), later);
        next.observe(new.label.id, Event::Listening, later);
        assert_eq!(routed(&next), [new.label.id]);
    }
}

#[test]
fn one_that_was_told_to_go_and_has_ended_meanwhile_has_not_crashed() {
    let mut fleet = fleet();
    let old = bring_up(&mut fleet, app(1, &[("worker", 1)]), T0).remove(0);
    let _ = fleet.take_actions();
    fleet.stop(APP, &Scope::Dyno("worker.1".parse().unwrap()), T0).unwrap();
    let kept = departures(&fleet.take_actions());
    let mut next = Fleet::new(Timings::default(), 2);
    next.expect(vec![app(1, &[("worker", 1)])]);
    next.take_over(old.label.clone(), reach(), T0);
    next.take_over_departure(old.label.id, kept[&old.label.id], T0);
    next.observe(old.label.id, Event::Exited { status: 1, memory: Memory::Within }, T0);
    next.settle(T0);
    let actions = next.take_actions();
    assert_eq!(launches(&actions).iter().map(|spec| spec.label.crashes).collect::<Vec<_>>(), [0]);
    assert!(!actions.iter().any(|action| matches!(action, Action::Signal(..))), "{actions:?}");
    assert!(!log(&actions).iter().any(|line| line.contains("crashed")), "{actions:?}");
}

#[test]
fn an_app_that_is_forgotten_leaves_nothing() {
    let mut fleet = fleet();
    let specs = bring_up(&mut fleet, app(1, &[("web", 1)]), T0);
    fleet.forget(APP, T0);
    assert!(fleet.routes().routes.is_empty());
    assert!(fleet.has_dynos_of(APP));
    fleet.observe(specs[0].label.id, Event::Exited { status: 143, memory: Memory::Within }, T0);
    assert!(fleet.is_empty());
}

#[test]
fn a_stopping_node_starts_nothing() {
    let mut fleet = fleet();
    bring_up(&mut fleet, app(1, &[("web", 1)]), T0);
    fleet.stop_all(T0);
    let _ = fleet.take_actions();
    fleet.apply(app(2, &[("web", 3)]), T0);
    assert_eq!(fleet.run(one_off("run.1000", Connection::Log), T0), Err(Refusal::Stopping));
    assert_eq!(launches(&fleet.take_actions()).len(), 0);
    fleet.kill_all(T0);
    assert!(fleet.take_actions().iter().any(|action| matches!(action, Action::Kill(_))));
}
