//! Creating, finding, changing and destroying apps.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::domain::Version;
use crate::domain::{App, AppId, AppName, Email, Release, Slug, StackName, StackVersion};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::add_ons;
use crate::flows::error::FlowError;
use crate::flows::haiku;
use crate::store::{AppChange, NewApp, StoreError};
use crate::wire::api_errors::{Missing, Refusal, Unknown};
use crate::wire::logline::ApiLine;
use crate::wire::release_text;

/// How often a made-up name is tried before giving up.
const NAME_ATTEMPTS_MAX: usize = 8;

/// An app somebody wants.
#[derive(Clone, Debug, Default)]
pub struct NewAppRequest {
    /// Its name; made up when none is given.
    pub name: Option<String>,
    /// Its stack; the node's default when none is given.
    pub stack: Option<String>,
    /// Whose it is to be; the node's administrator's when nobody is named.
    pub owner: Option<Email>,
}

/// An app with what is shown of it.
#[derive(Clone, Debug)]
pub struct AppInfo {
    /// The app.
    pub app: App,
    /// What it runs.
    pub release: Release,
    /// The slug of that release.
    pub slug: Option<Slug>,
    /// Bytes of its git repository; none before the first push.
    pub repo_bytes: Option<u64>,
    /// The build of the stack that it runs on; none before the first deploy.
    pub stack: Option<StackVersion>,
    /// The build of that stack which new builds use, where it is another.
    pub newer_stack: Option<StackVersion>,
}

/// Creates an app with its first two releases.
///
/// # Errors
/// The name is taken or breaks the rules, the stack is unknown, or the node fails.
pub async fn create(node: &Node, request: NewAppRequest, actor: &Actor) -> Result<AppInfo, FlowError> {
    let build_stack = stack(node, request.stack.as_deref())?;
    let new = |name: AppName| NewApp {
        name,
        owner: request.owner.clone(),
        build_stack: build_stack.clone(),
        user: actor.0.clone(),
        first_releases: vec![release_text::INITIAL.to_owned(), release_text::ENABLE_LOGPLEX.to_owned()],
    };
    let app = match &request.name {
        Some(name) => node.store().create_app(new(name.parse().map_err(Refusal::Name)?)).await?,
        None => create_with_haiku(node, new).await?,
    };
    let user = || actor.0.clone();
    node.tell(app.id, &ApiLine::InitialRelease { user: user() });
    node.tell(app.id, &ApiLine::ReleaseCreated { version: Version(1), user: user() });
    node.tell(app.id, &ApiLine::EnableLogplex { user: user() });
    node.tell(app.id, &ApiLine::ReleaseCreated { version: Version(2), user: user() });
    // The router answers for the app from now on, with the page of an app without code.
    node.apply(&app).await?;
    info(node, &app).await
}

async fn create_with_haiku(node: &Node, new: impl Fn(AppName) -> NewApp) -> Result<App, FlowError> {
    let mut attempt = 1;
    loop {
        match node.store().create_app(new(haiku::name())).await {
            Err(StoreError::NameTaken(_)) if attempt < NAME_ATTEMPTS_MAX => attempt += 1,
            result => return Ok(result?),
        }
    }
}

/// The stack of that name; the node's default without one.
pub(super) fn stack(node: &Node, name: Option<&str>) -> Result<StackName, Refusal> {
    let Some(name) = name else {
        return Ok(node.settings().default_stack.clone());
    };
    let known = node.stacks();
    let wanted =
        name.parse().ok().filter(|stack| known.contains(stack) || *stack == node.settings().default_stack);
    wanted.ok_or_else(|| {
        let default = &node.settings().default_stack;
        let others = known.iter().filter(|stack| *stack != default);
        Refusal::NotFound(Missing::Stack(Unknown::new(name, others.chain([default]))))
    })
}

/// The app of that name or identity.
///
/// # Errors
/// There is none, or the node fails.
pub async fn find(node: &Node, key: &str) -> Result<App, FlowError> {
    let found = if let Ok(id) = key.parse::<Uuid>() {
        node.store().app_by_id(AppId(id)).await?
    } else if let Ok(name) = key.parse::<AppName>() {
        node.store().app_by_name(&name).await?
    } else {
        None
    };
    found.ok_or_else(|| Refusal::no_app().into())
}

/// What is shown of several apps; one that has gone in the meantime is left out.
///
/// # Errors
/// The node fails.
pub async fn infos(node: &Node, apps: Vec<App>) -> Result<Vec<AppInfo>, FlowError> {
    let mut running = node.store().current_releases(apps.iter().map(|app| app.id).collect()).await?;
    let repos: Vec<_> = apps.iter().map(|app| objects_of(node, app)).collect();
    // One thread looks at all: each look takes microseconds, and waiting for a thread as long again.
    let sizes = move || repos.iter().map(|repo| size_of(repo)).collect::<Vec<_>>();
    let sizes = tokio::task::spawn_blocking(sizes).await.unwrap_or_else(|_| vec![None; apps.len()]);
    let shown = apps.into_iter().zip(sizes).filter_map(|(app, repo_bytes)| {
        let (release, slug) = running.remove(&app.id)?;
        Some(put_together(node, app, release, slug, repo_bytes))
    });
    Ok(shown.collect())
}

