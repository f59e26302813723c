//! The life of a push: lock the app, build, release, apply, announce. A build that fails changes nothing.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::build::{Chooser, is_of_the_host};
use crate::domain::{
    Action, App, ArchiveRoot, BuildPhase, BuildSource, Checksum, ConfigVars, Release, SourceUrl,
};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::announce::{Subject, announce};
use crate::flows::building::{Building, KeptLines, Order};
use crate::flows::error::FlowError;
use crate::flows::fetch::{self, FetchError};
use crate::flows::locks::{BuildBlocked, BuildPermit};
use crate::flows::phase::{self, Made, Phase, PhaseOutcome};
use crate::flows::ports::{BuildFailure, BuildOrder, Built};
use crate::flows::sources;
use crate::store::{BuildEnd, NewRelease};
use crate::wire::api::PushStatus;
use crate::wire::api_errors::Refusal;
use crate::wire::hook_text;
use crate::wire::logline::ApiLine;
use crate::wire::push_text::{self, Deed};
use crate::wire::release_text;

/// A source that was pushed.
#[derive(Clone, Debug)]
pub struct Push {
    /// The app.
    pub app: App,
    /// The source as a tar archive; removed when the push has ended.
    pub source: PathBuf,
    /// Which commit it is.
    pub commit: String,
    /// Who pushed.
    pub actor: Actor,
}

/// Takes the lines a pusher sees. They also go into the build's own file. What may be written is bounded by the builder.
#[derive(Clone)]
pub struct Transcript {
    sender: mpsc::UnboundedSender<String>,
    kept: Option<KeptLines>,
}

impl Transcript {
    /// A transcript and where its lines come out.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, kept: None }, receiver)
    }

    /// A transcript whose lines are kept, and come out nowhere else.
    pub(super) fn kept(kept: KeptLines) -> Self {
        Self::new().0.kept_in(kept)
    }

    /// The same, its lines being kept as well from now on.
    fn kept_in(&self, kept: KeptLines) -> Self {
        Self { sender: self.sender.clone(), kept: Some(kept) }
    }

    /// Adds a line. That nobody reads any more changes nothing: a push goes on when its client has gone.
    pub fn line(&self, line: impl Into<String>) {
        let line = line.into();
        if let Some(kept) = &self.kept {
            kept.append(&line);
        }
        let _nobody_reads = self.sender.send(line);
    }

    /// Adds lines.
    pub(super) fn lines(&self, lines: impl IntoIterator<Item = String>) {
        lines.into_iter().for_each(|line| self.line(line));
    }
}

/// Takes the right to build `app`; a second push of an app is refused while the first builds.
///
/// # Errors
/// Another build of the app is running, or too many wait for their turn.
pub fn begin_push(node: &Node, app: &App) -> Result<BuildPermit, FlowError> {
    node.locks().try_build(app.id, app.owner.as_ref()).map_err(|blocked| {
        FlowError::from(match blocked {
            BuildBlocked::App => Refusal::BuildRunning(app.name.to_string()),
            BuildBlocked::Node => Refusal::TooManyBuilds,
        })
    })
}

/// What became of a push.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Whether its ref moves. A release command may fail after this; the platform moves the ref all the same.
    pub status: PushStatus,
    /// The release command that runs now.
    pub phase: Option<Phase>,
}

/// Builds and releases a push; returns when the new dynos are on their way, not when they are up, or when the release
/// command is.
pub async fn push(node: &Node, push: Push, transcript: &Transcript, permit: BuildPermit) -> Pushed {
    let Push { app, source, commit, actor } = push;
    let source_said = BuildSource::default();
    let order =
        Order { app: app.clone(), actor, version: Some(commit), source: source_said, buildpacks: None };
    let pushed = match Building::begin(node, order, permit).await {
        Ok(building) => run(node, building, &Arrival::Here(source.clone()), transcript).await,
        Err(error) => {
            rejected(Deed::Push, (&app, Stopped::Flow(error)), transcript);
            Pushed { status: PushStatus::Failed, phase: None }
        }
    };
    remove_source(&source);
    pushed
}

