//! What must hold, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dyno::domain::{AppId, DynoId, DynoName, ONE_OFFS_MAX, ProcessType, Sizes, WebState};
use dyno::supervisor::backoff::CrashDelays;
use dyno::supervisor::engine::DynoLabel;
use dyno::supervisor::lifecycle::{Class, Handover, State, Timings};
use dyno::supervisor::{DesiredApp, Moment};

use crate::world::{Container, Phase, World};

/// How long workers may take to stop; web dynos have the usual time.
pub const WORKER_GRACE: Duration = Duration::from_secs(90);

/// What the rules remember of earlier turns.
#[derive(Default)]
pub struct Memories {
    /// Which dynos were in the routing table when the turn began, by app.
    served: BTreeMap<AppId, BTreeSet<DynoId>>,
    /// Apps whose web dynos did overlap when the turn began.
    overlapped: BTreeSet<AppId>,
    /// Apps of which a user has stopped dynos in this turn.
    stopped: BTreeSet<AppId>,
    /// Turns so far.
    turn: u64,
    /// In which turn a user last changed an app.
    touched: BTreeMap<AppId, u64>,
    /// In which turn the node was last restarted.
    restarted: u64,
    /// In which turn a dyno was launched.
    born: BTreeMap<DynoId, u64>,
    /// When a line of dynos last saw one of its processes end.
    ended: BTreeMap<DynoId, Moment>,
}

impl Memories {
    pub fn touched(&mut self, app: AppId) {
        self.touched.insert(app, self.turn);
    }

    pub fn stopped(&mut self, app: AppId) {
        self.stopped.insert(app);
    }

    pub fn node_restarted(&mut self) {
        self.restarted = self.turn;
    }

    pub fn ended(&mut self, label: &DynoLabel, now: Moment) {
        self.ended.insert(label.lineage, now);
    }

    /// A start after crashes waits as long as was promised.
    pub fn may_launch(&mut self, label: &DynoLabel, now: Moment) {
        self.born.insert(label.id, self.turn);
        if let (Some(earlier), Some(ended)) = (label.crashes.checked_sub(1), self.ended.get(&label.lineage)) {
            let wait = CrashDelays::default().after(earlier);
            assert!(now.since(*ended) >= wait, "{} starts {:?} too early", label.name, wait);
        }
        let usual = Timings::default();
        let ages = usual.cycle..=usual.cycle + usual.cycle_jitter;
        let in_time = ages.contains(&label.cycle_after) || !label.class.is_formation();
        assert!(in_time && label.cycle_after <= *ages.end(), "{}: {:?}", label.name, label.cycle_after);
    }

    /// A dyno of the formation that is as wanted is told to end only for its age, or because somebody asked for it.
    pub fn may_terminate(&self, container: &Container, desired: &BTreeMap<AppId, DesiredApp>, now: Moment) {
        let label = &container.spec.label;
        let Some(app) = desired.get(&label.app).filter(|_| label.class.is_formation()) else { return };
        let current = app.release.as_ref().is_some_and(|release| release.version == label.release);
        let entry = app.formation.entry(&label.name.process_type);
        let wanted =
            entry.is_some_and(|entry| entry.size == label.size && label.name.index <= entry.quantity);
        let born = self.born.get(&label.id).copied().unwrap_or_default();
        let asked = self.touched.get(&label.app).is_some_and(|turn| *turn >= born) || self.restarted >= born;
        let old = now.since(label.started.into()) >= Timings::default().cycle;
        assert!(!current || !wanted || asked || old, "{} ({}) ends for no reason", label.name, label.id);
    }

    /// Force comes after grace, or to a web dyno that took too long to boot.
    pub fn may_kill(&self, container: &Container, now: Moment) {
        let usual = Timings::default();
        let grace = match container.spec.label.class {
            Class::Worker => WORKER_GRACE,
            Class::Web | Class::Detached | Class::Attached => usual.grace,
        };
        let late = container.terminated.is_some_and(|at| now.since(at) >= grace);
        let boots = container.spec.label.class == Class::Web && !container.listening;
        let deaf = boots && now.since(container.launched) >= usual.boot;
        let again = container.phase == Phase::Killed;
        assert!(late || deaf || again, "killed without need: {container:?} at {now:?}");
    }
}

impl World {
    /// What is due has been done: nobody outlives his time to stop, to boot, or his age.
    pub fn check_what_is_due(&self) {
        let usual = Timings::default();
        for (id, container) in self.containers.iter().filter(|(_, c)| c.phase == Phase::Running) {
            let label = &container.spec.label;
            if let Some(at) = container.terminated {
                assert!(self.now.since(at) < WORKER_GRACE, "{} outlives its grace", label.name);
                continue;
            }
            let uptime = self.now.since(container.launched);
            let state = self.fleet.state(*id);
            let boots = label.class == Class::Web && !container.listening;
            assert!(!boots || uptime < usual.boot, "{} outlives its time to boot: {state:?}", label.name);
            let excused = matches!(
                state,
                Some(State::Yielding { .. } | State::Draining { .. } | State::HangingUp { .. })
            );
            assert!(excused || uptime < label.cycle_after, "{} outlives its age: {state:?}", label.name);
        }
    }

