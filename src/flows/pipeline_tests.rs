//! Test runs of pipelines: recorded, numbered, and going on without whoever asked for them.
//!
//! ```text
//! recorded ──▶ pending ──▶ building ──▶ running ──▶ succeeded, failed
//!                 └───────────┴────────────┴──────▶ errored, cancelled
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{
    App, AppId, AppRight, ArchiveRoot, ConfigVars, Pipeline, SourceUrl, Stage, Switch, TestRun, TestStatus,
    TestedCommit,
};
use crate::flows::Node;
use crate::flows::apps::remove;
use crate::flows::building::KeptLines;
use crate::flows::caller::Caller;
use crate::flows::error::FlowError;
use crate::flows::locks::BuildPermit;
use crate::flows::pipelines::{Part, part_in, pipeline};
use crate::flows::push::{Origin, Transcript, bring};
use crate::flows::sources;
use crate::flows::test_run::{Removed, Says, TestSource, tested};
use crate::logs::{Keeping, KeptOutput, OutputStream, read_kept};
use crate::store::{NewTestRun, TestProgress};
use crate::wire::api_errors::{Missing, Refusal};
use crate::wire::push_text::{self, Deed};

/// How long whoever cancels a run waits for its end, seconds.
const CANCEL_TIMEOUT_S: u64 = 30;
/// How long whoever asks for a run that goes on waits for news of it: the platform's clients ask again at once.
const NEWS_TIMEOUT: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct TestRunRequest {
    /// The pipeline, by name or identity.
    pub pipeline: String,
    /// Where the source is.
    pub url: String,
    /// What of it is tested.
    pub commit: TestedCommit,
}

/// A run with the pipeline that it is of.
#[derive(Clone, Debug)]
pub struct TestRunView {
    /// The run.
    pub run: TestRun,
    /// Its pipeline.
    pub pipeline: Pipeline,
}

/// One of the two texts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestPart {
    /// What is said before the tests begin.
    Setup,
    /// What they say.
    Tests,
}

impl TestPart {
    fn word(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Tests => "tests",
        }
    }
}

/// The runs of this process by identity.
#[derive(Default)]
pub(super) struct TestRuns(Mutex<HashMap<Uuid, Live>>);

/// A run that goes on.
struct Live {
    pipeline: Uuid,
    setup: KeptOutput,
    tests: KeptOutput,
    status: watch::Receiver<TestStatus>,
    cancel: CancellationToken,
    cancelled_by: Option<String>,
    ended: CancellationToken,
}

// === impl TestRuns ===

impl TestRuns {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Uuid, Live>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks those runs to end that are meant, in somebody's name; each resolves when it has.
    fn cancel(&self, by: &str, is_meant: impl Fn(&Uuid, &Live) -> bool) -> Vec<CancellationToken> {
        self.with(|all| {
            let meant = all.iter_mut().filter(|(id, live)| is_meant(id, live));
            let asked = meant.map(|(_, live)| {
                live.cancelled_by.get_or_insert_with(|| by.to_owned());
                live.cancel.cancel();
                live.ended.clone()
            });
            asked.collect()
        })
    }

    /// Asks every run to end, as the node itself does.
    pub(super) fn close(&self) -> Vec<CancellationToken> {
        self.cancel(push_text::ENDING_NODE, |_, _| true)
    }
}

fn path(node: &Node, (pipeline, run): (Uuid, Uuid), part: TestPart) -> PathBuf {
    let dir = node.settings().test_runs_dir().join(pipeline.to_string());
    dir.join(format!("{run}.{}.log", part.word()))
}

