//! The stories over a real store and a real log, with dynos and builds that only pretend.

mod add_ons;
mod promotion;
mod webhooks;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use crate::domain::{
    App, AppId, Bytes, DynoId, DynoSize, Formation, FormationEntry, JobId, Overlap, ProcessType,
    ReleaseStatus, RunState, Slug, StackName, StackVersion,
};
use crate::flows::ports::{
    BuildFailure, BuildOrder, Builder, Built, Desired, DynoView, Dynos, DynosError, EndCause, FoundOneOff,
    OneOff, OneOffEnd, PretendedServices, Scope, StartedOneOff, Streams, Visit,
};
use crate::flows::{
    Actor, FlowError, JobRequest, NewAppRequest, Node, Parts, PhaseOutcome, Push, Pushed, Quotas, ReleaseKey,
    ReleaseView, Settings, Transcript, add_job, begin_push, change_config, config, create, follow_release,
    job_runs, release_output, releases, resume, rollback, run_job,
};
use crate::logs::{Filter, LogService, Tail};
use crate::store::Store;
use crate::wire::api::PushStatus;
use crate::wire::api_errors::Refusal;

type Ending = oneshot::Sender<Option<OneOffEnd>>;
type Answered<T> = BoxFuture<'static, Result<T, DynosError>>;

/// Runs nothing; one-off dynos end when the test says so.
#[derive(Default)]
struct PretendedDynos {
    applied: Mutex<Vec<Desired>>,
    running: Mutex<BTreeMap<DynoId, (OneOff, Ending)>>,
    /// What was asked to stop.
    stopped: Mutex<Vec<Scope>>,
    /// What an adoption finds.
    found: Mutex<Vec<FoundOneOff>>,
    /// Why no one-off can be started.
    failing: Mutex<Option<String>>,
}

/// An end for which somebody waits; one that never comes leaves them waiting.
fn exit_of(end: oneshot::Receiver<Option<OneOffEnd>>) -> BoxFuture<'static, Option<OneOffEnd>> {
    async move {
        match end.await {
            Ok(end) => end,
            Err(_) => std::future::pending().await,
        }
    }
    .boxed()
}

impl Dynos for PretendedDynos {
    fn apply(&self, desired: Desired) -> Answered<()> {
        self.applied.lock().unwrap().push(desired);
        async { Ok(()) }.boxed()
    }

    fn adopt(&self, desired: Vec<Desired>) -> Answered<Vec<FoundOneOff>> {
        self.applied.lock().unwrap().extend(desired);
        let found = std::mem::take(&mut *self.found.lock().unwrap());
        async { Ok(found) }.boxed()
    }

    fn forget(&self, _: AppId) -> Answered<()> {
        async { Ok(()) }.boxed()
    }

    fn restart(&self, _: AppId, _: Scope) -> Answered<()> {
        async { Ok(()) }.boxed()
    }

    fn stop(&self, _: AppId, scope: Scope) -> Answered<()> {
        self.stopped.lock().unwrap().push(scope);
        async { Ok(()) }.boxed()
    }

    fn run(&self, one_off: OneOff) -> Answered<StartedOneOff> {
        if let Some(reason) = self.failing.lock().unwrap().clone() {
            return async { Err(DynosError::NotStarted(reason)) }.boxed();
        }
        let (end, exit) = oneshot::channel();
        self.running.lock().unwrap().insert(one_off.id, (one_off, end));
        async { Ok(StartedOneOff::Detached(exit_of(exit))) }.boxed()
    }

    fn visit(&self, _: DynoId, _: Visit) -> Answered<Streams> {
        async { Err(DynosError::Refused("Nobody is let in here.".to_owned())) }.boxed()
    }

    fn deaths(
        &self,
        _: AppId,
        _: crate::domain::DynoName,
    ) -> BoxFuture<'_, Result<Vec<crate::flows::ports::Death>, DynosError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn snapshot(&self, _: AppId) -> Vec<DynoView> {
        Vec::new()
    }
}

