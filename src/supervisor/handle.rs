//! The supervisor as others hold it: messages to the driver, and snapshots of what it knows.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use crate::domain::{AppId, Bytes, DynoId, RouteTable, Sizes};
use crate::logs::LogService;
use crate::supervisor::attach::{ExitWatch, OneOffStarted};
use crate::supervisor::departures::{Departures, NotKept};
use crate::supervisor::driver::{self, Message};
use crate::supervisor::engine::{Engine, EngineError, Visit, Visiting};
use crate::supervisor::fleet::Refusal;
use crate::supervisor::lifecycle::Timings;
use crate::supervisor::metrics::{RuntimeMetrics, Sampling};
use crate::supervisor::postmortem::Deaths;
use crate::supervisor::{DesiredApp, DynoView, OneOff, Scope};

/// Messages that wait for the driver; senders wait for room when there are more.
const DRIVER_QUEUE: usize = 1024;

/// What a supervisor may be told when it is made.
#[derive(Clone, Debug, Default)]
pub struct SupervisorConfig {
    /// The platform's spans; tests shorten them.
    pub timings: Timings,
    /// Whether figures of dynos go to their apps' logs.
    pub metrics: RuntimeMetrics,
    /// Where accounts of dynos' ends are kept.
    pub deaths: Deaths,
    /// Where it is kept who has been told to go.
    pub departures: Departures,
    /// What a dyno of each size may use.
    pub sizes: Sizes,
    /// What the node may promise to formations: dynos are not started beside those they replace beyond it. `None` where nobody looks.
    pub memory: Option<Bytes>,
}

/// A handle to the one driver; clones share it. When the last one is dropped the driver ends and the dyno's go on.
#[derive(Clone, Debug)]
pub struct Supervisor {
    driver: mpsc::Sender<Message>,
    views: watch::Receiver<Arc<Vec<DynoView>>>,
    routes: watch::Receiver<Arc<RouteTable>>,
    deaths: Deaths,
}

/// What the supervisor could not do.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// It will not; the text says why and what to do.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The dyno could not be started.
    #[error("the dyno could not be started: {0}")]
    NotStarted(String),
    /// A further command could not be started in a dyno.
    #[error("the command could not be started: {0}")]
    NotVisited(String),
    /// What runs could not be found out.
    #[error("cannot take over the dynos that run")]
    Adopt(#[source] EngineError),
    /// Dynos were told to go, and the next run of the node would not know it.
    #[error(transparent)]
    NotKept(Arc<NotKept>),
    /// Which dynos were told to go could not be found out.
    #[error("cannot read which dynos were told to go")]
    Departures(#[source] std::io::Error),
    /// Its driver has ended, as the node has.
    #[error("the supervisor has ended")]
    Ended,
}

impl Supervisor {
    /// Starts the driver, a task of the current runtime. It ends when the last handle is dropped.
    #[must_use]
    pub fn start(engine: Arc<dyn Engine>, logs: LogService, config: SupervisorConfig) -> Self {
        let (driver, messages) = mpsc::channel(DRIVER_QUEUE);
        let (views_in, views) = watch::channel(Arc::default());
        let (routes_in, routes) = watch::channel(Arc::default());
        let sampling = Sampling { every: config.timings.sample, metrics: config.metrics };
        let outside = driver::Outside {
            engine,
            logs,
            views: views_in,
            routes: routes_in,
            sampling,
            deaths: config.deaths.clone(),
            departures: config.departures,
            sizes: config.sizes,
            memory: config.memory,
        };
        tokio::spawn(driver::drive(outside, config.timings, messages, driver.downgrade()));
        Self { driver, views, routes, deaths: config.deaths }
    }

    /// Makes what runs of an app what is wanted, in its own time. A new release or size replaces dynos.
    ///
    /// # Errors
    /// The supervisor has ended.
    pub async fn apply(&self, desired: DesiredApp) -> Result<(), SupervisorError> {
        self.ask(|done| Message::Apply { desired: Box::new(desired), done }).await
    }

    /// Takes over the dynos that an earlier run of the node left, once at the start, and ends those of no known app.
    /// Returns the detached one-offs among them, those too that have ended meanwhile, each with its end.
    ///
    /// # Errors
    /// The engine cannot tell what runs: nothing is started then, or it might be started twice.
    pub async fn adopt(&self, desired: Vec<DesiredApp>) -> Result<Vec<(DynoId, ExitWatch)>, SupervisorError> {
        self.ask(|done| Message::Adopt { desired, done }).await?
    }

    /// Stops everything of an app and forgets it; returns when its last container is cleared away.
    ///
    /// # Errors
    /// The supervisor has ended.
    pub async fn forget(&self, app: AppId) -> Result<(), SupervisorError> {
        self.ask(|done| Message::Forget { app, done }).await
    }

    /// Restarts dynos of the formation; one-offs are left alone. What is answered well goes on under the next run of the
    /// node, however this one ends.
    ///
    /// # Errors
    /// There is no such dyno, or it could not be written down.
    pub async fn restart(&self, app: AppId, scope: Scope) -> Result<(), SupervisorError> {
        self.ask(|done| Message::Restart { app, scope, done }).await?
    }

    /// Stops dynos. Those of the formation come back by themselves. What is answered well goes on under the next run of
    /// the node, however this one ends.
    ///
    /// # Errors
    /// There is no such dyno, or it could not be written down.
    pub async fn stop(&self, app: AppId, scope: Scope) -> Result<(), SupervisorError> {
        self.ask(|done| Message::Stop { app, scope, done }).await?
    }

    /// Starts a one-off dyno. Returns when its process is launched: it then outlives this process.
    ///
    /// # Errors
    /// It is refused, or could not be started.
    pub async fn run(&self, one_off: OneOff) -> Result<OneOffStarted, SupervisorError> {
        self.ask(|done| Message::Run { one_off: Box::new(one_off), done }).await?
    }

    /// Runs a further command in a dyno, with all that confines the dyno. Returns when it runs; it ends with the dyno, and when
    /// whoever holds it lets go.
    ///
    /// # Errors
    /// The dyno does not run, or the command could not be started.
    pub async fn visit(&self, id: DynoId, visit: Visit) -> Result<Visiting, SupervisorError> {
        self.ask(|done| Message::Visit { id, visit: Box::new(visit), done }).await?
    }

    /// Stops every dyno, by force after `grace`; returns when the last container is cleared away. Nothing is started
    /// from then on.
    ///
    /// # Errors
    /// The supervisor has ended.
    pub async fn stop_all(&self, grace: Duration) -> Result<(), SupervisorError> {
        self.ask(|done| Message::StopAll { grace, done }).await
    }

    /// What runs of an app, by name.
    #[must_use]
    pub fn snapshot(&self, app: AppId) -> Vec<DynoView> {
        self.views.borrow().iter().filter(|dyno| dyno.app == app).cloned().collect()
    }

    /// Every dyno, now and whenever one changes.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<Arc<Vec<DynoView>>> {
        self.views.clone()
    }

    /// The accounts of dynos' ends.
    #[must_use]
    pub fn deaths(&self) -> &Deaths {
        &self.deaths
    }

    /// The routing table, now and whenever it changes.
    #[must_use]
    pub fn routes(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.routes.clone()
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, SupervisorError> {
        let (done, answer) = oneshot::channel();
        self.driver.send(message(done)).await.map_err(|_| SupervisorError::Ended)?;
        answer.await.map_err(|_| SupervisorError::Ended)
    }
}
