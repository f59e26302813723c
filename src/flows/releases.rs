//! Releases: reading them, and going back to one.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::domain::{App, Release, ReleaseStatus, Slug, SlugDigest, Version};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::add_ons;
use crate::flows::error::FlowError;
use crate::flows::phase::{self, Made};
use crate::store::NewRelease;
use crate::wire::api_errors::{Missing, Refusal};
use crate::wire::logline::ApiLine;
use crate::wire::release_text;

/// Of the description that a client gives a release, so many characters are kept.
const DESCRIPTION_CHARS_MAX: usize = 200;

/// How a release is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseKey {
    /// By number.
    Version(Version),
    /// By identity.
    Id(Uuid),
}

impl ReleaseKey {
    /// Reads `v3`, `3` or an identity.
    ///
    /// # Errors
    /// The text is neither, so there is no such release.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if let Ok(version) = text.parse() {
            return Ok(Self::Version(version));
        }
        text.parse().map(Self::Id).map_err(|_| Refusal::NotFound(Missing::Release))
    }

    fn names(self, release: &Release) -> bool {
        match self {
            Self::Version(version) => release.version == version,
            Self::Id(id) => release.id == id,
        }
    }
}

/// A release and its place among the others.
#[derive(Clone, Debug)]
pub struct ReleaseView {
    /// The release.
    pub release: Release,
    /// Whether it is the one that runs.
    pub current: bool,
}

impl ReleaseView {
    /// Whether it may be rolled back to.
    #[must_use]
    pub fn eligible_for_rollback(&self) -> bool {
        self.release.is_eligible_for_rollback()
    }
}

/// Every release of an app, newest first.
///
/// # Errors
/// The node fails.
pub async fn releases(node: &Node, app: &App) -> Result<Vec<ReleaseView>, FlowError> {
    let all = node.store().releases(app.id).await?;
    let current = all.iter().find(|release| release.status == ReleaseStatus::Succeeded).map(|r| r.version);
    Ok(all
        .into_iter()
        .map(|release| ReleaseView { current: Some(release.version) == current, release })
        .collect())
}

/// One release of an app.
///
/// # Errors
/// There is none, or the node fails.
pub async fn release(node: &Node, app: &App, key: ReleaseKey) -> Result<ReleaseView, FlowError> {
    let found = releases(node, app).await?.into_iter().find(|view| key.names(&view.release));
    found.ok_or_else(|| Refusal::NotFound(Missing::Release).into())
}

/// The newest release of an app, whatever became of it.
///
/// # Errors
/// The node fails.
pub async fn newest_release(node: &Node, app: &App) -> Result<Option<Release>, FlowError> {
    Ok(node.store().newest_release(app.id).await?)
}

/// What is known of a slug that a release runs.
///
/// # Errors
/// The node fails.
pub async fn slug(node: &Node, digest: &SlugDigest) -> Result<Option<Slug>, FlowError> {
    Ok(node.store().slug(digest).await?)
}

/// From when until when a release was the newest; the newest has no end.
///
/// # Errors
/// There is none, or the node fails.
pub async fn release_time(
    node: &Node,
    app: &App,
    key: ReleaseKey,
) -> Result<(SystemTime, Option<SystemTime>), FlowError> {
    let all = node.store().releases(app.id).await?;
    let found = all.iter().find(|release| key.names(release)).ok_or(Refusal::NotFound(Missing::Release))?;
    let later = all.iter().filter(|release| release.version > found.version);
    let next = later.min_by_key(|release| release.version);
    let time =
        |unix_s: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_s).unwrap_or_default());
    Ok((time(found.created_at_s), next.map(|next| time(next.created_at_s))))
}

/// Makes a new release with the slug, config, types and stack of an earlier one: `key`, or the one before the current.
/// It is pending where it has a release command.
///
/// # Errors
/// There is no such release, it failed or has no slug, another is pending, or the node fails.
pub async fn rollback(
    node: &Node,
    app: &App,
    key: Option<ReleaseKey>,
    actor: &Actor,
) -> Result<ReleaseView, FlowError> {
    let _turn = phase::turn(node, app).await?;
    let all = releases(node, app).await?;
    let target = match key {
        Some(key) => {
            all.iter().find(|view| key.names(&view.release)).ok_or(Refusal::NotFound(Missing::Release))
        }
        None => all
            .iter()
            .skip_while(|view| !view.current)
            .skip(1)
            .find(|view| view.eligible_for_rollback())
            .ok_or(Refusal::NoRollbackTarget),
    }?;
    let target = &target.release;
    if !target.is_eligible_for_rollback() {
        return Err(Refusal::RollbackTarget(target.version).into());
    }
    let description = release_text::rollback(target.version);
    let mut new = NewRelease::from_release(app.id, target, description, actor.0.clone());
    let as_of_now = add_ons::as_of_now(node, app, &new.config).await?;
    new.config = new.config.changed(&as_of_now).map_err(Refusal::ConfigVars)?;
    let formation = node.store().formation(app.id).await?;
    new.formation = Some(formation.deployed(target.process_types.keys()));
    made(node, app, new, actor).await
}

/// Makes a new release of the slug, types and stack of release `version`, which may have failed, with the config vars of
/// today. Of `description` no more than [`DESCRIPTION_CHARS_MAX`] characters are kept.
///
/// # Errors
/// There is no such release, it has no slug, another is pending, or the node fails.
pub async fn release_again(
    node: &Node,
    app: &App,
    version: Version,
    description: Option<String>,
    actor: &Actor,
) -> Result<ReleaseView, FlowError> {
    let _turn = phase::turn(node, app).await?;
    let all = releases(node, app).await?;
    let target = all.iter().find(|view| view.release.version == version);
    let target = &target.ok_or(Refusal::NotFound(Missing::Release))?.release;
    if target.slug.is_none() {
        return Err(Refusal::NotFound(Missing::Slug).into());
    }
    let newest = all.first().ok_or_else(Refusal::no_app)?;
    let description = description_of(description).unwrap_or_else(|| target.description.clone());
    let mut new = NewRelease::from_release(app.id, target, description, actor.0.clone());
    new.config = newest.release.config.clone();
    let formation = node.store().formation(app.id).await?;
    new.formation = Some(formation.deployed(target.process_types.keys()));
    made(node, app, new, actor).await
}

/// What a client says a release is, as far as it is kept.
pub(super) fn description_of(told: Option<String>) -> Option<String> {
    told.map(|told| told.chars().filter(|c| !c.is_control()).take(DESCRIPTION_CHARS_MAX).collect())
}

async fn made(node: &Node, app: &App, new: NewRelease, actor: &Actor) -> Result<ReleaseView, FlowError> {
    match phase::make(node, app, new, actor).await? {
        Made::Current(release) => {
            node.apply(app).await?;
            Ok(ReleaseView { release, current: true })
        }
        Made::Pending(release, _) => Ok(ReleaseView { release, current: false }),
    }
}

/// The two lines that a release without a command leaves in the log.
pub(super) fn announce(node: &Node, app: &App, release: &Release, actor: &Actor) {
    let user = || actor.0.clone();
    node.tell(app.id, &ApiLine::Described { description: release.description.clone(), user: user() });
    node.tell(app.id, &ApiLine::ReleaseCreated { version: release.version, user: user() });
}