/// What is shown of an app.
///
/// # Errors
/// The app is gone, or the node fails.
pub async fn info(node: &Node, app: &App) -> Result<AppInfo, FlowError> {
    let release = node.store().current_release(app.id).await?.ok_or_else(Refusal::no_app)?;
    let slug = match &release.slug {
        Some(digest) => node.store().slug(digest).await?,
        None => None,
    };
    let objects = objects_of(node, app);
    let repo_bytes = tokio::task::spawn_blocking(move || size_of(&objects)).await.unwrap_or(None);
    Ok(put_together(node, app.clone(), release, slug, repo_bytes))
}

/// Where the objects of an app's git repository lie.
fn objects_of(node: &Node, app: &App) -> PathBuf {
    node.settings().repos_dir().join(format!("{}.git", app.id)).join("objects")
}

fn put_together(
    node: &Node,
    app: App,
    release: Release,
    slug: Option<Slug>,
    repo_bytes: Option<u64>,
) -> AppInfo {
    let version = |version| node.builder().stack_version(&release.stack, version);
    let stack = release.stack_version.as_deref().and_then(|of| version(Some(of)));
    let newer_stack = stack.as_ref().and_then(|now| version(None).filter(|newest| newest.id != now.id));
    AppInfo { app, release, slug, repo_bytes, stack, newer_stack }
}

/// Renames an app, switches maintenance, or chooses the stack of later builds.
///
/// # Errors
/// The name is taken or breaks the rules, the stack is unknown, the app is gone, or the node fails.
pub async fn update(node: &Node, app: &App, change: AppUpdate) -> Result<AppInfo, FlowError> {
    let _changing = node.locks().change(app.id).await;
    let name = change.name.map(|name| name.parse().map_err(Refusal::Name)).transpose()?;
    let build_stack = change.build_stack.map(|name| stack(node, Some(&name))).transpose()?;
    let change = AppChange { name, build_stack, maintenance: change.maintenance, owner: None };
    let app = node.store().change_app(app.id, change).await?;
    node.apply(&app).await?;
    info(node, &app).await
}

/// What to change of an app; `None` keeps.
#[derive(Clone, Debug, Default)]
pub struct AppUpdate {
    /// Another name.
    pub name: Option<String>,
    /// Another stack for later builds.
    pub build_stack: Option<String>,
    /// Maintenance on or off.
    pub maintenance: Option<bool>,
}

/// Destroys an app: its record first, so that nothing brings it back; then its dynos and its files.
///
/// # Errors
/// A build is running, the app is gone, or the node fails. Files that cannot be removed are removed at the next start.
pub async fn destroy(node: &Node, app: &App) -> Result<AppInfo, FlowError> {
    let Ok(_no_build) = node.locks().try_close(app.id) else {
        return Err(Refusal::BuildRunning(app.name.to_string()).into());
    };
    // Before the app's own turn: this takes those of others.
    add_ons::let_go(node, app).await?;
    let _changing = node.locks().change(app.id).await;
    let (last, own) = (info(node, app).await?, add_ons::own(node, app).await?);
    let slugs = node.store().destroy_app(app.id).await?;
    node.dynos().forget(app.id).await?;
    add_ons::clear(node, own).await?;
    node.logs().forget(app.id);
    node.showcase().forget(app.id);
    node.showcase().publish();
    let settings = node.settings();
    let id = app.id.to_string();
    let mut gone = vec![
        settings.repos_dir().join(format!("{id}.git")),
        settings.cache_dir().join(&id),
        settings.builds_dir().join(&id),
        settings.releases_dir().join(&id),
    ];
    gone.extend(slugs.iter().map(|digest| settings.slugs_dir().join(digest.as_str())));
    let removal = tokio::task::spawn_blocking(move || gone.iter().for_each(|path| remove(path)));
    if removal.await.is_err() {
        tracing::warn!(app = %app.name, "the removal of the app's files was cut short; the next start goes on");
    }
    Ok(last)
}

/// Removes a folder of ours; what resists is told and left for the next start.
pub(super) fn remove(path: &Path) {
    match std::fs::remove_dir_all(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot remove a folder of a destroyed app")
        }
    }
}

/// Bytes of the files below `dir`; none when there is no file.
fn size_of(dir: &Path) -> Option<u64> {
    let mut total = None;
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let bytes = match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&entry.path()),
            Ok(meta) => Some(meta.len()),
            Err(_) => None,
        };
        total = match (total, bytes) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
    }
    total
}