    /// What is started beside those that serve takes no more than the node has to give; but one of an app always may.
    pub fn has_memory_for(&self, label: &DynoLabel) {
        let is_first = label.lineage == label.id && label.crashes == 0;
        let Some(memory) = self.memory.filter(|_| label.behind.is_some() && is_first) else { return };
        let sizes = Sizes::default();
        let others = self.containers.values().map(|container| &container.spec.label);
        let others = others.filter(|other| other.class.is_formation());
        let taken = |label: &DynoLabel| sizes.limits(label.size).memory.0;
        let total = others.map(taken).sum::<u64>() + taken(label);
        let beside = self
            .containers
            .iter()
            .filter(|(id, container)| container.spec.label.app == label.app && self.fleet.waits(**id));
        let beside = beside.count();
        assert!(total <= memory.0 || beside == 0, "{} is one too many beside {beside} others", label.name);
    }

    /// What holds after every turn.
    pub fn check(&mut self) {
        for id in self.containers.keys() {
            assert!(self.fleet.knows(*id), "a container that nobody watches: {id}");
        }
        self.check_names();
        let mut served = BTreeMap::new();
        for (host, route) in &self.fleet.routes().routes {
            let WebState::Up(up) = &route.web else { continue };
            assert!(!up.is_empty(), "{host} is up with nothing");
            for backend in up {
                let container = &self.containers[&backend.id];
                let serves = container.phase == Phase::Running && container.listening;
                assert!(serves && container.terminated.is_none(), "{host} leads to {container:?}");
            }
            served.insert(route.app, up.iter().map(|backend| backend.id).collect());
        }
        self.check_releases(&served);
        self.check_gaps(&served);
        self.memories.served = served;
        self.memories.overlapped = self.desired.keys().copied().filter(|app| self.overlaps(*app)).collect();
        self.memories.stopped.clear();
        self.memories.turn += 1;
    }

    /// One dyno holds a name; two while one boots behind the other. An app has so many one-off dynos at most.
    fn check_names(&self) {
        let mut names: BTreeMap<(AppId, DynoName), usize> = BTreeMap::new();
        let mut one_offs: BTreeMap<AppId, usize> = BTreeMap::new();
        for view in self.fleet.views() {
            if view.name.process_type == ProcessType::run() {
                *one_offs.entry(view.app).or_default() += 1;
            }
            *names.entry((view.app, view.name)).or_default() += 1;
        }
        for ((app, name), count) in names {
            let overlaps = self.overlaps(app) && name.process_type.is_web();
            assert!(count <= if overlaps { 2 } else { 1 }, "{count} dynos hold the name {name}");
        }
        assert!(one_offs.values().all(|count| *count <= ONE_OFFS_MAX), "too many one-off dynos");
    }

    fn overlaps(&self, app: AppId) -> bool {
        self.desired.get(&app).is_some_and(|app| app.preferences.handover == Handover::Overlap)
    }

    /// All at once, the release that is wanted serves or none does. Without a gap, one release serves at a time.
    fn check_releases(&self, served: &BTreeMap<AppId, BTreeSet<DynoId>>) {
        for (app, ids) in served {
            let releases: BTreeSet<_> = ids.iter().map(|id| self.containers[id].spec.label.release).collect();
            assert_eq!(releases.len(), 1, "several releases answer: {:#?}", self.fleet.views());
            let wanted = self.desired.get(app).and_then(|app| app.release.as_ref());
            let current = wanted.is_some_and(|release| releases.contains(&release.version));
            assert!(current || self.overlaps(*app), "an old release answers");
        }
    }

    /// While any dyno lives that served before, somebody serves; unless a user has stopped it.
    fn check_gaps(&self, served: &BTreeMap<AppId, BTreeSet<DynoId>>) {
        for (app, before) in &self.memories.served {
            let overlaps = self.overlaps(*app) && self.memories.overlapped.contains(app);
            if !overlaps || self.memories.stopped.contains(app) || served.contains_key(app) {
                continue;
            }
            let web = self.desired[app].formation.entry(&ProcessType::web());
            let quantity = web.map_or(0, |entry| entry.quantity);
            let lives = |id: &&DynoId| {
                self.containers.get(id).is_some_and(|container| {
                    container.phase == Phase::Running && container.spec.label.name.index <= quantity
                })
            };
            let survivors: Vec<_> = before.iter().filter(lives).collect();
            assert!(survivors.is_empty(), "a gap: {survivors:?} could serve: {:#?}", self.fleet.views());
        }
    }
}
