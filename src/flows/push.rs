//! The life of a push: lock the app, build, release, apply, announce. A build that fails changes nothing.

use std::io::Write;
use std::path::PathBuf;

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::domain::{App, ProcessType, Release};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::error::FlowError;
use crate::flows::locks::{BUILDS_MAX, BuildBlocked, BuildPermit};
use crate::flows::ports::{BuildFailure, BuildOrder, Built};
use crate::flows::releases::announce;
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
/// Another build of the app is running, or too many of the node.
pub fn begin_push(node: &Node, app: &App) -> Result<BuildPermit, FlowError> {
    node.locks().try_build(app.id).map_err(|blocked| {
        FlowError::from(match blocked {
            BuildBlocked::App => Refusal::BuildRunning(app.name.to_string()),
            BuildBlocked::Node => Refusal::TooManyBuilds { limit: BUILDS_MAX },
        })
    })
}

/// Builds and releases a push; returns when the new dynos are on their way, not when they are up.
pub async fn push(node: &Node, push: Push, transcript: &Transcript, permit: BuildPermit) -> PushStatus {
    let outcome = build_and_release(node, &push, transcript).await;
    drop(permit);
    if let Err(error) = std::fs::remove_file(&push.source) {
        tracing::warn!(source = %push.source.display(), %error, "cannot remove the source of a push");
    }
    match outcome {
        Ok(release) => {
            transcript.lines(launched(node, &push.app, &release));
            PushStatus::Succeeded
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
            PushStatus::Failed
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

async fn build_and_release(node: &Node, push: &Push, transcript: &Transcript) -> Result<Release, Stopped> {
    let app = &push.app;
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
    let order = BuildOrder {
        id,
        app: app.clone(),
        source: push.source.clone(),
        commit: push.commit.clone(),
        buildpacks: node.store().buildpacks(app.id).await?,
        config: crate::flows::config(node, app).await?,
        cache: node.settings().cache_dir().join(app.id.to_string()),
    };
    transcript.lines(push_text::building_source());
    let result = match build(node, order, transcript, output_path).await {
        Ok(built) => release(node, push, built, id).await,
        Err(failure) => Err(Stopped::Build(failure)),
    };
    if result.is_err() {
        node.tell(app.id, &ApiLine::BuildFailed);
        if let Err(error) = node.store().finish_build(id, BuildEnd::Failed).await {
            tracing::warn!(app = %app.name, %error, "cannot record that a build failed");
        }
    }
    result
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

async fn release(node: &Node, push: &Push, built: Built, build: Uuid) -> Result<Release, Stopped> {
    let app = &push.app;
    let digest = built.slug.digest.clone();
    let process_types = built.slug.process_types.clone();
    node.store().record_slug(built.slug).await?;
    let _changing = node.locks().change(app.id).await;
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
        ..NewRelease::from_release(app.id, &current, description, push.actor.0.clone())
    };
    let release = node.store().create_release(new).await?;
    node.store().finish_build(build, BuildEnd::Succeeded { slug: digest, release: release.version }).await?;
    announce(node, app, &release, &push.actor);
    if before.entries().is_empty() && formation.total() > 0 {
        node.tell(app.id, &ApiLine::Scaled { formation, user: push.actor.0.clone() });
    }
    node.tell(app.id, &ApiLine::BuildSucceeded);
    node.apply(app).await?;
    Ok(release)
}

fn launched(node: &Node, app: &App, release: &Release) -> Vec<String> {
    let mut lines = vec![push_text::launching()];
    if release.process_types.keys().any(|name| *name == ProcessType::release()) {
        lines.push(push_text::error(hook_text::RELEASE_COMMAND_NOT_RUN));
    }
    lines.push(push_text::released(release.version));
    lines.extend(push_text::deployed(&node.settings().web_url(&app.name)));
    lines.push(push_text::verifying_done());
    lines
}
