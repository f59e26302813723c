//! Promoting: the slug that one app runs becomes the release of others, with their own config vars.
//!
//! The targets are taken one after the other, each as a release of its own: what one refuses stops no other, and is told
//! with the promotion, which is kept when all have been tried. How a release fares after that is the release's to tell.

use std::error::Error;

use uuid::Uuid;

use crate::domain::{App, AppRight, Pipeline, Promotion, PromotionTarget, Release, TargetOutcome};
use crate::flows::Node;
use crate::flows::caller::{Caller, permit};
use crate::flows::error::FlowError;
use crate::flows::phase::{self, Made};
use crate::flows::pipelines::{Place, places_in};
use crate::flows::releases::{ReleaseKey, release};
use crate::store::NewRelease;
use crate::sys::clock;
use crate::wire::api_errors::{Missing, Refusal};
use crate::wire::logline::ApiLine;
use crate::wire::release_text;

/// What somebody wants promoted.
#[derive(Clone, Debug)]
pub struct PromotionRequest {
    /// The pipeline.
    pub pipeline: Uuid,
    /// The app it comes from.
    pub source: Uuid,
    /// The release of it; the one that runs when none is named.
    pub release: Option<Uuid>,
    /// The apps it goes to.
    pub targets: Vec<Uuid>,
}

/// Promotes, and tells what became of it on each target.
///
/// # Errors
/// The caller does not see the pipeline or an app in it, may not deploy the source, there is nothing to promote, or the node
/// fails. What is wrong with one target is told with that target.
pub async fn promote(
    node: &Node,
    caller: &Caller,
    request: PromotionRequest,
) -> Result<Promotion, FlowError> {
    let places = places_in(node, caller, &request.pipeline.to_string()).await?;
    let source = in_pipeline(&places, request.source)?;
    permit(node, caller, source, AppRight::Deploy).await?;
    let targets = targets(&places, &request.targets)?;
    // What is promoted may be the last release of its slug until a target has it.
    let _slug_stays = node.locks().making_slug().await;
    let promoted = promoted(node, source, request.release).await?;
    let mut tried = Vec::with_capacity(targets.len());
    for target in targets {
        let outcome = match promote_to(node, caller, (source, &promoted), target).await {
            Ok(made) => TargetOutcome::Released { release: made.id, status: made.status },
            Err(FlowError::Refused(refusal)) => TargetOutcome::Refused(refusal.to_string()),
            Err(FlowError::Fault { attempt, source }) => {
                tracing::error!(app = %target.name, attempt, error = &*source as &(dyn Error + 'static), "a promotion failed");
                TargetOutcome::Refused(format!("The node failed: it cannot {attempt}."))
            }
        };
        tried.push(PromotionTarget { id: Uuid::new_v4(), app: target.id, outcome });
    }
    let promotion = Promotion {
        id: Uuid::new_v4(),
        pipeline: request.pipeline,
        source: source.id,
        release: promoted.id,
        created_at_s: clock::unix_s(),
        targets: tried,
    };
    node.store().keep_promotion(promotion.clone()).await?;
    Ok(promotion)
}

fn in_pipeline(places: &[Place], app: Uuid) -> Result<&App, Refusal> {
    let found = places.iter().find(|place| place.app.id.0 == app);
    found.map(|place| &place.app).ok_or_else(|| Refusal::NotInPipeline(app.to_string()))
}

/// Each target once, in the order in which they were named.
fn targets<'a>(places: &'a [Place], wanted: &[Uuid]) -> Result<Vec<&'a App>, Refusal> {
    if wanted.is_empty() {
        return Err(Refusal::NoTargets);
    }
    if wanted.len() > Pipeline::APPS_MAX {
        return Err(Refusal::TooManyTargets);
    }
    let mut targets: Vec<&App> = Vec::new();
    for app in wanted {
        let app = in_pipeline(places, *app)?;
        if !targets.iter().any(|known| known.id == app.id) {
            targets.push(app);
        }
    }
    Ok(targets)
}

/// The named release of the source, or the one that runs.
async fn promoted(node: &Node, source: &App, named: Option<Uuid>) -> Result<Release, FlowError> {
    let found = match named {
        Some(id) => release(node, source, ReleaseKey::Id(id)).await?.release,
        None => node.store().current_release(source.id).await?.ok_or_else(Refusal::no_app)?,
    };
    match (found.is_eligible_for_rollback(), named) {
        (true, _) => Ok(found),
        (false, None) => Err(Refusal::NotDeployed(source.name.to_string()).into()),
        (false, Some(_)) => {
            Err(Refusal::PromotedRelease { app: source.name.to_string(), version: found.version }.into())
        }
    }
}

/// Makes the release on one target.
async fn promote_to(
    node: &Node,
    caller: &Caller,
    (source, promoted): (&App, &Release),
    target: &App,
) -> Result<Release, FlowError> {
    if target.id == source.id {
        return Err(Refusal::PromotedToItself(target.name.to_string()).into());
    }
    permit(node, caller, target, AppRight::Deploy).await?;
    let actor = caller.actor();
    let _turn = phase::turn(node, target).await?;
    // Renamed, moved to another stack or destroyed while it waited.
    let target = node.store().app_by_id(target.id).await?.ok_or_else(Refusal::no_app)?;
    let app = || target.name.to_string();
    let current = node.store().current_release(target.id).await?.ok_or_else(Refusal::no_app)?;
    if current.slug == promoted.slug {
        return Err(Refusal::PromotedAlready { app: app(), version: current.version }.into());
    }
    if target.build_stack != promoted.stack {
        let (stack, built_on) = (target.build_stack.clone(), promoted.stack.clone());
        return Err(Refusal::PromotedToOtherStack { app: app(), stack, built_on }.into());
    }
    let before = node.store().formation(target.id).await?;
    let formation = before.deployed(promoted.process_types.keys());
    let description = release_text::promotion(&source.name, promoted.version, promoted.commit.as_deref());
    let new = NewRelease {
        config: crate::flows::config(node, &target).await?,
        formation: Some(formation.clone()),
        ..NewRelease::from_release(target.id, promoted, description, actor.0.clone())
    };
    let made = match phase::make(node, &target, new, &actor).await? {
        Made::Pending(made, _) => return Ok(made),
        Made::Current(made) => made,
    };
    if before.entries().is_empty() && formation.total() > 0 {
        node.tell(target.id, &ApiLine::Scaled { formation, user: actor.0.clone() });
    }
    // The release is made: what fails here is no reason to say that it was not.
    if let Err(error) = node.apply(&target).await {
        tracing::error!(
            app = %target.name, error = &error as &dyn Error,
            "a release does not run; the next change or start of the node tries again"
        );
    }
    Ok(made)
}

/// The promotion of that identity, as it fares now, with those of its targets that the caller sees.
///
/// # Errors
/// The caller does not see its source, there is none, or the node fails.
pub async fn promotion(node: &Node, caller: &Caller, id: &str) -> Result<Promotion, FlowError> {
    let none = || FlowError::from(Refusal::NotFound(Missing::Promotion));
    let id: Uuid = id.parse().map_err(|_| none())?;
    let mut found = node.store().promotion(id).await?.ok_or_else(none)?;
    let apps = crate::flows::apps_for(node, caller).await?;
    let is_seen = |id| apps.iter().any(|app| app.id == id);
    if !is_seen(found.source) {
        return Err(none());
    }
    found.targets.retain(|target| is_seen(target.app));
    Ok(found)
}
