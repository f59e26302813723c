//! Tests of a source, as the platform's CI runs them. A run is its client's: it ends when nobody waits for it any more, and
//! leaves nothing but what was printed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::build::{Laps, TestCommands, is_of_the_host};
use crate::domain::{App, ArchiveRoot, ConfigVars, Manifest};
use crate::flows::Node;
use crate::flows::build_list::check_buildpack;
use crate::flows::caller::Caller;
use crate::flows::error::FlowError;
use crate::flows::locks::BuildPermit;
use crate::flows::ports::{BuildFailure, BuildOrder};
use crate::flows::push::{Transcript, remove_source};
use crate::wire::api_errors::Refusal;
use crate::wire::app_json::{self, TEST_ENVIRONMENT};
use crate::wire::hook_text;
use crate::wire::push_text;

/// Bytes of a random config var; it is written with two digits each.
const SECRET_BYTES: usize = 32;
/// What a run ends with that did not come to an end of its own.
const NOT_RUN: u8 = 1;

/// A source whose tests are to be run.
#[derive(Clone, Debug)]
pub struct TestRun {
    /// The app whose buildpacks and stack are used where the source does not say otherwise.
    pub app: App,
    /// The source as a tar archive; removed when the run has ended.
    pub source: PathBuf,
    /// Which version it is; empty where nobody says.
    pub version: String,
}

/// A random value for a config var.
pub(super) fn secret() -> String {
    hex::encode(rand::random::<[u8; SECRET_BYTES]>())
}

/// Runs the tests; tells the exit status. What there is to see goes to the transcript.
pub async fn run_tests(
    node: &Node,
    run: TestRun,
    caller: &Caller,
    (transcript, permit): (&Transcript, BuildPermit),
) -> u8 {
    let _source = Removed(run.source.clone());
    let status = match tested(node, run, caller, (transcript, permit)).await {
        Ok(status) => status,
        Err(stopped) => {
            stopped.tell(transcript);
            transcript.lines(push_text::tests_not_run());
            return NOT_RUN;
        }
    };
    transcript.lines(push_text::tests_ended(status));
    status
}

/// A source that goes however its run ends.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        remove_source(&self.0);
    }
}

/// Why the tests were not run.
enum Stopped {
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
    fn tell(self, transcript: &Transcript) {
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

async fn tested(
    node: &Node,
    run: TestRun,
    caller: &Caller,
    (transcript, mut permit): (&Transcript, BuildPermit),
) -> Result<u8, Stopped> {
    let TestRun { mut app, source, version } = run;
    node.locks().turn(&mut permit, |running| transcript.line(push_text::waits_for_builds(running))).await;
    let manifest = manifest(node, order(&app, &source, &version), transcript).await?;
    if !manifest.add_ons.is_empty() {
        let plans: Vec<&str> = manifest.add_ons.iter().map(|one| one.plan.as_str()).collect();
        transcript.lines(push_text::add_ons_left_out(&plans));
    }
    if let Some(stack) = &manifest.stack {
        app.build_stack = super::apps::stack(node, Some(stack))?;
    }
    let config = manifest.config(&BTreeMap::new(), secret).map_err(|names| {
        let wrong: Vec<_> = names.iter().map(|name| app_json::var_required(name)).collect();
        Stopped::Told(push_text::manifest_refused(&wrong))
    })?;
    let (setup, test) = app_json::test_commands(&manifest.scripts);
    let order = BuildOrder {
        buildpacks: buildpacks(node, &app, &manifest, caller).await?,
        config: ConfigVars::new(config).map_err(Refusal::ConfigVars)?,
        ..order(&app, &source, &version)
    };
    let (sender, mut lines) = mpsc::unbounded_channel::<String>();
    let copy = async {
        while let Some(line) = lines.recv().await {
            transcript.line(line);
        }
    };
    let commands = TestCommands { setup, test };
    let (status, ()) = tokio::join!(node.builder().test(order, commands, sender), copy);
    status.map_err(Stopped::Build)
}

/// The source, before anything is known of it.
fn order(app: &App, source: &std::path::Path, version: &str) -> BuildOrder {
    BuildOrder {
        id: Uuid::new_v4(),
        app: app.clone(),
        source: source.to_owned(),
        root: ArchiveRoot::Top,
        commit: version.to_owned(),
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