/// Where the source of a build is.
pub(super) enum Arrival {
    /// In this file: a push.
    Here(PathBuf),
    /// In this file, as somebody has packed it.
    Packed(PathBuf),
    /// To be brought into this file first.
    Brought(Origin, PathBuf),
}

// === impl Arrival ===

impl Arrival {
    /// What was done so that it is here.
    fn deed(&self) -> Deed {
        match self {
            Self::Here(_) => Deed::Push,
            Self::Packed(_) | Self::Brought(..) => Deed::Build,
        }
    }
}

/// Where a source is brought from.
pub(super) enum Origin {
    /// A client has sent it under this name.
    Sent(Uuid),
    /// It is fetched.
    Url(SourceUrl),
}

/// Carries a build to its end, and tells it.
pub(super) async fn run(
    node: &Node,
    building: Building,
    arrival: &Arrival,
    transcript: &Transcript,
) -> Pushed {
    let transcript = transcript.kept_in(building.lines());
    let app = building.app().clone();
    // Until all is told: its end is the end of what is read of it.
    let mut building = building;
    match build_and_release(node, &mut building, arrival, &transcript).await {
        Ok(made) => {
            let (release, phase) = match made {
                Made::Current(release) => (release, None),
                Made::Pending(release, phase) => (release, Some(phase)),
            };
            transcript.lines(launched(node, &app, &release));
            Pushed { status: PushStatus::Succeeded, phase }
        }
        Err(stopped) => {
            rejected(arrival.deed(), (&app, stopped), &transcript);
            Pushed { status: PushStatus::Failed, phase: None }
        }
    }
}

/// Removes what was only for one build.
pub(super) fn remove_source(source: &Path) {
    match std::fs::remove_file(source) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(source = %source.display(), %error, "cannot remove the source of a push");
        }
        Ok(()) | Err(_) => {}
    }
}

fn rejected(deed: Deed, (app, stopped): (&App, Stopped), transcript: &Transcript) {
    match stopped {
        Stopped::Build(BuildFailure::Source) => {}
        Stopped::Build(BuildFailure::Node(reason)) => {
            tracing::error!(app = %app.name, reason, "a build failed by the node's fault");
        }
        Stopped::Fetch(error) => {
            if let FetchError::Disk(source) = &error {
                tracing::error!(app = %app.name, %source, "a source cannot be kept");
            }
            transcript.lines(deed.told(push_text::source_not_fetched(&error.to_string())));
        }
        Stopped::Cancelled(user) => transcript.lines(deed.told(push_text::cancelled(&user))),
        Stopped::Flow(FlowError::Refused(refusal)) => transcript.line(hook_text::refused(&refusal.body())),
        Stopped::Flow(FlowError::Fault { attempt, source }) => {
            tracing::error!(app = %app.name, attempt, error = &*source, "a push failed");
            transcript.lines(deed.told(push_text::node_failed(&format!("it cannot {attempt}"))));
        }
    }
    transcript.lines(push_text::rejected(deed, &app.name));
}

enum Stopped {
    Build(BuildFailure),
    Fetch(FetchError),
    /// By whom.
    Cancelled(String),
    Flow(FlowError),
}

impl<E: Into<FlowError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Flow(error.into())
    }
}

async fn build_and_release(
    node: &Node,
    building: &mut Building,
    arrival: &Arrival,
    transcript: &Transcript,
) -> Result<Made, Stopped> {
    let (app, actor) = (building.app().clone(), building.order.actor.clone());
    let _slug_stays = node.locks().making_slug().await;
    node.tell(app.id, &ApiLine::BuildStarted { user: actor.0.clone() });
    hear_of_build(node, building, Action::Create).await;
    let cancelled = building.cancelled();
    let built = tokio::select! {
        built = build(node, building, arrival, transcript) => built,
        () = cancelled => Err(Stopped::Cancelled(actor.0)),
    };
    let result = match (built, building.commit()) {
        (_, Err(user)) => Err(Stopped::Cancelled(user)),
        (Ok(built), Ok(())) => release(node, building, transcript, built).await,
        (Err(stopped), Ok(())) => Err(stopped),
    };
    if result.is_err() {
        node.tell(app.id, &ApiLine::BuildFailed);
        let end = BuildEnd::Failed { timings: building.laps.all() };
        if let Err(error) = node.store().finish_build(building.record.id, end).await {
            tracing::warn!(app = %app.name, %error, "cannot record that a build failed");
        }
        hear_of_build(node, building, Action::Update).await;
    }
    result
}

