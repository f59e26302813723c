//! Every dyno of the node as values: what is wanted, what there is, and what has to be done. Pure but for its dice.
//!
//! The driver tells it what is wanted and what happened, each with the time, and carries out the [`Action`]s it gets
//! back, in their order. A simulation does the same with a world of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::domain::{AppId, Backend, DynoId, DynoName, DynoSize, DynoState, RouteTable, Version};
use crate::supervisor::engine::{DynoLabel, DynoSpec, Reach, Signal};
use crate::supervisor::environment;
use crate::supervisor::lifecycle::{self, Class, Effect, Event, Leave, Origin, State, Timings, Traits};
use crate::supervisor::reconcile::{self, Change, Holder, Wanted};
use crate::supervisor::routes;
use crate::supervisor::{Connection, DesiredApp, DynoView, Moment, OneOff, ReleaseImage, Scope};
use crate::wire::codes::DynoError;
use crate::wire::logline::{DynoLine, LogLine, OverQuotaLine};

/// `$PORT` is drawn from these: five digits, below the ports the kernel hands out to outgoing connections.
const PORTS: std::ops::Range<u16> = 10_000..32_768;
/// A dyno's user is drawn from these: five digits, within the 65536 ids of a container.
const UIDS: std::ops::Range<u32> = 10_000..60_000;
/// The most one-off dynos of one app at a time (platform reference 1.2).
pub const ONE_OFFS_MAX: usize = 50;

/// One thing for the driver to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start it, and report [`Event::Launched`] or the failure.
    Launch(Box<DynoSpec>),
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
}

/// One dyno.
#[derive(Clone, Debug)]
struct Dyno {
    id: DynoId,
    app: AppId,
    name: DynoName,
    command: String,
    size: DynoSize,
    version: Version,
    /// What it runs on; none for a dyno taken over, which will not be started again from it.
    release: Option<Arc<ReleaseImage>>,
    env: BTreeMap<String, String>,
    connection: Connection,
    port: u16,
    uid: u32,
    traits: Traits,
    state: State,
    created: Moment,
    /// When it last changed its shown state.
    since: Moment,
    reach: Option<Reach>,
    launches: u32,
}

