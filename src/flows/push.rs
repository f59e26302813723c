//! The life of a push: lock the app, build, release, apply, announce. A build that fails changes nothing.

use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::build::is_of_the_host;
use crate::domain::{Action, App, ConfigVars, Release};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::announce::{Subject, announce};
use crate::flows::error::FlowError;
use crate::flows::locks::{BuildBlocked, BuildPermit};
use crate::flows::phase::{self, Made, Phase, PhaseOutcome};
use crate::flows::ports::{BuildFailure, BuildOrder, Built};
use crate::store::{BuildEnd, NewBuild, NewRelease};
use crate::wire::api::PushStatus;
use crate::wire::api_errors::Refusal;
use crate::wire::hook_text;
use crate::wire::logline::ApiLine;
use crate::wire::push_text;
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
pub struct Transcript(mpsc::UnboundedSender<String>);

impl Transcript {
    /// A transcript and where its lines come out.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Adds a line. That nobody reads any more changes nothing: a push goes on when its client has gone.
    pub fn line(&self, line: impl Into<String>) {
        let _nobody_reads = self.0.send(line.into());
    }

    fn lines(&self, lines: impl IntoIterator<Item = String>) {
        lines.into_iter().for_each(|line| self.line(line));
    }
}

/// Takes the right to build `app`; a second push of an app is refused while the first builds.
///
/// # Errors
/// Another build of the app is running, or too many wait for their turn.
pub fn begin_push(node: &Node, app: &App) -> Result<BuildPermit, FlowError> {
    node.locks().try_build(app.id).map_err(|blocked| {
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
    let outcome = build_and_release(node, &push, transcript, permit).await;
    if let Err(error) = std::fs::remove_file(&push.source) {
        tracing::warn!(source = %push.source.display(), %error, "cannot remove the source of a push");
    }
    match outcome {
        Ok(made) => {
            let (release, phase) = match made {
                Made::Current(release) => (release, None),
                Made::Pending(release, phase) => (release, Some(phase)),
            };
            transcript.lines(launched(node, &push.app, &release));
            Pushed { status: PushStatus::Succeeded, phase }
        }
        Err(stopped) => {
            match stopped {
                Stopped::Build(BuildFailure::Source) => {}
                Stopped::Build(BuildFailure::Node(reason)) => {
                    tracing::error!(app = %push.app.name, reason, "a build failed by the node's fault");
                }
                Stopped::Flow(FlowError::Refused(refusal)) => {
                    transcript.line(hook_text::refused(&refusal.body()))
                }
                Stopped::Flow(FlowError::Fault { attempt, source }) => {
                    tracing::error!(app = %push.app.name, attempt, error = &*source, "a push failed");
                    transcript.line(hook_text::hook_failed(&format!("it cannot {attempt}")));
                }
            }
            transcript.lines(push_text::rejected(&push.app.name));
            Pushed { status: PushStatus::Failed, phase: None }
        }
    }
}

enum Stopped {
    Build(BuildFailure),
    Flow(FlowError),
}

impl<E: Into<FlowError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Flow(error.into())
    }
}

async fn build_and_release(
    node: &Node,
    push: &Push,
    transcript: &Transcript,
    mut permit: BuildPermit,
) -> Result<Made, Stopped> {
    let app = &push.app;
    let _slug_stays = node.locks().making_slug().await;
    let config = crate::flows::config(node, app).await?;
    let mut buildpacks = node.store().buildpacks(app.id).await?;
    if buildpacks.is_empty() {
        buildpacks.extend(buildpack_of(&config)?);
    }
    let id = Uuid::new_v4();
    let (commit, user) = (Some(push.commit.clone()), push.actor.0.clone());
    let output_path = node.settings().builds_dir().join(app.id.to_string()).join(format!("{id}.log"));
    node.store()
        .create_build(NewBuild {
            id,
            app: app.id,
            commit,
            user: user.clone(),
            output_path: output_path.clone(),
        })
        .await?;
    node.tell(app.id, &ApiLine::BuildStarted { user });
    hear_of_build(node, push, id, Action::Create).await;
    let order = BuildOrder {
        id,
        app: app.clone(),
        source: push.source.clone(),
        commit: push.commit.clone(),
        buildpacks,
        config,
        cache: node.settings().cache_dir().join(app.id.to_string()),
    };
    transcript.lines(push_text::building_source());
    node.locks().turn(&mut permit, |running| transcript.line(push_text::waits_for_builds(running))).await;
    let was_detected = order.buildpacks.is_empty();
    let built = build(node, order, transcript, output_path).await;
    if let Ok(built) = &built
        && was_detected
    {
        keep_choice(node, app, built.buildpacks.clone()).await;
    }
    let result = match built {
        Ok(built) => release(node, push, transcript, Slugged { built, build: id, permit }).await,
        Err(failure) => Err(Stopped::Build(failure)),
    };
    if result.is_err() {
        node.tell(app.id, &ApiLine::BuildFailed);
        if let Err(error) = node.store().finish_build(id, BuildEnd::Failed).await {
            tracing::warn!(app = %app.name, %error, "cannot record that a build failed");
        }
        hear_of_build(node, push, id, Action::Update).await;
    }
    result
}

