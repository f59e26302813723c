//! Every dyno of the node as values: what is wanted, what there is, and what has to be done. Pure but for its dice.
//!
//! The driver tells it what is wanted and what happened, each with the time, and carries out the [`Action`]s it gets
//! back, in their order. A simulation does the same with a world of its own.

mod adopt;
mod changes;
mod dyno;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::domain::{AppId, Bytes, DynoId, DynoName, DynoState, ONE_OFFS_MAX, RouteTable, Sizes};
use crate::supervisor::engine::{DynoSpec, Reach, Signal};
use crate::supervisor::environment;
use crate::supervisor::fleet::dyno::Dyno;
use crate::supervisor::lifecycle::{
    self, Class, Departure, Effect, Event, Handover, Leave, Origin, State, Timings, Traits,
};
use crate::supervisor::reconcile::Row;
use crate::supervisor::routes;
use crate::supervisor::{Connection, DesiredApp, DynoView, Moment, OneOff, Preferences, Scope};
use crate::wire::codes::DynoError;
use crate::wire::logline::{DynoLine, LogLine, OverQuotaLine};

/// `$PORT` is drawn from these: five digits, below the ports the kernel hands out to outgoing connections.
const PORTS: std::ops::Range<u16> = 10_000..32_768;
/// A dyno's user is drawn from these: five digits, within the 65536 ids of a container.
const UIDS: std::ops::Range<u32> = 10_000..60_000;

/// One thing for the driver to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start it, and report [`Event::Launched`] or the failure.
    Launch(Box<DynoSpec>),
    /// Write down how it goes, for the next run of the node.
    Keep(DynoId, Departure),
    /// Signal every process of it.
    Signal(DynoId, Signal),
    /// Kill it.
    Kill(DynoId),
    /// Clear the remains of its container away.
    Clear(DynoId),
    /// Add a line to an app's log.
    Log(AppId, LogLine),
}

/// Why a one-off dyno is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node is stopping.
    #[error("the node is stopping: start it again, then repeat")]
    Stopping,
    /// There are too many.
    #[error("the app runs {ONE_OFFS_MAX} one-off dynos already: stop one, then repeat")]
    TooMany,
    /// The name is taken.
    #[error("a dyno named {0} runs already")]
    NameTaken(DynoName),
    /// No such dyno.
    #[error("there is no dyno named {0}")]
    NoSuchDyno(DynoName),
    /// It is not there yet, or not any more.
    #[error("the dyno does not run: wait until it does, then repeat")]
    NotRunning,
}

/// Every dyno, and what is wanted.
#[derive(Debug)]
pub struct Fleet {
    apps: BTreeMap<AppId, DesiredApp>,
    dynos: BTreeMap<DynoId, Dyno>,
    /// Names whose dyno is leaving for a successor that has not begun.
    vacated: BTreeSet<(AppId, DynoName)>,
    /// Apps of whose rows a dyno has come up or gone down: one row may have to take over from the other.
    unsettled: BTreeSet<AppId>,
    /// Apps of which dynos wait for memory that others have.
    starved: BTreeSet<AppId>,
    phase: Phase,
    timings: Timings,
    sizes: Sizes,
    /// What the node may promise to formations; `None` where nobody looks.
    memory: Option<Bytes>,
    dice: StdRng,
    actions: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// What runs is being found: nothing is decided before all of it is known.
    Adopting,
    Open,
    Stopping,
}

impl Fleet {
    /// An empty fleet; `seed` decides identities, ports and ages.
    #[must_use]
    pub fn new(timings: Timings, seed: u64) -> Self {
        Self {
            apps: BTreeMap::new(),
            dynos: BTreeMap::new(),
            vacated: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            starved: BTreeSet::new(),
            phase: Phase::Open,
            timings,
            sizes: Sizes::default(),
            memory: None,
            dice: StdRng::seed_from_u64(seed),
            actions: vec![],
        }
    }

    /// The same, on a node of these sizes; of the platform's unless told otherwise.
    #[must_use]
    pub fn sized(self, sizes: Sizes) -> Self {
        Self { sizes, ..self }
    }

