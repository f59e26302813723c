//! The release phase: before a release with a `release` process type runs, its command must succeed, in a one-off dyno
//! with the new slug and the new config vars.
//!
//! ```text
//! turn ──▶ make ──no command──▶ current: the caller applies it
//!            └──command──▶ pending ──▶ release.NNNN ──exit 0──▶ succeeded: formation, announcement, apply
//!                             │              └──anything else──▶ failed: nothing that runs has changed
//!                             └── node killed ──▶ next start: the dyno is found, or the phase has failed
//! ```
//!
//! One phase an app at a time. That a release is pending is in the store, so that it outlives this process; who runs it
//! now is here. A phase goes on without whoever asked for it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::{OwnedMutexGuard, watch};
use uuid::Uuid;

use crate::domain::{
    Action, App, AppId, DynoId, DynoName, DynoSize, Features, ProcessType, Release, ReleasePhase,
    ReleaseStatus, Version,
};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::announce::{Subject, announce as hear};
use crate::flows::error::FlowError;
use crate::flows::features::metadata_of;
use crate::flows::ports::{Connection, DynosError, EndCause, OneOff, OneOffEnd, OneOffExit, StartedOneOff};
use crate::flows::releases::{ReleaseView, announce};
use crate::flows::run::free_name;
use crate::logs::{Keeping, KeptOutput, OutputStream, read_kept};
use crate::store::{NewRelease, PhaseEnd, StoreError};
use crate::sys::clock;
use crate::wire::api_errors::{Missing, Refusal};
use crate::wire::logline::{ApiLine, DynoLine, LogLine};

/// How often the end of a phase is written before it is left to the next start of the node, whose store fails.
const SETTLE_ATTEMPTS_MAX: u32 = 60;
/// Between two of these attempts, seconds.
const SETTLE_PAUSE_S: u64 = 5;

/// The phases that run now, at most one an app.
#[derive(Default)]
pub(super) struct Phases(Mutex<HashMap<AppId, Phase>>);

/// A phase as others watch it; clones watch the same.
#[derive(Clone, Debug)]
pub struct Phase {
    /// The release.
    pub version: Version,
    /// The dyno that runs its command.
    pub dyno: DynoName,
    pub(super) output: KeptOutput,
    outcome: watch::Receiver<Option<PhaseOutcome>>,
}

/// What became of a release command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseOutcome {
    /// The release runs.
    Succeeded,
    /// It never will.
    Failed,
}

/// A release just made.
pub(super) enum Made {
    /// It is the current one, and announced.
    Current(Release),
    /// Its command runs.
    Pending(Release, Phase),
}

// === impl Phases ===

impl Phases {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<AppId, Phase>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn of(&self, app: AppId) -> Option<Phase> {
        self.with(|all| all.get(&app).cloned())
    }
}

// === impl Phase ===

impl Phase {
    /// What the command prints, from its first line, as it prints it.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn output(&self) -> Result<OutputStream, FlowError> {
        self.output.read().map_err(FlowError::fault("read the output of the release command"))
    }

    /// Waits for the end. A node that ends first tells no success.
    pub async fn outcome(mut self) -> PhaseOutcome {
        match self.outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => *outcome,
            Ok(None) | Err(_) => PhaseOutcome::Failed,
        }
    }
}

/// The turn to make a release of `app`, or a refusal while the command of another runs.
pub(super) async fn turn(node: &Node, app: &App) -> Result<OwnedMutexGuard<()>, FlowError> {
    let turn = node.locks().change(app.id).await;
    match node.phases().of(app.id) {
        None => Ok(turn),
        Some(Phase { version, dyno, .. }) => {
            Err(Refusal::ReleasePending { version, dyno: dyno.to_string() }.into())
        }
    }
}