/// Tells webhooks how a build fares.
async fn hear_of_build(node: &Node, push: &Push, id: Uuid, action: Action) {
    let found = node.store().builds(push.app.id).await.unwrap_or_default();
    let Some(build) = found.into_iter().find(|build| build.id == id) else { return };
    let release = match build.release {
        Some(version) => node.store().release(push.app.id, version).await.ok().flatten(),
        None => None,
    };
    let release = release.map(|release| (release.version, release.id));
    announce(node, Subject::Build(&push.app, &build, release), action, &push.actor.0).await;
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

/// Runs the builder, its lines going to the pusher and into the build's file.
async fn build(
    node: &Node,
    order: BuildOrder,
    transcript: &Transcript,
    output: PathBuf,
) -> Result<Built, BuildFailure> {
    let (sender, mut lines) = mpsc::unbounded_channel::<String>();
    let mut file = output.parent().and_then(|dir| {
        std::fs::create_dir_all(dir).ok()?;
        std::fs::File::create(&output).ok()
    });
    if file.is_none() {
        tracing::warn!(output = %output.display(), "cannot keep a build's output; it goes to the pusher alone");
    }
    let copy = async {
        while let Some(line) = lines.recv().await {
            if let Some(open) = &mut file
                && writeln!(open, "{line}").is_err()
            {
                file = None;
            }
            transcript.line(line);
        }
    };
    let (result, ()) = tokio::join!(node.builder().build(order, sender), copy);
    result
}

/// A build that has made a slug.
struct Slugged {
    built: Built,
    build: Uuid,
    permit: BuildPermit,
}

async fn release(
    node: &Node,
    push: &Push,
    transcript: &Transcript,
    slugged: Slugged,
) -> Result<Made, Stopped> {
    let Slugged { built, build, permit } = slugged;
    let app = &push.app;
    let digest = built.slug.digest.clone();
    let process_types = built.slug.process_types.clone();
    node.store().record_slug(built.slug).await?;
    let waits = |phase: &Phase| transcript.line(push_text::release_queued(phase.version));
    let _turn = phase::turn_after(node, app, waits).await;
    let current = node.store().current_release(app.id).await?.ok_or_else(Refusal::no_app)?;
    let before = node.store().formation(app.id).await?;
    let formation = before.deployed(process_types.keys());
    let description = release_text::deploy(&push.commit);
    let new = NewRelease {
        slug: Some(digest.clone()),
        commit: Some(push.commit.clone()),
        stack: app.build_stack.clone(),
        stack_version: Some(built.stack_version),
        process_types,
        formation: Some(formation.clone()),
        config: crate::flows::config(node, app).await?,
        ..NewRelease::from_release(app.id, &current, description, push.actor.0.clone())
    };
    let made = phase::make(node, app, new, &push.actor).await?;
    let (Made::Current(release) | Made::Pending(release, _)) = &made;
    node.store().finish_build(build, BuildEnd::Succeeded { slug: digest, release: release.version }).await?;
    // The next build may begin while a release command runs.
    drop(permit);
    hear_of_build(node, push, build, Action::Update).await;
    match &made {
        Made::Pending(..) => node.tell(app.id, &ApiLine::BuildSucceeded),
        Made::Current(_) => {
            if before.entries().is_empty() && formation.total() > 0 {
                node.tell(app.id, &ApiLine::Scaled { formation, user: push.actor.0.clone() });
            }
            node.tell(app.id, &ApiLine::BuildSucceeded);
            node.apply(app).await?;
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