    /// The same, on a node that may promise so much memory to formations.
    #[must_use]
    pub fn with_memory(self, memory: Option<Bytes>) -> Self {
        Self { memory, ..self }
    }

    /// What has to be done since the last call, in order.
    #[must_use]
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Takes what an app should be.
    pub fn apply(&mut self, desired: DesiredApp, now: Moment) {
        let app = desired.app;
        self.apps.insert(app, desired);
        for id in self.ids(|dyno| dyno.app == app) {
            let Some(dyno) = self.dynos.get(&id) else { continue };
            let (class, name) = (dyno.traits.class, dyno.name.clone());
            let cycle_after = dyno.traits.cycle_after;
            let traits = Traits { cycle_after, ..self.traits(class, id, (app, &name)) };
            if let Some(dyno) = self.dynos.get_mut(&id) {
                dyno.traits = traits;
            }
        }
        self.reconcile(app, now);
        self.fill_vacated(now);
    }

    /// Makes everything of an app go.
    pub fn forget(&mut self, app: AppId, now: Moment) {
        self.apps.remove(&app);
        for id in self.ids(|dyno| dyno.app == app) {
            self.step(id, Event::Stop(Leave::Down), now);
        }
        self.starved.remove(&app);
        self.fill_vacated(now);
    }

    /// Restarts dynos of an app's formation.
    ///
    /// # Errors
    /// The scope is one dyno, and there is none of that name.
    pub fn restart(&mut self, app: AppId, scope: &Scope, now: Moment) -> Result<(), Refusal> {
        let chosen =
            |dyno: &Dyno| dyno.app == app && dyno.is_held() && dyno.is_formation() && scope.holds(&dyno.name);
        let ids = self.ids(chosen);
        if let (Scope::Dyno(name), true) = (scope, ids.is_empty()) {
            return Err(Refusal::NoSuchDyno(name.clone()));
        }
        for id in ids {
            // One that waits serves nobody: it has nothing to hand over.
            let waits = self.dynos.get(&id).is_some_and(|dyno| dyno.row() == Row::Next);
            let event = if waits { Event::Stop(Leave::Restart) } else { Event::Relieve(Leave::Restart) };
            self.step(id, event, now);
        }
        self.reconcile(app, now);
        Ok(())
    }

    /// Stops dynos by name or type. Those of the formation come back at once; one-offs do not.
    ///
    /// # Errors
    /// The scope is one dyno, and there is none of that name.
    pub fn stop(&mut self, app: AppId, scope: &Scope, now: Moment) -> Result<(), Refusal> {
        let ids = self.ids(|dyno| dyno.app == app && dyno.is_held() && scope.holds(&dyno.name));
        if let (Scope::Dyno(name), true) = (scope, ids.is_empty()) {
            return Err(Refusal::NoSuchDyno(name.clone()));
        }
        for id in ids {
            let formation = self.dynos.get(&id).is_some_and(Dyno::is_formation);
            let leave = if formation { Leave::Outdated } else { Leave::Down };
            self.step(id, Event::Stop(leave), now);
        }
        self.reconcile(app, now);
        Ok(())
    }

    /// Starts a one-off dyno.
    ///
    /// # Errors
    /// The node is stopping, the app has too many, or the name is taken.
    pub fn run(&mut self, one_off: OneOff, now: Moment) -> Result<(), Refusal> {
        if self.phase == Phase::Stopping {
            return Err(Refusal::Stopping);
        }
        if self.ids(|dyno| dyno.app == one_off.app && !dyno.is_formation()).len() >= ONE_OFFS_MAX {
            return Err(Refusal::TooMany);
        }
        let twin = |dyno: &Dyno| dyno.app == one_off.app && dyno.name == one_off.name;
        if self.dynos.contains_key(&one_off.id) || !self.ids(twin).is_empty() {
            return Err(Refusal::NameTaken(one_off.name));
        }
        let class = match one_off.connection {
            Connection::Log => Class::Detached,
            Connection::Terminal { .. } | Connection::Pipes => Class::Attached,
        };
        let mut traits = self.traits(class, one_off.id, (one_off.app, &one_off.name));
        traits.cycle_after = traits.cycle_after.min(one_off.time_to_live.unwrap_or(Duration::MAX));
        let command = environment::resolve(&one_off.command, &one_off.release.commands);
        let dyno = Dyno {
            id: one_off.id,
            app: one_off.app,
            name: one_off.name,
            command,
            size: one_off.size,
            version: one_off.release.version,
            release: Some(one_off.release),
            lineage: one_off.id,
            behind: None,
            env: one_off.env,
            connection: one_off.connection,
            port: self.dice.random_range(PORTS),
            uid: self.dice.random_range(UIDS),
            traits,
            state: State::Ended,
            created: now,
            since: now,
            reach: None,
            launches: 0,
        };
        self.begin(dyno, Origin::New, now);
        Ok(())
    }

