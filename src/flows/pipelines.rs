//! Pipelines: who sees which, and which app stands where.
//!
//! A pipeline is seen by its owner and by whoever may look at an app in it, who sees those apps alone; to all others it
//! is not there. Its owner renames and removes it. Putting an app into it takes the right to operate the app, and that the
//! pipeline is one's own or holds another app that one may operate: a look at a pipeline is no right to fill it.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::{App, AppId, AppRight, Coupling, Email, Pipeline, PipelineName, Stage};
use crate::flows::Node;
use crate::flows::accounts::require_user;
use crate::flows::apps::find;
use crate::flows::caller::{Caller, Role, permit, right_on};
use crate::flows::error::FlowError;
use crate::flows::pipeline_tests;
use crate::flows::sharing::{apps_for, owner, transfer};
use crate::store::StoreError;
use crate::wire::api_errors::{Missing, Refusal};

/// How many apps are looked up at once.
const FILTER_MAX: usize = 1000;

/// An app's place in a pipeline, with both.
#[derive(Clone, Debug)]
pub struct Place {
    /// The place.
    pub coupling: Coupling,
    /// The app.
    pub app: App,
    /// The pipeline.
    pub pipeline: Pipeline,
}

/// A pipeline in which a caller has part, and those of its apps that the caller sees, by stage.
pub(super) struct Part {
    pub(super) pipeline: Pipeline,
    pub(super) apps: Vec<App>,
}

/// What a caller sees of pipelines.
struct Seen {
    pipelines: Vec<Pipeline>,
    places: Vec<Place>,
}

/// Whose the pipeline is.
#[must_use]
pub fn pipeline_owner<'a>(node: &'a Node, pipeline: &'a Pipeline) -> &'a Email {
    pipeline.owner.as_ref().unwrap_or(&node.settings().owner)
}

async fn seen(node: &Node, caller: &Caller) -> Result<Seen, FlowError> {
    let apps: BTreeMap<AppId, App> =
        apps_for(node, caller).await?.into_iter().map(|app| (app.id, app)).collect();
    let all: BTreeMap<Uuid, Pipeline> =
        node.store().pipelines().await?.into_iter().map(|pipeline| (pipeline.id, pipeline)).collect();
    let place = |coupling: Coupling| {
        let app = apps.get(&coupling.app)?.clone();
        let pipeline = all.get(&coupling.pipeline)?.clone();
        Some(Place { coupling, app, pipeline })
    };
    let places: Vec<Place> = node.store().couplings().await?.into_iter().filter_map(place).collect();
    let is_seen = |pipeline: &Pipeline| {
        is_owner(caller, pipeline) || places.iter().any(|place| place.pipeline.id == pipeline.id)
    };
    let mut pipelines: Vec<Pipeline> = all.values().filter(|pipeline| is_seen(pipeline)).cloned().collect();
    pipelines.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Seen { pipelines, places })
}

/// The administrator owns what is nobody's, and may do what owners may.
fn is_owner(caller: &Caller, pipeline: &Pipeline) -> bool {
    caller.role() == Role::Administrator || pipeline.owner.as_ref() == Some(caller.user())
}

fn require_owner(caller: &Caller, pipeline: &Pipeline) -> Result<(), Refusal> {
    if is_owner(caller, pipeline) { Ok(()) } else { Err(Refusal::NotYourPipeline(pipeline.name.to_string())) }
}

/// The pipelines that `caller` sees, by name.
///
/// # Errors
/// The node fails.
pub async fn pipelines(node: &Node, caller: &Caller) -> Result<Vec<Pipeline>, FlowError> {
    Ok(seen(node, caller).await?.pipelines)
}

/// The pipeline of that name or identity.
///
/// # Errors
/// `caller` sees none, or the node fails.
pub async fn pipeline(node: &Node, caller: &Caller, key: &str) -> Result<Pipeline, FlowError> {
    named(seen(node, caller).await?.pipelines, key)
}