/// Begins a run, and returns when it is recorded.
///
/// # Errors
/// The caller has no part in the pipeline, the request makes no sense, too many runs and builds wait, or the node fails.
pub async fn start_test_run(
    node: &Node,
    caller: &Caller,
    request: TestRunRequest,
) -> Result<TestRunView, FlowError> {
    let TestRunRequest { pipeline, url, commit } = request;
    let Part { pipeline, apps } = part_in(node, caller, &pipeline, AppRight::Deploy).await?;
    let url: SourceUrl = url.parse().map_err(Refusal::SourceUrl)?;
    for said in [&commit.branch, &commit.message, &commit.sha] {
        if said.chars().count() > TestRun::SAID_CHARS_MAX || said.contains('\0') {
            return Err(Refusal::SourceSaid { limit: TestRun::SAID_CHARS_MAX }.into());
        }
    }
    let (origin, source_url) = match sources::own(node, &url) {
        Some(id) => (Origin::Sent(id), None),
        None => (Origin::Url(url.clone()), Some(url.without_secrets())),
    };
    let id = Uuid::new_v4();
    let permit = node.locks().try_test(pipeline.owner.as_ref()).map_err(|_| Refusal::TooManyBuilds)?;
    let app = match apps.into_iter().next() {
        Some(app) => app,
        None => nobody(node, id)?,
    };
    let given = node.store().stage_config(pipeline.id, Stage::Test).await?;
    let keep = |part: TestPart| {
        let path = path(node, (pipeline.id, id), part);
        let kept = node.logs().keep(AppId(id), format!("ci.{}", part.word()), &path);
        kept.map_err(FlowError::fault("keep what tests say"))
    };
    let (setup, tests) = (keep(TestPart::Setup)?, keep(TestPart::Tests)?);
    let new =
        NewTestRun { id, pipeline: pipeline.id, user: caller.actor().0, commit: commit.clone(), source_url };
    let (run, gone) = node.store().create_test_run(new).await?;
    for old in gone {
        remove(&path(node, (pipeline.id, old), TestPart::Setup));
        remove(&path(node, (pipeline.id, old), TestPart::Tests));
    }
    let (status, shown) = watch::channel(TestStatus::Pending);
    let live = Live {
        pipeline: pipeline.id,
        setup: setup.output().clone(),
        tests: tests.output().clone(),
        status: shown,
        cancel: CancellationToken::new(),
        cancelled_by: None,
        ended: CancellationToken::new(),
    };
    let cancel = live.cancel.clone();
    node.test_runs().with(|all| all.insert(id, live));
    let story = Story {
        node: node.clone(),
        caller: caller.clone(),
        run: run.clone(),
        app,
        given: given.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        setup: Some(setup),
        tests,
        status,
        cancel,
    };
    tokio::spawn(story.tell(origin, permit));
    Ok(TestRunView { run, pipeline })
}

/// What stands for the app where a pipeline has none yet.
fn nobody(node: &Node, id: Uuid) -> Result<App, FlowError> {
    Ok(App {
        id: AppId(id),
        name: "tests".parse().map_err(Refusal::Name)?,
        owner: None,
        build_stack: super::apps::stack(node, None)?,
        maintenance: false,
        acm: Switch::Off,
        created_at_s: crate::sys::clock::unix_s(),
    })
}

/// Everything that one run goes by.
struct Story {
    node: Node,
    caller: Caller,
    run: TestRun,
    /// Whose buildpacks and stack are used where the source does not say otherwise.
    app: App,
    given: BTreeMap<String, String>,
    /// Its end is the end of what is read of it.
    setup: Option<Keeping>,
    tests: Keeping,
    status: watch::Sender<TestStatus>,
    cancel: CancellationToken,
}

impl Story {
    /// Carries it to its end, and records that.
    async fn tell(mut self, origin: Origin, permit: BuildPermit) {
        let transcript = |keeping: &Keeping| Transcript::kept(KeptLines::of(keeping.output().clone()));
        let tests = transcript(&self.tests);
        let setup = self.setup.as_ref().map_or_else(|| tests.clone(), transcript);
        let cancel = self.cancel.clone();
        let ended = tokio::select! {
            ended = self.go(&origin, permit, (&setup, &tests)) => ended,
            () = cancel.cancelled() => {
                let heard = if self.setup.is_some() { &setup } else { &tests };
                self.cancelled(heard)
            }
        };
        self.note(ended).await;
    }

    fn cancelled(&self, heard: &Transcript) -> TestProgress {
        let by = self.node.test_runs().with(|all| all.get(&self.run.id).and_then(|l| l.cancelled_by.clone()));
        let by = by.unwrap_or_default();
        heard.lines(push_text::tests_not_run());
        let message = Some(push_text::tests_cancelled(&by));
        TestProgress { status: TestStatus::Cancelled, exit_code: None, message }
    }

