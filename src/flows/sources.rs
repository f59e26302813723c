//! Sources that clients send before they ask for a build of them: each has a link to send it, once, and one to fetch it and
//! have it built, and is gone after an hour or with the process.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Method;
use uuid::Uuid;

use crate::domain::SourceUrl;
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::error::FlowError;
use crate::flows::presigned::AGE_MAX_S;
use crate::flows::sent_slugs::SentSlug;
use crate::sys::{clock, fs};
use crate::wire::api_errors::{Missing, Refusal};

/// The largest source, unpacked, bytes (platform reference 3.2); an archive is never larger than what it holds by much.
pub const SOURCE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How long a source may take to arrive, seconds.
pub const RECEIVE_TIMEOUT_S: u64 = 600;

/// What a source leaves free on the disk that takes it, bytes: everything else of the node writes there, too.
const LEFT_FREE_BYTES: u64 = 1 << 30;

/// How much is written between two looks at what is free, bytes.
const LOOK_BYTES: u64 = 64 << 20;

/// The most sources of one user, those that arrive among them; a further one takes the place of the oldest that does not.
const PER_USER_MAX: usize = 8;

/// What is before the name of a source in the paths of its URLs.
const PATH: &str = "/sources/";

/// An eye on the disk while a source is written to it.
pub struct DiskRoom {
    dir: PathBuf,
    looked_at: Option<u64>,
}

// === impl DiskRoom ===

impl DiskRoom {
    /// On the disk of the directory that `path` is in.
    #[must_use]
    pub fn beside(path: &Path) -> Self {
        Self { dir: path.parent().unwrap_or(path).to_owned(), looked_at: None }
    }

    /// Whether there is room for more, once a source has come to `bytes`. A disk that cannot be asked tells by itself when it is full.
    pub fn is_left(&mut self, bytes: u64) -> bool {
        if self.looked_at.is_some_and(|at| bytes < at + LOOK_BYTES) {
            return true;
        }
        self.looked_at = Some(bytes);
        !fs::free_bytes(&self.dir).is_ok_and(|free| free < LEFT_FREE_BYTES)
    }
}

/// The sources of this process.
#[derive(Default)]
pub(super) struct Sources(Mutex<HashMap<Uuid, Entry>>);

struct Entry {
    user: String,
    since: Instant,
    stage: Stage,
    /// What else it is.
    slug: Option<SentSlug>,
}

/// How far a source has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Named,
    Arriving,
    Here,
}

// === impl Sources ===

impl Sources {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Uuid, Entry>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a name in, and tells which others are to go for it; `None` when as many of the user's arrive as one may have.
    fn add(&self, id: Uuid, user: &str, slug: Option<SentSlug>) -> Option<Vec<Uuid>> {
        self.with(|all| {
            let own: Vec<_> = all.iter().filter(|(_, entry)| entry.user == user).collect();
            let excess = (own.len() + 1).saturating_sub(PER_USER_MAX);
            let mut idle: Vec<_> = own
                .into_iter()
                .filter(|(_, entry)| entry.stage != Stage::Arriving)
                .map(|(id, entry)| (entry.since, *id))
                .collect();
            if excess > idle.len() {
                return None;
            }
            idle.sort_unstable();
            let gone: Vec<Uuid> = idle.into_iter().take(excess).map(|(_, id)| id).collect();
            for id in &gone {
                all.remove(id);
            }
            all.insert(id, Entry { user: user.to_owned(), since: Instant::now(), stage: Stage::Named, slug });
            Some(gone)
        })
    }

    fn is_here(&self, id: Uuid) -> bool {
        self.with(|all| all.get(&id).is_some_and(|entry| entry.stage == Stage::Here))
    }
}

/// The file of a source.
fn file(node: &Node, id: Uuid) -> PathBuf {
    node.settings().sources_dir().join(format!("{id}.upload"))
}

fn forget(node: &Node, id: Uuid) {
    node.sources().with(|all| all.remove(&id));
    match std::fs::remove_file(file(node, id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(source = %id, %error, "a source that nobody needs stays until the next start");
        }
        Ok(()) | Err(_) => {}
    }
}

/// The links of a source: whoever has one needs no credentials.
pub struct SourceLinks {
    /// To fetch it, and to name it for a build.
    pub get: String,
    /// To send it, once.
    pub put: String,
}

fn path(id: Uuid) -> String {
    format!("{PATH}{id}")
}

/// Whether `query` makes a source's path a link that allows `method` now.
fn allows(node: &Node, method: &Method, id: Uuid, query: &str) -> bool {
    node.presigner().allows(method, (&path(id), query), clock::unix_s())
}

/// Names a source that is to be sent, and how.
///
/// # Errors
/// As many sources of the user are on their way as one may have.
pub fn new_source(node: &Node, actor: &Actor) -> Result<SourceLinks, FlowError> {
    place(node, (Uuid::new_v4(), None), actor)
}

/// The same of a source that is a slug, and has its identity.
pub(super) fn new_slug_source(node: &Node, slug: SentSlug, actor: &Actor) -> Result<SourceLinks, FlowError> {
    place(node, (slug.id, Some(slug)), actor)
}

