//! The world around the fleet: a clock, what users want, and containers that do as they please.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dyno::domain::{AppId, Bytes, DynoId, DynoName, DynoSize, ProcessType, Sizes, Version};
use dyno::supervisor::engine::{DynoSpec, Signal};
use dyno::supervisor::fleet::{Action, Fleet};
use dyno::supervisor::lifecycle::{Class, Departure, Event, Memory, State, Timings};
use dyno::supervisor::{DesiredApp, Moment};
use dyno::wire::codes::DynoError;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::rules::Memories;

/// Memory of the largest node, in dynos of the usual size: more than two apps with both rows take.
const MEMORY_DYNOS_MAX: u64 = 40;

/// A container of the fake world.
#[derive(Clone, Debug)]
pub struct Container {
    pub spec: DynoSpec,
    pub phase: Phase,
    /// When it first got SIGTERM: no later fleet may forget that.
    pub terminated: Option<Moment>,
    /// When its process was launched, as far as its fleet knows.
    pub launched: Moment,
    pub listening: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Running,
    Killed,
    Ended,
}

pub struct World {
    pub dice: StdRng,
    pub now: Moment,
    pub fleet: Fleet,
    pub desired: BTreeMap<AppId, DesiredApp>,
    pub containers: BTreeMap<DynoId, Container>,
    /// How dynos go, as it was written down.
    pub departures: BTreeMap<DynoId, Departure>,
    /// Releases whose processes never come up.
    pub bad: BTreeSet<Version>,
    pub next_version: u64,
    /// What the node may promise to formations.
    pub memory: Option<Bytes>,
    pub memories: Memories,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        // Sometimes less than formations ask for: it may have been more when they were.
        let dynos = dice.random_bool(0.6).then(|| dice.random_range(0..MEMORY_DYNOS_MAX));
        let memory = dynos.map(|dynos| Bytes(dynos * Sizes::default().limits(DynoSize::Basic).memory.0));
        Self {
            dice,
            now: Moment(1_795_415_284_000),
            fleet: Fleet::new(Timings::default(), seed).with_memory(memory),
            desired: BTreeMap::new(),
            containers: BTreeMap::new(),
            departures: BTreeMap::new(),
            bad: BTreeSet::new(),
            next_version: 1,
            memory,
            memories: Memories::default(),
        }
    }

    /// Time passes, and what is due is done.
    pub fn pass(&mut self, span: Duration) {
        self.now = self.now.plus(span);
        self.fleet.tick(self.now);
        self.carry_out();
    }

    pub fn any(&mut self, chosen: impl Fn(&Container) -> bool) -> Option<DynoId> {
        let ids: Vec<_> =
            self.containers.iter().filter(|(_, container)| chosen(container)).map(|(id, _)| *id).collect();
        if ids.is_empty() { None } else { Some(ids[self.dice.random_range(0..ids.len())]) }
    }

    pub fn container_does_something(&mut self) {
        let Some(id) = self.any(|container| container.phase != Phase::Ended) else { return };
        let container = &self.containers[&id];
        let hopeless = self.bad.contains(&container.spec.label.release);
        match container.phase {
            Phase::Starting if self.dice.random_bool(0.1) => {
                self.containers.remove(&id);
                self.fleet.launch_failed(id, DynoError::not_started("as the dice fell"), self.now);
            }
            Phase::Starting => self.launch(id),
            Phase::Running if container.terminated.is_some() && self.dice.random_bool(0.5) => {
                self.end(id, 143)
            }
            Phase::Running if self.dice.random_bool(if hopeless { 0.4 } else { 0.1 }) => {
                self.end(id, self.now.0.to_le_bytes()[0]);
            }
            Phase::Running if hopeless => {}
            Phase::Running => self.listen(id),
            Phase::Killed => self.end(id, 137),
            Phase::Ended => {}
        }
        self.carry_out();
    }

    pub fn launch(&mut self, id: DynoId) {
        let container = self.containers.get_mut(&id).unwrap();
        container.phase = Phase::Running;
        container.launched = self.now;
        let netns = dyno::domain::NetnsAddress { path: "/proc/7/ns/net".into(), device: 1, inode: 2 };
        let reach = dyno::supervisor::engine::Reach { netns, address: None };
        self.fleet.launched(id, Some(reach), self.now);
    }

    pub fn listen(&mut self, id: DynoId) {
        self.containers.get_mut(&id).unwrap().listening = true;
        self.fleet.observe(id, Event::Listening, self.now);
    }

    pub fn end(&mut self, id: DynoId, status: u8) {
        let container = self.containers.get_mut(&id).unwrap();
        container.phase = Phase::Ended;
        self.memories.ended(&container.spec.label, self.now);
        self.fleet.observe(id, Event::Exited { status, memory: Memory::Within }, self.now);
    }

    /// Does what the fleet decided, and refuses what no world could do.
    pub fn carry_out(&mut self) {
        for action in self.fleet.take_actions() {
            match action {
                Action::Launch(spec) => {
                    let id = spec.label.id;
                    self.memories.may_launch(&spec.label, self.now);
                    self.has_memory_for(&spec.label);
                    let container = Container {
                        spec: *spec,
                        phase: Phase::Starting,
                        terminated: None,
                        launched: self.now,
                        listening: false,
                    };
                    assert!(self.containers.insert(id, container).is_none(), "{id} was launched twice");
                }
                Action::Signal(id, signal) => {
                    let container = self.containers.get_mut(&id).expect("what is signalled exists");
                    assert_eq!(container.phase, Phase::Running, "what is signalled runs");
                    if signal == Signal::TERMINATE {
                        self.memories.may_terminate(container, &self.desired, self.now);
                        assert!(
                            self.departures.contains_key(&id),
                            "told to end before that was written down"
                        );
                        container.terminated = container.terminated.or(Some(self.now));
                    }
                }
                Action::Keep(id, departure) => {
                    self.departures.insert(id, departure);
                }
                Action::Kill(id) => {
                    let container = self.containers.get_mut(&id).expect("what is killed exists");
                    assert!(container.phase != Phase::Ended, "killed after its end");
                    self.memories.may_kill(container, self.now);
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

    /// Nothing more goes wrong: everything wanted comes up, and nothing else is left.
    pub fn calm(&mut self) {
        let hopeless: Vec<AppId> = self
            .desired
            .values()
            .filter(|app| app.release.as_ref().is_some_and(|release| self.bad.contains(&release.version)))
            .map(|app| app.app)
            .collect();
        for app in hopeless {
            let mut desired = self.desired[&app].clone();
            desired.release = Some(self.image());
            self.want(desired);
        }
        for _ in 0..10_000 {
            self.carry_out();
            let ids: Vec<_> = self.containers.keys().copied().collect();
            for id in ids {
                let Some(container) = self.containers.get(&id) else { continue };
                match container.phase {
                    Phase::Starting => {
                        let hopeless = self.bad.contains(&container.spec.label.release);
                        self.launch(id);
                        if !hopeless {
                            self.listen(id);
                        }
                    }
                    Phase::Running if container.terminated.is_some() => self.end(id, 143),
                    Phase::Running if self.bad.contains(&container.spec.label.release) => {}
                    Phase::Running if container.listening => {}
                    Phase::Running => self.listen(id),
                    Phase::Killed => self.end(id, 137),
                    Phase::Ended => {}
                }
                self.carry_out();
            }
            self.check();
            if self.is_calm() {
                return;
            }
            let wait = self.fleet.deadline().map_or(Duration::ZERO, |due| due.since(self.now));
            self.pass(wait.min(Duration::from_secs(60 * 60)));
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
        let formation = |name: &ProcessType| !name.is_reserved();
        let views = self.fleet.views();
        let held = views.iter().filter(|view| formation(&view.name.process_type)).count();
        let up: BTreeSet<_> = views
            .into_iter()
            .filter(|view| formation(&view.name.process_type))
            .filter(|view| matches!(self.fleet.state(view.id), Some(State::Up { .. })))
            .filter(|view| {
                let release = self.desired.get(&view.app).and_then(|app| app.release.as_ref());
                release.is_some_and(|release| release.version == view.release)
            })
            .map(|view| (view.app, view.name))
            .collect();
        let leaving = self.containers.values().any(|container| container.terminated.is_some());
        held == wanted.len() && up == wanted && !leaving
    }

    /// The node is killed and comes back: only containers, what is wanted, and who was told to go survive.
    pub fn restart_of_the_node(&mut self) {
        self.fleet = Fleet::new(Timings::default(), self.dice.random()).with_memory(self.memory);
        // What was being started is in the hands of no one now; it is there or it is not.
        let survives = self.dice.random_bool(0.5);
        self.containers.retain(|_, container| container.phase != Phase::Starting || survives);
        let known: BTreeSet<AppId> = self.desired.keys().copied().collect();
        self.containers.retain(|_, container| known.contains(&container.spec.label.app));
        self.departures.retain(|id, _| self.containers.contains_key(id));
        self.fleet.expect(self.desired.values().cloned().collect());
        let now = self.now;
        for container in self.containers.values_mut() {
            if container.phase == Phase::Starting {
                container.phase = Phase::Running;
            }
            if container.spec.label.class == Class::Web && !container.listening {
                container.launched = now;
            }
            let netns = dyno::domain::NetnsAddress { path: "/proc/7/ns/net".into(), device: 1, inode: 2 };
            let reach = dyno::supervisor::engine::Reach { netns, address: None };
            let label = container.spec.label.clone();
            let id = label.id;
            self.fleet.take_over(label, Some(reach), now);
            let has_ended = matches!(container.phase, Phase::Killed | Phase::Ended);
            if container.listening || has_ended {
                self.fleet.take_over_up(id);
            }
            if let Some(departure) = self.departures.get(&id) {
                self.fleet.take_over_departure(id, *departure, now);
            }
        }
        let ended =
            |(_, container): &(&DynoId, &Container)| matches!(container.phase, Phase::Killed | Phase::Ended);
        let ended: Vec<DynoId> = self.containers.iter().filter(ended).map(|(id, _)| *id).collect();
        for id in ended {
            self.end(id, 137);
        }
        self.fleet.settle(now);
        self.memories.node_restarted();
    }
}
