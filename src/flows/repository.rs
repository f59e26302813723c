//! Deploys from a repository elsewhere: its host tells of pushes, and the branch that an app is tied to is built as it then is.
//!
//! ```text
//! message ──signature──▶ asked ──task──▶ clone ─▶ build ─▶ done
//!             └─ refused        (one an app; what is asked meanwhile is one more)
//! ```
//!
//! That a deploy was asked for is on disk before the message is acknowledged, and the next start goes on with it. A message that
//! comes again does no harm: what is deployed is the branch as it is, and a commit that was deployed last is not deployed again.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::RngCore as _;
use ring::hmac;
use uuid::Uuid;

use crate::domain::{App, AppRight, BuildSource, Deploys, RepositoryLink};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::building::{Building, Order};
use crate::flows::caller::right_of;
use crate::flows::clone::{Cloned, clone};
use crate::flows::error::FlowError;
use crate::flows::push::{Arrival, Transcript, begin_push, run};
use crate::sys::fs::remove_tree;
use crate::wire::api::{PushEvent, PushStatus};
use crate::wire::api_errors::{Missing, Refusal};
use crate::wire::repository_text as text;

/// Bytes of randomness in a secret.
const SECRET_BYTES: usize = 32;
/// Between two attempts to build while another build of the app runs, seconds.
const BUSY_PAUSE_S: u64 = 5;
/// The most of them: an hour.
const BUSY_ATTEMPTS_MAX: u32 = 720;
/// How the header of a signature begins.
const ALGORITHM: &str = "sha256=";

/// The links whose deploys are under way in this process.
#[derive(Default)]
pub(super) struct Deploying(Mutex<HashSet<Uuid>>);

// === impl Deploying ===

