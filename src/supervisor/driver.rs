//! The one task that owns every dyno: it feeds a [`Fleet`] with messages and time, and does what the fleet decides.
//!
//! Order within one turn: the routing table and the snapshot are published first, then actions are carried out. So the
//! router has dropped a dyno before it gets SIGTERM.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::domain::{AppId, Bytes, DynoId, RouteTable, Sizes};
use crate::logs::{FollowHandle, Followed, LogService};
use crate::supervisor::attach::{
    self, Attached, Client, EndCause, ExitWatch, OneOffEnd, OneOffStarted, Visited,
};
use crate::supervisor::departures::{Departures, NotKept};
use crate::supervisor::driver::ready::{ready, was_up};
use crate::supervisor::engine::{
    DynoLabel, DynoSpec, End, Engine, EngineError, Found, Running, Signal, Started, Streams, Visit,
};
use crate::supervisor::fleet::{Action, Fleet, Refusal};
use crate::supervisor::handle::SupervisorError;
use crate::supervisor::lifecycle::{Class, Event, Memory, Timings};
use crate::supervisor::metrics::{self, Sampling};
use crate::supervisor::postmortem::{self, Death, Deaths, Witness};
use crate::supervisor::{DesiredApp, DynoView, Moment, OneOff, Preferences, Scope};

/// How often the sockets of a booting web dyno are looked at.
const BOOT_POLL: Duration = Duration::from_millis(50);
/// How long a web dyno that listens and does not answer as it must is left alone.
const READY_POLL: Duration = Duration::from_millis(500);
/// How often clearing a container away is tried before its remains are left to the next start of the node.
const CLEAR_ATTEMPTS: u32 = 5;
/// Between two of these attempts.
const CLEAR_PAUSE: Duration = Duration::from_secs(2);

/// Takes whether dynos that were told to go do so, whatever becomes of the node.
type Departed = oneshot::Sender<Result<(), SupervisorError>>;

/// What the driver is told.
#[derive(Debug)]
pub(super) enum Message {
    Apply {
        desired: Box<DesiredApp>,
        done: oneshot::Sender<()>,
    },
    Adopt {
        desired: Vec<DesiredApp>,
        done: oneshot::Sender<Result<Vec<(DynoId, ExitWatch)>, SupervisorError>>,
    },
    Forget {
        app: AppId,
        done: oneshot::Sender<()>,
    },
    Restart {
        app: AppId,
        scope: Scope,
        done: Departed,
    },
    Stop {
        app: AppId,
        scope: Scope,
        done: Departed,
    },
    Run {
        one_off: Box<OneOff>,
        done: oneshot::Sender<Result<OneOffStarted, SupervisorError>>,
    },
    Visit {
        id: DynoId,
        visit: Box<Visit>,
        done: Visited,
    },
    StopAll {
        grace: Duration,
        done: oneshot::Sender<()>,
    },
    KillAll,
    Signal {
        id: DynoId,
        signal: Signal,
    },
    Launched {
        label: Box<DynoLabel>,
        started: Launch,
    },
    LaunchFailed {
        label: Box<DynoLabel>,
        error: EngineError,
    },
    Listening {
        id: DynoId,
    },
    Exited {
        id: DynoId,
        end: End,
        death: Box<Death>,
    },
    ClientGone {
        id: DynoId,
    },
    Cleared {
        id: DynoId,
    },
}

/// A started dyno on its way through the queue.
pub(super) struct Launch(Started);

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Launch")
    }
}

/// What the driver acts on.
pub(super) struct Outside {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) logs: LogService,
    pub(super) views: watch::Sender<Arc<Vec<DynoView>>>,
    pub(super) routes: watch::Sender<Arc<RouteTable>>,
    pub(super) sampling: Sampling,
    pub(super) deaths: Deaths,
    pub(super) departures: Departures,
    pub(super) sizes: Sizes,
    pub(super) memory: Option<Bytes>,
}

/// A container that is not cleared away.
struct Held {
    app: AppId,
    dyno: Arc<dyn Running>,
}

