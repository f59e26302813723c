//! Seeded simulation of the supervisor's core: a fake clock, a fake world, and whatever can happen in any order.
//!
//! `SIM_SEEDS=10000 cargo test --test sim` runs more histories. A failure prints its seed; `SIM_SEED=<seed>` replays it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on may stop"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dyno::domain::{
    AppId, ConfigVars, DynoId, DynoName, DynoSize, Formation, FormationEntry, Version, WebState,
};
use dyno::supervisor::engine::{DynoSpec, Signal};
use dyno::supervisor::fleet::{Action, Fleet};
use dyno::supervisor::lifecycle::{Event, Leave, Memory, State, Timings};
use dyno::supervisor::{Connection, DesiredApp, Moment, OneOff, ReleaseImage, Scope, StackImage};
use dyno::wire::codes::DynoError;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

/// Histories of a default run.
const SEEDS: u64 = 300;
/// Things that happen in one history.
const TURNS: u32 = 200;
/// Apps of one history.
const APPS: u128 = 2;

/// A container of the fake world.
#[derive(Clone, Debug)]
struct Container {
    spec: DynoSpec,
    phase: Phase,
    terminated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Killed,
    Ended,
}

struct World {
    dice: StdRng,
    now: Moment,
    fleet: Fleet,
    desired: BTreeMap<AppId, DesiredApp>,
    containers: BTreeMap<DynoId, Container>,
    next_version: u64,
}

#[test]
fn no_history_breaks_the_rules() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let run = std::panic::catch_unwind(|| history(seed));
        assert!(run.is_ok(), "history {seed} failed: replay it with SIM_SEED={seed} cargo test --test sim");
    }
}

fn history(seed: u64) {
    let mut world = World {
        dice: StdRng::seed_from_u64(seed),
        now: Moment(1_795_415_284_000),
        fleet: Fleet::new(Timings::default(), seed),
        desired: BTreeMap::new(),
        containers: BTreeMap::new(),
        next_version: 1,
    };
    for _ in 0..TURNS {
        world.turn();
        world.carry_out();
        world.check();
    }
    world.calm();
}

impl World {
    /// Something happens.
    fn turn(&mut self) {
        let pause = match self.dice.random_range(0..10) {
            0 => self.dice.random_range(0..4 * 60 * 60 * 1000),
            1..4 => self.dice.random_range(0..90_000),
            _ => self.dice.random_range(0..500),
        };
        self.now = self.now.plus(Duration::from_millis(pause));
        self.fleet.tick(self.now);
        self.carry_out();
        match self.dice.random_range(0..20) {
            0..3 => self.apply(),
            3 => self.restart(),
            4 => self.run(),
            5 => self.forget(),
            6 => self.restart_of_the_node(),
            7 => self.client_goes(),
            _ => self.container_does_something(),
        }
    }

    fn app(&mut self) -> AppId {
        AppId(Uuid::from_u128(self.dice.random_range(0..APPS)))
    }

    fn image(&mut self) -> Arc<ReleaseImage> {
        self.next_version += 1;
        let commands = [("web", "serve"), ("worker", "work")];
        Arc::new(ReleaseImage {
            version: Version(self.next_version),
            slug: "0".repeat(64).parse().unwrap(),
            stack: StackImage {
                name: "cedar-13".parse().unwrap(),
                version: "1".to_owned(),
                layers: vec![],
                env: vec![],
            },
            config: ConfigVars::default(),
            commands: commands.map(|(name, command)| (name.parse().unwrap(), command.to_owned())).into(),
        })
    }

    fn apply(&mut self) {
        let app = self.app();
        let same = self.desired.get(&app).and_then(|desired| desired.release.clone());
        let release = match same {
            Some(release) if self.dice.random_bool(0.5) => Some(release),
            _ => Some(self.image()),
        };
        let mut entry = |name: &str| FormationEntry {
            process_type: name.parse().unwrap(),
            quantity: self.dice.random_range(0..4),
            size: if self.dice.random_bool(0.8) { DynoSize::Basic } else { DynoSize::Standard2X },
        };
        let formation = Formation::new([entry("web"), entry("worker")]);
        let name = format!("app-{}", app.0.as_u128());
        let desired = DesiredApp {
            app,
            name: name.parse().unwrap(),
            hostnames: vec![format!("{name}.localhost").parse().unwrap()],
            release,
            formation,
            maintenance: false,
        };
        self.desired.insert(app, desired.clone());
        self.fleet.apply(desired, self.now);
    }