impl Deploying {
    fn with<T>(&self, act: impl FnOnce(&mut HashSet<Uuid>) -> T) -> T {
        // A set cannot be left half changed by a panic.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The branch that an app is tied to.
///
/// # Errors
/// There is none, or the node fails.
pub async fn repository(node: &Node, app: &App) -> Result<RepositoryLink, FlowError> {
    let found = node.store().repository(app.id).await?;
    found.ok_or_else(|| Refusal::NotFound(Missing::Repository).into())
}

/// Ties an app to a branch; messages to an earlier link of it mean nothing any more. Its secret is told this once.
///
/// # Errors
/// URL or branch make no sense, or the node fails.
pub async fn connect_repository(
    node: &Node,
    app: &App,
    (url, branch): (&str, &str),
    actor: &Actor,
) -> Result<RepositoryLink, FlowError> {
    let mut bytes = [0; SECRET_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    let link = RepositoryLink {
        id: Uuid::new_v4(),
        app: app.id,
        url: url.parse().map_err(Refusal::RepositoryUrl)?,
        branch: branch.parse().map_err(Refusal::Branch)?,
        secret: hex::encode(bytes).parse().map_err(Refusal::WebhookSecret)?,
        user: actor.0.clone(),
        deploys: Deploys::Automatic,
        asked: 0,
        done: 0,
        commit: None,
        outcome: None,
        created_at_s: 0,
    };
    Ok(node.store().set_repository(link).await?)
}

/// Unties an app.
///
/// # Errors
/// It is tied to nothing, or the node fails.
pub async fn disconnect_repository(node: &Node, app: &App) -> Result<RepositoryLink, FlowError> {
    let link = repository(node, app).await?;
    node.store().remove_repository(app.id).await?;
    Ok(link)
}

/// Says whether pushes are deployed by themselves.
///
/// # Errors
/// The app is tied to nothing, or the node fails.
pub async fn switch_deploys(node: &Node, app: &App, deploys: Deploys) -> Result<RepositoryLink, FlowError> {
    node.store().switch_repository(app.id, deploys).await?;
    repository(node, app).await
}

/// What a repository's host says.
#[derive(Clone, Debug)]
pub struct Message {
    /// What it is about: `push`, `ping`.
    pub event: String,
    /// `sha256=` and the HMAC-SHA256 of the body under the secret, in hexadecimal.
    pub signature: String,
    /// JSON.
    pub body: Bytes,
}

/// What comes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A deploy.
    Deploys,
    /// Nothing, for this reason.
    Ignored(&'static str),
}

/// Looks whether messages to that identity are meant for anybody, before one is read.
///
/// # Errors
/// They are not, or the node fails.
pub async fn is_listened_for(node: &Node, id: Uuid) -> Result<(), FlowError> {
    let link = node.store().repository_by_id(id).await?;
    Ok(link.map(drop).ok_or(Refusal::NotFound(Missing::Repository))?)
}

/// Hears a message; returns when what it asks for is on disk.
///
/// # Errors
/// Nobody is told under that identity, the signature is not the secret's, the message makes no sense, or the node fails.
pub async fn hear_of_push(node: &Node, id: Uuid, message: &Message) -> Result<Heard, FlowError> {
    let link = node.store().repository_by_id(id).await?;
    let link = link.ok_or(Refusal::NotFound(Missing::Repository))?;
    if !is_signed(&link, message) {
        return Err(Refusal::Signature.into());
    }
    if message.event != "push" {
        return Ok(Heard::Ignored(text::NO_PUSH));
    }
    let unread =
        |error: serde_json::Error| Refusal::BadRequest(format!("The message cannot be read: {error}."));
    let push: PushEvent = serde_json::from_slice(&message.body).map_err(unread)?;
    let heard = judged(&link, &push);
    if heard == Heard::Deploys {
        node.store().ask_deploy(id).await?;
        begin(node, id);
    }
    Ok(heard)
}

fn judged(link: &RepositoryLink, push: &PushEvent) -> Heard {
    if !link.branch.is(&push.reference) {
        Heard::Ignored(text::OTHER_BRANCH)
    } else if push.deleted {
        Heard::Ignored(text::DELETED)
    } else if link.deploys == Deploys::Off {
        Heard::Ignored(text::SWITCHED_OFF)
    } else if link.commit.as_deref() == Some(push.after.as_str()) {
        Heard::Ignored(text::DEPLOYED)
    } else {
        Heard::Deploys
    }
}

/// Compares in a time that tells nothing.
fn is_signed(link: &RepositoryLink, message: &Message) -> bool {
    let digits = message.signature.strip_prefix(ALGORITHM).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, link.secret.reveal().as_bytes());
    hex::decode(digits).is_ok_and(|told| hmac::verify(&key, &message.body, &told).is_ok())
}

/// Goes on with the deploys that an earlier process was asked for.
pub(super) async fn take_up(node: &Node) -> Result<(), FlowError> {
    for link in node.store().waiting_repositories().await? {
        begin(node, link.id);
    }
    Ok(())
}

/// Has a task deploy what is asked for, unless one does already.
fn begin(node: &Node, id: Uuid) {
    if !node.deploying().with(|all| all.insert(id)) {
        return;
    }
    let node = node.clone();
    tokio::spawn(async move {
        loop {
            if let Err(error) = deploy_all(&node, id).await {
                tracing::error!(error = &error as &dyn std::error::Error, "a push elsewhere is not deployed");
            }
            node.deploying().with(|all| all.remove(&id));
            // What was asked for in between found the task still there.
            let link = node.store().repository_by_id(id).await.ok().flatten();
            let is_left = link.is_some_and(|link| link.asked > link.done);
            if !is_left || !node.deploying().with(|all| all.insert(id)) {
                return;
            }
        }
    });
}

async fn deploy_all(node: &Node, id: Uuid) -> Result<(), FlowError> {
    loop {
        // It may have been untied, or its app destroyed.
        let Some(link) = node.store().repository_by_id(id).await? else { return Ok(()) };
        let Some(app) = node.store().app_by_id(link.app).await? else { return Ok(()) };
        if link.asked <= link.done {
            return Ok(());
        }
        // Who tied the app may have lost the right to since, and with it what the link can do.
        let ended = if may_deploy(node, &app, &link).await? {
            deploy(node, &app, &link).await
        } else {
            node.store().switch_repository(app.id, Deploys::Off).await?;
            (None, text::no_right(&link.user))
        };
        node.store().settle_deploy(id, link.asked, ended).await?;
    }
}

/// Whether whoever has tied the app to the branch may still do so.
async fn may_deploy(node: &Node, app: &App, link: &RepositoryLink) -> Result<bool, FlowError> {
    let Ok(user) = link.user.parse() else { return Ok(false) };
    Ok(right_of(node, &user, app).await?.is_some_and(|right| right >= AppRight::Operate))
}

/// Deploys the branch as it is; tells the commit that runs now, if it is another, and what became of it.
async fn deploy(node: &Node, app: &App, link: &RepositoryLink) -> (Option<String>, String) {
    let dir = node.settings().sources_dir().join(format!("{}.clone", Uuid::new_v4()));
    let cloned = clone((&link.url, &link.branch), node.settings().source_reach, &dir).await;
    let ended = match cloned {
        Err(error) => (None, text::not_fetched(&error.to_string())),
        Ok(cloned) if link.commit.as_ref() == Some(&cloned.commit) => {
            (None, text::is_deployed(&cloned.commit))
        }
        Ok(cloned) => build(node, app, link, cloned).await,
    };
    let removed = tokio::task::spawn_blocking(move || remove_tree(&dir)).await;
    if !matches!(removed, Ok(Ok(()))) {
        tracing::warn!(app = %app.name, "what was cloned stays until the next start");
    }
    ended
}

async fn build(node: &Node, app: &App, link: &RepositoryLink, cloned: Cloned) -> (Option<String>, String) {
    for _ in 0..BUSY_ATTEMPTS_MAX {
        let permit = match begin_push(node, app) {
            Ok(permit) => permit,
            Err(_another_builds) => {
                tokio::time::sleep(Duration::from_secs(BUSY_PAUSE_S)).await;
                continue;
            }
        };
        let order = Order {
            app: app.clone(),
            actor: Actor(link.user.clone()),
            version: Some(cloned.commit.clone()),
            source: BuildSource { url: Some(link.url.source().without_secrets()), ..BuildSource::default() },
            buildpacks: None,
        };
        let building = match Building::begin(node, order, permit).await {
            Ok(building) => building,
            Err(error) => return (None, text::failed(&cloned.commit, &error.to_string())),
        };
        let id = building.record.id;
        let pushed = run(node, building, &Arrival::Here(cloned.archive), &Transcript::new().0).await;
        return match pushed.status {
            PushStatus::Succeeded => (Some(cloned.commit.clone()), text::deployed(&cloned.commit)),
            PushStatus::Failed | PushStatus::Skipped => (None, text::build_failed(&cloned.commit, id)),
        };
    }
    (None, text::failed(&cloned.commit, "another build has been running for too long"))
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    fn link() -> RepositoryLink {
        RepositoryLink {
            id: Uuid::nil(),
            app: crate::domain::AppId(Uuid::nil()),
            url: "https://example.com/o/r.git".parse().unwrap(),
            branch: "main".parse().unwrap(),
            secret: "It's a Secret to Everybody".parse().unwrap(),
            user: String::new(),
            deploys: Deploys::Automatic,
            asked: 0,
            done: 0,
            commit: Some("1a".repeat(20)),
            outcome: None,
            created_at_s: 0,
        }
    }

    fn message(body: &[u8], signature: &str) -> Message {
        Message {
            event: "push".to_owned(),
            signature: signature.to_owned(),
            body: Bytes::copy_from_slice(body),
        }
    }

    #[test]
    fn a_signature_is_the_published_one() {
        // The example in GitHub's documentation of webhooks.
        let right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed(&link(), &message(b"Hello, World!", right)));
        for wrong in ["", "sha256=", &right[7..], "sha1=757107ea", &right.replace('7', "8"), &right[..40]] {
            assert!(!is_signed(&link(), &message(b"Hello, World!", wrong)), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_the_whole_body_is_signed(body in proptest::collection::vec(any::<u8>(), 1..200), at in any::<usize>()) {
            let key = hmac::Key::new(hmac::HMAC_SHA256, link().secret.reveal().as_bytes());
            let signature = format!("sha256={}", hex::encode(hmac::sign(&key, &body)));
            prop_assert!(is_signed(&link(), &message(&body, &signature)));
            let mut other = body.clone();
            let at = at % body.len();
            other[at] ^= 1;
            prop_assert!(!is_signed(&link(), &message(&other, &signature)));
        }
    }

    #[test]
    fn only_new_commits_of_the_branch_are_deployed() {
        let push = |reference: &str, after: &str, deleted| PushEvent {
            reference: reference.to_owned(),
            after: after.to_owned(),
            deleted,
        };
        let new = push("refs/heads/main", &"2b".repeat(20), false);
        assert_eq!(judged(&link(), &new), Heard::Deploys);
        let off = RepositoryLink { deploys: Deploys::Off, ..link() };
        assert_eq!(judged(&off, &new), Heard::Ignored(text::SWITCHED_OFF));
        for (other, why) in [
            (push("refs/heads/topic", &"2b".repeat(20), false), text::OTHER_BRANCH),
            (push("refs/tags/main", &"2b".repeat(20), false), text::OTHER_BRANCH),
            (push("refs/heads/main", &"0".repeat(40), true), text::DELETED),
            (push("refs/heads/main", &"1a".repeat(20), false), text::DEPLOYED),
        ] {
            assert_eq!(judged(&link(), &other), Heard::Ignored(why));
        }
    }
}