/// A one-off whose starter waits.
enum Starter {
    /// For its end.
    Exit(oneshot::Sender<Option<OneOffEnd>>),
    /// For its launch, and then for its end.
    Launch {
        done: oneshot::Sender<Result<OneOffStarted, SupervisorError>>,
        started: OneOffStarted,
        exit: oneshot::Sender<Option<OneOffEnd>>,
    },
}

struct Driver {
    fleet: Fleet,
    outside: Outside,
    clock: Clock,
    held: BTreeMap<DynoId, Held>,
    starters: HashMap<DynoId, Starter>,
    forgetting: Vec<(AppId, oneshot::Sender<()>)>,
    stopping: Vec<oneshot::Sender<()>>,
    /// Given when the turn is done, so that whoever asked finds what was asked for published.
    answers: Vec<Box<dyn FnOnce() + Send>>,
    /// Who has told dynos to go in this turn: answered well only if that was written down.
    departing: Vec<(Departed, Result<(), Refusal>)>,
    /// Why something of this turn was not written down.
    not_kept: Option<NotKept>,
    /// Weak, so that the driver ends with the last handle.
    queue: mpsc::WeakSender<Message>,
}

/// Unix time that never goes back: read once, then counted on.
struct Clock {
    wall: SystemTime,
    started: Instant,
}

impl Clock {
    fn now(&self) -> Moment {
        Moment::from(self.wall).plus(self.started.elapsed())
    }

    fn instant(&self, moment: Moment) -> Instant {
        self.started + moment.since(self.wall.into())
    }
}

/// Runs until the last handle is dropped. Dynos go on then; the tasks that watch them end with the runtime.
pub(super) async fn drive(
    outside: Outside,
    timings: Timings,
    mut messages: mpsc::Receiver<Message>,
    queue: mpsc::WeakSender<Message>,
) {
    let mut driver = Driver {
        fleet: Fleet::new(timings, rand::random()).sized(outside.sizes.clone()).with_memory(outside.memory),
        outside,
        clock: Clock { wall: SystemTime::now(), started: Instant::now() },
        held: BTreeMap::new(),
        starters: HashMap::new(),
        forgetting: vec![],
        stopping: vec![],
        answers: vec![],
        departing: vec![],
        not_kept: None,
        queue,
    };
    loop {
        let due = driver.fleet.deadline().map(|moment| driver.clock.instant(moment));
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = messages.recv() => match message {
                Some(message) => driver.take(message).await,
                None => return,
            },
            () = timer => driver.fleet.tick(driver.clock.now()),
        }
        driver.publish();
        driver.act();
        driver.answer();
    }
}

// === impl Driver ===

impl Driver {
    async fn take(&mut self, message: Message) {
        let now = self.clock.now();
        match message {
            Message::Apply { desired, done } => {
                self.fleet.apply(*desired, now);
                self.reply(done, ());
            }
            Message::Adopt { desired, done } => {
                let adopted = self.adopt(desired).await;
                self.reply(done, adopted);
            }
            Message::Forget { app, done } => {
                self.fleet.forget(app, now);
                self.forgetting.push((app, done));
            }
            Message::Restart { app, scope, done } => {
                let restarted = self.fleet.restart(app, &scope, now);
                self.departing.push((done, restarted));
            }
            Message::Stop { app, scope, done } => {
                let stopped = self.fleet.stop(app, &scope, now);
                self.departing.push((done, stopped));
            }
            Message::Run { one_off, done } => self.run(*one_off, done, now),
            Message::Visit { id, visit, done } => {
                attach::visit(self.held.get(&id).map(|held| &*held.dyno), *visit, done);
            }
            Message::StopAll { grace, done } => {
                self.fleet.stop_all(now);
                self.stopping.push(done);
                self.later(grace, Message::KillAll);
            }
            Message::KillAll => self.fleet.kill_all(now),
            Message::Signal { id, signal } => self.signal(id, signal),
            Message::Launched { label, started } => self.launched(*label, started.0, now),
            Message::LaunchFailed { label, error } => {
                let id = label.id;
                tracing::warn!(dyno = %id, %error, "a dyno was not started");
                let limits = self.outside.sizes.limits(label.size);
                self.keep(label.app, postmortem::not_started(&label, &limits, error.to_string()));
                if let Some(Starter::Launch { done, .. }) = self.starters.remove(&id) {
                    self.reply(done, Err(SupervisorError::NotStarted(error.to_string())));
                }
                self.fleet.launch_failed(id, error.told(), now);
                self.outside.departures.forget(id);
            }
            Message::Listening { id } => self.fleet.observe(id, Event::Listening, now),
            Message::Exited { id, end, death } => self.exited(id, end, *death, now),
            Message::ClientGone { id } => self.fleet.observe(id, Event::ClientGone, now),
            Message::Cleared { id } => {
                self.held.remove(&id);
                self.outside.departures.forget(id);
            }
        }
    }

