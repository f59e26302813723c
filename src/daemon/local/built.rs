//! The newest build of a working directory, made anew when its source has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::build::{self, BuildRequest, Ground, Laps, Sink};
use crate::daemon::Config;
use crate::daemon::builder::sandboxes;
use crate::daemon::error::DaemonError;
use crate::daemon::layers::StackLayers;
use crate::daemon::local::place::Place;
use crate::domain::{ArchiveRoot, ConfigVars, ProcessType, SlugDigest};
use crate::local::{self, LocalError, Owner, Screen, Source};
use crate::stack::Stack;
use crate::sys::{clock, fs, lock};
use crate::wire::local_text::{self, Note};
use crate::wire::push_text::Deed;

/// File of what is known of the newest build.
const RECORD: &str = "built.json";
/// Name of the lock on builds of a working directory.
const LOCK_FILE: &str = "build.lock";
/// A source on its way to a build.
const ARCHIVE: &str = "source.tar";
/// How long a slug stays that a later build has replaced: a call that uses it may run still.
const OLD_SLUG_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What scripts see in place of a commit.
const SOURCE_VERSION: &str = "local";

/// When buildpacks build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum When {
    /// When something of the source, or the stack, is another than at the last build.
    #[default]
    Changed,
    /// At every start.
    Always,
    /// Not now: what was built last is used, if anything was.
    Never,
}

/// How to build.
pub(super) struct Build<'a> {
    pub(super) when: When,
    pub(super) buildpacks: &'a [String],
    pub(super) config: &'a ConfigVars,
    pub(super) owner: Owner,
}

/// A build.
#[derive(Clone, Debug)]
pub(super) struct Built {
    pub(super) slug: SlugDigest,
    /// Of the stack with the layers that it needs.
    pub(super) stack_version: String,
    record: Record,
}

/// A build, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Digest of the source.
    source: String,
    /// Version of the stack before layers.
    stack: String,
    /// Version of the stack with them.
    stack_version: String,
    slug: String,
    /// Those asked for.
    asked: Vec<String>,
    /// Those used.
    buildpacks: Vec<String>,
    process_types: BTreeMap<String, String>,
    /// Directories in the slug that the source has not.
    folders: Vec<String>,
}

/// The lines of a build go to the user as they come.
struct Shown<'a>(&'a Screen);

impl Sink for Shown<'_> {
    fn line(&mut self, line: &str) {
        self.0.transcript(line);
    }
}

impl Built {
    /// Directories in the slug that the source has not: what the buildpacks have made.
    pub(super) fn folders(&self) -> Vec<String> {
        self.record.folders.clone()
    }

    /// The commands of its process types.
    pub(super) fn commands(&self) -> BTreeMap<ProcessType, String> {
        let types = self.record.process_types.iter();
        types.filter_map(|(name, command)| Some((name.parse().ok()?, command.clone()))).collect()
    }
}

/// A name for what belongs to a working directory.
pub(super) fn key(of: &[u8]) -> String {
    hex::encode(Sha256::digest(of))
}

/// What the last call may have laid over the working directory whose state this is.
pub(super) fn last_folders(state: &Path) -> Vec<String> {
    read(state).map(|record| record.folders).unwrap_or_default()
}

/// The build of `dir`: the last one if it will do, else a new one; none where none is to be made and none was. When the future is
/// dropped before its end, what a build has begun is removed in the background.
///
/// # Errors
/// The source cannot be packed, does not build, or the node is at fault.
pub(super) async fn obtain(
    node: &Config,
    place: &Place,
    dir: &Path,
    build: Build<'_>,
    screen: &Screen,
) -> Result<Option<Built>, DaemonError> {
    let state = &place.config.lib_dir;
    let stack = Stack::current(&node.lib_dir, &node.stack)?;
    if build.when == When::Never {
        let last = read(state).and_then(|record| usable(node, state, record));
        if last.is_none() {
            screen.note(Note::Warn, local_text::NO_BUILD);
        }
        return Ok(last);
    }
    let _alone = only_builder(state, node.build.timeout_s).await?;
    let archive = state.join(ARCHIVE);
    let source = pack(dir, build.owner, &archive).await?;
    let last = read(state).filter(|record| {
        let is_same = record.source == source.digest && record.stack == stack.version;
        is_same && record.asked == build.buildpacks && build.when == When::Changed
    });
    if let Some(last) = last.and_then(|record| usable(node, state, record)) {
        screen.note(Note::Okay, &local_text::built_before(&last.record.buildpacks));
        remove(&archive)?;
        return Ok(Some(last));
    }
    // What a build has left that was killed.
    build::sweep(state, &place.runtime).await.map_err(build::BuildFailure::Node)?;
    let request = request(node, place, &stack, &build);
    let sandboxes =
        sandboxes(&place.config, place.runtime.clone(), Arc::clone(&place.network), place.slots.clone());
    let version = stack.version.clone();
    let built = build::build(request, &sandboxes, &StackLayers { stack }, &mut Shown(screen)).await;
    remove(&archive)?;
    let built = built?;
    let record = Record {
        folders: folders(&state.join("slugs").join(built.digest.as_str()).join("app"), &source.top)?,
        source: source.digest,
        stack: version,
        stack_version: built.stack_version,
        slug: built.digest.to_string(),
        asked: build.buildpacks.to_vec(),
        buildpacks: built.buildpacks,
        process_types: built
            .process_types
            .iter()
            .map(|(name, command)| (name.to_string(), command.clone()))
            .collect(),
    };
    write(state, &record)?;
    forget_old(state, &record.slug);
    Ok(usable(node, state, record))
}