fn place(node: &Node, (id, slug): (Uuid, Option<SentSlug>), actor: &Actor) -> Result<SourceLinks, FlowError> {
    let gone = node.sources().add(id, &actor.0, slug).ok_or(Refusal::TooManySources { max: PER_USER_MAX })?;
    for gone in gone {
        forget(node, gone);
    }
    let links = links(node, id);
    let node = node.clone();
    // It ends with the process, and so do its sources.
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(AGE_MAX_S)).await;
        forget(&node, id);
    });
    Ok(links)
}

fn links(node: &Node, id: Uuid) -> SourceLinks {
    let link = |method| node.presigner().link(&method, &path(id), clock::unix_s());
    SourceLinks { get: link(Method::GET), put: link(Method::PUT) }
}

/// The slug of this identity, if its source is one, and fresh links.
pub(super) fn slug(node: &Node, id: Uuid) -> Option<(SentSlug, SourceLinks)> {
    let slug = node.sources().with(|all| all.get(&id).and_then(|entry| entry.slug.clone()))?;
    Some((slug, links(node, id)))
}

/// Whether a source has arrived.
pub(super) fn is_here(node: &Node, id: Uuid) -> bool {
    node.sources().is_here(id)
}

/// A source that arrives; one that is not told to be whole is forgotten.
pub struct ArrivingSource {
    node: Node,
    id: Uuid,
    is_whole: bool,
}

/// Takes the right to send a source, which there is once.
///
/// # Errors
/// `query` is not that of a link to send it, or its source was sent already.
pub fn begin_source(node: &Node, id: Uuid, query: &str) -> Result<ArrivingSource, FlowError> {
    if !allows(node, &Method::PUT, id, query) {
        return Err(Refusal::NotFound(Missing::Source).into());
    }
    node.sources().with(|all| match all.get_mut(&id) {
        Some(entry) if entry.stage == Stage::Named => {
            entry.stage = Stage::Arriving;
            Ok(())
        }
        Some(_) => Err(Refusal::SourceSent),
        None => Err(Refusal::NotFound(Missing::Source)),
    })?;
    Ok(ArrivingSource { node: node.clone(), id, is_whole: false })
}

/// The archive of a source that was sent.
///
/// # Errors
/// There is none, or `query` is not that of a link to fetch it.
pub fn source_file(node: &Node, id: Uuid, query: &str) -> Result<PathBuf, FlowError> {
    if allows(node, &Method::GET, id, query) && node.sources().is_here(id) {
        Ok(file(node, id))
    } else {
        Err(Refusal::NotFound(Missing::Source).into())
    }
}

/// Which source of this node's own a URL names, wherever the node is reached: nobody else makes such links.
pub(super) fn own(node: &Node, url: &SourceUrl) -> Option<Uuid> {
    let (path, query) = url.parts().path.split_once('?')?;
    let id = path.strip_prefix(PATH)?.parse().ok()?;
    (allows(node, &Method::GET, id, query) && node.sources().is_here(id)).then_some(id)
}

/// Gives a source that was sent another name, which is its new user's alone.
pub(super) fn take(node: &Node, id: Uuid, to: &Path) -> io::Result<()> {
    std::fs::hard_link(file(node, id), to)
}

// === impl ArrivingSource ===

impl ArrivingSource {
    /// The file that it is written to.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        file(&self.node, self.id)
    }

    /// All of it is there.
    pub fn is_whole(mut self) {
        self.is_whole = true;
        self.node.sources().with(|all| all.get_mut(&self.id).map(|entry| entry.stage = Stage::Here));
    }
}

impl Drop for ArrivingSource {
    fn drop(&mut self) {
        if !self.is_whole {
            forget(&self.node, self.id);
        }
    }
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn one_users_sources_are_bounded_and_push_out_nobody_elses(users in proptest::collection::vec(0u8..3, 0..150)) {
            let sources = Sources::default();
            let mut last = None;
            for user in &users {
                let id = Uuid::new_v4();
                for gone in sources.add(id, &user.to_string(), None).unwrap() {
                    prop_assert!(gone != id);
                }
                last = Some(id);
            }
            for user in 0u8..3 {
                let added = users.iter().filter(|added| **added == user).count();
                let kept = sources.with(|all| all.values().filter(|e| e.user == user.to_string()).count());
                prop_assert_eq!(kept, added.min(PER_USER_MAX));
            }
            // Those that arrive count, and are not pushed out.
            let arrive = |entry: &mut Entry| entry.stage = Stage::Arriving;
            sources.with(|all| all.values_mut().filter(|entry| entry.user == "0").for_each(arrive));
            let arriving = users.iter().filter(|user| **user == 0).count();
            prop_assert_eq!(sources.add(Uuid::new_v4(), "0", None).is_none(), arriving >= PER_USER_MAX);
            prop_assert!(last.is_none_or(|last| sources.with(|all| all.contains_key(&last))));
        }
    }
}