    /// The process of a dyno runs, and can be reached there.
    pub fn launched(&mut self, id: DynoId, reach: Option<Reach>, now: Moment) {
        if let Some(dyno) = self.dynos.get_mut(&id) {
            dyno.reach = reach;
        }
        self.step(id, Event::Launched, now);
    }

    /// A dyno could not be started; its log is told so.
    pub fn launch_failed(&mut self, id: DynoId, told: DynoError, now: Moment) {
        if let Some(dyno) = self.dynos.get(&id) {
            let line = LogLine::dyno(now.into(), &dyno.name, told);
            self.actions.push(Action::Log(dyno.app, line));
        }
        self.step(id, Event::LaunchFailed, now);
        self.fill_vacated(now);
    }

    /// Something happened to a dyno. One that is not known any more is passed over.
    pub fn observe(&mut self, id: DynoId, event: Event, now: Moment) {
        self.step(id, event, now);
        self.fill_vacated(now);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Moment) {
        for id in self.ids(|dyno| lifecycle::deadline(&dyno.traits, dyno.state).is_some_and(|due| due <= now))
        {
            self.step(id, Event::Tick, now);
        }
        self.fill_vacated(now);
    }

    /// When [`Self::tick`] is next of use.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        self.dynos.values().filter_map(|dyno| lifecycle::deadline(&dyno.traits, dyno.state)).min()
    }

    /// Makes every dyno go; from now on none is started.
    pub fn stop_all(&mut self, now: Moment) {
        self.phase = Phase::Stopping;
        for id in self.ids(|_| true) {
            self.step(id, Event::Stop(Leave::Down), now);
        }
    }

    /// Makes every dyno go without grace; from now on none is started.
    pub fn kill_all(&mut self, now: Moment) {
        self.phase = Phase::Stopping;
        for id in self.ids(|_| true) {
            self.step(id, Event::Kill, now);
        }
    }

    /// How an app wants to be run.
    #[must_use]
    pub fn preferences(&self, app: AppId) -> Preferences {
        self.apps.get(&app).map(|app| app.preferences.clone()).unwrap_or_default()
    }

    /// Whether a web dyno of that age is up, or would have been given up.
    #[must_use]
    pub fn is_past_boot(&self, started: Moment, now: Moment) -> bool {
        now.since(started) > self.timings.boot
    }

    /// The first host name of an app.
    #[must_use]
    pub fn host(&self, app: AppId) -> Option<String> {
        self.apps.get(&app)?.hostnames.first().map(ToString::to_string)
    }

    /// Whether a dyno is known, on its way out or not.
    #[must_use]
    pub fn knows(&self, id: DynoId) -> bool {
        self.dynos.contains_key(&id)
    }

    /// Whether an app has any dyno, on its way out or not.
    #[must_use]
    pub fn has_dynos_of(&self, app: AppId) -> bool {
        self.dynos.values().any(|dyno| dyno.app == app)
    }

    /// Whether there is no dyno at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dynos.is_empty()
    }

    /// Whether a dyno waits to take over from one that serves.
    #[must_use]
    pub fn waits(&self, id: DynoId) -> bool {
        self.dynos.get(&id).is_some_and(|dyno| dyno.is_held() && dyno.row() == Row::Next)
    }

    /// A dyno's state, on its way out or not.
    #[must_use]
    pub fn state(&self, id: DynoId) -> Option<State> {
        self.dynos.get(&id).map(|dyno| dyno.state)
    }

    /// The dynos that hold a name, by app and name.
    #[must_use]
    pub fn views(&self) -> Vec<DynoView> {
        let view = |dyno: &Dyno| Some((dyno.row(), dyno.view()?));
        let mut views: Vec<(Row, DynoView)> = self.dynos.values().filter_map(view).collect();
        // Of two with one name, who serves comes first.
        views.sort_by(|(one, a), (other, b)| (a.app, &a.name, one).cmp(&(b.app, &b.name, other)));
        views.into_iter().map(|(_, view)| view).collect()
    }

    /// What the router has to know.
    #[must_use]
    pub fn routes(&self) -> RouteTable {
        let mut web: BTreeMap<AppId, Vec<routes::Web>> = BTreeMap::new();
        for dyno in self.dynos.values().filter(|dyno| dyno.traits.class == Class::Web) {
            if let Some(state) = lifecycle::shown(dyno.state) {
                // One that waits is no place for requests, yet a reason for them to wait.
                let backend = dyno.backend().filter(|_| dyno.row() == Row::Serving);
                web.entry(dyno.app).or_default().push(routes::Web { state, backend });
            }
        }
        routes::table(self.apps.values().map(|app| (app, web.remove(&app.app).unwrap_or_default())))
    }

    fn ids(&self, chosen: impl Fn(&Dyno) -> bool) -> Vec<DynoId> {
        self.dynos.values().filter(|dyno| chosen(dyno)).map(|dyno| dyno.id).collect()
    }

    /// A dyno's share of the jitter comes from its identity, so that it is the same after a restart of the node.
    fn traits(&self, class: Class, id: DynoId, (app, name): (AppId, &DynoName)) -> Traits {
        let span = self.timings.cycle_jitter.as_millis().max(1);
        let share = u64::try_from(id.0.as_u128() % span).unwrap_or_default();
        let cycle_after = self.timings.cycle + Duration::from_millis(share);
        let app = self.apps.get(&app);
        let handover = match (class, app) {
            (Class::Web, Some(app)) => app.preferences.handover,
            (Class::Web, None) | (Class::Worker | Class::Detached | Class::Attached, _) => Handover::AtOnce,
        };
        let entry =
            app.filter(|_| class.is_formation()).and_then(|app| app.formation.entry(&name.process_type));
        let grace = entry.and_then(|entry| entry.stop_grace).unwrap_or(self.timings.grace);
        Traits { class, cycle_after, handover, timings: Timings { grace, ..self.timings } }
    }

    fn new_id(&mut self) -> DynoId {
        DynoId(uuid::Builder::from_random_bytes(self.dice.random()).into_uuid())
    }

    /// Starts the successors that dynos have asked for on their way out, and lets those take over that have come up.
    fn fill_vacated(&mut self, now: Moment) {
        if self.phase == Phase::Adopting {
            return;
        }
        while let Some(app) = self.vacated.first().map(|(app, _)| *app).or(self.unsettled.first().copied()) {
            self.reconcile(app, now);
            self.vacated.retain(|(vacated, _)| *vacated != app);
            self.unsettled.remove(&app);
        }
    }

    fn begin(&mut self, mut dyno: Dyno, origin: Origin, now: Moment) {
        let (state, effects) = lifecycle::begin(&dyno.traits, origin, now);
        dyno.state = state;
        let id = dyno.id;
        self.dynos.insert(id, dyno);
        self.carry_out(id, effects, now);
    }

    fn step(&mut self, id: DynoId, event: Event, now: Moment) {
        let Some(dyno) = self.dynos.get_mut(&id) else { return };
        let before = lifecycle::shown(dyno.state);
        let (state, effects) = lifecycle::step(&dyno.traits, dyno.state, event, now);
        dyno.state = state;
        let after = lifecycle::shown(state);
        let (app, behind) = (dyno.app, dyno.behind);
        if after != before {
            dyno.since = now;
            if self.dynos.values().any(|dyno| dyno.app == app && dyno.row() == Row::Next) {
                self.unsettled.insert(app);
            }
        }
        self.carry_out(id, effects, now);
        if after == Some(DynoState::Crashed) && after != before && behind.is_some() {
            self.tell_who_serves_on(id, now);
        }
    }

    /// Says that what should have taken over has not come up, and what serves instead.
    fn tell_who_serves_on(&mut self, id: DynoId, now: Moment) {
        let Some(dyno) = self.dynos.get(&id) else { return };
        let serves = |other: &&Dyno| Some(other.lineage) == dyno.behind && other.condition().is_up();
        if let Some(serving) = self.dynos.values().find(serves) {
            let line = DynoLine::NotSwitched { to: dyno.version, serving: serving.version };
            self.actions.push(Action::Log(dyno.app, LogLine::dyno(now.into(), &dyno.name, line)));
        }
    }

    fn carry_out(&mut self, id: DynoId, effects: Vec<Effect>, now: Moment) {
        let mut successor_wanted = None;
        for effect in effects {
            let Some(dyno) = self.dynos.get(&id) else { return };
            let log = |line: &dyn std::fmt::Display| {
                Action::Log(dyno.app, LogLine::dyno(SystemTime::from(now), &dyno.name, line))
            };
            match effect {
                Effect::Launch => return self.launch(id, now),
                Effect::Keep(departure) => self.actions.push(Action::Keep(id, departure)),
                Effect::Terminate => self.actions.push(Action::Signal(id, Signal::TERMINATE)),
                Effect::HangUp => self.actions.push(Action::Signal(id, Signal::HANGUP)),
                Effect::Kill => self.actions.push(Action::Kill(id)),
                Effect::Tell(line) => self.actions.push(log(&line)),
                Effect::Fail(error) => {
                    if error == DynoError::MEMORY_QUOTA_VASTLY_EXCEEDED {
                        // It was ended where it came to that.
                        let limits = self.sizes.limits(dyno.size);
                        let (total, quota) = (limits.memory_max, limits.memory);
                        self.actions.push(log(&OverQuotaLine { total, quota }));
                    }
                    self.actions.push(log(&error));
                }
                Effect::Clear => self.actions.push(Action::Clear(id)),
                Effect::Succeed => successor_wanted = Some((dyno.app, dyno.name.clone())),
                Effect::Ignored(why) => tracing::trace!(dyno = %dyno.name, why, "nothing to do"),
            }
        }
        if self.dynos.get(&id).is_some_and(|dyno| dyno.state == State::Ended) {
            self.dynos.remove(&id);
            self.unsettled.extend(&self.starved);
        }
        // Whoever called reconciles when it is done: a start in the middle of a change would be made twice.
        self.vacated.extend(successor_wanted);
    }

    /// Has the dyno's container made. A start after a crash is a new dyno in all but name.
    fn launch(&mut self, id: DynoId, now: Moment) {
        let Some(mut dyno) = self.dynos.remove(&id) else { return };
        if dyno.launches > 0 {
            dyno.id = self.new_id();
            dyno.port = self.dice.random_range(PORTS);
            dyno.uid = self.dice.random_range(UIDS);
            dyno.reach = None;
        }
        dyno.launches = dyno.launches.saturating_add(1);
        let Some(release) = dyno.release.clone() else {
            // Taken over, of a release that is not known any more: whatever is wanted now comes in its place.
            debug_assert!(dyno.is_formation(), "a one-off brings its release");
            self.vacated.insert((dyno.app, dyno.name));
            return;
        };
        let env = environment::environment(&release, &dyno.env, (dyno.id, &dyno.name), dyno.port);
        let command = environment::shown(&dyno.command, &env);
        let line = LogLine::dyno(now.into(), &dyno.name, DynoLine::StartingProcess { command });
        let spec = DynoSpec { label: dyno.label(now), release, env, connection: dyno.connection };
        self.actions.extend([Action::Log(dyno.app, line), Action::Launch(Box::new(spec))]);
        self.dynos.insert(dyno.id, dyno);
    }
}

#[cfg(test)]
mod test;