/// Tells webhooks how a build fares.
async fn hear_of_build(node: &Node, building: &Building, action: Action) {
    let app = building.app();
    let found = node.store().builds(app.id).await.unwrap_or_default();
    let Some(build) = found.into_iter().find(|build| build.id == building.record.id) else { return };
    let release = match build.release {
        Some(version) => node.store().release(app.id, version).await.ok().flatten(),
        None => None,
    };
    let release = release.map(|release| (release.version, release.id));
    announce(node, Subject::Build(app, &build, release), action, &building.order.actor.0).await;
}

/// The older way to name a buildpack, where none is set (platform reference 3.4). Whoever may change config vars says it,
/// and that is no right to read the host's files.
fn buildpack_of(config: &ConfigVars) -> Result<Option<String>, Refusal> {
    let named = ["BUILDPACK_URL", "LANGUAGE_PACK_URL"].into_iter().find_map(|name| config.get(name));
    match named.filter(|url| !url.trim().is_empty()) {
        Some(url) if is_of_the_host(url) => Err(Refusal::HostBuildpack),
        named => Ok(named.map(str::to_owned)),
    }
}

/// What was detected once is the app's choice from then on (platform reference 3.4): another file in its root does not
/// change what it is. A release can be made without it as well.
async fn keep_choice(node: &Node, app: &App, buildpacks: Vec<String>) {
    if let Err(error) = node.store().set_buildpacks(app.id, buildpacks).await {
        tracing::warn!(app = %app.name, %error, "the buildpack that was detected is not kept");
    }
}

/// Brings the source where it is not here yet, and has it built.
async fn build(
    node: &Node,
    building: &mut Building,
    arrival: &Arrival,
    transcript: &Transcript,
) -> Result<Built, Stopped> {
    let app = &building.order.app;
    let config = crate::flows::config(node, app).await?;
    let mut buildpacks = match &building.order.buildpacks {
        Some(own) => own.clone(),
        None => node.store().buildpacks(app.id).await?,
    };
    if buildpacks.is_empty() {
        buildpacks.extend(buildpack_of(&config)?);
    }
    let began = Instant::now();
    let (source, root) = match arrival {
        Arrival::Here(source) => (source, ArchiveRoot::Top),
        Arrival::Packed(source) => (source, ArchiveRoot::TopOrOnlyDirectory),
        Arrival::Brought(origin, to) => {
            bring(node, origin, to, building.order.source.checksum.as_ref()).await.map_err(Stopped::Fetch)?;
            (to, ArchiveRoot::TopOrOnlyDirectory)
        }
    };
    building.laps.add(BuildPhase::Source, began.elapsed());
    let order = BuildOrder {
        id: building.record.id,
        deed: arrival.deed(),
        app: app.clone(),
        source: source.clone(),
        root,
        commit: building.order.version.clone().unwrap_or_default(),
        buildpacks,
        config,
        cache: node.settings().cache_dir().join(app.id.to_string()),
        laps: building.laps.clone(),
    };
    transcript.lines(push_text::building_source());
    if let Some(permit) = &mut building.permit {
        node.locks().turn(permit, |running| transcript.line(push_text::waits_for_builds(running))).await;
    }
    let built = run_builder(node, order, transcript).await.map_err(Stopped::Build)?;
    if built.chooser == Chooser::Detection {
        keep_choice(node, app, built.buildpacks.clone()).await;
    }
    Ok(built)
}

/// Has a source in a file of its own.
pub(super) async fn bring(
    node: &Node,
    origin: &Origin,
    to: &Path,
    checksum: Option<&Checksum>,
) -> Result<(), FetchError> {
    match origin {
        Origin::Sent(id) => sources::take(node, *id, to).map_err(FetchError::Disk)?,
        Origin::Url(url) => {
            fetch::fetch(url, (node.tls(), node.settings().source_reach), to).await?;
        }
    }
    match checksum {
        Some(checksum) => fetch::check(to, checksum).await,
        None => Ok(()),
    }
}

