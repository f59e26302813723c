//! Slugs that clients pack themselves: each is named first, then sent as a source is, then released.
//!
//! Until it is released a slug is no more than a source: it goes after an hour or with the process, and counts among its user's
//! sources. Its release has it packed as builds pack theirs, and from then on it is kept as any other.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::build::Laps;
use crate::domain::{App, AppId, ArchiveRoot, Checksum, ConfigVars, ProcessType, Slug, StackName};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::apps::stack;
use crate::flows::error::FlowError;
use crate::flows::fetch::FetchError;
use crate::flows::phase::{self, Made};
use crate::flows::ports::{BuildFailure, BuildOrder, PackedSlug};
use crate::flows::push::{Origin, begin_push, bring, remove_source};
use crate::flows::releases::{ReleaseView, description_of};
use crate::flows::sources::{self, SourceLinks};
use crate::store::NewRelease;
use crate::sys::clock;
use crate::wire::api_errors::{Missing, Refusal};
use crate::wire::logline::ApiLine;
use crate::wire::procfile::{COMMAND_BYTES_MAX, PROCESS_TYPES_MAX};
use crate::wire::push_text::{self, Deed};
use crate::wire::release_text;

/// The most characters of each thing that is said of a slug.
const SAID_CHARS_MAX: usize = 1000;

/// What a client says of a slug that it is to send.
#[derive(Clone, Debug, Default)]
pub struct SlugRequest {
    /// The commands of its process types.
    pub process_types: BTreeMap<String, String>,
    /// What the app is called: `Python`.
    pub buildpack_description: Option<String>,
    /// The checksum that its archive must have.
    pub checksum: Option<String>,
    /// Which commit it was made of.
    pub commit: Option<String>,
    /// What that brings.
    pub commit_description: Option<String>,
    /// The stack that it is made for, by name; the app's when left out.
    pub stack: Option<String>,
}

/// A slug that was named, and may have been sent.
#[derive(Clone, Debug)]
pub struct SentSlug {
    /// Its identity, which is that of its source.
    pub id: Uuid,
    /// Whose it is.
    pub app: AppId,
    /// The commands of its process types.
    pub process_types: BTreeMap<ProcessType, String>,
    /// What the app is called.
    pub buildpack_description: Option<String>,
    /// The checksum that its archive must have.
    pub checksum: Option<Checksum>,
    /// Which commit it was made of.
    pub commit: Option<String>,
    /// What that brings.
    pub commit_description: Option<String>,
    /// The stack that it is made for.
    pub stack: StackName,
    /// Unix time at which it was named, seconds.
    pub created_at_s: i64,
}

/// How the archive of a slug is reached now.
pub enum SlugBlob {
    /// It is sent to this link.
    Put(String),
    /// It was sent, and is fetched from this link.
    Get(String),
}

/// Names a slug of `app` that is to be sent.
///
/// # Errors
/// What is said of it makes no sense, or as many sources of the user are on their way as one may have.
pub fn new_slug(
    node: &Node,
    app: &App,
    request: SlugRequest,
    actor: &Actor,
) -> Result<(SentSlug, SlugBlob), FlowError> {
    let SlugRequest {
        process_types,
        buildpack_description,
        checksum,
        commit,
        commit_description,
        stack: named,
    } = request;
    for said in buildpack_description.iter().chain(&commit).chain(&commit_description) {
        if said.chars().count() > SAID_CHARS_MAX || said.contains('\0') {
            return Err(Refusal::SlugSaid { limit: SAID_CHARS_MAX }.into());
        }
    }
    let slug = SentSlug {
        id: Uuid::new_v4(),
        app: app.id,
        process_types: declared(process_types)?,
        buildpack_description,
        checksum: checksum.map(|text| text.parse()).transpose().map_err(Refusal::Checksum)?,
        commit: commit.filter(|commit| !commit.is_empty()),
        commit_description,
        stack: match named {
            Some(named) => stack(node, Some(&named))?,
            None => app.build_stack.clone(),
        },
        created_at_s: clock::unix_s(),
    };
    let SourceLinks { put, .. } = sources::new_slug_source(node, slug.clone(), actor)?;
    Ok((slug, SlugBlob::Put(put)))
}

/// Process types as a Procfile might declare them, within the same bounds.
fn declared(types: BTreeMap<String, String>) -> Result<BTreeMap<ProcessType, String>, Refusal> {
    if types.len() > PROCESS_TYPES_MAX {
        return Err(Refusal::SlugTypes { types: PROCESS_TYPES_MAX, bytes: COMMAND_BYTES_MAX });
    }
    let declared = |(name, command): (String, String)| {
        let name = name.parse().map_err(|_| Refusal::ProcessType(name))?;
        if command.trim().is_empty() || command.len() > COMMAND_BYTES_MAX || command.contains('\0') {
            return Err(Refusal::SlugTypes { types: PROCESS_TYPES_MAX, bytes: COMMAND_BYTES_MAX });
        }
        Ok((name, command))
    };
    types.into_iter().map(declared).collect()
}

