//! Tests of a source, as the platform's CI runs them, whoever asks for them and keeps what they say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::build::{Laps, TestCommands, is_of_the_host};
use crate::domain::{App, ArchiveRoot, ConfigVars, Manifest};
use crate::flows::Node;
use crate::flows::build_list::check_buildpack;
use crate::flows::caller::Caller;
use crate::flows::error::FlowError;
use crate::flows::locks::BuildPermit;
use crate::flows::ports::{BuildFailure, BuildOrder, TestLines};
use crate::flows::push::{Transcript, remove_source};
use crate::wire::api_errors::Refusal;
use crate::wire::app_json::{self, TEST_ENVIRONMENT};
use crate::wire::hook_text;
use crate::wire::push_text::{self, Deed};

/// Bytes of a random config var; it is written with two digits each.
const SECRET_BYTES: usize = 32;
/// What a run ends with that did not come to an end of its own.
const NOT_RUN: u8 = 1;

/// A source whose tests are to be run.
#[derive(Clone, Debug)]
pub struct TestSource {
    /// The app whose buildpacks and stack are used where the source does not say otherwise.
    pub app: App,
    /// The source as a tar archive; removed when the run has ended.
    pub source: PathBuf,
    /// Where in it the app's root is.
    pub root: ArchiveRoot,
    /// Which version it is; empty where nobody says.
    pub version: String,
    /// Config vars that go before those of the source.
    pub given: BTreeMap<String, String>,
}

/// A random value for a config var.
pub(super) fn secret() -> String {
    hex::encode(rand::random::<[u8; SECRET_BYTES]>())
}

/// Runs the tests; tells the exit status. What there is to see goes to the transcript. A run is its client's: it ends when
/// nobody waits for it any more, and leaves nothing but what was printed.
pub async fn run_tests(
    node: &Node,
    source: TestSource,
    caller: &Caller,
    (transcript, mut permit): (&Transcript, BuildPermit),
) -> u8 {
    let _source = Removed(source.source.clone());
    node.locks().turn(&mut permit, |running| transcript.line(push_text::waits_for_builds(running))).await;
    let begun = CancellationToken::new();
    let says = Says { setup: transcript, tests: transcript, begun: &begun };
    match tested(node, source, caller, &says).await {
        Ok(status) => {
            transcript.lines(push_text::tests_ended(status));
            status
        }
        Err(stopped) => {
            stopped.tell(transcript);
            transcript.lines(push_text::tests_not_run());
            NOT_RUN
        }
    }
}

/// A source that goes however its run ends.
pub(super) struct Removed(pub(super) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        remove_source(&self.0);
    }
}

/// Who hears what is said.
pub(super) struct Says<'a> {
    /// Of all that comes before the tests.
    pub(super) setup: &'a Transcript,
    /// Of the tests.
    pub(super) tests: &'a Transcript,
    /// Cancelled before the first line of the tests, when all others have been told.
    pub(super) begun: &'a CancellationToken,
}

/// Why the tests were not run.
pub(super) enum Stopped {
    Build(BuildFailure),
    /// These lines tell it.
    Told(Vec<String>),
    Flow(FlowError),
}

impl<E: Into<FlowError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Flow(error.into())
    }
}

impl Stopped {
    /// Tells what is not told yet.
    pub(super) fn tell(self, transcript: &Transcript) {
        match self {
            Self::Build(BuildFailure::Source) => {}
            Self::Build(BuildFailure::Node(reason)) => {
                tracing::error!(reason, "tests failed by the node's fault");
            }
            Self::Told(lines) => transcript.lines(lines),
            Self::Flow(FlowError::Refused(refusal)) => transcript.line(hook_text::refused(&refusal.body())),
            Self::Flow(FlowError::Fault { attempt, source }) => {
                tracing::error!(attempt, error = &*source, "tests failed");
                transcript.line(hook_text::hook_failed(&format!("it cannot {attempt}")));
            }
        }
    }
}