    fn restart(&mut self) {
        let app = self.app();
        let scope = match self.dice.random_range(0..3) {
            0 => Scope::All,
            1 => Scope::Type("web".parse().unwrap()),
            _ => Scope::Dyno("worker.1".parse().unwrap()),
        };
        // That there may be no such dyno is part of the history.
        let _ = if self.dice.random_bool(0.5) {
            self.fleet.restart(app, &scope, self.now)
        } else {
            self.fleet.stop(app, &scope, self.now)
        };
    }

    fn run(&mut self) {
        let app = self.app();
        let release = self.image();
        let connection = if self.dice.random_bool(0.5) { Connection::Log } else { Connection::Pipes };
        let one_off = OneOff {
            id: DynoId(Uuid::from_u128(self.dice.random())),
            name: DynoName::new("run".parse().unwrap(), self.dice.random_range(1000..1005)),
            app,
            release,
            command: "bash".to_owned(),
            size: DynoSize::Basic,
            env: BTreeMap::new(),
            connection,
            time_to_live: None,
        };
        let _ = self.fleet.run(one_off, self.now);
    }

    fn forget(&mut self) {
        let app = self.app();
        self.desired.remove(&app);
        self.fleet.forget(app, self.now);
    }

    /// The node is killed and comes back: only containers and what is wanted survive.
    fn restart_of_the_node(&mut self) {
        self.fleet = Fleet::new(Timings::default(), self.dice.random());
        // What was being started or told to end is in the hands of no one now; it is there or it is not.
        self.containers.retain(|_, container| container.phase != Phase::Starting);
        let known: BTreeSet<AppId> = self.desired.keys().copied().collect();
        self.containers.retain(|_, container| known.contains(&container.spec.label.app));
        self.fleet.expect(self.desired.values().cloned().collect());
        let found: Vec<Container> = self.containers.values().cloned().collect();
        for container in &found {
            self.fleet.take_over(container.spec.label.clone(), None, self.now);
        }
        for container in &mut self.containers.values_mut() {
            container.terminated = false;
        }
        self.fleet.settle(self.now);
        for container in found {
            if matches!(container.phase, Phase::Killed | Phase::Ended) {
                self.end(container.spec.label.id, 137);
            }
        }
    }

    fn client_goes(&mut self) {
        if let Some(id) = self.any(|_| true) {
            self.fleet.observe(id, Event::ClientGone, self.now);
        }
    }

    fn any(&mut self, chosen: impl Fn(&Container) -> bool) -> Option<DynoId> {
        let ids: Vec<_> =
            self.containers.iter().filter(|(_, container)| chosen(container)).map(|(id, _)| *id).collect();
        if ids.is_empty() { None } else { Some(ids[self.dice.random_range(0..ids.len())]) }
    }

    fn container_does_something(&mut self) {
        let Some(id) = self.any(|container| container.phase != Phase::Ended) else { return };
        let (phase, terminated) = (self.containers[&id].phase, self.containers[&id].terminated);
        match phase {
            Phase::Starting if self.dice.random_bool(0.1) => {
                self.containers.remove(&id);
                self.fleet.launch_failed(id, DynoError::not_started("as the dice fell"), self.now);
            }
            Phase::Starting => {
                self.containers.get_mut(&id).unwrap().phase = Phase::Running;
                self.fleet.launched(id, None, self.now);
            }
            Phase::Running if terminated && self.dice.random_bool(0.5) => self.end(id, 143),
            Phase::Running if self.dice.random_bool(0.1) => self.end(id, self.now.0.to_le_bytes()[0]),
            Phase::Running => self.fleet.observe(id, Event::Listening, self.now),
            Phase::Killed => self.end(id, 137),
            Phase::Ended => {}
        }
    }

    fn end(&mut self, id: DynoId, status: u8) {
        self.containers.get_mut(&id).unwrap().phase = Phase::Ended;
        self.fleet.observe(id, Event::Exited { status, memory: Memory::Within }, self.now);
    }