/// Runs the builder, its lines going to whoever reads.
async fn run_builder(node: &Node, order: BuildOrder, transcript: &Transcript) -> Result<Built, BuildFailure> {
    let (sender, mut lines) = mpsc::unbounded_channel::<String>();
    let copy = async {
        while let Some(line) = lines.recv().await {
            transcript.line(line);
        }
    };
    let (result, ()) = tokio::join!(node.builder().build(order, sender), copy);
    result
}

async fn release(
    node: &Node,
    building: &mut Building,
    transcript: &Transcript,
    built: Built,
) -> Result<Made, Stopped> {
    let began = Instant::now();
    let (app, actor) = (building.app().clone(), building.order.actor.clone());
    let (version, permit) = (building.order.version.clone(), building.permit.take());
    let Built { slug, stack_version, buildpacks, chooser: _ } = built;
    let digest = slug.digest.clone();
    let process_types = slug.process_types.clone();
    node.store().record_slug(slug).await?;
    let waits = |phase: &Phase| transcript.line(push_text::release_queued(phase.version));
    let _turn = phase::turn_after(node, &app, waits).await;
    let current = node.store().current_release(app.id).await?.ok_or_else(Refusal::no_app)?;
    let before = node.store().formation(app.id).await?;
    let formation = before.deployed(process_types.keys());
    let description = release_text::deploy(version.as_deref().unwrap_or_default());
    let new = NewRelease {
        slug: Some(digest.clone()),
        commit: version,
        stack: app.build_stack.clone(),
        stack_version: Some(stack_version),
        process_types,
        formation: Some(formation.clone()),
        config: crate::flows::config(node, &app).await?,
        ..NewRelease::from_release(app.id, &current, description, actor.0.clone())
    };
    let made = phase::make(node, &app, new, &actor).await?;
    let (Made::Current(release) | Made::Pending(release, _)) = &made;
    building.laps.add(BuildPhase::Release, began.elapsed());
    let timings = building.laps.all();
    let end = BuildEnd::Succeeded { slug: digest, release: release.version, buildpacks, timings };
    node.store().finish_build(building.record.id, end).await?;
    // The next build may begin while a release command runs.
    drop(permit);
    hear_of_build(node, building, Action::Update).await;
    match &made {
        Made::Pending(..) => node.tell(app.id, &ApiLine::BuildSucceeded),
        Made::Current(_) => {
            if before.entries().is_empty() && formation.total() > 0 {
                node.tell(app.id, &ApiLine::Scaled { formation, user: actor.0.clone() });
            }
            node.tell(app.id, &ApiLine::BuildSucceeded);
            node.apply(&app).await?;
        }
    }
    Ok(made)
}

/// The release command as the pusher follows it, after the push has succeeded: its output, and what became of it.
///
/// # Errors
/// The output cannot be read.
pub fn follow_release(phase: Phase) -> Result<BoxStream<'static, Bytes>, FlowError> {
    let head: String = push_text::running_release_command().iter().map(|line| format!("{line}\n")).collect();
    // An output that breaks off is no reason not to tell the end.
    let output = phase.output()?.filter_map(|piece| async { piece.ok() });
    let tail = async move {
        let line = match phase.outcome().await {
            PhaseOutcome::Succeeded => push_text::release_done(),
            PhaseOutcome::Failed => push_text::release_failed(),
        };
        Bytes::from(line + "\n")
    };
    Ok(stream::iter([Bytes::from(head)]).chain(output).chain(stream::once(tail)).boxed())
}

fn launched(node: &Node, app: &App, release: &Release) -> Vec<String> {
    let mut lines = vec![push_text::launching()];
    if release.command().is_some() {
        lines.push(push_text::release_command_declared());
    }
    lines.push(push_text::released(release.version));
    lines.extend(push_text::deployed(&node.settings().web_url(&app.name)));
    lines.push(push_text::verifying_done());
    lines
}
