//! A build of a source that is somewhere: sent to the node before, or at a URL. It goes on without whoever asked for it.

use std::time::Duration;

use uuid::Uuid;

use crate::build::is_of_the_host;
use crate::domain::{App, Build, BuildSource, BuildStatus, SourceUrl};
use crate::flows::Node;
use crate::flows::build_list::check_buildpack;
use crate::flows::building::{Building, Cancel, Order};
use crate::flows::caller::Caller;
use crate::flows::error::FlowError;
use crate::flows::push::{Arrival, Origin, Transcript, begin_push, remove_source, run};
use crate::flows::sources;
use crate::logs::{OutputStream, read_kept};
use crate::sys::fs::remove_tree;
use crate::wire::api_errors::{Missing, Refusal};

/// The most characters of what is said of a source: its version, and what that brings.
const SAID_CHARS_MAX: usize = 1000;

/// The most buildpacks of one build.
const BUILDPACKS_MAX: usize = 20;

/// How long whoever cancels a build waits for its end, seconds.
const CANCEL_TIMEOUT_S: u64 = 30;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct SourceBuildRequest {
    /// Where the archive is.
    pub url: String,
    /// The checksum that it must have.
    pub checksum: Option<String>,
    /// Which version it is.
    pub version: Option<String>,
    /// What that brings.
    pub description: Option<String>,
    /// The buildpacks of this build alone.
    pub buildpacks: Option<Vec<String>>,
}

/// Begins a build, and returns when it is recorded.
///
/// # Errors
/// The request makes no sense, another build of the app runs, or the node fails.
pub async fn start_build(
    node: &Node,
    caller: &Caller,
    app: &App,
    request: SourceBuildRequest,
) -> Result<Build, FlowError> {
    let SourceBuildRequest { url, checksum, version, description, buildpacks } = request;
    let url: SourceUrl = url.parse().map_err(Refusal::SourceUrl)?;
    let checksum = checksum.map(|text| text.parse()).transpose().map_err(Refusal::Checksum)?;
    for said in version.iter().chain(&description) {
        if said.chars().count() > SAID_CHARS_MAX || said.contains('\0') {
            return Err(Refusal::SourceSaid { limit: SAID_CHARS_MAX }.into());
        }
    }
    if let Some(names) = &buildpacks {
        if names.len() > BUILDPACKS_MAX {
            return Err(Refusal::TooManyBuildpacks { limit: BUILDPACKS_MAX }.into());
        }
        if names.iter().any(|name| is_of_the_host(name)) {
            caller.require_administrator().map_err(|_| Refusal::HostBuildpack)?;
        }
        for name in names {
            check_buildpack(node, name)?;
        }
    }
    let (origin, shown) = match sources::own(node, &url) {
        Some(id) => (Origin::Sent(id), None),
        None => (Origin::Url(url.clone()), Some(url.without_secrets())),
    };
    let permit = begin_push(node, app)?;
    let order = Order {
        app: app.clone(),
        actor: caller.actor(),
        version: version.filter(|version| !version.is_empty()),
        source: BuildSource { url: shown, checksum, description },
        buildpacks: buildpacks.filter(|names| !names.is_empty()),
    };
    let building = Building::begin(node, order, permit).await?;
    let record = building.record.clone();
    let file = node.settings().sources_dir().join(format!("{}.source", record.id));
    let node = node.clone();
    tokio::spawn(async move {
        let arrival = Arrival::Brought(origin, file.clone());
        run(&node, building, &arrival, &Transcript::new().0).await;
        remove_source(&file);
    });
    Ok(record)
}

/// One build of an app.
///
/// # Errors
/// There is none of that identity, or the node fails.
pub async fn build(node: &Node, app: &App, id: Uuid) -> Result<Build, FlowError> {
    let found = node.store().builds(app.id).await?.into_iter().find(|build| build.id == id);
    found.ok_or_else(|| Refusal::NotFound(Missing::Build).into())
}

/// Ends a build before it has made a slug; returns the build when it has ended.
///
/// # Errors
/// There is none of that identity, it does not run, its slug is being released, or the node fails.
pub async fn cancel_build(node: &Node, app: &App, id: Uuid, user: &str) -> Result<Build, FlowError> {
    let found = build(node, app, id).await?;
    match node.builds().cancel(id, user) {
        Cancel::Over => return Err(Refusal::BuildOver(found.status).into()),
        Cancel::TooLate => return Err(Refusal::BuildReleases.into()),
        Cancel::Asked(ended) => {
            let limit = Duration::from_secs(CANCEL_TIMEOUT_S);
            if tokio::time::timeout(limit, ended.cancelled()).await.is_err() {
                tracing::warn!(app = %app.name, build = %id, "a cancelled build takes long to end");
            }
        }
    }
    build(node, app, id).await
}

/// Ends the builds of a node that ends itself; those who wait for them are told so.
pub async fn end_builds(node: &Node) {
    let mut asked = node.builds().close();
    asked.extend(node.test_runs().close());
    let ended = async {
        for build in &asked {
            build.cancelled().await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(CANCEL_TIMEOUT_S), ended).await.is_err() {
        tracing::warn!(builds = asked.len(), "builds take long to end, and end with this process");
    }
}

/// What a build prints, or has printed.
///
/// # Errors
/// There is no such build, or its output is not kept.
pub async fn build_output(node: &Node, id: Uuid) -> Result<OutputStream, FlowError> {
    const ATTEMPT: &str = "read the output of a build";
    if let Some(output) = node.builds().output(id) {
        return output.read().map_err(FlowError::fault(ATTEMPT));
    }
    let none = || Refusal::NotFound(Missing::BuildOutput);
    let build = node.store().build(id).await?.ok_or_else(none)?;
    // One that has just ended has its file as well.
    let kept = read_kept(&build.output_path).map_err(FlowError::fault(ATTEMPT))?;
    kept.ok_or_else(|| none().into())
}

/// Whether a build has ended, and well.
#[must_use]
pub fn exit_code(build: &Build) -> Option<u8> {
    match build.status {
        BuildStatus::Pending => None,
        BuildStatus::Succeeded => Some(0),
        BuildStatus::Failed => Some(1),
    }
}

/// Removes what buildpacks keep from build to build of an app.
///
/// # Errors
/// A build of the app runs, or the files cannot be removed.
pub async fn purge_cache(node: &Node, app: &App) -> Result<(), FlowError> {
    let permit = begin_push(node, app)?;
    let dir = node.settings().cache_dir().join(app.id.to_string());
    let removed = tokio::task::spawn_blocking(move || {
        let _held = permit;
        remove_tree(&dir)
    });
    let failed = FlowError::fault("remove a build cache");
    removed.await.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(failed)
}