fn named(pipelines: Vec<Pipeline>, key: &str) -> Result<Pipeline, FlowError> {
    let is_named = |pipeline: &Pipeline| {
        pipeline.name.as_str() == key || pipeline.id.to_string().eq_ignore_ascii_case(key)
    };
    let found = pipelines.into_iter().find(is_named);
    found.ok_or_else(|| Refusal::NotFound(Missing::Pipeline).into())
}

/// Makes a pipeline of the caller's.
///
/// # Errors
/// The name breaks the rules or is taken, the caller owns as many as one may, or the node fails.
pub async fn create_pipeline(node: &Node, caller: &Caller, name: &str) -> Result<Pipeline, FlowError> {
    let name: PipelineName = name.parse().map_err(Refusal::PipelineName)?;
    let owner = match caller.role() {
        Role::Administrator => None,
        Role::Member => Some(caller.user().clone()),
    };
    Ok(node.store().create_pipeline(name, owner).await?)
}

/// Gives a pipeline another name.
///
/// # Errors
/// It is not the caller's, the name breaks the rules or is taken, or the node fails.
pub async fn rename_pipeline(
    node: &Node,
    caller: &Caller,
    key: &str,
    name: &str,
) -> Result<Pipeline, FlowError> {
    let found = pipeline(node, caller, key).await?;
    require_owner(caller, &found)?;
    let name = name.parse().map_err(Refusal::PipelineName)?;
    Ok(node.store().rename_pipeline(found.id, name).await?)
}

/// Gives a pipeline to another user, and with it those of its apps that are its owner's. The apps go first: what is cut off
/// can be asked for again.
///
/// # Errors
/// It is not the caller's, there is no such user, or the node fails.
pub async fn give_pipeline(
    node: &Node,
    caller: &Caller,
    key: &str,
    recipient: &Email,
) -> Result<Pipeline, FlowError> {
    let found = pipeline(node, caller, key).await?;
    require_owner(caller, &found)?;
    require_user(node, recipient).await?;
    for coupling in node.store().couplings().await?.iter().filter(|place| place.pipeline == found.id) {
        let app = node.store().app_by_id(coupling.app).await?;
        if let Some(app) = app.filter(|app| owner(node, app) == pipeline_owner(node, &found)) {
            transfer(node, &app, recipient.as_str()).await?;
        }
    }
    Ok(node.store().give_pipeline(found.id, recipient.clone()).await?)
}

/// Removes a pipeline, not its apps, and tells what it was.
///
/// # Errors
/// It is not the caller's, or the node fails.
pub async fn remove_pipeline(node: &Node, caller: &Caller, key: &str) -> Result<Pipeline, FlowError> {
    let found = pipeline(node, caller, key).await?;
    require_owner(caller, &found)?;
    node.store().remove_pipeline(found.id).await?;
    pipeline_tests::forget(node, found.id).await;
    Ok(found)
}

/// Every place of an app that the caller sees, by stage.
///
/// # Errors
/// The node fails.
pub async fn places(node: &Node, caller: &Caller) -> Result<Vec<Place>, FlowError> {
    Ok(seen(node, caller).await?.places)
}

/// The places in one pipeline, named by name or identity, that the caller sees.
///
/// # Errors
/// The caller does not see the pipeline, or the node fails.
pub async fn places_in(node: &Node, caller: &Caller, key: &str) -> Result<Vec<Place>, FlowError> {
    let Seen { pipelines, mut places } = seen(node, caller).await?;
    let found = named(pipelines, key)?;
    places.retain(|place| place.pipeline.id == found.id);
    Ok(places)
}

/// The place of that identity.
///
/// # Errors
/// The caller sees none, or the node fails.
pub async fn place(node: &Node, caller: &Caller, id: &str) -> Result<Place, FlowError> {
    let is_named = |place: &Place| place.coupling.id.to_string().eq_ignore_ascii_case(id);
    let found = seen(node, caller).await?.places.into_iter().find(is_named);
    found.ok_or_else(|| Refusal::NotFound(Missing::PlaceInPipeline).into())
}