/// The turn to make a release of `app`, after the command of another has ended; `waits` is told of it first.
pub(super) async fn turn_after(node: &Node, app: &App, waits: impl Fn(&Phase)) -> OwnedMutexGuard<()> {
    loop {
        let turn = node.locks().change(app.id).await;
        let Some(phase) = node.phases().of(app.id) else { return turn };
        drop(turn);
        waits(&phase);
        phase.outcome().await;
    }
}

/// Makes a release: current at once, or pending while its command runs. The caller holds the turn.
pub(super) async fn make(node: &Node, app: &App, new: NewRelease, actor: &Actor) -> Result<Made, FlowError> {
    let has_command = new.slug.is_some() && new.process_types.contains_key(&ProcessType::release());
    if !has_command {
        let release = node.store().create_release(new).await?;
        announce(node, app, &release, actor);
        let view = ReleaseView { release, current: true };
        hear(node, Subject::Release(app, &view), Action::Create, &actor.0).await;
        return Ok(Made::Current(view.release));
    }
    let name = free_name(node, app, ProcessType::release())?;
    let id = DynoId(Uuid::new_v4());
    let features = node.store().features(app.id).await?;
    let release = node.store().create_pending_release(new, id, name.clone()).await?;
    let view = ReleaseView { release, current: false };
    hear(node, Subject::Release(app, &view), Action::Create, &actor.0).await;
    let release = view.release;
    let user = || actor.0.clone();
    node.tell(app.id, &ApiLine::Described { description: release.description.clone(), user: user() });
    node.tell(app.id, &ApiLine::ReleaseCommandRuns { version: release.version, user: user() });
    let phase = ReleasePhase { app: app.id, version: release.version, dyno: id, name };
    let running = match Running::expect(node, app, release.clone(), phase) {
        Ok(running) => running,
        Err(error) => {
            // Nobody would ever end it.
            node.store().finish_phase(app.id, release.version, PhaseEnd::Failed).await?;
            node.tell(app.id, &ApiLine::ReleaseCommandFailed { version: release.version, user: user() });
            return Err(error);
        }
    };
    let watched = running.watched.clone();
    let one_off = running.one_off(&features);
    tokio::spawn(running.run(Start::New(Box::new(one_off))));
    Ok(Made::Pending(release, watched))
}

/// What a release command has printed, or prints now; refused where there was none, or it has not begun.
///
/// # Errors
/// There is no such release, or no output of it.
pub async fn release_output(node: &Node, id: Uuid) -> Result<OutputStream, FlowError> {
    let none = || Refusal::NotFound(Missing::ReleaseOutput);
    let (app, release) = node.store().release_by_id(id).await?.ok_or_else(none)?;
    if let Some(phase) = node.phases().of(app).filter(|phase| phase.version == release.version) {
        return phase.output();
    }
    let path = output_path(node, app, release.version);
    let kept = read_kept(&path).map_err(FlowError::fault("read the output of a release command"))?;
    kept.ok_or_else(|| none().into())
}

/// The file of what the command of a release prints.
pub(super) fn output_path(node: &Node, app: AppId, version: Version) -> PathBuf {
    node.settings().releases_dir().join(app.to_string()).join(format!("{version}.log"))
}

/// A phase that this process looks after.
pub(super) struct Running {
    node: Node,
    app: App,
    release: Release,
    phase: ReleasePhase,
    keeping: Keeping,
    watched: Phase,
    outcome: watch::Sender<Option<PhaseOutcome>>,
}

/// How a phase begins in this process.
pub(super) enum Start {
    /// With its dyno.
    New(Box<OneOff>),
    /// With a dyno that an earlier process has started.
    Found(OneOffExit),
    /// Without one: nobody knows how it ended, if it ever began.
    Lost,
}

// === impl Running ===