/// Every dyno, and what is wanted.
#[derive(Debug)]
pub struct Fleet {
    apps: BTreeMap<AppId, DesiredApp>,
    dynos: BTreeMap<DynoId, Dyno>,
    /// Names whose dyno is leaving for a successor that has not begun.
    vacated: BTreeSet<(AppId, DynoName)>,
    phase: Phase,
    timings: Timings,
    dice: StdRng,
    actions: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
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
            phase: Phase::Open,
            timings,
            dice: StdRng::seed_from_u64(seed),
            actions: vec![],
        }
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
        self.reconcile(app, now);
    }

    /// Takes what apps should be, without starting or stopping yet; [`Self::settle`] follows.
    pub fn expect(&mut self, desired: Vec<DesiredApp>) {
        self.apps.extend(desired.into_iter().map(|app| (app.app, app)));
    }

    /// Starts and stops what [`Self::expect`] and [`Self::take_over`] left undone.
    pub fn settle(&mut self, now: Moment) {
        for app in self.apps.keys().copied().collect::<Vec<_>>() {
            self.reconcile(app, now);
        }
    }

    /// Makes everything of an app go.
    pub fn forget(&mut self, app: AppId, now: Moment) {
        self.apps.remove(&app);
        for id in self.ids(|dyno| dyno.app == app) {
            self.step(id, Event::Stop(Leave::Down), now);
        }
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
            self.step(id, Event::Stop(Leave::Restart), now);
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
        let mut traits = self.traits(class, one_off.id);
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

    /// Takes over a dyno that an earlier run of the node started, as if it had been watched all along. Whether its port
    /// is bound is found out anew; until then it counts as booting, and its time to boot begins again.
    pub fn take_over(&mut self, label: DynoLabel, reach: Option<Reach>, now: Moment) {
        let traits = Traits { class: label.class, cycle_after: label.cycle_after, timings: self.timings };
        let started = Moment::from(label.started).min(now);
        let crashes = label.crashes;
        let state = match label.class {
            Class::Web => State::Booting { launched: now, crashes },
            Class::Worker | Class::Detached | Class::Attached => {
                State::Up { launched: started, since: started, crashes }
            }
        };
        let dyno = Dyno {
            id: label.id,
            app: label.app,
            name: label.name,
            command: label.command,
            size: label.size,
            version: label.release,
            release: None,
            env: BTreeMap::new(),
            connection: Connection::Log,
            port: label.port,
            uid: label.uid,
            traits,
            state,
            created: started,
            since: started,
            reach,
            launches: 1,
        };
        self.dynos.insert(dyno.id, dyno);
    }

    /// A web dyno taken over is bound to its port: it has been up since it was started.
    pub fn take_over_up(&mut self, id: DynoId) {
        if let Some(dyno) = self.dynos.get_mut(&id)
            && let State::Booting { crashes, .. } = dyno.state
        {
            dyno.state = State::Up { launched: dyno.created, since: dyno.created, crashes };
        }
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

    /// A dyno's state, on its way out or not.
    #[must_use]
    pub fn state(&self, id: DynoId) -> Option<State> {
        self.dynos.get(&id).map(|dyno| dyno.state)
    }

    /// The dynos that hold a name, by app and name.
    #[must_use]
    pub fn views(&self) -> Vec<DynoView> {
        let mut views: Vec<DynoView> = self.dynos.values().filter_map(Dyno::view).collect();
        views.sort_by(|a, b| (a.app, &a.name).cmp(&(b.app, &b.name)));
        views
    }

    /// What the router has to know.
    #[must_use]
    pub fn routes(&self) -> RouteTable {
        let mut web: BTreeMap<AppId, Vec<routes::Web>> = BTreeMap::new();
        for dyno in self.dynos.values().filter(|dyno| dyno.traits.class == Class::Web) {
            if let Some(state) = lifecycle::shown(dyno.state) {
                web.entry(dyno.app).or_default().push(routes::Web { state, backend: dyno.backend() });
            }
        }
        routes::table(self.apps.values().map(|app| (app, web.remove(&app.app).unwrap_or_default())))
    }

    fn ids(&self, chosen: impl Fn(&Dyno) -> bool) -> Vec<DynoId> {
        self.dynos.values().filter(|dyno| chosen(dyno)).map(|dyno| dyno.id).collect()
    }

    /// A dyno's share of the jitter comes from its identity, so that it is the same after a restart of the node.
    fn traits(&self, class: Class, id: DynoId) -> Traits {
        let span = self.timings.cycle_jitter.as_millis().max(1);
        let share = u64::try_from(id.0.as_u128() % span).unwrap_or_default();
        let cycle_after = self.timings.cycle + Duration::from_millis(share);
        Traits { class, cycle_after, timings: self.timings }
    }

    fn new_id(&mut self) -> DynoId {
        DynoId(uuid::Builder::from_random_bytes(self.dice.random()).into_uuid())
    }

    fn reconcile(&mut self, app: AppId, now: Moment) {
        if self.phase == Phase::Stopping {
            return;
        }
        let Some(desired) = self.apps.get(&app) else { return };
        let holders: Vec<Holder> = self
            .dynos
            .values()
            .filter(|dyno| dyno.app == app && dyno.is_held() && dyno.is_formation())
            .map(Dyno::holder)
            .collect();
        for change in reconcile::reconcile(&reconcile::wanted(desired), &holders) {
            match change {
                Change::Stop { id, leave } => self.step(id, Event::Stop(leave), now),
                Change::Start(wanted) => self.start(app, wanted, now),
            }
        }
        self.vacated.retain(|(vacated, _)| *vacated != app);
    }

    /// Starts the successors that dynos have asked for on their way out.
    fn fill_vacated(&mut self, now: Moment) {
        while let Some((app, _)) = self.vacated.first().cloned() {
            self.reconcile(app, now);
            self.vacated.retain(|(vacated, _)| *vacated != app);
        }
    }

    fn start(&mut self, app: AppId, wanted: Wanted, now: Moment) {
        let id = self.new_id();
        let class = if wanted.name.process_type.is_web() { Class::Web } else { Class::Worker };
        let vacated = self.vacated.remove(&(app, wanted.name.clone()));
        let dyno = Dyno {
            id,
            app,
            name: wanted.name,
            command: wanted.command,
            size: wanted.size,
            version: wanted.release,
            release: None,
            env: BTreeMap::new(),
            connection: Connection::Log,
            port: self.dice.random_range(PORTS),
            uid: self.dice.random_range(UIDS),
            traits: self.traits(class, id),
            state: State::Ended,
            created: now,
            since: now,
            reach: None,
            launches: 0,
        };
        self.begin(dyno, if vacated { Origin::Successor } else { Origin::New }, now);
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
        if lifecycle::shown(state) != before {
            dyno.since = now;
        }
        self.carry_out(id, effects, now);
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
                Effect::Terminate => self.actions.push(Action::Signal(id, Signal::TERMINATE)),
                Effect::HangUp => self.actions.push(Action::Signal(id, Signal::HANGUP)),
                Effect::Kill => self.actions.push(Action::Kill(id)),
                Effect::Tell(line) => self.actions.push(log(&line)),
                Effect::Fail(error) => {
                    if error == DynoError::MEMORY_QUOTA_VASTLY_EXCEEDED {
                        // It was ended where it came to that.
                        let (total, quota) = (dyno.size.memory_max(), dyno.size.memory());
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
        let current = self.apps.get(&dyno.app).and_then(|app| app.release.clone());
        let Some(release) = dyno.release.clone().or(current) else {
            // Only a formation dyno lacks a release of its own, and then only until its app is forgotten.
            debug_assert!(dyno.is_formation(), "a one-off brings its release");
            return;
        };
        let env = environment::environment(&release, &dyno.env, &dyno.name, dyno.port);
        let command = environment::shown(&dyno.command, &env);
        let line = LogLine::dyno(now.into(), &dyno.name, DynoLine::StartingProcess { command });
        let spec = DynoSpec { label: dyno.label(now), release, env, connection: dyno.connection };
        self.actions.extend([Action::Log(dyno.app, line), Action::Launch(Box::new(spec))]);
        self.dynos.insert(dyno.id, dyno);
    }
}

// === impl Dyno ===

impl Dyno {
    fn is_formation(&self) -> bool {
        self.traits.class.is_formation()
    }

    /// Whether it still holds its name.
    fn is_held(&self) -> bool {
        lifecycle::shown(self.state).is_some()
    }

    fn holder(&self) -> Holder {
        Holder { id: self.id, name: self.name.clone(), size: self.size, release: self.version }
    }

    fn backend(&self) -> Option<Backend> {
        let Reach { netns, address } = self.reach.clone()?;
        Some(Backend { id: self.id, dyno: self.name.clone(), netns, address, port: self.port })
    }

    fn label(&self, now: Moment) -> DynoLabel {
        let crashes = match self.state {
            State::Launching { crashes, .. } | State::Booting { crashes, .. } | State::Up { crashes, .. } => {
                crashes
            }
            State::Crashed { .. }
            | State::HangingUp { .. }
            | State::Aborting
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Ended => 0,
        };
        DynoLabel {
            app: self.app,
            id: self.id,
            name: self.name.clone(),
            class: self.traits.class,
            release: self.version,
            command: self.command.clone(),
            size: self.size,
            port: self.port,
            uid: self.uid,
            crashes,
            cycle_after: self.traits.cycle_after,
            started: now.into(),
        }
    }

    /// How it is shown. A one-off on its way out holds no name that another could want, so it is shown to the end.
    fn view(&self) -> Option<DynoView> {
        let last = (!self.is_formation()).then_some(DynoState::Up);
        let state = lifecycle::shown(self.state).or(last)?;
        Some(DynoView {
            app: self.app,
            id: self.id,
            name: self.name.clone(),
            state,
            since: self.since.into(),
            created: self.created.into(),
            command: self.command.clone(),
            size: self.size,
            release: self.version,
        })
    }
}

#[cfg(test)]
mod test;