/// The place of an app that the caller may look at.
///
/// # Errors
/// It is in no pipeline, or the node fails.
pub async fn place_of(node: &Node, app: &App) -> Result<Place, FlowError> {
    let none = || Refusal::NotFound(Missing::Coupling);
    let coupling = node.store().coupling_of(app.id).await?.ok_or_else(none)?;
    let all = node.store().pipelines().await?;
    let pipeline = all.into_iter().find(|pipeline| pipeline.id == coupling.pipeline).ok_or_else(none)?;
    Ok(Place { coupling, app: app.clone(), pipeline })
}

/// The pipeline of that name or identity, for whoever owns it or has `right` on an app in it.
///
/// # Errors
/// The caller sees no such pipeline, or has less, or the node fails.
pub(super) async fn part_in(
    node: &Node,
    caller: &Caller,
    key: &str,
    right: AppRight,
) -> Result<Part, FlowError> {
    let Seen { pipelines, places } = seen(node, caller).await?;
    let pipeline = named(pipelines, key)?;
    let places = places.into_iter().filter(|place| place.pipeline.id == pipeline.id);
    let apps: Vec<App> = places.map(|place| place.app).collect();
    if !is_owner(caller, &pipeline) {
        let mut has_part = false;
        for app in &apps {
            has_part |= right_on(node, caller, app).await? >= Some(right);
        }
        if !has_part {
            return Err(Refusal::NoPartInPipeline { pipeline: pipeline.name.to_string(), right }.into());
        }
    }
    Ok(Part { pipeline, apps })
}

/// Puts an app into a pipeline; both are named by name or identity.
///
/// # Errors
/// The caller may not, the app is in a pipeline or the pipeline is full, there is no such stage, or the node fails.
pub async fn add_to_pipeline(
    node: &Node,
    caller: &Caller,
    (app, pipeline, stage): (&str, &str, &str),
) -> Result<Place, FlowError> {
    let stage: Stage = stage.parse().map_err(Refusal::Stage)?;
    let app = find(node, app).await?;
    permit(node, caller, &app, AppRight::Operate).await?;
    let Part { pipeline, .. } = part_in(node, caller, pipeline, AppRight::Operate).await?;
    let coupling = match node.store().add_coupling(app.id, pipeline.id, stage).await {
        Err(StoreError::InPipeline(_)) => return Err(Refusal::InPipeline(app.name.to_string()).into()),
        result => result?,
    };
    Ok(Place { coupling, app, pipeline })
}

/// Moves an app to another stage of its pipeline.
///
/// # Errors
/// The caller may not operate the app, there is no such stage or place, or the node fails.
pub async fn move_in_pipeline(
    node: &Node,
    caller: &Caller,
    id: &str,
    stage: &str,
) -> Result<Place, FlowError> {
    let stage: Stage = stage.parse().map_err(Refusal::Stage)?;
    let found = place(node, caller, id).await?;
    permit(node, caller, &found.app, AppRight::Operate).await?;
    let moved = node.store().set_stage(found.coupling.id, stage).await?;
    let coupling = moved.ok_or(Refusal::NotFound(Missing::PlaceInPipeline))?;
    Ok(Place { coupling, ..found })
}

/// Takes an app out of its pipeline, and tells where it was. The pipeline's owner may, and who operates the app.
///
/// # Errors
/// The caller may not, there is no such place, or the node fails.
pub async fn remove_from_pipeline(node: &Node, caller: &Caller, id: &str) -> Result<Place, FlowError> {
    let found = place(node, caller, id).await?;
    if !is_owner(caller, &found.pipeline) {
        permit(node, caller, &found.app, AppRight::Operate).await?;
    }
    node.store().remove_coupling(found.coupling.id).await?;
    Ok(found)
}

/// Those of `wanted` that the caller may look at, by name.
///
/// # Errors
/// There are too many, or the node fails.
pub async fn apps_among(node: &Node, caller: &Caller, wanted: &[Uuid]) -> Result<Vec<App>, FlowError> {
    if wanted.len() > FILTER_MAX {
        return Err(Refusal::Filter { max: FILTER_MAX }.into());
    }
    let mut found = apps_for(node, caller).await?;
    found.retain(|app| wanted.contains(&app.id.0));
    Ok(found)
}