impl Running {
    /// Keeps the output of the phase's dyno from now on, and holds up other releases of the app.
    pub(super) fn expect(
        node: &Node,
        app: &App,
        release: Release,
        phase: ReleasePhase,
    ) -> Result<Self, FlowError> {
        let path = output_path(node, app.id, release.version);
        let keeping = node
            .logs()
            .keep(app.id, phase.name.to_string(), &path)
            .map_err(FlowError::fault("keep the output of a release command"))?;
        let (outcome, watch) = watch::channel(None);
        let watched = Phase {
            version: release.version,
            dyno: phase.name.clone(),
            output: keeping.output().clone(),
            outcome: watch,
        };
        node.phases().with(|all| all.insert(app.id, watched.clone()));
        Ok(Self { node: node.clone(), app: app.clone(), release, phase, keeping, watched, outcome })
    }

    /// Which dyno runs the command.
    pub(super) fn dyno(&self) -> DynoId {
        self.phase.dyno
    }

    fn one_off(&self, features: &Features) -> OneOff {
        OneOff {
            id: self.phase.dyno,
            name: self.phase.name.clone(),
            app: self.app.clone(),
            release: self.release.clone(),
            command: self.release.command().unwrap_or_default().to_owned(),
            env: metadata_of(self.phase.dyno, &self.app, &self.release, features),
            size: DynoSize::Standard1X,
            connection: Connection::Log,
            time_to_live_s: self.node.settings().release_timeout_s,
        }
    }

    /// Waits for the end of the command and makes of it what follows. The task ends with the dyno, or with the node.
    pub(super) async fn run(self, start: Start) {
        let end = match start {
            Start::New(one_off) => self.start(*one_off).await,
            Start::Found(exit) => exit.await,
            Start::Lost => {
                self.explain(&DynoLine::ReleaseLost);
                None
            }
        };
        let limit = Duration::from_secs(self.node.settings().release_timeout_s);
        let outcome = match verdict(end, self.age(), limit) {
            Verdict::Succeeded => PhaseOutcome::Succeeded,
            Verdict::TimedOut => {
                self.explain(&DynoLine::ReleaseTimedOut { limit_s: limit.as_secs() });
                PhaseOutcome::Failed
            }
            Verdict::Failed => PhaseOutcome::Failed,
        };
        self.settle(outcome).await;
        let Self { node, app, keeping, outcome: told, .. } = self;
        node.phases().with(|all| all.remove(&app.id));
        told.send_replace(Some(outcome));
        // Whoever reads the output to its end finds the release settled.
        drop(keeping);
    }

    async fn start(&self, one_off: OneOff) -> Option<OneOffEnd> {
        match self.node.dynos().run(one_off).await {
            Ok(StartedOneOff::Detached(exit)) => exit.await,
            Ok(StartedOneOff::Attached(_)) => None,
            // The node ends; whether the dyno runs is for its next start to find out.
            Err(DynosError::Ended) => std::future::pending().await,
            // The log has it from who tried.
            Err(DynosError::NotStarted(reason)) => {
                self.print(&DynoLine::StartFailed { reason });
                None
            }
            Err(DynosError::Refused(reason)) => {
                self.explain(&DynoLine::StartFailed { reason });
                None
            }
        }
    }

    /// Says in the log and in the output what nothing else says.
    fn explain(&self, line: &DynoLine) {
        self.node.logs().push(self.app.id, LogLine::dyno(clock::now(), &self.phase.name, line.clone()));
        self.print(line);
    }

    /// Says it in the output.
    fn print(&self, line: &DynoLine) {
        self.keeping.output().append([line.to_string().as_bytes()]);
    }

    /// How long ago the release was made, by the clock on the wall: the phase may have begun in another process.
    fn age(&self) -> Duration {
        let since_1970 = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let made = Duration::from_secs(u64::try_from(self.release.created_at_s).unwrap_or_default());
        since_1970.saturating_sub(made)
    }

    /// Records the outcome and tells it; a release that succeeded runs from here on.
    async fn settle(&self, outcome: PhaseOutcome) {
        for _ in 0..SETTLE_ATTEMPTS_MAX {
            let error = match self.record(outcome).await {
                Ok(()) => return,
                // The app was destroyed meanwhile.
                Err(FlowError::Refused(_)) => return,
                Err(error) => error,
            };
            tracing::error!(
                app = %self.app.name, release = %self.release.version,
                error = &error as &dyn std::error::Error, "the end of a release phase is not recorded yet"
            );
            tokio::time::sleep(Duration::from_secs(SETTLE_PAUSE_S)).await;
        }
    }