    /// Does what the fleet decided, and refuses what no world could do.
    fn carry_out(&mut self) {
        for action in self.fleet.take_actions() {
            match action {
                Action::Launch(spec) => {
                    let id = spec.label.id;
                    let container = Container { spec: *spec, phase: Phase::Starting, terminated: false };
                    assert!(self.containers.insert(id, container).is_none(), "{id} was launched twice");
                }
                Action::Signal(id, signal) => {
                    let container = self.containers.get_mut(&id).expect("what is signalled exists");
                    container.terminated |= signal == Signal::TERMINATE;
                }
                Action::Kill(id) => {
                    let container = self.containers.get_mut(&id).expect("what is killed exists");
                    assert!(container.phase != Phase::Ended, "killed after its end");
                    container.phase = Phase::Killed;
                }
                Action::Clear(id) => {
                    let container = self.containers.remove(&id).expect("what is cleared exists");
                    assert_eq!(container.phase, Phase::Ended, "cleared away while it ran");
                }
                Action::Log(..) => {}
            }
        }
    }

    fn check(&self) {
        for id in self.containers.keys() {
            assert!(self.fleet.knows(*id), "a container that nobody watches: {id}");
        }
        let views = self.fleet.views();
        let names: BTreeSet<_> = views.iter().map(|view| (view.app, &view.name)).collect();
        assert_eq!(names.len(), views.len(), "two dynos hold one name");
        for (host, route) in &self.fleet.routes().routes {
            let WebState::Up(up) = &route.web else { continue };
            assert!(!up.is_empty(), "{host} is up with nothing");
            for backend in up {
                assert!(matches!(self.fleet.state(backend.id), Some(State::Up { .. })));
            }
        }
    }

    /// Nothing more goes wrong: everything wanted comes up, and nothing else is left.
    fn calm(&mut self) {
        for _ in 0..10_000 {
            self.carry_out();
            let ids: Vec<_> = self.containers.keys().copied().collect();
            for id in ids {
                let Some(container) = self.containers.get_mut(&id) else { continue };
                match container.phase {
                    Phase::Starting => {
                        container.phase = Phase::Running;
                        self.fleet.launched(id, None, self.now);
                    }
                    Phase::Running if container.terminated => self.end(id, 143),
                    Phase::Running => self.fleet.observe(id, Event::Listening, self.now),
                    Phase::Killed => self.end(id, 137),
                    Phase::Ended => {}
                }
                self.carry_out();
                self.check();
            }
            self.now = self.now.plus(Duration::from_secs(10));
            self.fleet.tick(self.now);
            if self.is_calm() {
                return;
            }
        }
        panic!("the fleet never came to rest: {:#?}", self.fleet.views());
    }

    fn is_calm(&self) -> bool {
        let mut wanted = BTreeSet::new();
        for desired in self.desired.values() {
            for entry in desired.formation.entries() {
                let name = |index| DynoName::new(entry.process_type.clone(), index);
                wanted.extend((1..=entry.quantity).map(|index| (desired.app, name(index))));
            }
        }
        let formation: BTreeSet<_> = self
            .fleet
            .views()
            .into_iter()
            .filter(|view| !view.name.process_type.is_reserved())
            .filter(|view| matches!(self.fleet.state(view.id), Some(State::Up { .. })))
            .map(|view| (view.app, view.name))
            .collect();
        let leaving = self.containers.values().any(|container| container.terminated);
        formation == wanted && !leaving
    }
}

#[test]
fn a_stop_in_the_middle_of_anything_leaves_nothing() {
    for seed in 0..50 {
        let mut world = World {
            dice: StdRng::seed_from_u64(seed),
            now: Moment(1_795_415_284_000),
            fleet: Fleet::new(Timings::default(), seed),
            desired: BTreeMap::new(),
            containers: BTreeMap::new(),
            next_version: 1,
        };
        for _ in 0..TURNS {
            world.turn();
            world.carry_out();
        }
        world.fleet.stop_all(world.now);
        world.fleet.observe(DynoId(Uuid::nil()), Event::Stop(Leave::Down), world.now);
        for _ in 0..1000 {
            world.carry_out();
            world.container_does_something();
            world.now = world.now.plus(Duration::from_secs(1));
            world.fleet.tick(world.now);
        }
        world.carry_out();
        assert!(world.fleet.is_empty() && world.containers.is_empty(), "seed {seed}");
    }
}