    fn run(
        &mut self,
        one_off: OneOff,
        done: oneshot::Sender<Result<OneOffStarted, SupervisorError>>,
        now: Moment,
    ) {
        let (exit, watch) = oneshot::channel();
        let id = one_off.id;
        let started =
            OneOffStarted { id, name: one_off.name.clone(), exit: ExitWatch(watch), attached: None };
        if let Err(refusal) = self.fleet.run(one_off, now) {
            return self.reply(done, Err(refusal.into()));
        }
        // Answered when it runs: from then on nothing that happens to this process can lose it.
        self.starters.insert(id, Starter::Launch { done, started, exit });
    }

    fn launched(&mut self, label: DynoLabel, started: Started, now: Moment) {
        let id = label.id;
        self.held.insert(id, Held { app: label.app, dyno: started.dyno.clone() });
        self.watch(&label, started.dyno.clone());
        self.fleet.launched(id, started.dyno.reach(), now);
        match self.starters.remove(&id) {
            Some(Starter::Launch { done, started: mut one_off, exit }) => {
                one_off.attached = self.attach(id, started.streams);
                self.starters.insert(id, Starter::Exit(exit));
                self.reply(done, Ok(one_off));
            }
            Some(exit @ Starter::Exit(_)) => {
                self.starters.insert(id, exit);
            }
            None => {}
        }
    }

    /// Hands a dyno's streams to its client, and waits for that to go; `None` where there are no streams.
    fn attach(&self, id: DynoId, streams: Streams) -> Option<Attached> {
        match &streams {
            Streams::Log => return None,
            Streams::Terminal(_) | Streams::Pipes { .. } => {}
        }
        let (presence, absence) = oneshot::channel();
        self.report(async move {
            // Only the drop of the other end resolves this.
            let _ = absence.await;
            Message::ClientGone { id }
        });
        let driver = self.queue.upgrade()?;
        Some(Attached { streams, client: Client { id, driver, _presence: presence } })
    }

    fn exited(&mut self, id: DynoId, end: End, death: Death, now: Moment) {
        if let (Some(held), Some(state)) = (self.held.get(&id), self.fleet.state(id)) {
            self.keep(held.app, Death { passage: postmortem::passage(state), ..death });
        }
        if let Some(Starter::Exit(exit)) = self.starters.remove(&id) {
            let cause = EndCause::of(self.fleet.state(id));
            self.reply(exit, Some(OneOffEnd { status: end.status, cause }));
        }
        let memory = if end.out_of_memory { Memory::Exceeded } else { Memory::Within };
        self.fleet.observe(id, Event::Exited { status: end.status, memory }, now);
    }