/// Makes the same slug of every source.
struct PretendedBuilder(Mutex<Vec<&'static str>>);

impl Builder for PretendedBuilder {
    fn build(
        &self,
        _: BuildOrder,
        _: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Built, BuildFailure>> {
        let names = self.0.lock().unwrap().clone();
        let types = names.into_iter().map(|name| (name.parse().unwrap(), format!("do {name}")));
        let slug = Slug {
            digest: hex::encode([7; 32]).parse().unwrap(),
            size: Bytes(42),
            process_types: types.collect(),
            buildpack_description: None,
            created_at_s: 0,
        };
        async {
            Ok(Built {
                slug,
                stack_version: "1".to_owned(),
                buildpacks: Vec::new(),
                chooser: crate::build::Chooser::Detection,
            })
        }
        .boxed()
    }

    fn manifest(
        &self,
        _: BuildOrder,
        _: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Vec<u8>, BuildFailure>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn pack(
        &self,
        _: BuildOrder,
        _: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<crate::flows::ports::PackedSlug, BuildFailure>> {
        Box::pin(async { Err(BuildFailure::Node("nothing is packed here".to_owned())) })
    }

    fn test(
        &self,
        _: BuildOrder,
        _: crate::build::TestCommands,
        lines: crate::flows::ports::TestLines,
    ) -> BoxFuture<'_, Result<u8, BuildFailure>> {
        Box::pin(async move {
            lines.setup.send("-----> It compiles".to_owned()).unwrap();
            lines.tests.send("ok 1".to_owned()).unwrap();
            Ok(0)
        })
    }

    fn check_buildpack(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn stacks(&self) -> Vec<StackName> {
        Vec::new()
    }

    fn stack_version(&self, _: &StackName, _: Option<&str>) -> Option<StackVersion> {
        None
    }
}

struct Stage {
    dir: Arc<tempfile::TempDir>,
    node: Node,
    dynos: Arc<PretendedDynos>,
    builder: Arc<PretendedBuilder>,
    services: Arc<PretendedServices>,
}

fn me() -> Actor {
    Actor("me@example.com".to_owned())
}

impl Stage {
    fn open() -> Self {
        Self::reopen(Arc::new(tempfile::tempdir().unwrap()))
    }

    /// The node of an earlier stage, started again.
    fn reopen(dir: Arc<tempfile::TempDir>) -> Self {
        Self::within(dir, Quotas::default())
    }

    fn within(dir: Arc<tempfile::TempDir>, quotas: Quotas) -> Self {
        let dynos = Arc::new(PretendedDynos::default());
        let builder = Arc::new(PretendedBuilder(Mutex::new(vec!["release", "web"])));
        let services = Arc::new(PretendedServices::default());
        let parts = Parts {
            store: Store::open(&dir.path().join("state.db")).unwrap(),
            dynos: dynos.clone(),
            builder: builder.clone(),
            services: services.clone(),
            logs: LogService::open(dir.path().join("logs")).unwrap(),
            authority: crate::flows::Authority::load(&dir.path().join("authority")).unwrap(),
        };
        let settings = Settings {
            lib_dir: dir.path().to_owned(),
            owner: me().0.parse().unwrap(),
            router_port: 8080,
            https_port: Some(8443),
            git_address: ([127, 0, 0, 1], 5080).into(),
            ssh_address: None,
            default_stack: StackName::default(),
            release_timeout_s: 3600,
            source_reach: crate::domain::Reach::Any,
            quotas,
        };
        Self { dir, node: Node::new(parts, settings), dynos, builder, services }
    }

    async fn app(&self) -> App {
        let request = NewAppRequest { name: Some("example".to_owned()), stack: None, owner: None };
        create(&self.node, request, &me()).await.unwrap().app
    }

    async fn push(&self, app: &App) -> Pushed {
        let source = self.dir.path().join("source.tar");
        std::fs::write(&source, "").unwrap();
        let permit = begin_push(&self.node, app).unwrap();
        let push = Push { app: app.clone(), source, commit: "1a".repeat(20), actor: me() };
        super::push(&self.node, push, &Transcript::new().0, permit).await
    }

    /// The one one-off dyno that runs, once it does.
    async fn one_off(&self) -> OneOff {
        for _ in 0..500 {
            if let Some((one_off, _)) = self.dynos.running.lock().unwrap().values().next() {
                return one_off.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no one-off dyno runs");
    }

    /// Ends it.
    async fn end(&self, status: u8, cause: EndCause) {
        let id = self.one_off().await.id;
        let (_, end) = self.dynos.running.lock().unwrap().remove(&id).unwrap();
        assert!(end.send(Some(OneOffEnd { status, cause })).is_ok(), "somebody waits for it");
    }

    async fn statuses(&self, app: &App) -> Vec<(u64, ReleaseStatus, bool)> {
        let all = releases(&self.node, app).await.unwrap();
        let told = |view: &ReleaseView| (view.release.version.0, view.release.status, view.current);
        all.iter().filter(|view| view.release.version.0 > 2).map(told).collect()
    }

    async fn log(&self, app: &App) -> Vec<String> {
        self.node.logs().flush().await;
        let lines = self.node.logs().session(app.id, Filter::default(), 1500, Tail::End);
        lines.map(|line| String::from_utf8_lossy(&line.message).into_owned()).collect().await
    }

    fn runs(&self) -> u64 {
        self.dynos.applied.lock().unwrap().last().unwrap().release.version.0
    }

    async fn set(&self, app: &App, name: &str) -> Result<(), FlowError> {
        let changes = BTreeMap::from([(name.to_owned(), Some("1".to_owned()))]);
        change_config(&self.node, app, &changes, &me()).await.map(drop)
    }
}

async fn told(pushed: Pushed) -> String {
    let pieces: Vec<_> = follow_release(pushed.phase.unwrap()).unwrap().collect().await;
    String::from_utf8(pieces.concat()).unwrap()
}

use ReleaseStatus::{Failed, Pending, Succeeded};

#[tokio::test]
async fn a_release_waits_for_its_command_and_runs_when_that_has_succeeded() {
    let stage = Stage::open();
    let app = stage.app().await;
    let pushed = stage.push(&app).await;
    assert_eq!(pushed.status, PushStatus::Succeeded);
    assert_eq!(stage.statuses(&app).await, [(3, Pending, false)]);
    assert_eq!(stage.runs(), 2, "nothing has changed yet");
    let one_off = stage.one_off().await;
    assert_eq!((one_off.command.as_str(), one_off.release.version.0), ("do release", 3));
    assert_eq!((one_off.name.process_type, one_off.time_to_live_s), (ProcessType::release(), 3600));
    assert!(stage.node.store().formation(app.id).await.unwrap().entries().is_empty());
    let phase = pushed.phase.clone().unwrap();
    phase.output.append([&b"migrated"[..]]);
    stage.end(0, EndCause::Itself).await;
    let transcript = "Running release command....\n\nmigrated\nWaiting for release.... done.\n";
    assert_eq!(told(pushed).await, transcript);
    assert_eq!(stage.statuses(&app).await, [(3, Succeeded, true)]);
    assert_eq!(stage.runs(), 3);
    assert_eq!(stage.node.store().formation(app.id).await.unwrap().total(), 1, "web starts at 1");
    let log = stage.log(&app).await;
    let of_release: Vec<_> = log.iter().filter(|line| !line.starts_with("Build")).skip(4).collect();
    assert_eq!(
        of_release,
        [
            "Deploy 1a1a1a1a by user me@example.com",
            "Running release v3 commands by user me@example.com",
            "Release v3 created by user me@example.com",
            "Scaled to web@1:Standard-1X by user me@example.com",
        ]
    );
}

#[tokio::test]
async fn a_command_that_fails_or_is_stopped_changes_nothing_that_runs() {
    for (status, cause) in [(1, EndCause::Itself), (0, EndCause::Stopped)] {
        let stage = Stage::open();
        let app = stage.app().await;
        let pushed = stage.push(&app).await;
        stage.end(status, cause).await;
        assert_eq!(told(pushed).await, "Running release command....\n\nWaiting for release.... failed.\n");
        assert_eq!(stage.statuses(&app).await, [(3, Failed, false)]);
        assert_eq!(stage.runs(), 2);
        let last = "Release v3 command failed by user me@example.com";
        assert_eq!(stage.log(&app).await.last().unwrap(), last);
        let refused = rollback(&stage.node, &app, Some(ReleaseKey::parse("v3").unwrap()), &me()).await;
        assert!(matches!(refused, Err(FlowError::Refused(Refusal::RollbackTarget(_)))));
    }
}

#[tokio::test]
async fn a_command_that_cannot_be_started_is_told_once() {
    let stage = Stage::open();
    let app = stage.app().await;
    *stage.dynos.failing.lock().unwrap() = Some("no address is free".to_owned());
    let pushed = stage.push(&app).await;
    let transcript = told(pushed).await;
    assert!(transcript.contains("\nFailed to start process: no address is free\n"), "{transcript}");
    assert_eq!(stage.statuses(&app).await, [(3, Failed, false)]);
    // Who tried has told the log, and no one-off dyno of this stage does.
    let log = stage.log(&app).await;
    assert!(!log.iter().any(|line| line.contains("Failed to start")), "{log:#?}");
}

#[tokio::test]
async fn config_of_a_failed_release_is_kept_and_goes_live_with_the_next() {
    let stage = Stage::open();
    let app = stage.app().await;
    let pushed = stage.push(&app).await;
    stage.end(0, EndCause::Itself).await;
    assert_eq!(pushed.phase.unwrap().outcome().await, PhaseOutcome::Succeeded);
    stage.set(&app, "FIRST").await.unwrap();
    assert!(config(&stage.node, &app).await.unwrap().iter().any(|(name, _)| name == "FIRST"));
    let refused = stage.set(&app, "MEANWHILE").await;
    assert!(matches!(refused, Err(FlowError::Refused(Refusal::ReleasePending { .. }))), "one at a time");
    assert!(rollback(&stage.node, &app, None, &me()).await.is_err());
    let id = releases(&stage.node, &app).await.unwrap()[0].release.id;
    let output = release_output(&stage.node, id).await.unwrap();
    stage.end(7, EndCause::Itself).await;
    assert_eq!(output.count().await, 0, "it ends with the command");
    assert_eq!(stage.statuses(&app).await, [(4, Failed, false), (3, Succeeded, true)]);
    stage.set(&app, "FIRST").await.unwrap();
    stage.end(7, EndCause::Itself).await;
    let waits = super::phase::turn_after(&stage.node, &app, |_| {});
    drop(waits.await);
    assert_eq!(stage.statuses(&app).await[0], (5, Failed, false), "the same again is tried again");
    stage.set(&app, "SECOND").await.unwrap();
    stage.end(0, EndCause::Itself).await;
    drop(super::phase::turn_after(&stage.node, &app, |_| {}).await);
    assert_eq!(stage.statuses(&app).await[0], (6, Succeeded, true));
    let applied = stage.dynos.applied.lock().unwrap().last().unwrap().clone();
    let names: Vec<_> = applied.release.config.iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["FIRST", "SECOND"]);
}

#[tokio::test]
async fn a_push_waits_for_the_command_of_the_release_before_it() {
    let stage = Stage::open();
    let app = stage.app().await;
    stage.push(&app).await;
    *stage.builder.0.lock().unwrap() = vec!["web"];
    let second = stage.push(&app);
    tokio::pin!(second);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut second).await;
    assert!(early.is_err(), "it has not waited");
    stage.end(0, EndCause::Itself).await;
    assert_eq!(second.await.status, PushStatus::Succeeded);
    assert_eq!(stage.statuses(&app).await, [(4, Succeeded, true), (3, Succeeded, false)]);
    assert_eq!(stage.runs(), 4);
}

#[tokio::test]
async fn scaling_goes_on_while_a_release_is_pending_and_is_kept() {
    let stage = Stage::open();
    let app = stage.app().await;
    stage.push(&app).await;
    stage.end(0, EndCause::Itself).await;
    drop(super::phase::turn_after(&stage.node, &app, |_| {}).await);
    stage.set(&app, "FOO").await.unwrap();
    let three = Formation::new([FormationEntry {
        process_type: ProcessType::web(),
        quantity: 3,
        size: DynoSize::Standard2X,
        stop_grace: None,
    }]);
    stage.node.store().set_formation(app.id, three.clone()).await.unwrap();
    stage.end(0, EndCause::Itself).await;
    drop(super::phase::turn_after(&stage.node, &app, |_| {}).await);
    assert_eq!(stage.dynos.applied.lock().unwrap().last().unwrap().formation, three);
}

#[tokio::test]
async fn the_next_start_finishes_the_phase_of_a_killed_node_by_its_real_end() {
    for (ends, wanted) in [(Some(0), Succeeded), (Some(3), Failed), (None, Failed)] {
        let before = Stage::open();
        let app = before.app().await;
        before.push(&app).await;
        let dyno = before.one_off().await.id;
        let dir = Arc::clone(&before.dir);
        drop(before);
        let after = Stage::reopen(dir);
        if let Some(status) = ends {
            let (end, exit) = oneshot::channel();
            after.dynos.found.lock().unwrap().push(FoundOneOff { id: dyno, exit: exit_of(exit) });
            resume(&after.node).await.unwrap();
            assert_eq!(after.statuses(&app).await, [(3, Pending, false)], "its dyno still runs");
            assert!(after.set(&app, "FOO").await.is_err(), "and holds up others");
            end.send(Some(OneOffEnd { status, cause: EndCause::Itself })).unwrap();
        } else {
            resume(&after.node).await.unwrap();
        }
        drop(super::phase::turn_after(&after.node, &app, |_| {}).await);
        assert_eq!(after.statuses(&app).await, [(3, wanted, wanted == Succeeded)]);
        assert_eq!(after.runs(), if wanted == Succeeded { 3 } else { 2 });
        let lost = after.log(&app).await.iter().any(|line| line.starts_with("Release command lost"));
        assert_eq!(lost, ends.is_none(), "why it failed is told where nothing else tells it");
        let output = PathBuf::from(after.dir.path()).join(format!("releases/{}/v3.log", app.id));
        assert_eq!(std::fs::read_to_string(output).unwrap().contains("lost"), ends.is_none());
    }
}

#[tokio::test]
async fn a_slug_goes_with_the_last_release_that_needs_it_and_no_sooner() {
    const DAY: Duration = Duration::from_secs(86_400);
    let stage = Stage::open();
    let app = stage.app().await;
    *stage.builder.0.lock().unwrap() = vec!["web"];
    stage.push(&app).await;
    for number in 0..22 {
        stage.set(&app, &format!("VAR{number}")).await.unwrap();
    }
    let digest = hex::encode([7; 32]).parse().unwrap();
    let file = stage.node.settings().slugs_dir().join(hex::encode([7; 32])).join("app");
    std::fs::create_dir_all(&file).unwrap();
    let now = std::time::SystemTime::now();
    super::retention::sweep(&stage.node, now + 29 * DAY).await.unwrap();
    assert!(stage.statuses(&app).await.iter().all(|(_, status, _)| *status == Succeeded));
    super::retention::sweep(&stage.node, now + 31 * DAY).await.unwrap();
    let expired: Vec<_> =
        stage.statuses(&app).await.into_iter().filter(|(_, status, _)| *status != Succeeded).collect();
    assert_eq!(
        expired,
        [
            (5, ReleaseStatus::Expired, false),
            (4, ReleaseStatus::Expired, false),
            (3, ReleaseStatus::Expired, false)
        ]
    );
    assert!(file.exists() && stage.node.store().slug(&digest).await.unwrap().is_some(), "others run it");
    let refused = rollback(&stage.node, &app, Some(ReleaseKey::parse("v4").unwrap()), &me()).await;
    assert!(matches!(refused, Err(FlowError::Refused(Refusal::RollbackTarget(_)))));
    assert!(stage.node.locks().try_sweep().is_some());
    let _building = stage.node.locks().making_slug().await;
    assert!(stage.node.locks().try_sweep().is_none(), "a build may make the same slug again");
}

#[tokio::test]
async fn old_builds_go_with_what_they_have_printed() {
    let stage = Stage::open();
    let app = stage.app().await;
    *stage.builder.0.lock().unwrap() = vec!["web"];
    for _ in 0..22 {
        stage.push(&app).await;
    }
    let outputs = stage.node.settings().builds_dir().join(app.id.to_string());
    let counts = async || {
        let builds = stage.node.store().builds(app.id).await.unwrap().len();
        (builds, std::fs::read_dir(&outputs).unwrap().count())
    };
    let now = std::time::SystemTime::now();
    super::retention::sweep(&stage.node, now + Duration::from_secs(89 * 86_400)).await.unwrap();
    assert_eq!(counts().await, (22, 22));
    super::retention::sweep(&stage.node, now + Duration::from_secs(91 * 86_400)).await.unwrap();
    assert_eq!(counts().await, (20, 20));
}

async fn job(stage: &Stage, app: &App, overlap: Overlap) -> JobId {
    let request = JobRequest {
        command: "rake mails".to_owned(),
        cadence: "0 9 * * *".parse().unwrap(),
        zone: None,
        overlap,
        size: DynoSize::Standard1X,
    };
    add_job(&stage.node, app, request).await.unwrap().job.id
}

/// The states of a job's runs, newest first, once `count` of them have ended.
async fn run_states(stage: &Stage, app: &App, id: JobId, count: usize) -> Vec<RunState> {
    for _ in 0..500 {
        let runs = job_runs(&stage.node, app, id).await.unwrap();
        if runs.iter().filter(|run| run.ended_at_s.is_some()).count() == count {
            return runs.into_iter().map(|run| run.state).collect();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("so many runs have not ended");
}

#[tokio::test]
async fn a_run_of_a_job_is_recorded_from_its_start_to_its_end() {
    let stage = Stage::open();
    let app = stage.app().await;
    let id = job(&stage, &app, Overlap::Allow).await;
    assert!(run_job(&stage.node, &app, id).await.is_err(), "nothing is deployed");
    assert_eq!(run_states(&stage, &app, id, 1).await, [RunState::NotStarted]);
    *stage.builder.0.lock().unwrap() = vec!["web"];
    stage.push(&app).await;
    let run = run_job(&stage.node, &app, id).await.unwrap();
    let one_off = stage.one_off().await;
    assert_eq!((one_off.id, one_off.command.as_str()), (run.dyno, "rake mails"));
    assert_eq!(one_off.name.process_type, ProcessType::scheduler());
    stage.end(3, EndCause::Itself).await;
    assert_eq!(run_states(&stage, &app, id, 2).await[0], RunState::Ended { status: 3 });
    let line = "Starting process with command `rake mails` by user scheduler@addons.heroku.com";
    assert!(stage.log(&app).await.iter().any(|told| told == line));
}

#[tokio::test]
async fn overlapping_runs_are_what_the_job_says() {
    for (overlap, states, stopped) in [
        (Overlap::Allow, vec![RunState::Running, RunState::Running], 0),
        (Overlap::Forbid, vec![RunState::Skipped, RunState::Running], 0),
        (Overlap::Replace, vec![RunState::Running, RunState::Running], 1),
    ] {
        let stage = Stage::open();
        let app = stage.app().await;
        *stage.builder.0.lock().unwrap() = vec!["web"];
        stage.push(&app).await;
        let id = job(&stage, &app, overlap).await;
        let kept = stage.node.store().job(app.id, id).await.unwrap().unwrap();
        for _ in 0..2 {
            super::schedule::start_due(&stage.node, &app, &kept).await.unwrap();
        }
        let runs = job_runs(&stage.node, &app, id).await.unwrap();
        assert_eq!(runs.into_iter().map(|run| run.state).collect::<Vec<_>>(), states, "{overlap:?}");
        assert_eq!(stage.dynos.stopped.lock().unwrap().len(), stopped, "{overlap:?}");
    }
}

#[tokio::test]
async fn runs_of_a_killed_node_are_taken_up_or_lost() {
    let before = Stage::open();
    let app = before.app().await;
    *before.builder.0.lock().unwrap() = vec!["web"];
    before.push(&app).await;
    let id = job(&before, &app, Overlap::Allow).await;
    let found = run_job(&before.node, &app, id).await.unwrap();
    run_job(&before.node, &app, id).await.unwrap();
    let dir = Arc::clone(&before.dir);
    let after = Stage::reopen(dir);
    let (end, exit) = oneshot::channel();
    after.dynos.found.lock().unwrap().push(FoundOneOff { id: found.dyno, exit: exit_of(exit) });
    resume(&after.node).await.unwrap();
    assert_eq!(run_states(&after, &app, id, 1).await, [RunState::Lost, RunState::Running]);
    end.send(Some(OneOffEnd { status: 0, cause: EndCause::Itself })).unwrap();
    assert_eq!(run_states(&after, &app, id, 2).await, [RunState::Lost, RunState::Ended { status: 0 }]);
}

#[tokio::test]
async fn only_a_cron_expression_has_a_time_zone_and_only_one_that_is_known() {
    let stage = Stage::open();
    let app = stage.app().await;
    let add = async |cadence: &str, zone: &str| {
        let (cadence, zone) = (cadence.parse().unwrap(), Some(zone.to_owned()));
        let request = JobRequest {
            command: "x".to_owned(),
            cadence,
            zone,
            overlap: Overlap::Allow,
            size: DynoSize::Basic,
        };
        add_job(&stage.node, &app, request).await
    };
    assert!(add("every 10 minutes", "Europe/Berlin").await.is_err());
    assert!(add("0 9 * * *", "Europe/Nowhere").await.is_err());
    assert!(add("0 9 * * *", "UTC").await.is_ok());
}