    async fn note(&self, progress: TestProgress) {
        let status = progress.status;
        if let Err(error) = self.node.store().note_test_run(self.run.id, progress).await {
            tracing::error!(run = %self.run.id, %error, "a test run is not recorded");
        }
        self.status.send_replace(status);
    }

    async fn becomes(&self, status: TestStatus) {
        self.note(TestProgress { status, exit_code: None, message: None }).await;
    }

    async fn go(
        &mut self,
        origin: &Origin,
        mut permit: BuildPermit,
        (setup, tests): (&Transcript, &Transcript),
    ) -> TestProgress {
        let errored = |message: String| TestProgress {
            status: TestStatus::Errored,
            exit_code: None,
            message: Some(message),
        };
        let source = self.node.settings().sources_dir().join(format!("{}.tests", self.run.id));
        let _source = Removed(source.clone());
        if let Err(error) = bring(&self.node, origin, &source, None).await {
            setup.lines(Deed::Build.told(push_text::source_not_fetched(&error.to_string())));
            return errored(push_text::TESTS_WITHOUT_SOURCE.to_owned());
        }
        self.node.locks().turn(&mut permit, |running| setup.line(push_text::waits_for_builds(running))).await;
        self.becomes(TestStatus::Building).await;
        let begun = CancellationToken::new();
        let (node, caller) = (self.node.clone(), self.caller.clone());
        let says = Says { setup, tests, begun: &begun };
        let of = TestSource {
            app: self.app.clone(),
            source,
            root: ArchiveRoot::TopOrOnlyDirectory,
            version: self.run.commit.sha.clone(),
            given: std::mem::take(&mut self.given),
        };
        let mut work = std::pin::pin!(tested(&node, of, &caller, &says));
        let ended = tokio::select! {
            biased;
            () = begun.cancelled() => {
                self.setup = None;
                self.becomes(TestStatus::Running).await;
                work.await
            }
            ended = &mut work => ended,
        };
        match ended {
            Ok(exit_code) => {
                tests.lines(push_text::tests_ended(exit_code));
                let status = TestStatus::of_exit(exit_code);
                TestProgress { status, exit_code: Some(exit_code), message: None }
            }
            Err(stopped) => {
                let heard = if self.setup.is_some() { setup } else { tests };
                stopped.tell(heard);
                heard.lines(push_text::tests_not_run());
                errored(push_text::TESTS_NOT_RUN.to_owned())
            }
        }
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if let Some(live) = self.node.test_runs().with(|all| all.remove(&self.run.id)) {
            live.ended.cancel();
        }
    }
}

/// The runs of a pipeline, by number.
///
/// # Errors
/// The caller does not see the pipeline, or the node fails.
pub async fn test_runs(node: &Node, caller: &Caller, key: &str) -> Result<Vec<TestRunView>, FlowError> {
    let pipeline = pipeline(node, caller, key).await?;
    let runs = node.store().test_runs(pipeline.id).await?;
    Ok(runs.into_iter().map(|run| TestRunView { run, pipeline: pipeline.clone() }).collect())
}

/// The run of that number of a pipeline. Where it goes on, a little is waited for news of it.
///
/// # Errors
/// The caller does not see the pipeline, there is no such run, or the node fails.
pub async fn numbered_test_run(
    node: &Node,
    caller: &Caller,
    (key, number): (&str, u64),
) -> Result<TestRunView, FlowError> {
    let found = test_runs(node, caller, key).await?.into_iter().find(|view| view.run.number == number);
    let found = found.ok_or(Refusal::NotFound(Missing::TestRun))?;
    let status = node.test_runs().with(|all| all.get(&found.run.id).map(|live| live.status.clone()));
    if let Some(mut status) = status {
        let news = async { status.wait_for(|status| *status != found.run.status).await.is_ok() };
        let _nothing_new = tokio::time::timeout(NEWS_TIMEOUT, news).await;
    }
    test_run(node, caller, found.run.id).await
}