    /// Takes over what runs. Every app is known before the first dyno is, and every dyno before anything is started, so
    /// that nothing is started twice. Gives the ends of the detached one-offs to whoever may wait for one of them.
    async fn adopt(&mut self, desired: Vec<DesiredApp>) -> Result<Vec<(DynoId, ExitWatch)>, SupervisorError> {
        let mut ends = vec![];
        let known = desired.iter().map(|app| app.app).collect();
        let mut departures = self.outside.departures.all().map_err(SupervisorError::Departures)?;
        let found = self.outside.engine.adopt(known).await.map_err(SupervisorError::Adopt)?;
        let now = self.clock.now();
        self.fleet.expect(desired);
        for Found { label, dyno, end } in found {
            let id = label.id;
            self.fleet.take_over(label.clone(), dyno.reach(), now);
            self.held.insert(id, Held { app: label.app, dyno: dyno.clone() });
            if label.class == Class::Detached {
                let (exit, watch) = oneshot::channel();
                self.starters.insert(id, Starter::Exit(exit));
                ends.push((id, ExitWatch(watch)));
            }
            let look = self.look_again(&label, now);
            if end.is_some() || was_up(dyno.as_ref(), label.port, look).await {
                self.fleet.take_over_up(id);
            }
            if let Some(departure) = departures.remove(&id) {
                self.fleet.take_over_departure(id, departure, now);
            }
            if let Some(end) = end {
                // Told before anything is published: the router never hears of a dyno that is no more.
                let followed = finished(self.follow(&label, dyno.as_ref())).await;
                let death = self.witness(label).testify(&dyno, end, (followed, &self.outside.logs)).await;
                self.exited(id, end, death, now);
                continue;
            }
            self.watch(&label, dyno);
            if label.class == Class::Attached {
                // Its terminal went with the earlier run of the node.
                self.fleet.observe(id, Event::ClientGone, now);
            }
        }
        departures.keys().for_each(|gone| self.outside.departures.forget(*gone));
        self.fleet.settle(now);
        Ok(ends)
    }

    /// Follows a dyno's output, waits for its port and its end. Output comes before the end: the app's last lines are
    /// in the log before the line that tells of the exit.
    fn watch(&self, label: &DynoLabel, dyno: Arc<dyn Running>) {
        let (id, port) = (label.id, label.port);
        let follow = self.follow(label, dyno.as_ref());
        let witness = self.witness(label.clone());
        let logs = self.outside.logs.clone();
        let Preferences { metrics, .. } = self.fleet.preferences(label.app);
        let sampling = self.outside.sampling.chosen(metrics);
        let quota = self.outside.sizes.limits(label.size).memory;
        metrics::watch((sampling, quota), &witness, &dyno, logs.clone());
        if label.class == Class::Web {
            self.report(ready((id, port), self.look(label), dyno.clone(), witness.clone()));
        }
        self.report(async move {
            let end = dyno.wait().await;
            let followed = finished(follow).await;
            let death = Box::new(witness.testify(&dyno, end, (followed, &logs)).await);
            Message::Exited { id, end, death }
        });
    }

    fn witness(&self, label: DynoLabel) -> Arc<Witness> {
        let limits = self.outside.sizes.limits(label.size);
        Witness::new(label, limits)
    }

    /// Has a dyno's output collected, unless a client gets it.
    fn follow(&self, label: &DynoLabel, dyno: &dyn Running) -> Option<FollowHandle> {
        let ring = dyno.log_ring()?;
        Some(self.outside.logs.follow_ring(label.app, label.name.to_string(), ring))
    }

    /// Sends what a future comes to, if anything. The task ends with the future, or with the runtime.
    fn report<M: Into<Option<Message>>>(&self, message: impl Future<Output = M> + Send + 'static) {
        let queue = self.queue.clone();
        tokio::spawn(async move {
            let message = message.await.into();
            if let (Some(message), Some(queue)) = (message, queue.upgrade()) {
                // A driver that is gone needs no report.
                let _ = queue.send(message).await;
            }
        });
    }

    fn later(&self, span: Duration, message: Message) {
        self.report(async move {
            tokio::time::sleep(span).await;
            message
        });
    }

    /// Tells the router and everyone else what is, before anything is done about it.
    fn publish(&mut self) {
        let routes = self.fleet.routes();
        self.outside.routes.send_if_modified(|published| {
            let changed = published.routes != routes.routes || published.wildcards != routes.wildcards;
            if changed {
                *published = Arc::new(routes);
            }
            changed
        });
        let views = self.fleet.views();
        self.outside.views.send_if_modified(|published| {
            let changed = **published != views;
            if changed {
                *published = Arc::new(views);
            }
            changed
        });
    }