fn request(node: &Config, place: &Place, stack: &Stack, build: &Build<'_>) -> BuildRequest {
    let state = &place.config.lib_dir;
    BuildRequest {
        id: Uuid::new_v4(),
        deed: Deed::Build,
        source: state.join(ARCHIVE),
        root: ArchiveRoot::Top,
        source_version: SOURCE_VERSION.to_owned(),
        stack: stack.name.clone(),
        stack_compat: stack.compat.clone(),
        stack_base: Ground { version: stack.version.clone(), layers: stack.build_layers() },
        stack_env: stack.build_env.clone(),
        buildpacks: build.buildpacks.to_vec(),
        known_buildpacks: node.buildpacks.clone(),
        config: build.config.clone(),
        cache: state.join("cache"),
        limits: node.build,
        laps: Laps::default(),
        tests: None,
    }
}

/// One build at a time: they share a cache.
async fn only_builder(state: &Path, timeout_s: u64) -> Result<Option<lock::Lock>, DaemonError> {
    let path = state.join(LOCK_FILE);
    let (file, timeout) = (path.clone(), Duration::from_secs(timeout_s));
    let locked = tokio::task::spawn_blocking(move || lock::wait_lock(&file, timeout)).await;
    locked.unwrap_or(Ok(None)).map_err(DaemonError::file(&path))
}

async fn pack(dir: &Path, owner: Owner, archive: &Path) -> Result<Source, DaemonError> {
    let (from, to) = (dir.to_owned(), archive.to_owned());
    let packing = tokio::task::spawn_blocking(move || local::pack(&from, owner, &to));
    let packed = packing
        .await
        .unwrap_or_else(|error| Err(LocalError::Pack { dir: dir.to_owned(), said: error.to_string() }));
    Ok(packed?)
}

/// A build whose slug and stack are there.
fn usable(node: &Config, state: &Path, record: Record) -> Option<Built> {
    let slug: SlugDigest = record.slug.parse().ok()?;
    let has_files = state.join("slugs").join(slug.as_str()).join("app").is_dir();
    let has_stack = Stack::at(&node.lib_dir, &node.stack, &record.stack_version).is_ok();
    (has_files && has_stack).then(|| Built { slug, stack_version: record.stack_version.clone(), record })
}

/// The directories of a slug that are not among `known`, as far as their names are text.
fn folders(slug: &Path, known: &BTreeSet<String>) -> Result<Vec<String>, DaemonError> {
    let entries = std::fs::read_dir(slug).map_err(DaemonError::file(slug))?.flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<_> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !known.contains(name));
    names.sort();
    Ok(names)
}

/// What is known of the newest build; nothing where it cannot be read, which costs a build.
fn read(state: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(state.join(RECORD)).ok()?).ok()
}

fn write(state: &Path, record: &Record) -> Result<(), DaemonError> {
    let path = state.join(RECORD);
    let written = serde_json::to_vec(record)
        .map_err(io::Error::from)
        .and_then(|bytes| fs::write_atomically(&path, &bytes));
    written.map_err(DaemonError::file(&path))
}

fn remove(archive: &Path) -> Result<(), DaemonError> {
    std::fs::remove_file(archive).map_err(DaemonError::file(archive))
}

/// Removes slugs that were replaced long ago. What cannot be removed costs room alone.
fn forget_old(state: &Path, current: &str) {
    let entries = std::fs::read_dir(state.join("slugs")).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name() != current) {
        let age = entry.metadata().and_then(|at| at.modified()).map(|made| age(clock::now(), made));
        if age.is_ok_and(|age| age > OLD_SLUG_AGE)
            && let Err(error) = fs::remove_tree(&entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "an old build is left");
        }
    }
}

fn age(now: SystemTime, made: SystemTime) -> Duration {
    now.duration_since(made).unwrap_or_default()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_the_source_has_is_not_laid_over_it() {
        let slug = tempfile::tempdir().unwrap();
        for name in [".heroku", "src", "vendor"] {
            std::fs::create_dir(slug.path().join(name)).unwrap();
        }
        std::fs::write(slug.path().join("app.py"), "").unwrap();
        std::os::unix::fs::symlink("src", slug.path().join("link")).unwrap();
        let known = BTreeSet::from(["src".to_owned()]);
        assert_eq!(folders(slug.path(), &known).unwrap(), [".heroku", "vendor"]);
    }

    #[test]
    fn a_record_is_read_back_and_a_damaged_one_is_none() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(read(state.path()), None);
        let record = Record {
            source: key(b"1"),
            stack: "00ff".to_owned(),
            stack_version: "00ff+ab".to_owned(),
            slug: key(b"2"),
            asked: vec![],
            buildpacks: vec!["heroku/python".to_owned()],
            process_types: BTreeMap::from([("web".to_owned(), "serve".to_owned())]),
            folders: vec![".heroku".to_owned()],
        };
        write(state.path(), &record).unwrap();
        assert_eq!(read(state.path()), Some(record));
        assert_eq!(last_folders(state.path()), [".heroku"]);
        std::fs::write(state.path().join(RECORD), "{").unwrap();
        assert_eq!(read(state.path()), None);
    }
}