/// The run of that identity.
///
/// # Errors
/// The caller sees none, or the node fails.
pub async fn test_run(node: &Node, caller: &Caller, id: Uuid) -> Result<TestRunView, FlowError> {
    let none = || Refusal::NotFound(Missing::TestRun);
    let run = node.store().test_run(id).await?.ok_or_else(none)?;
    match pipeline(node, caller, &run.pipeline.to_string()).await {
        Ok(pipeline) => Ok(TestRunView { run, pipeline }),
        Err(FlowError::Refused(Refusal::NotFound(_))) => Err(none().into()),
        Err(error) => Err(error),
    }
}

/// Ends a run; returns it when it has ended.
///
/// # Errors
/// The caller has no part in the pipeline, there is no such run or it is over, or the node fails.
pub async fn cancel_test_run(node: &Node, caller: &Caller, id: Uuid) -> Result<TestRunView, FlowError> {
    let found = test_run(node, caller, id).await?;
    part_in(node, caller, &found.pipeline.id.to_string(), AppRight::Deploy).await?;
    let asked = node.test_runs().cancel(&caller.actor().0, |live, _| *live == id);
    if asked.is_empty() {
        let now = test_run(node, caller, id).await?;
        return Err(Refusal::TestRunOver(now.run.status).into());
    }
    for ended in asked {
        let limit = Duration::from_secs(CANCEL_TIMEOUT_S);
        if tokio::time::timeout(limit, ended.cancelled()).await.is_err() {
            tracing::warn!(run = %id, "a cancelled test run takes long to end");
        }
    }
    test_run(node, caller, id).await
}

/// What a run says, or has said.
///
/// # Errors
/// There is no such run, or its output is not kept.
pub async fn test_output(node: &Node, id: Uuid, part: TestPart) -> Result<OutputStream, FlowError> {
    const ATTEMPT: &str = "read what tests say";
    let live = node.test_runs().with(|all| {
        let output = |live: &Live| match part {
            TestPart::Setup => live.setup.clone(),
            TestPart::Tests => live.tests.clone(),
        };
        all.get(&id).map(output)
    });
    if let Some(output) = live {
        return output.read().map_err(FlowError::fault(ATTEMPT));
    }
    let none = || Refusal::NotFound(Missing::TestRun);
    let run = node.store().test_run(id).await?.ok_or_else(none)?;
    let kept = read_kept(&path(node, (run.pipeline, id), part)).map_err(FlowError::fault(ATTEMPT))?;
    kept.ok_or_else(|| none().into())
}

/// The config vars of a stage of a pipeline.
///
/// # Errors
/// The caller may not see them, the stage has none, or the node fails.
pub async fn stage_config(
    node: &Node,
    caller: &Caller,
    (key, stage): (&str, &str),
) -> Result<ConfigVars, FlowError> {
    let (part, stage) = configured(node, caller, (key, stage)).await?;
    Ok(node.store().stage_config(part.pipeline.id, stage).await?)
}

/// Sets and removes config vars of a stage of a pipeline; tells all of them after it.
///
/// # Errors
/// The caller may not, the stage has none, the result cannot be an environment, or the node fails.
pub async fn change_stage_config(
    node: &Node,
    caller: &Caller,
    (key, stage): (&str, &str),
    changes: BTreeMap<String, Option<String>>,
) -> Result<ConfigVars, FlowError> {
    let (part, stage) = configured(node, caller, (key, stage)).await?;
    let changed = node.store().change_stage_config(part.pipeline.id, stage, changes).await?;
    changed.map_err(|refused| Refusal::ConfigVars(refused).into())
}

async fn configured(
    node: &Node,
    caller: &Caller,
    (key, stage): (&str, &str),
) -> Result<(Part, Stage), FlowError> {
    let part = part_in(node, caller, key, AppRight::Operate).await?;
    match stage.parse().map_err(Refusal::Stage)? {
        Stage::Test => Ok((part, Stage::Test)),
        Stage::Review | Stage::Development | Stage::Staging | Stage::Production => {
            Err(Refusal::StageConfig.into())
        }
    }
}

/// Ends the runs of a pipeline that goes, and removes what they have said.
pub(super) async fn forget(node: &Node, pipeline: Uuid) {
    let asked = node.test_runs().cancel(push_text::GONE_PIPELINE, |_, live| live.pipeline == pipeline);
    for ended in asked {
        ended.cancelled().await;
    }
    remove(&node.settings().test_runs_dir().join(pipeline.to_string()));
}