    fn act(&mut self) {
        for action in self.fleet.take_actions() {
            match action {
                Action::Launch(spec) => self.launch(*spec),
                Action::Keep(id, departure) => {
                    if let Err(error) = self.outside.departures.keep(id, departure) {
                        tracing::warn!(
                            dyno = %id, error = &error as &dyn std::error::Error,
                            "a dyno was told to go, which the next run of the node will not know"
                        );
                        self.not_kept = Some(error);
                    }
                }
                Action::Signal(id, signal) => self.signal(id, signal),
                Action::Kill(id) => {
                    if let Some(Err(error)) = self.held.get(&id).map(|held| held.dyno.kill()) {
                        tracing::warn!(dyno = %id, %error, "a dyno was not killed, and will be tried again");
                    }
                }
                Action::Clear(id) => self.clear(id),
                Action::Log(app, line) => self.outside.logs.push(app, line),
            }
        }
    }

    fn launch(&self, spec: DynoSpec) {
        let label = Box::new(spec.label.clone());
        let start: BoxFuture<'static, _> = self.outside.engine.start(spec);
        self.report(async move {
            match start.await {
                Ok(started) => Message::Launched { label, started: Launch(started) },
                Err(error) => Message::LaunchFailed { label, error },
            }
        });
    }

    fn signal(&self, id: DynoId, signal: Signal) {
        if let Some(Err(error)) = self.held.get(&id).map(|held| held.dyno.signal(signal)) {
            tracing::warn!(dyno = %id, %error, "a dyno was not signalled");
        }
    }

    fn clear(&self, id: DynoId) {
        let Some(held) = self.held.get(&id) else { return };
        let dyno = held.dyno.clone();
        self.report(async move {
            for attempt in 1..=CLEAR_ATTEMPTS {
                match dyno.clear().await {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::warn!(dyno = %id, attempt, %error, "a container is not cleared away")
                    }
                }
                tokio::time::sleep(CLEAR_PAUSE).await;
            }
            Message::Cleared { id }
        });
    }

    /// Keeps the account of a death, in its own time: nobody waits for it.
    fn keep(&self, app: AppId, death: Death) {
        let deaths = self.outside.deaths.clone();
        tokio::task::spawn_blocking(move || {
            let (name, kept) = (death.name.clone(), deaths.keep(app, death));
            if let Err(error) = kept {
                tracing::warn!(%app, dyno = name, %error, "the account of a death could not be kept");
            }
        });
    }

    /// Answers when the turn is done; one who asked and went away needs no answer.
    fn reply<T: Send + 'static>(&mut self, done: oneshot::Sender<T>, answer: T) {
        self.answers.push(Box::new(move || drop(done.send(answer))));
    }

    /// Answers, also those who wait for dynos to be gone, and lets go of those who wait for one that is.
    fn answer(&mut self) {
        let fleet = &self.fleet;
        let unlaunched: Vec<_> = self.starters.extract_if(|id, _| !fleet.knows(*id)).collect();
        let held = &self.held;
        let is_gone = |app: AppId| !fleet.has_dynos_of(app) && held.values().all(|held| held.app != app);
        let (gone, rest): (Vec<_>, Vec<_>) = self.forgetting.drain(..).partition(|(app, _)| is_gone(*app));
        self.forgetting = rest;
        let is_over = fleet.is_empty() && held.is_empty();
        for (_, starter) in unlaunched {
            match starter {
                Starter::Exit(exit) => self.reply(exit, None),
                Starter::Launch { done, .. } => {
                    let reason = "it was stopped before it began".to_owned();
                    self.reply(done, Err(SupervisorError::NotStarted(reason)));
                }
            }
        }
        for (_, done) in gone {
            self.reply(done, ());
        }
        if is_over {
            for done in std::mem::take(&mut self.stopping) {
                self.reply(done, ());
            }
        }
        let not_kept = self.not_kept.take().map(Arc::new);
        for (done, told) in self.departing.drain(..) {
            let kept = not_kept.clone().map_or(Ok(()), |error| Err(SupervisorError::NotKept(error)));
            // One who asked and went away needs no answer.
            let _ = done.send(told.map_err(SupervisorError::Refused).and(kept));
        }
        self.answers.drain(..).for_each(|answer| answer());
    }
}

/// Has the rest of a dyno's output collected; what it has said last.
async fn finished(follow: Option<FollowHandle>) -> Option<Followed> {
    match follow {
        Some(follow) => Some(follow.finish().await),
        None => None,
    }
}

mod ready;
#[cfg(test)]
mod test;