/// Compiles the source and runs its tests: their exit status.
pub(super) async fn tested(
    node: &Node,
    source: TestSource,
    caller: &Caller,
    says: &Says<'_>,
) -> Result<u8, Stopped> {
    let first = order(&source);
    let TestSource { mut app, given, .. } = source;
    let manifest = manifest(node, first.clone(), says.setup).await?;
    if !manifest.add_ons.is_empty() {
        let plans: Vec<&str> = manifest.add_ons.iter().map(|one| one.plan.as_str()).collect();
        says.setup.lines(push_text::add_ons_left_out(&plans));
    }
    if let Some(stack) = &manifest.stack {
        app.build_stack = super::apps::stack(node, Some(stack))?;
    }
    let config = manifest.config(&given, secret).map_err(|names| {
        let wrong: Vec<_> = names.iter().map(|name| app_json::var_required(name)).collect();
        Stopped::Told(push_text::manifest_refused(&wrong))
    })?;
    let (setup, test) = app_json::test_commands(&manifest.scripts);
    let order = BuildOrder {
        id: Uuid::new_v4(),
        deed: Deed::Build,
        buildpacks: buildpacks(node, &app, &manifest, caller).await?,
        config: ConfigVars::new(config).map_err(Refusal::ConfigVars)?,
        app,
        ..first
    };
    run_builder(node, order, TestCommands { setup, test }, says).await.map_err(Stopped::Build)
}

/// Runs the builder, its lines going to whoever reads.
async fn run_builder(
    node: &Node,
    order: BuildOrder,
    commands: TestCommands,
    says: &Says<'_>,
) -> Result<u8, BuildFailure> {
    let (setup, mut of_setup) = mpsc::unbounded_channel::<String>();
    let (tests, mut of_tests) = mpsc::unbounded_channel::<String>();
    let copy = async {
        loop {
            // In this order: when a line of the tests is there, so are all those before.
            tokio::select! {
                biased;
                Some(line) = of_setup.recv() => says.setup.line(line),
                Some(line) = of_tests.recv() => {
                    says.begun.cancel();
                    says.tests.line(line);
                }
                else => break,
            }
        }
    };
    tokio::join!(node.builder().test(order, commands, TestLines { setup, tests }), copy).0
}

/// The source, before anything is known of it.
fn order(source: &TestSource) -> BuildOrder {
    BuildOrder {
        id: Uuid::new_v4(),
        deed: Deed::Build,
        app: source.app.clone(),
        source: source.source.clone(),
        root: source.root,
        commit: source.version.clone(),
        buildpacks: Vec::new(),
        config: ConfigVars::default(),
        cache: PathBuf::new(),
        laps: Laps::default(),
    }
}

/// What the source says of its tests; one that says nothing is fine.
async fn manifest(node: &Node, order: BuildOrder, transcript: &Transcript) -> Result<Manifest, Stopped> {
    let (sender, mut lines) = mpsc::unbounded_channel::<String>();
    let read = node.builder().manifest(order, sender).await;
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(failure) => {
            while let Some(line) = lines.recv().await {
                transcript.line(line);
            }
            return Err(Stopped::Build(failure));
        }
    };
    if bytes.is_empty() {
        return Ok(Manifest::default());
    }
    let parsed = app_json::parse(&bytes, Some(TEST_ENVIRONMENT));
    parsed.map_err(|wrong| Stopped::Told(push_text::manifest_refused(&wrong)))
}

/// The buildpacks that the source names, or else the app's.
async fn buildpacks(
    node: &Node,
    app: &App,
    manifest: &Manifest,
    caller: &Caller,
) -> Result<Vec<String>, FlowError> {
    if manifest.buildpacks.is_empty() {
        return Ok(node.store().buildpacks(app.id).await?);
    }
    for name in &manifest.buildpacks {
        if is_of_the_host(name) {
            caller.require_administrator().map_err(|_| Refusal::HostBuildpack)?;
        }
        check_buildpack(node, name)?;
    }
    Ok(manifest.buildpacks.clone())
}