/// A slug of `app` that was named, while it is remembered.
///
/// # Errors
/// There is none.
pub fn sent_slug(node: &Node, app: &App, id: &str) -> Result<(SentSlug, SlugBlob), FlowError> {
    let found = id.parse().ok().and_then(|id| sources::slug(node, id));
    let (slug, links) =
        found.filter(|(slug, _)| slug.app == app.id).ok_or(Refusal::NotFound(Missing::Slug))?;
    let blob =
        if sources::is_here(node, slug.id) { SlugBlob::Get(links.get) } else { SlugBlob::Put(links.put) };
    Ok((slug, blob))
}

/// Releases a slug that was sent, with the config vars of today. It goes on without whoever asked for it.
///
/// # Errors
/// Its archive has not come, is not the one that was meant, or cannot be packed; a build of the app runs, a release is pending, or
/// the node fails. Nothing is changed then.
pub async fn release_sent_slug(
    node: &Node,
    app: &App,
    slug: SentSlug,
    (description, actor): (Option<String>, &Actor),
) -> Result<ReleaseView, FlowError> {
    let (node, app, actor) = (node.clone(), app.clone(), actor.clone());
    let releasing = tokio::spawn(async move {
        let archive = node.settings().sources_dir().join(format!("{}.slug", Uuid::new_v4()));
        let made = pack_and_release(&node, &app, (&slug, &archive), (description, &actor)).await;
        remove_source(&archive);
        made
    });
    releasing.await.unwrap_or_else(|error| Err(FlowError::fault("release a slug")(error)))
}

async fn pack_and_release(
    node: &Node,
    app: &App,
    (slug, archive): (&SentSlug, &Path),
    (description, actor): (Option<String>, &Actor),
) -> Result<ReleaseView, FlowError> {
    // Told before the work; whether it holds is seen after it.
    drop(phase::turn(node, app).await?);
    let mut permit = begin_push(node, app)?;
    let _slug_stays = node.locks().making_slug().await;
    if !sources::is_here(node, slug.id) {
        return Err(Refusal::SlugNotSent.into());
    }
    match bring(node, &Origin::Sent(slug.id), archive, slug.checksum.as_ref()).await {
        Ok(()) => {}
        Err(FetchError::Checksum) => return Err(Refusal::SlugChecksum.into()),
        Err(error) => return Err(FlowError::fault("take a slug that was sent")(error)),
    }
    node.locks().turn(&mut permit, |_| ()).await;
    let packed = pack(node, app, slug, archive).await?;
    let made = Slug {
        digest: packed.digest.clone(),
        size: packed.size,
        process_types: slug.process_types.clone(),
        buildpack_description: slug.buildpack_description.clone(),
        created_at_s: slug.created_at_s,
    };
    node.store().record_slug(made).await?;
    release(node, app, (slug, packed), (description, actor)).await
}

/// Has the archive packed as the node's own are.
async fn pack(node: &Node, app: &App, slug: &SentSlug, archive: &Path) -> Result<PackedSlug, FlowError> {
    let id = Uuid::new_v4();
    let order = BuildOrder {
        id,
        deed: Deed::Build,
        app: App { build_stack: slug.stack.clone(), ..app.clone() },
        source: archive.to_owned(),
        root: ArchiveRoot::Top,
        commit: slug.commit.clone().unwrap_or_default(),
        buildpacks: Vec::new(),
        config: ConfigVars::default(),
        cache: node.settings().cache_dir().join(app.id.to_string()),
        laps: Laps::default(),
    };
    let (sender, mut lines) = mpsc::unbounded_channel::<String>();
    let packed = node.builder().pack(order, sender).await;
    let said: Vec<String> = std::iter::from_fn(|| lines.try_recv().ok()).collect();
    match packed {
        Ok(packed) => {
            for warning in push_text::errors(&said) {
                node.tell(app.id, &ApiLine::SlugWarned { warning: warning.to_owned() });
            }
            Ok(packed)
        }
        Err(BuildFailure::Source) => Err(Refusal::SlugUnfit(push_text::reason(&said)).into()),
        Err(BuildFailure::Node(why)) => Err(FlowError::fault("pack a slug")(std::io::Error::other(why))),
    }
}

async fn release(
    node: &Node,
    app: &App,
    (slug, packed): (&SentSlug, PackedSlug),
    (description, actor): (Option<String>, &Actor),
) -> Result<ReleaseView, FlowError> {
    let _turn = phase::turn(node, app).await?;
    let current = node.store().current_release(app.id).await?.ok_or_else(Refusal::no_app)?;
    let before = node.store().formation(app.id).await?;
    let formation = before.deployed(slug.process_types.keys());
    let commit = slug.commit.clone();
    let told = description_of(description)
        .unwrap_or_else(|| release_text::deploy(commit.as_deref().unwrap_or_default()));
    let new = NewRelease {
        slug: Some(packed.digest),
        commit,
        stack: slug.stack.clone(),
        stack_version: Some(packed.stack_version),
        process_types: slug.process_types.clone(),
        formation: Some(formation.clone()),
        config: crate::flows::config(node, app).await?,
        ..NewRelease::from_release(app.id, &current, told, actor.0.clone())
    };
    match phase::make(node, app, new, actor).await? {
        Made::Pending(release, _) => Ok(ReleaseView { release, current: false }),
        Made::Current(release) => {
            if before.entries().is_empty() && formation.total() > 0 {
                node.tell(app.id, &ApiLine::Scaled { formation, user: actor.0.clone() });
            }
            node.apply(app).await?;
            Ok(ReleaseView { release, current: true })
        }
    }
}