    async fn record(&self, outcome: PhaseOutcome) -> Result<(), FlowError> {
        let Self { node, app, release, .. } = self;
        let user = || release.user.clone();
        let _changing = node.locks().change(app.id).await;
        let before = node.store().formation(app.id).await?;
        let end = match outcome {
            PhaseOutcome::Failed => PhaseEnd::Failed,
            PhaseOutcome::Succeeded => PhaseEnd::Succeeded(before.deployed(release.process_types.keys())),
        };
        match node.store().finish_phase(app.id, release.version, end.clone()).await {
            Err(StoreError::NoSuchRelease { .. }) => return Err(Refusal::NotFound(Missing::Release).into()),
            result => result?,
        }
        let (status, current) = match outcome {
            PhaseOutcome::Failed => (ReleaseStatus::Failed, false),
            PhaseOutcome::Succeeded => (ReleaseStatus::Succeeded, true),
        };
        let view = ReleaseView { release: Release { status, ..release.clone() }, current };
        hear(node, Subject::Release(app, &view), Action::Update, &release.user).await;
        match end {
            PhaseEnd::Failed => {
                node.tell(app.id, &ApiLine::ReleaseCommandFailed { version: release.version, user: user() });
            }
            PhaseEnd::Succeeded(formation) => {
                node.tell(app.id, &ApiLine::ReleaseCreated { version: release.version, user: user() });
                if before.entries().is_empty() && formation.total() > 0 {
                    node.tell(app.id, &ApiLine::Scaled { formation, user: user() });
                }
                self.apply().await;
            }
        }
        Ok(())
    }

    /// The release is recorded: what fails here is not repeated by recording it again.
    async fn apply(&self) {
        // The app may have been renamed since.
        let app = match self.node.store().app_by_id(self.app.id).await {
            Ok(Some(app)) => app,
            Ok(None) => return,
            Err(_) => self.app.clone(),
        };
        if let Err(error) = self.node.apply(&app).await {
            tracing::error!(
                app = %app.name, error = &error as &dyn std::error::Error,
                "a release does not run; the next change or start of the node tries again"
            );
        }
    }
}

/// What the end of the command means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Succeeded,
    Failed,
    TimedOut,
}

/// Only a command that ended by itself and with status 0 has succeeded. One that was stopped has not, whatever its
/// status: it may have taken the signal for a reason to end well.
fn verdict(end: Option<OneOffEnd>, age: Duration, limit: Duration) -> Verdict {
    match end {
        Some(OneOffEnd { status: 0, cause: EndCause::Itself }) => Verdict::Succeeded,
        Some(OneOffEnd { cause: EndCause::Stopped, .. }) if age >= limit => Verdict::TimedOut,
        Some(_) | None => Verdict::Failed,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn only_an_end_of_its_own_with_status_0_is_a_success() {
        let limit = Duration::from_secs(3600);
        let early = Duration::from_secs(5);
        let end = |status, cause| Some(OneOffEnd { status, cause });
        assert_eq!(verdict(end(0, EndCause::Itself), early, limit), Verdict::Succeeded);
        assert_eq!(verdict(end(0, EndCause::Itself), limit * 2, limit), Verdict::Succeeded, "it made it");
        assert_eq!(verdict(end(1, EndCause::Itself), early, limit), Verdict::Failed);
        assert_eq!(verdict(end(0, EndCause::Stopped), early, limit), Verdict::Failed);
        assert_eq!(verdict(end(143, EndCause::Stopped), limit, limit), Verdict::TimedOut);
        assert_eq!(verdict(end(0, EndCause::Stopped), limit, limit), Verdict::TimedOut);
        assert_eq!(verdict(None, early, limit), Verdict::Failed);
    }
}
